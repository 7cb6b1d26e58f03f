"""Components of our own: the picture with live boxes, the board of comparisons, the reel of measured answers, and many pictures; each in
an .html, a .css and a .js beside this file.

A value is `wrapper.ui.view.View.value()`; what a visitor does there are events. Everything that needs no
model happens in the browser: pointing out, walking, zooming, drawing.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

HERE = Path(__file__).parent


def text(name: str) -> str:
    """One of the files beside this one."""
    return (HERE / name).read_text(encoding="utf-8")


def component(name: str, style: str, **given: Any) -> gr.HTML:
    """One of the components: its .html, and the scripts that all share before its own."""
    return gr.HTML(
        value=None, html_template=text(f"{name}.html"), css_template=style, js_on_load=text("shapes.js") + text(f"{name}.js"),
        apply_default_css=False, elem_id=name, **given,
    )  # fmt: skip


def canvas(examples: Sequence[dict[str, Any]], server_functions: Sequence[Callable[..., Any]]) -> gr.HTML:
    """The picture with live boxes. examples: number, words and small picture (a data URL) of each; server_functions: what it asks for
    without a queue.

    Its events: "open" (the page was opened, or a kept session is asked for), "ask", "again", "scene", "example", "upload", "replay",
    "take_box", "add_box", "move_box", "true_box", "shuffle" and "halt".
    """
    return component("canvas", text("canvas.css"), server_functions=list(server_functions), examples=list(examples))


def board() -> gr.HTML:
    """Several methods' answers side by side. Its events: "compare" and "halt"."""
    return component("board", text("canvas.css") + text("board.css"))


def reel() -> gr.HTML:
    """A measured run's answers, one at a time. Its events: "look" and "locate"."""
    return component("reel", text("canvas.css") + text("reel.css"))


def folder(server_functions: Sequence[Callable[..., Any]]) -> gr.HTML:
    """Many pictures, whose answers are looked at one by one. Its events: "run", "look", "decide" and "halt"."""
    return component("folder", text("canvas.css") + text("folder.css"), server_functions=list(server_functions))
