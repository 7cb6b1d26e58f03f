"""The API detector against a server of that protocol: every failure there is, and no call paid twice."""

import base64
import io
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from PIL import Image

from tests.servers import LocalServer
from wrapper.detectors import load_detector
from wrapper.errors import DataError, ModelError
from wrapper.proposals import identity
from wrapper.proposers.api import TOKEN, ApiDetector, ApiSettings

PICTURE = Image.effect_noise((200, 100), 60).convert("RGB")
OBJECTS = [{"bbox": [10, 20, 50, 60], "score": 0.9, "category": "cup"}, {"bbox": [60, 0, 99, 40], "score": 0.3, "category": "book"}]


class Service:
    """A server of the protocol. script: what the next replies are instead of the right ones: a status, a code, "cut", "text"; tasks: the
    questions by idempotency key, of which each is paid once; looks: how often a task is not done yet."""

    def __init__(self) -> None:
        self.script: list[Any] = []
        self.tasks: dict[str, dict[str, Any]] = {}
        self.looks, self.requests, self.tokens = 1, list[tuple[str, str]](), set[str]()
        self.objects: list[dict[str, Any]] = list(OBJECTS)
        service = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: Any) -> None: ...

            def reply(self, status: int, data: Any, headers: dict[str, str] | None = None) -> None:
                body = data if isinstance(data, bytes) else json.dumps(data).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def scripted(self) -> bool:
                service.requests.append((self.command, self.path))
                service.tokens.add(self.headers.get("Token", ""))
                if not service.script:
                    return False
                what = service.script.pop(0)
                if what == "cut":
                    self.close_connection = True
                    self.connection.close()
                elif what == "text":
                    self.reply(200, b"<html>")
                elif isinstance(what, dict):
                    self.reply(200, what)
                elif what > 1000:
                    self.reply(200, {"code": what, "msg": "later"})
                else:
                    self.reply(what, {"code": 1, "msg": "no"}, {"Retry-After": "3"} if what == 429 else {})
                return True

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.scripted():
                    return
                key = self.headers["Idempotency-Key"]
                service.tasks.setdefault(key, {"looks": service.looks, "body": body, "id": f"task{len(service.tasks)}"})
                self.reply(200, {"code": 0, "data": {"task_uuid": service.tasks[key]["id"]}})

            def do_GET(self) -> None:
                if self.scripted():
                    return
                task = next(t for t in service.tasks.values() if self.path.endswith("/" + t["id"]))
                task["looks"] -= 1
                if task["looks"] >= 0:
                    self.reply(200, {"code": 0, "data": {"status": "running"}})
                else:
                    self.reply(200, {"code": 0, "data": {"status": "success", "result": {"objects": service.objects}}})

        self.server = LocalServer(Handler)
        self.address = self.server.address


@pytest.fixture
def service() -> Iterator[Service]:
    running = Service()
    yield running
    running.server.stop()


def detector(service: Service, folder: Path, waited: list[float] | None = None, **changes: Any) -> Iterator[ApiDetector]:
    settings = replace(ApiSettings("GroundingDino-1.6-Pro", service.address, cache=str(folder / "cache"), pause=0.001), **changes)
    with httpx.Client(base_url=service.address, headers={"Token": "secret"}, timeout=5) as client:
        yield ApiDetector(settings, client, (waited if waited is not None else list[float]()).append)


def ask(
    service: Service, folder: Path, words: str = "the cup left of the book", image: Image.Image = PICTURE, **changes: Any
) -> list[tuple[Any, ...]]:
    waited: list[float] = changes.pop("waited", [])
    [asked] = [d.detect([image], [words])[0] for d in detector(service, folder, waited, **changes)]
    return [(n, *map(float, b)) for n, b in zip(asked.data["class_name"], asked.xyxy, strict=True)]


FOUND = [("cup", 10, 20, 50, 60), ("book", 60, 0, 99, 40)]


