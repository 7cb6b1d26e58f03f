"""A page on which visitors may log in, in a browser: whose token goes where. Skipped where Playwright, Chromium or authlib is not there."""

import base64
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import app
from tests.browser.test_page import CHROMIUM, QUIET, SECONDS, answer, settled
from tests.selectors.chat_service import Service
from tests.servers import app_alone
from wrapper.selectors.endpoint import TOKEN

sync_api = pytest.importorskip("playwright.sync_api")
itsdangerous = pytest.importorskip("itsdangerous")
pytest.importorskip("authlib")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
VISITOR, SECRET = "hf_oauth_of_a_visitor", "the app's own"


@pytest.fixture
def space(tmp_path: Path) -> Iterator[tuple[str, Service]]:
    """The page as a Space serves it that has turned logging in on, and the service that it asks."""
    service = Service()
    named = {"SYSTEM": "spaces", "SPACE_ID": "me/space", "WRAPPER_LOGIN": "1", "WRAPPER_LLAMA": f"openai:{service.address}#big-model"}
    names = ("OAUTH_CLIENT_ID", "OAUTH_SCOPES", "OPENID_PROVIDER_URL")
    oauth = dict.fromkeys(names, service.server.address) | {"OAUTH_CLIENT_SECRET": SECRET}
    environment = {**os.environ, **named, **oauth, TOKEN: "the-owners-own-token", "OMP_NUM_THREADS": "1"}
    with app_alone(["--preset", "bundled"], environment, tmp_path / "log.txt") as address:
        yield address, service
    service.server.stop()


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


def test_a_visitor_who_has_logged_in_has_the_service_asked_and_others_have_not(space: tuple[str, Service]) -> None:
    url, service = space
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
