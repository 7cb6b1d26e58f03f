"""Grounding DINO 1.5, 1.6 and DINO-X as a detector: closed models behind an HTTP API (METHOD: Grounding DINO 1.5).

    DETECTOR_API_TOKEN=... python -m wrapper propose --detector dino16=api:GroundingDino-1.6-Pro --proposers dino16 ...

Calls cost money, so none is made twice: an answer is kept on disk by picture, words and settings, and before a question is sent
its key is kept, under which the service gives the same task again; a run that was killed asks for what it had begun. A budget
stops before it is passed. Speaks HTTP itself: the vendor's package reports to a third party when it is imported.

api:MODEL takes the settings' defaults; api:FILE.json the fields of `ApiSettings`.
"""

import base64
import hashlib
import io
import json
import os
import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from filelock import FileLock, Timeout
from PIL import Image

from wrapper.errors import DataError, ModelError
from wrapper.patience import Later, check_token, patiently, read_json, request
from wrapper.proposers.detections import Detections, detections
from wrapper.proposers.transformers_detector import queries
from wrapper.settings_file import read_settings

TOKEN = "DETECTOR_API_TOKEN"
DONE, RETRY = 0, 202001
"""Codes in the service's replies: it worked; ask again later."""
FAILED = ("failed", "error", "canceled", "cancelled")
"""What a task's status says where it will not be done."""


UNFIT = (400, 413, 422)
"""Statuses of refusals that may be due to one picture or its words."""


class Refused(ModelError):
    """The service does not take a request. status: of its reply."""

    def __init__(self, said: str, status: int) -> None:
        super().__init__(said)
        self.status = status

    @property
    def of_token(self) -> bool:
        """Whether it is about who asks."""
        return self.status in (401, 403)


@dataclass(frozen=True)
class ApiSettings:
    """How the service is asked.

    model: as the service names it. endpoint: its address, by the vendor's pages (not tried here). threshold, iou: least score, and the
    IoU above which the service drops a box. long_side: pixels to which a larger picture is scaled down before it is sent.
    budget: calls at most, over all runs with this cache; 0 for none at all. cache: folder of what was answered. timeout: seconds
    for one request; patience: seconds for one question with all its waiting. pause: seconds between looks at whether it is done.
    """

    model: str
    endpoint: str = "https://api.deepdataspace.com"
    threshold: float = 0.25
    iou: float = 0.8
    long_side: int = 1333
    budget: int = 300
    cache: str = "runs/detector-api"
    timeout: float = 30.0
    patience: float = 300.0
    pause: float = 1.0

    @classmethod
    def load(cls, place: str) -> "ApiSettings":
        """A model's name, or a JSON file of the fields."""
        if not place.endswith(".json"):
            return cls(place)
        try:
            settings = read_settings(cls, place)
            settings.check()
            return settings
        except (OSError, TypeError, ValueError) as error:
            raise ModelError(f"{place} cannot be used ({error}).") from error

    def check(self) -> None:
        """ValueError where a value cannot be."""
        if not self.model.strip() or not self.endpoint.startswith(("https://", "http://")):
            raise ValueError("model is a name, endpoint an address that begins with https://")
        shares = 0 < self.threshold < 1 and 0 < self.iou <= 1
        if not shares or type(self.budget) is not int or type(self.long_side) is not int or self.long_side < 64 or self.budget < 0:
            raise ValueError("threshold and iou lie between 0 and 1, long_side is 64 pixels or more, budget a number of calls")
        if min(self.timeout, self.patience, self.pause) <= 0:
            raise ValueError("timeout, patience and pause are seconds above 0")


