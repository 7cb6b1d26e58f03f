"""Answers that links were copied for, kept in memory for an hour: a link brings back the very answer, with its list as it was edited.

Gradio's DeepLinkButton was tried first. It keeps inputs, not answers, and loses what is written into a component after an update has
once left it as it was.
"""

import secrets
import threading
import time
from collections import OrderedDict

from wrapper.ui.answer import Session
from wrapper.ui.common import KEPT

MOST = 1000
_kept: OrderedDict[str, tuple[float, Session]] = OrderedDict()
_lock = threading.Lock()


def keep(session: Session) -> str:
    """Keep an answer; gives the name by which it is found. The oldest go where there are too many."""
    token = secrets.token_urlsafe(12)
    with _lock:
        _kept[token] = (time.monotonic(), session)
        while len(_kept) > MOST or (_kept and time.monotonic() - next(iter(_kept.values()))[0] > KEPT):
            _kept.popitem(last=False)
    return token


def find(token: str) -> Session | None:
    """The answer of a name; None where there is none, or it is not kept any longer."""
    since, session = _kept.get(token, (0.0, None))
    return session if session is not None and time.monotonic() - since <= KEPT else None