def test_a_question_is_sent_as_the_protocol_says_and_read_back(service: Service, tmp_path: Path) -> None:
    assert ask(service, tmp_path) == FOUND and service.tokens == {"secret"}
    [task] = service.tasks.values()
    body = task["body"]
    assert (
        body["model"] == "GroundingDino-1.6-Pro" and body["prompt"] == {"type": "text", "text": "cup.book"} and body["targets"] == ["bbox"]
    )
    assert Image.open(io.BytesIO(base64.b64decode(body["image"].split(",", 1)[1]))).size == (200, 100)
    assert [path.split("/")[2] for _, path in service.requests] == ["task", "task_status", "task_status"]


def test_large_pictures_are_sent_smaller_and_boxes_mapped_back(service: Service, tmp_path: Path) -> None:
    assert ask(service, tmp_path, long_side=100) == [("cup", 20, 40, 100, 120), ("book", 120, 0, 198, 80)]


@pytest.mark.parametrize("trouble", [429, 500, 503, 202001, "cut"])
def test_what_passes_is_tried_again_and_paid_once(service: Service, tmp_path: Path, trouble: Any) -> None:
    service.script, waited = [trouble, trouble], list[float]()
    assert ask(service, tmp_path, waited=waited) == FOUND and len(service.tasks) == 1
    assert waited[1] > waited[0] and (trouble != 429 or waited[0] > 2), "later each time, and as late as the service asks"


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        (401, "Check the token"),
        (403, "Check the token"),
        (404, "refused"),
        (400, "refused"),
        ("text", "not JSON"),
        ({"code": 7, "msg": "no money"}, "no money"),
    ],
)
def test_what_does_not_pass_is_said_at_once(service: Service, tmp_path: Path, trouble: Any, message: str) -> None:
    service.script = [trouble]
    with pytest.raises(ModelError, match=message) as caught:
        ask(service, tmp_path)
    assert len(service.requests) == 1 and "secret" not in str(caught.value)
    assert ask(service, tmp_path) == FOUND, "the next run goes on"


def test_patience_ends_and_the_next_run_asks_for_the_same_task(service: Service, tmp_path: Path) -> None:
    service.looks = 10**6
    with pytest.raises(ModelError, match="takes longer"):
        ask(service, tmp_path, patience=0.05, pause=0.02)
    for task in service.tasks.values():
        task["looks"] = 0
    assert ask(service, tmp_path) == FOUND and len(service.tasks) == 1
    service.script = [503] * 50
    with pytest.raises(ModelError, match="does not answer: it answers 503"):
        ask(service, tmp_path, words="the dog", patience=0.05)


def test_an_answer_is_kept_by_picture_words_and_settings(service: Service, tmp_path: Path) -> None:
    for _ in range(2):
        assert ask(service, tmp_path) == FOUND
        ask(service, tmp_path, words="the dog")
        ask(service, tmp_path, image=Image.effect_noise((200, 100), 90).convert("RGB"))
        ask(service, tmp_path, threshold=0.5)
        if len(service.tasks) == 4:
            break
    before = len(service.requests)
    ask(service, tmp_path), ask(service, tmp_path, words="the dog"), ask(service, tmp_path, threshold=0.5)
    assert len(service.requests) == before and "secret" not in "".join(p.read_text() for p in (tmp_path / "cache").iterdir())


@pytest.mark.parametrize("killed_at", [0, 1, 2])
def test_a_killed_run_pays_nothing_twice(service: Service, tmp_path: Path, killed_at: int) -> None:
    """Killed before the question's reply, while waiting, and while the answer was read: the key and the task are on disk."""
    sent = 0

    def kill(request: httpx.Request) -> httpx.Response:
        nonlocal sent
        with httpx.Client() as real:
            response = real.send(real.build_request(request.method, request.url, headers=dict(request.headers), content=request.read()))
        if sent == killed_at:
            raise KeyboardInterrupt
        sent += 1
        return httpx.Response(response.status_code, content=response.content)

    settings = ApiSettings("m", service.address, cache=str(tmp_path / "cache"), pause=0.001)
    with httpx.Client(base_url=service.address, transport=httpx.MockTransport(kill)) as client, pytest.raises(KeyboardInterrupt):
        ApiDetector(settings, client, lambda s: None).detect([PICTURE], ["the cup left of the book"])
    assert ask(service, tmp_path, model="m") == FOUND
    assert len(service.tasks) == 1


