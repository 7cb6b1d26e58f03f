"""A server here that answers as the Hugging Face Hub does to an upload; the Hub itself is out of reach."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar


class Hub(BaseHTTPRequestHandler):
    """Of the Hub's interface what an upload uses, as huggingface_hub calls it; keeps what it was sent."""

    sent: ClassVar[dict[str, Any]] = {}
    variables: ClassVar[dict[str, str]] = {}
    """Those that the Space has."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        kind = self.path.split("?")[0].rsplit("/", 2)[-2 if "/commit/" in self.path or "/preupload/" in self.path else -1]
        lines = [json.loads(line) for line in body.splitlines()]
        self.sent[kind] = [*self.sent.get(kind, []), *lines] if kind == "variables" else lines  # a request each
        answers: dict[str, Any] = {
            "create": {"url": "https://huggingface.co/spaces/you/demo"},
            "preupload": {
                "files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in self.sent[kind][0].get("files", [])]
            },
            "commit": {"commitUrl": "https://huggingface.co/spaces/you/demo/commit/1", "commitOid": "1", "success": True},
        }
        answer = json.dumps(answers.get(kind, {})).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def do_GET(self) -> None:
        """What stands in the Space: a file of ours, one that is none any longer, and the Hub's own."""
        files = [{"type": "file", "path": p, "size": 1, "oid": "0"} for p in ("app.py", "wrapper/old.py", ".gitattributes")]
        info = {"id": "you/demo", "siblings": [{"rfilename": f["path"]} for f in files], "sha": "0", "private": True}
        found = {k: {"key": k, "value": v} for k, v in self.variables.items()} if self.path.endswith("/variables") else info
        answer = json.dumps(files if "/tree/" in self.path else found).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@contextmanager
def serving() -> Iterator[str]:
    """The address of such a server, for as long as the block lasts."""
    with HTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
