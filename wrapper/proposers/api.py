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
import random
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from wrapper.errors import ModelError
from wrapper.proposers.detections import Detections, detections
from wrapper.proposers.transformers_detector import queries

TOKEN = "DETECTOR_API_TOKEN"
DONE, RETRY = 0, 202001
"""Codes in the service's replies: it worked; ask again later."""


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
            data = json.loads(Path(place).read_text(encoding="utf-8"))
            kinds = {f.name: str if f.type is str else (int, float) for f in fields(cls)}
            if not isinstance(data, dict) or any(not isinstance(v, kinds.get(k, ())) for k, v in data.items()):
                raise TypeError(f"it may hold only {', '.join(kinds)}, of the right kind")
            return cls(**data)
        except (OSError, UnicodeDecodeError, json.JSONDecodeError, TypeError) as error:
            raise ModelError(f"{place} cannot be used ({error}).") from error


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
        token = os.environ.get(TOKEN, "").strip()
        if not token:
            raise ModelError(f"The service wants a token. Set {TOKEN} to yours.")
        client = httpx.Client(base_url=settings.endpoint, headers={"Token": token}, timeout=settings.timeout)
        return cls(settings, client)

    def detect(self, images: Sequence[Image.Image], expressions: Sequence[str]) -> list[Detections]:
        """What the service finds for the noun groups of each expression."""
        return [self._detect(image, queries(expression)) for image, expression in zip(images, expressions, strict=True)]

    def _detect(self, image: Image.Image, asked: list[str]) -> Detections:
        text = ".".join(q.replace(".", " ") for q in asked)
        ratio = min(1.0, self.settings.long_side / max(image.size))
        sent = image if ratio == 1.0 else image.resize((max(1, round(image.width * ratio)), max(1, round(image.height * ratio))))
        kept = self._kept(sent, text)
        objects = kept["objects"] if "objects" in kept else self._ask(sent, text, kept)
        back = (image.width / sent.width, image.height / sent.height)
        try:
            boxes = [(o["bbox"][0] * back[0], o["bbox"][1] * back[1], o["bbox"][2] * back[0], o["bbox"][3] * back[1]) for o in objects]
            return detections(boxes, [str(o["category"]) for o in objects], [float(o["score"]) for o in objects])
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise ModelError(f"The service's objects are not written as expected ({error}): {str(objects)[:200]}") from error

    # ---- what was asked before

    def _file(self, image: Image.Image, text: str) -> Path:
        s = self.settings
        told = json.dumps([s.model, s.threshold, s.iou, text, image.size], ensure_ascii=False)
        digest = hashlib.sha256(told.encode() + image.tobytes()).hexdigest()
        return Path(s.cache) / f"{digest}.json"

    def _kept(self, image: Image.Image, text: str) -> dict[str, Any]:
        """What is known of a question: its key, the task it became, its objects. Kept on disk before it is sent."""
        file = self._file(image, text)
        if file.is_file():
            try:
                found = json.loads(file.read_text(encoding="utf-8"))
                if isinstance(found, dict) and "key" in found:
                    return found
            except json.JSONDecodeError:
                pass  # written by a process that was killed; the key in it had not been used yet
        return {"key": str(uuid.uuid4()), "text": text, "model": self.settings.model, "file": str(file)}

    def _keep(self, kept: dict[str, Any]) -> None:
        file = Path(kept["file"])
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(f".{os.getpid()}.tmp")
        with partial.open("w", encoding="utf-8") as opened:
            json.dump(kept, opened)
            opened.flush()
            os.fsync(opened.fileno())
        os.replace(partial, file)

    def calls(self) -> int:
        """How many questions have been sent with this cache, answered or not."""
        return sum(1 for _ in Path(self.settings.cache).glob("*.json"))

    # ---- asking

    def _ask(self, image: Image.Image, text: str, kept: dict[str, Any]) -> list[dict[str, Any]]:
        until = time.monotonic() + self.settings.patience
        if "task" not in kept:
            if not Path(kept["file"]).is_file():
                if self.calls() >= self.settings.budget:
                    raise ModelError(
                        f"The budget of {self.settings.budget} calls is spent. What was answered is kept in {self.settings.cache}; raise "
                        "`budget` to go on."
                    )
                self._keep(kept)
            kept["task"] = self._begin(image, text, kept["key"], until)
            self._keep(kept)
        kept["objects"] = self._wait(str(kept["task"]), until)
        self._keep(kept)
        return list(kept["objects"])

    def _begin(self, image: Image.Image, text: str, key: str, until: float) -> str:
        s, buffer = self.settings, io.BytesIO()
        image.save(buffer, "PNG")
        body = {
            "model": s.model, "image": "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode(),
            "prompt": {"type": "text", "text": text}, "targets": ["bbox"], "bbox_threshold": s.threshold, "iou_threshold": s.iou,
        }  # fmt: skip
        reply = self._send("POST", "/v2/task/grounding_dino/detection", until, headers={"Idempotency-Key": key}, json=body)
        return str(reply["task_uuid"])

    def _wait(self, task: str, until: float) -> list[dict[str, Any]]:
        while True:
            reply = self._send("GET", f"/v2/task_status/{task}", until)
            if reply.get("status") == "success":
                objects = (reply.get("result") or {}).get("objects")
                if not isinstance(objects, list):
                    raise ModelError("The service finished a task without objects in its result.")
                return objects
            if reply.get("status") in ("failed", "error"):
                raise ModelError(
                    f"The service could not do a task ({reply.get('error') or 'no reason given'}). Run again to ask for it once more."
                )
            self._pause(self.settings.pause, until)

    def _send(self, method: str, path: str, until: float, **options: Any) -> dict[str, Any]:
        """The data of a reply. Whatever passes (a cut connection, 429, 5xx, the code that says so) is tried again, later each time."""
        wait = self.settings.pause
        while True:
            try:
                response = self.client.request(method, path, **options)
            except httpx.TransportError as error:
                trouble = f"it cannot be reached ({error or type(error).__name__})"
            else:
                if response.status_code not in (429, 500, 502, 503, 504):
                    reply = _read(response)
                    if reply.get("code") == DONE and isinstance(reply.get("data"), dict):
                        return dict(reply["data"])
                    if reply.get("code") != RETRY:
                        said = f"{response.status_code}, code {reply.get('code')}: {reply.get('msg', '')}"
                        raise ModelError(f"The service refused ({said}). {_way_out(response)}")
                    trouble = f"it asks to come back later (code {RETRY})"
                else:
                    trouble = f"it answers {response.status_code}"
                    wait = max(wait, _asked_to_wait(response))
            try:
                self._pause(wait * random.uniform(0.8, 1.2), until)
            except ModelError as error:
                raise ModelError(f"The service does not answer: {trouble}. What was asked is kept; run again to go on.") from error
            wait = min(wait * 2, 60.0)

    def _pause(self, seconds: float, until: float) -> None:
        if time.monotonic() + seconds > until:
            raise ModelError(f"The service takes longer than {self.settings.patience:.0f} s for a question. Run again to go on waiting.")
        self.sleep(seconds)


def _read(response: httpx.Response) -> dict[str, Any]:
    try:
        data = response.json()
    except ValueError as error:
        raise ModelError(f"The service's reply ({response.status_code}) is not JSON. {_way_out(response)}") from error
    return data if isinstance(data, dict) else {}


def _way_out(response: httpx.Response) -> str:
    return f"Check the token in {TOKEN}." if response.status_code in (401, 403) else "Check the endpoint and the model's name."


def _asked_to_wait(response: httpx.Response) -> float:
    """Seconds that a reply's Retry-After asks for; 0 where it says nothing."""
    asked = response.headers.get("Retry-After", "")
    return float(asked) if asked.isdigit() else 0.0


def as_record(settings: ApiSettings) -> dict[str, Any]:
    """What candidates depend on, of the settings."""
    return {k: v for k, v in asdict(settings).items() if k in ("model", "threshold", "iou", "long_side")}
