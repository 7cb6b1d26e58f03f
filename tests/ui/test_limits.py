"""Requests that are too large end with a sentence, before they are read."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from wrapper.ui.limits import RequestLimit


async def length(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


def ask(path: str, content: Any) -> httpx.Response:
    app = RequestLimit(Starlette(routes=[Route("/{path:path}", length, methods=["POST"])]), 1000)

    async def post() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client:
            return await client.post(path, content=content)

    return asyncio.run(post())


async def pieces(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"x" * 100


def test_a_request_within_the_bound_is_read() -> None:
    assert ask("/call", b"x" * 1000).text == "1000"
    assert ask("/call", pieces(10)).text == "1000"


def test_a_larger_one_is_refused_by_what_it_says_of_itself() -> None:
    refused = ask("/call", b"x" * 1001)
    assert refused.status_code == 413 and "Send a smaller picture" in refused.text


def test_one_that_does_not_say_how_large_it_is_ends_when_it_is_too_large() -> None:
    with pytest.raises(ClientDisconnect):
        ask("/call", pieces(2000))


def test_uploads_have_their_own_bound() -> None:
    for below in ("", "/space"):
        assert ask(f"{below}/gradio_api/upload", b"x" * 5000).text == "5000"


@pytest.mark.parametrize("path", ["/gradio_api/call/upload", "/gradio_api/run/upload", "/gradio_api/api/upload", "/upload", "/x/upload"])
def test_what_is_only_called_an_upload_is_bounded_as_all_else(path: str) -> None:
    assert ask(path, b"x" * 5000).status_code == 413
    with pytest.raises(ClientDisconnect):
        ask(path, pieces(2000))
