"""Tokens that are planted in the environment are found nowhere, although a service repeats them in all that it says."""

import json
import os
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from tests.servers import ROOT, LocalServer, app_alone
from wrapper.cli import main
from wrapper.uploads import PREFIX

EXAMPLE = ROOT / "examples" / "position-2.jpg"
PLANTED = {"LLM_API_TOKEN": "planted-llm/1f9c", "DETECTOR_API_TOKEN": "planted-detector/77ab", "HF_TOKEN": "hf_plantedhub4e21"}


def echo(handler: BaseHTTPRequestHandler) -> str:
    return f"you sent {handler.headers.get('Authorization')} and {handler.headers.get('Token')}"


class Echoing(BaseHTTPRequestHandler):
    """An LLM's service that answers the first question of a process with the token, and refuses the others with it; and a detector's
    that refuses likewise."""

    asked: int

    def log_message(self, *args: Any) -> None: ...

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        chat = self.path.endswith("/chat/completions")
        type(self).asked += chat
        if chat and type(self).asked == 1:
            self.reply(200, {"choices": [{"message": {"role": "assistant", "content": echo(self)}}]})
        else:
            self.reply(401, {"error": {"message": echo(self)}, "code": 7, "msg": echo(self)})

    def reply(self, status: int, data: dict[str, Any]) -> None:
        raw = json.dumps(data).replace("/", r"\/").encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


@pytest.fixture
def service() -> Iterator[LocalServer]:
    running = LocalServer(type("Handler", (Echoing,), {"asked": 0}))
    yield running
    running.stop()


def environment(folder: Path) -> dict[str, str]:
    ours = {k: v for k, v in os.environ.items() if k != "GRADIO_TEMP_DIR"}
    return {**ours, **PLANTED, "TMPDIR": str(folder), "OMP_NUM_THREADS": "1"}


def check(folder: Path, *texts: str) -> None:
    """No token in any text, nor in any file of a folder."""
    kept = [file for file in folder.rglob("*") if file.is_file()]
    for text in (*(file.read_bytes() for file in kept), *(text.encode() for text in texts)):
        for token in PLANTED.values():
            assert token.encode() not in text and token.rpartition("/")[2].encode() not in text


def test_no_command_writes_or_says_a_token(
    service: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = {"model": "GroundingDino-1.6-Pro", "endpoint": service.address, "cache": str(tmp_path / "cache")}
    (tmp_path / "detector.json").write_text(json.dumps(settings))
    far = ["--detector", f"far=api:{tmp_path / 'detector.json'}", "--proposers", "far"]
    llm = ["--llama", f"openai:{service.address}/v1#m"]
    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
    for command, status in (
        (["locate", str(EXAMPLE), "the drum", "--proposers", "gdrec", "--json", *llm], 0),
        (["evaluate", "--data", "refscenes:val:2", "--methods", "gdrec+llm", *llm, "--out", str(tmp_path / "results")], 1),
        (["propose", "--data", "refscenes:val:2", *far, "--out", str(tmp_path / "far.jsonl")], 1),
    ):
        monkeypatch.setattr(sys, "argv", ["wrapper", *command])
        with pytest.raises(SystemExit) as left:
            main()
        said = capfd.readouterr()
        assert int(left.value.code or 0) == status
        assert status == 0 or "[token]" in said.err, "the service's own words are told, less the token"
        check(tmp_path, said.out, said.err)


def test_the_page_shows_no_token_and_leaves_nothing_when_it_is_stopped(service: LocalServer, tmp_path: Path) -> None:
    arguments = ["--preset", "tiny", "--llama", f"openai:{service.address}/v1#m"]
    with app_alone(arguments, environment(tmp_path), tmp_path / "log.txt") as address:
        pages = [httpx.get(address + path).text for path in ("/", "/config", "/gradio_api/info")]
        client = Client(address, verbose=False, httpx_kwargs={"trust_env": False})
        told = client.predict(handle_file(str(EXAMPLE)), "the drum", ["gdrec"], api_name="/locate")
        with pytest.raises(AppError) as refused:
            client.predict(handle_file(str(EXAMPLE)), "the drum higher up", ["gdrec"], api_name="/locate")
        client.close()
        assert list(tmp_path.glob(f"{PREFIX}*/*/*.jpg")), "what the visitor sent lies in a folder of the app's own"
        check(tmp_path)
    assert not list(tmp_path.glob(f"{PREFIX}*"))
    assert "[token]" in str(refused.value)
    check(tmp_path, *pages, str(told), str(refused.value), Path(told[0]).read_bytes().decode("latin-1"))
