"""Things kept in memory for a while: bounded in bytes and in time, so that nothing of a visitor's stays."""

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from PIL import Image

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True)
class _One(Generic[V]):
    value: V
    since: float
    size: int


class Kept(Generic[K, V]):
    """Values by key; the oldest go where they are too old or too many. most_bytes: of all of them; seconds: how long one is kept.
    Threads may share it."""

    def __init__(self, most_bytes: int, seconds: float) -> None:
        self.most_bytes, self.seconds = most_bytes, seconds
        self._kept: OrderedDict[K, _One[V]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self._watch: threading.Timer | None = None

    def put(self, key: K, value: V, size: int) -> None:
        """Keep a value of so many bytes."""
        now = time.monotonic()
        with self._lock:
            if key in self._kept:
                self._bytes -= self._kept.pop(key).size
            self._kept[key] = _One(value, now, size)
            self._bytes += size
            self._drop(now)
            if self._watch is None:
                self._expect()

    def _drop(self, now: float) -> None:
        """Let go of what is too old or too much."""
        while self._kept and (self._bytes > self.most_bytes or now - next(iter(self._kept.values())).since > self.seconds):
            self._bytes -= self._kept.popitem(last=False)[1].size

    def _expect(self) -> None:
        """Look again when the oldest is too old: nobody may ask for anything until then."""
        self._watch = threading.Timer(self.seconds + 1, self._expire)
        self._watch.daemon = True
        self._watch.start()

    def _expire(self) -> None:
        with self._lock:
            self._watch = None
            self._drop(time.monotonic())
            if self._kept:
                self._expect()

    def find(self, key: K) -> V | None:
        """The value of a key; None where there is none, or it is not kept any longer."""
        with self._lock:
            one = self._kept.get(key)
        return one.value if one is not None and time.monotonic() - one.since <= self.seconds else None

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._kept.clear()
            self._bytes = 0


def digest(image: Image.Image) -> bytes:
    """What tells a picture from every other one: a hash of its pixels."""
    told = f"{image.mode} {image.size} ".encode()
    return hashlib.blake2b(told + image.tobytes(), digest_size=16).digest()
