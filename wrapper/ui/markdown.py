"""Anybody's text inside our own Markdown."""

import re

HUB_PAGE = re.compile(r"(https://huggingface\.co/[\w./-]*\w)")


def plain(text: str) -> str:
    """Text that Markdown shows as it stands (CommonMark 2.4: every ASCII punctuation character may be escaped). Labels and
    expressions are anybody's, and a picture in one would be fetched from anywhere."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)


def with_links(text: str) -> str:
    """As `plain`, but addresses on the Hub can be pressed, such as the licence page that an error names."""
    return "".join(f"<{part}>" if HUB_PAGE.fullmatch(part) else plain(part) for part in HUB_PAGE.split(text))
