"""A page that is open, as Gradio tells the handlers of it."""

import secrets

import gradio as gr


def visit_of(query: dict[str, str] | None = None) -> gr.Request:
    """A visit of its own, with what its address says after the question mark."""
    return gr.Request(session_hash=secrets.token_hex(4), query_params=query or {})
