"""Visits do not grow with what is asked in them."""

from collections.abc import Iterator

import gradio as gr
import pytest
from gradio_client import Client

from wrapper.ui.page import Page


def count(text: str) -> Iterator[tuple[object, object]]:
    """An update and a skip, then plain answers, as the page's handlers mix them."""
    yield gr.update(value="at work", label="Soon"), gr.skip()
    yield text.upper(), {"letters": len(text)}


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with Page(analytics_enabled=False) as made:
        asked, told, more = gr.Textbox(), gr.Textbox(label="Answer"), gr.JSON()
        asked.submit(count, asked, [told, more], api_name="count")
    made.launch(prevent_thread_lock=True, quiet=True, ssr_mode=False, state_session_capacity=3)
    yield made
    made.close()


def visit(page: Page, words: list[str]) -> list[tuple[str, dict[str, int]]]:
    client = Client(page.local_url, verbose=False)
    try:
        return [client.predict(word, api_name="/count") for word in words]
    finally:
        client.close()


def test_a_visit_keeps_one_component_for_each_of_the_page_however_much_is_asked(page: Page) -> None:
    words = [f"word{i}" for i in range(6)]
    assert visit(page, words) == [(word.upper(), {"letters": len(word)}) for word in words]
    *_, state = page.state_holder.session_data.values()
    assert set(state.blocks_config.blocks) == set(state.config_values) == set(page.blocks)
    assert all(number == block._id for number, block in state.blocks_config.blocks.items())
    [shown] = [c["props"] for c in state.config_values.values() if c["props"].get("label") == "Soon"]
    assert shown["value"] == "WORD5"  # what its settings say is what it shows, under the page's own number


def test_the_visit_longest_unused_goes_where_there_are_too_many(page: Page) -> None:
    for _ in range(5):
        assert visit(page, ["again"]) == [("AGAIN", {"letters": 5})]
    assert len(page.state_holder.session_data) <= 4  # Gradio looks before it adds one
