"""Strangers' text in the page's own."""

from wrapper.ui.markdown import plain, with_links


def test_text_is_shown_as_it_stands() -> None:
    assert plain("a (b) *c* ![d](e) <f>") == r"a \(b\) \*c\* \!\[d\]\(e\) \<f\>"
    assert plain("“the cup”, 3 cm") == r"“the cup”\, 3 cm"


def test_only_pages_of_the_hub_can_be_pressed() -> None:
    page = "https://huggingface.co/meta-llama/Meta-Llama-3-8B-Instruct"
    assert with_links(f"Accept it at {page}.") == rf"Accept it at <{page}>\."
    assert "<" not in with_links("https://huggingface.co.example/x and https://example.org").replace(r"\<", "")