@dataclass(frozen=True)
class ApiDetector:
    """The service as a detector."""

    settings: ApiSettings
    client: httpx.Client
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)
    reads_words: bool = True

    @classmethod
    def load(cls, place: str) -> "ApiDetector":
        """ModelError where there is no token; it is read from the environment and never written anywhere."""
        settings = ApiSettings.load(place)
        token = check_token(os.environ.get(TOKEN, "").strip(), TOKEN)
        if not token:
            raise ModelError(f"The service wants a token, on one line and without blanks. Set {TOKEN} to yours.")
        client = httpx.Client(base_url=settings.endpoint, headers={"Token": token}, timeout=settings.timeout)
        return cls(settings, client)

    def detect(self, images: Sequence[Image.Image], expressions: Sequence[str]) -> list[Detections]:
        """What the service finds for the noun groups of each expression. DataError where it fails for one of them, ModelError where it
        cannot be asked at all."""
        return [self._detect(image, queries(expression)) for image, expression in zip(images, expressions, strict=True)]

    def _detect(self, image: Image.Image, asked: list[str]) -> Detections:
        text = ".".join(q.replace(".", " ") for q in asked)
        ratio = min(1.0, self.settings.long_side / max(image.size))
        sent = image if ratio == 1.0 else image.resize((max(1, round(image.width * ratio)), max(1, round(image.height * ratio))))
        file = self._file(sent, text)
        objects = _read_record(file).get("objects")
        found = self._ask(sent, text, file) if objects is None else _as_detections(objects)
        found.xyxy = found.xyxy * np.array([image.width / sent.width, image.height / sent.height] * 2, np.float32)
        return found

    # ---- what was asked before

    def _file(self, image: Image.Image, text: str) -> Path:
        """Where what is known of a question is kept: its key, the task it became, its objects."""
        told = json.dumps([as_record(self.settings), text, image.size], ensure_ascii=False)
        digest = hashlib.sha256(told.encode() + image.tobytes()).hexdigest()
        return Path(self.settings.cache) / f"{digest}.json"

    def _begun(self, file: Path, text: str) -> dict[str, Any]:
        """The record of a question, with a key that is on disk before anything is sent. ModelError where that would pass the budget."""
        s = self.settings
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(file.parent / "lock", timeout=s.patience):  # several processes may share the cache
                record = _read_record(file)
                if "key" in record:
                    return record
                if sum(1 for other in file.parent.glob("*.json") if other != file) >= s.budget:
                    raise ModelError(
                        f"The budget of {s.budget} calls is spent. What was answered is kept in {s.cache}; raise `budget` in a settings "
                        "file (api:settings.json) to go on."
                    )
                record = {"key": str(uuid.uuid4()), "text": text, "model": s.model}
                _keep(file, record)
                return record
        except (OSError, Timeout) as error:
            raise ModelError(f"The folder {s.cache} of answers cannot be written ({error}). Nothing was asked; make room there.") from error

    # ---- asking

    def _ask(self, image: Image.Image, text: str, file: Path) -> Detections:
        until, fresh = time.monotonic() + self.settings.patience, not file.exists()
        record = self._begun(file, text)
        objects = self._gone_on(record, until, file)
        if objects is None:
            record["task"] = self._taken(image, text, record["key"], until, file, fresh)
            _keep(file, record)
            objects = self._wait(record["task"], until, file)
        found = _as_detections(objects)
        _keep(file, record | {"objects": objects})
        return found

    def _gone_on(self, record: Mapping[str, Any], until: float, file: Path) -> list[dict[str, Any]] | None:
        """The objects of a task that was begun before. None where none was, or where the service has forgotten it: under its key it is not
        begun twice, should it still be there."""
        if "task" not in record:
            return None
        try:
            return self._wait(record["task"], until, file)
        except Refused as error:
            if error.of_token:
                raise
            return None

    def _taken(self, image: Image.Image, text: str, key: str, until: float, file: Path, fresh: bool) -> str:
        """The task that a question becomes, once the service takes it. Of what it refuses nothing is kept, so that it costs nothing of the
        budget; fresh: nor was anything before. DataError where it does not take this picture or these words, but has answered others."""
        try:
            return self._begin(image, text, key, until)
        except Refused as error:
            if fresh:
                file.unlink(missing_ok=True)
            if error.status in UNFIT and self._has_answered():
                raise DataError(str(error)) from error
            raise

    def _has_answered(self) -> bool:
        """Whether the model has answered anything that is kept."""
        records = (_read_record(file) for file in Path(self.settings.cache).glob("*.json"))
        return any(r.get("model") == self.settings.model and "objects" in r for r in records)

    def _begin(self, image: Image.Image, text: str, key: str, until: float) -> str:
        s, buffer = self.settings, io.BytesIO()
        image.save(buffer, "PNG")
        body = {
            "model": s.model, "image": "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode(),
            "prompt": {"type": "text", "text": text}, "targets": ["bbox"], "bbox_threshold": s.threshold, "iou_threshold": s.iou,
        }  # fmt: skip
        reply = self._send("POST", "/v2/task/grounding_dino/detection", until, headers={"Idempotency-Key": key}, json=body)
        task = reply.get("task_uuid")
        if not isinstance(task, str) or not re.fullmatch(r"[\w-]{1,100}", task):
            raise ModelError("The service began a task without saying its number. Run again to ask for the same one.")
        return task

    def _wait(self, task: str, until: float, file: Path) -> list[dict[str, Any]]:
        while True:
            reply = self._send("GET", f"/v2/task_status/{task}", until)
            status = str(reply.get("status")).lower()
            if status == "success":
                result = reply.get("result")
                objects = result.get("objects") if isinstance(result, dict) else None
                if not isinstance(objects, list):
                    raise DataError("The service finished a task without objects in its result.")
                return objects
            if status in FAILED:
                # Or it would be asked about for ever; by another name it counts for the budget
                os.replace(file, file.with_name(f"{file.stem}-{task}-failed.json"))
                raise DataError(f"The service could not do a task ({reply.get('error') or status}). The next run asks anew.")
            self._pause(self.settings.pause, until)

    def _send(self, method: str, path: str, until: float, **options: Any) -> dict[str, Any]:
        """The data of a reply. Whatever passes (a cut connection, 429, 5xx, the code that says so) is tried again, later each time."""

        def ask() -> dict[str, Any]:
            response = request(self.client, method, path, until, **options)
            reply = read_json(response, _way_out(response))
            if reply.get("code") == DONE and isinstance(reply.get("data"), dict):
                return dict(reply["data"])
            if reply.get("code") == RETRY:
                raise Later(f"it asks to come back later (code {RETRY})")
            said = f"{response.status_code}, code {reply.get('code')}: {reply.get('msg', '')}"
            raise Refused(f"The service refused ({said}). {_way_out(response)}", response.status_code)

        return patiently(ask, self.settings.pause, until, "What was asked is kept; run again to go on.", self.sleep)

    def _pause(self, seconds: float, until: float) -> None:
        if time.monotonic() + seconds > until:
            raise ModelError(f"The service takes longer than {self.settings.patience:.0f} s for a question. Run again to go on waiting.")
        self.sleep(seconds)


