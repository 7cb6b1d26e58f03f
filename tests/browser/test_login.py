"""A page on which visitors may log in, in a browser: whose token goes where. Skipped where Playwright, Chromium or authlib is not there."""

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import gradio.oauth
import httpx
import pytest

import app
from tests.browser.test_page import CHROMIUM, QUIET, SECONDS, answer, settled
from tests.selectors.test_endpoint import Service
from wrapper.selectors.endpoint import TOKEN
from wrapper.ui import models

sync_api = pytest.importorskip("playwright.sync_api")
itsdangerous = pytest.importorskip("itsdangerous")
pytest.importorskip("authlib")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
VISITOR, SECRET = "hf_oauth_of_a_visitor", "the app's own"


@pytest.fixture
def service() -> Iterator[Service]:
    running = Service()
    yield running
    running.server.stop()


@pytest.fixture
def url(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The page as a Space serves it that has turned logging in on."""
    for name, value in {"SYSTEM": "spaces", "SPACE_ID": "me/space", TOKEN: "the-owners-own-token"}.items():
        monkeypatch.setenv(name, value)
    for name in ("OAUTH_CLIENT_ID", "OAUTH_SCOPES"):
        monkeypatch.setattr(gradio.oauth, name, "openid")
    monkeypatch.setattr(gradio.oauth, "OAUTH_CLIENT_SECRET", SECRET)
    monkeypatch.setattr(gradio.oauth, "OPENID_PROVIDER_URL", service.server.address)
    page = app.build("bundled", llama=f"openai:{service.address}#big-model", login=True)
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, ssr_mode=False, server_name="127.0.0.1", **app.LOOKS)
    yield address.rstrip("/")
    page.close()
    models.load("tiny")


def cookie() -> str:
    """Of a visitor who has logged in, as Gradio signs it (gradio.oauth.attach_oauth)."""
    user = {"name": "Ann", "preferred_username": "ann", "profile": "", "picture": ""}
    info = {"access_token": VISITOR, "scope": "openid", "expires_at": 4e9, "userinfo": user}
    key = hashlib.sha256(f"{SECRET}-v4".encode()).hexdigest()
    return str(itsdangerous.TimestampSigner(key).sign(base64.b64encode(json.dumps({"oauth_info": info}).encode())).decode())


def ask(page: Any, url: str, words: str) -> str:
    page.set_default_timeout(60 * SECONDS)
    page.goto(url, wait_until="domcontentloaded")
    answer(page).wait_for()
    settled(page)
    page.locator("#canvas .words").fill(words)
    page.get_by_role("button", name="Locate", exact=True).click()
    page.locator("#canvas .stop").wait_for(state="hidden")
    return str(settled(page))


def test_a_visitor_who_has_logged_in_has_the_service_asked_and_others_have_not(url: str, service: Service) -> None:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        stranger = browser.new_page()
        ask(stranger, url, "the clock")
        stranger.get_by_role("button", name="Sign in with Hugging Face").wait_for()
        assert "big-model" in stranger.locator("#login").inner_text() and service.bodies == []
        known = browser.new_context(extra_http_headers={"Cookie": f"session={cookie()}"}).new_page()
        ask(known, url, "the dog in the middle")
        assert {h["Authorization"] for h in service.headers} == {f"Bearer {VISITOR}"}
        assert "the dog in the middle" in service.bodies[-1]["messages"][0]["content"]
        known.get_by_text("Details", exact=True).click()
        assert "a service" in known.locator("#canvas .about dl").inner_text()
        shown = known.content()
        browser.close()
    assert VISITOR not in shown + httpx.get(f"{url}/config").text


def test_without_a_service_there_is_nothing_to_log_in_for() -> None:
    with pytest.raises(app.WrapperError, match="Name it with --llama openai:URL#MODEL"):
        app.build("tiny", login=True)