def test_the_budget_stops_before_it_is_passed(service: Service, tmp_path: Path) -> None:
    for words in ("the cup", "the dog"):
        ask(service, tmp_path, words=words, budget=2)
    with pytest.raises(ModelError, match="budget of 2 calls is spent"):
        ask(service, tmp_path, words="the cat", budget=2)
    assert len(service.tasks) == 2
    ask(service, tmp_path, words="the dog", budget=2)  # kept, so it costs nothing


@pytest.mark.parametrize(
    "objects", [[{"bbox": [1, 2], "score": 1, "category": "x"}], [{"score": 1}], [{"bbox": "abcd", "score": 1, "category": "x"}]]
)
def test_objects_of_another_form_are_said(service: Service, tmp_path: Path, objects: Any) -> None:
    service.objects = objects
    with pytest.raises(DataError, match="not written as expected"):
        ask(service, tmp_path)
    service.objects = list(OBJECTS)
    assert ask(service, tmp_path) == FOUND and len(service.tasks) == 1, "nothing unreadable was kept"


def test_it_is_loaded_by_name_or_settings_and_wants_a_token(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN, raising=False)
    with pytest.raises(ModelError, match=TOKEN):
        load_detector("dino", "api:GroundingDino-1.6-Pro", torch.device("cpu"))
    monkeypatch.setenv(TOKEN, "secret")
    file = tmp_path / "api.json"
    file.write_text(
        json.dumps({"model": "DINO-X-1.0", "endpoint": service.address, "cache": str(tmp_path / "cache"), "pause": 0.001, "budget": 1})
    )
    proposer = load_detector("dino", f"api:{file}", torch.device("cpu"))
    assert [(c.label, c.score) for c in proposer.propose([PICTURE], ["the cup left of the book"])[0]] == [
        ("cup", pytest.approx(0.9)),
        ("book", pytest.approx(0.3)),
    ]
    getattr(proposer, "detector").client.close()  # noqa: B009
    for wrong in ('{"model": 7}', '{"speed": 1}', "{", "[]"):
        file.write_text(wrong)
        with pytest.raises(ModelError, match="cannot be used"):
            ApiSettings.load(str(file))


@pytest.mark.parametrize("status", ["failed", "error", "Canceled"])
def test_a_task_that_failed_costs_its_row_and_is_asked_anew(service: Service, tmp_path: Path, status: str) -> None:
    service.script = [{"code": 0, "data": {"task_uuid": "gone"}}, {"code": 0, "data": {"status": status, "error": "bad picture"}}]
    with pytest.raises(DataError, match="could not do a task"):
        ask(service, tmp_path)
    assert ask(service, tmp_path) == FOUND


@pytest.mark.parametrize(
    "reply",
    [{"code": 0, "data": {}}, {"code": 0, "data": {"task_uuid": None}}, {"code": 0, "data": {"task_uuid": "../../admin?x="}}],
)
def test_a_task_without_a_number_is_said(service: Service, tmp_path: Path, reply: Any) -> None:
    service.script = [reply]
    with pytest.raises(ModelError, match="without saying its number"):
        ask(service, tmp_path)
    assert ask(service, tmp_path) == FOUND and not any("admin" in path for _, path in service.requests)


