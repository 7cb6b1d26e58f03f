"""Sessions, kept in this process's memory for an hour: what a reload, going back, another tab and a copied link ask for by name.

Gradio's DeepLinkButton was tried first. It keeps inputs, not answers, and loses what is written into a component after an update has
once left it as it was.
"""

import pickle
import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

from wrapper.ui.common import KEPT
from wrapper.ui.session import Session

MOST_BYTES = 64_000_000
"""Of all sessions together; one takes a few thousand, its picture not counted, which is a file that Gradio keeps as long."""


@dataclass(frozen=True)
class _Kept:
    session: Session
    since: float
    size: int


class Store:
    """Sessions by name, the oldest of which go where they are too old or too many. most_bytes: of all of them; seconds: how long
    one is kept."""

    def __init__(self, most_bytes: int = MOST_BYTES, seconds: float = KEPT) -> None:
        self.most_bytes, self.seconds = most_bytes, seconds
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def keep(self, session: Session) -> str:
        """Keep a session; gives the name by which it is found, which cannot be guessed."""
        name, now = secrets.token_urlsafe(12), time.monotonic()
        one = _Kept(session, now, len(pickle.dumps(session)))
        with self._lock:
            self._kept[name] = one
            self._bytes += one.size
            while self._kept and (self._bytes > self.most_bytes or now - next(iter(self._kept.values())).since > self.seconds):
                self._bytes -= self._kept.popitem(last=False)[1].size
        return name

    def find(self, name: str) -> Session | None:
        """The session of a name; None where there is none, or it is not kept any longer."""
        with self._lock:
            one = self._kept.get(name)
        return one.session if one is not None and time.monotonic() - one.since <= self.seconds else None


sessions = Store()
"""Those of this process."""
