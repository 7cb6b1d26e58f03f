"""Sessions, kept in this process's memory for an hour: what a reload, going back, another tab and a copied link ask for by name.

Gradio's DeepLinkButton was tried first. It keeps inputs, not answers, and loses what is written into a component after an update has
once left it as it was.
"""

import pickle
import secrets

from wrapper.kept import Kept
from wrapper.ui.common import KEPT
from wrapper.ui.session import Session

MOST_BYTES = 64_000_000
"""Of all sessions together; one takes some ten thousand, its picture not counted, which is a file that Gradio keeps as long."""
UNPACKED = 4
"""Bytes of memory that a session takes for each one of its pickle; of answers with 4 to 8 candidates it was 2.8 to 3.5."""


class Store:
    """Sessions by name, the oldest of which go where they are too old or too many. most_bytes: of all of them; seconds: how long
    one is kept."""

    def __init__(self, most_bytes: int = MOST_BYTES, seconds: float = KEPT) -> None:
        self._kept: Kept[str, Session] = Kept(most_bytes, seconds)

    def keep(self, session: Session) -> str:
        """Keep a session; gives the name by which it is found, which cannot be guessed."""
        name = secrets.token_urlsafe(12)
        self._kept.put(name, session, UNPACKED * len(pickle.dumps(session)))
        return name

    def find(self, name: str) -> Session | None:
        """The session of a name; None where there is none, or it is not kept any longer."""
        return self._kept.find(name)


sessions = Store()
"""Those of this process."""
