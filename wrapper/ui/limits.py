"""A bound on the size of a request, kept before anything of it is read."""

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 100_000_000
"""Of a request that is no upload: a picture of 60 MB inside it, which base64 makes a third larger, and words. Gradio itself bounds uploads
(`max_file_size`)."""
UPLOAD = "/gradio_api/upload"
"""The end of the path of uploads, with what it stands below: an endpoint may be called "upload" too."""


class RequestLimit:
    """Refuses requests that are larger, with status 413 and a sentence. Those that do not say how large they are end when they are."""

    def __init__(self, app: ASGIApp, most: int = MOST_BYTES) -> None:
        self.app, self.most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].endswith(UPLOAD):
            await self.app(scope, receive, send)
            return
        said = Headers(scope=scope).get("content-length", "")
        if said.isdigit() and int(said) > self.most:
            sentence = f"This request has {int(said) / 1e6:,.0f} MB; at most {self.most / 1e6:,.0f} MB are taken. Send a smaller picture."
            await PlainTextResponse(sentence, 413)(scope, receive, send)
            return
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            return message if taken <= self.most else {"type": "http.disconnect"}

        await self.app(scope, counted, send)
