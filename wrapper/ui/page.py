"""The page as Gradio serves it, with visits that do not grow."""

from typing import Any

import gradio as gr

MOST_SESSIONS = 500
"""Visits that Gradio remembers, the one longest unused going first: a fifth of a megabyte each and what its components show, and it forgets
none by itself before there are 10,000. Who comes back after that finds the settings of a fresh page."""


class Page(gr.Blocks):
    """Gradio's Blocks, of whose visits each keeps one component for each of the page's.

    For a handler that answers with an update, as one that skips a component does, Gradio makes a new component, under a number of its own.
    At the next plain answer that number is kept beside the page's: a program that asked /locate grew its visit by five components a
    question (Gradio 6.31).
    """

    async def postprocess_data(self, block_fn: Any, predictions: Any, state: Any) -> list[Any]:
        """As Gradio does; then every component that was made new has the number of the one in whose place it stands."""
        data: list[Any] = await super().postprocess_data(block_fn, predictions, state)
        for output in block_fn.outputs if state is not None else ():
            if (shown := state.blocks_config.blocks.get(output._id)) is not None:
                shown._id = output._id
        return data
