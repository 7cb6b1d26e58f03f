"""Which of a visitor's requests counts: the last one. What was asked before is stopped at its next step.

Gradio's own `cancels` was used first. A run that ends just while it is cancelled raises inside Gradio's queue, and presses after that could
be lost.
"""

import threading
from collections import OrderedDict


class Turns:
    """The number of the last request by visitor. most: visitors that are remembered, the latest ones."""

    def __init__(self, most: int = 10_000) -> None:
        self.most = most
        self._last: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, visitor: str, number: int) -> None:
        """A request is made, or all before it are given up."""
        with self._lock:
            self._last[visitor] = max(number, self._last.pop(visitor, number))
            while len(self._last) > self.most:
                self._last.popitem(last=False)

    def are_over(self, visitor: str, number: int) -> bool:
        """Whether a request's turn is over: a later one was made."""
        return self._last.get(visitor, number) > number


turns = Turns()
"""Of this process, by Gradio's name of a page that is open, and what part of it asks."""