@pytest.mark.parametrize("result", ["text", None, {"objects": None}, []])
def test_a_task_that_ends_without_objects_costs_its_row(service: Service, tmp_path: Path, result: Any) -> None:
    service.script = [{"code": 0, "data": {"task_uuid": "t"}}, {"code": 0, "data": {"status": "success", "result": result}}]
    with pytest.raises(DataError, match="without objects"):
        ask(service, tmp_path)


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\xfe", b"[]", b'{"key": 7}', b"[" * 10**5])
def test_a_damaged_record_is_asked_anew_and_nothing_else_is_written(service: Service, tmp_path: Path, damage: bytes) -> None:
    ask(service, tmp_path)
    [record] = (tmp_path / "cache").glob("*.json")
    record.write_bytes(damage)
    assert ask(service, tmp_path) == FOUND and len(service.tasks) == 2
    record.write_text(json.dumps({"key": "k", "file": str(tmp_path / "escaped.json")}))
    assert ask(service, tmp_path) == FOUND and not (tmp_path / "escaped.json").exists()


def test_processes_that_share_the_answers_pay_once_and_keep_the_budget(service: Service, tmp_path: Path) -> None:
    def many() -> None:
        for n in range(3):
            try:
                ask(service, tmp_path, words=f"the cup number {n}", budget=2)
            except ModelError:
                refused.append(n)

    refused: list[int] = []
    threads = [threading.Thread(target=many) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(service.tasks) == 2 and len(refused) == 4


def test_a_raised_budget_goes_on_with_the_same_candidates(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "api.json"
    same = set()
    for budget in (1, 300):
        file.write_text(json.dumps({"model": "m", "endpoint": service.address, "budget": budget, "patience": float(budget)}))
        same.add(identity(f"api:{file}"))
    assert len(same) == 1
    file.write_text(json.dumps({"model": "m", "threshold": 0.5}))
    assert identity(f"api:{file}") not in same


@pytest.mark.parametrize("token", ["sec\nret", "sec ret", "sécret", " "])
def test_a_token_that_cannot_be_sent_is_never_printed(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, token)
    with pytest.raises(ModelError, match="on one line") as caught:
        ApiDetector.load("m")
    assert "ret" not in str(caught.value).replace("Set", "")


@pytest.mark.parametrize(
    "wrong", [{"budget": True}, {"long_side": 0}, {"threshold": 9.0}, {"model": " "}, {"endpoint": "host"}, {"pause": 0}]
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    (tmp_path / "api.json").write_text(json.dumps({"model": "m"} | wrong))
    with pytest.raises(ModelError, match="cannot be used"):
        ApiSettings.load(str(tmp_path / "api.json"))


@pytest.mark.parametrize("gone", [{"code": 10404, "msg": "task not found"}, 404, 400])
def test_a_task_that_the_service_has_forgotten_is_begun_anew_under_its_key(service: Service, tmp_path: Path, gone: Any) -> None:
    service.looks = 10**6
    with pytest.raises(ModelError, match="takes longer"):
        ask(service, tmp_path, patience=0.05, pause=0.02)
    [key] = service.tasks
    service.tasks.clear()
    service.looks, service.script = 1, [gone]
    assert ask(service, tmp_path) == FOUND and list(service.tasks) == [key]


def test_a_token_that_has_run_out_leaves_a_task_as_it_is(service: Service, tmp_path: Path) -> None:
    service.looks = 10**6
    with pytest.raises(ModelError, match="takes longer"):
        ask(service, tmp_path, patience=0.05, pause=0.02)
    service.script = [401]
    with pytest.raises(ModelError, match="Check the token"):
        ask(service, tmp_path)
    next(iter(service.tasks.values()))["looks"] = 0
    assert ask(service, tmp_path) == FOUND and len(service.tasks) == 1


@pytest.mark.parametrize("status", [400, 413, 422])
def test_one_picture_that_is_refused_costs_its_row_once_others_were_answered(service: Service, tmp_path: Path, status: int) -> None:
    service.script = [status]
    with pytest.raises(ModelError, match="refused"):
        ask(service, tmp_path, words="the dog")
    ask(service, tmp_path)
    service.script = [status]
    with pytest.raises(DataError, match="refused"):
        ask(service, tmp_path, words="the dog")


def test_refusals_cost_nothing_of_the_budget_and_failed_tasks_do(service: Service, tmp_path: Path) -> None:
    service.script = [401] * 5
    for n in range(5):
        with pytest.raises(ModelError, match="Check the token"):
            ask(service, tmp_path, words=f"the cup number {n}", budget=2)
    for n in range(2):
        service.script = [{"code": 0, "data": {"task_uuid": f"t{n}"}}, {"code": 0, "data": {"status": "failed"}}]
        with pytest.raises(DataError, match="could not do a task"):
            ask(service, tmp_path, budget=2)
    with pytest.raises(ModelError, match="budget of 2 calls is spent"):
        ask(service, tmp_path, budget=2)