def _keep(file: Path, record: dict[str, Any]) -> None:
    """Write a record so that it is never seen half-written."""
    partial = file.with_suffix(f".{os.getpid()}-{threading.get_ident()}.tmp")
    with partial.open("w", encoding="utf-8") as opened:
        json.dump(record, opened)
        opened.flush()
        os.fsync(opened.fileno())
    os.replace(partial, file)


def _read_record(file: Path) -> dict[str, Any]:
    """What is kept of a question; nothing where there is none, or where somebody has damaged it."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and isinstance(found.get("key"), str) else {}


def _as_detections(objects: Any) -> Detections:
    """The service's objects; DataError where they are not written as its pages say."""
    try:
        boxes = [[float(v) for v in o["bbox"]] for o in objects]
        if any(len(box) != 4 for box in boxes):
            raise ValueError("a box is four numbers")
        return detections(boxes, [str(o["category"]) for o in objects], [float(o["score"]) for o in objects])
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise DataError(f"The service's objects are not written as expected ({error}): {str(objects)[:200]}") from error


def _way_out(response: httpx.Response) -> str:
    return f"Check the token in {TOKEN}." if response.status_code in (401, 403) else "Check the endpoint and the model's name."


def as_record(settings: ApiSettings) -> dict[str, Any]:
    """What candidates depend on, of the settings."""
    return {k: v for k, v in asdict(settings).items() if k in ("model", "threshold", "iou", "long_side")}
