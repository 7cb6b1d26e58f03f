"""A server of OpenAI's chat protocol on this machine, with every failure."""

import json
import math
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.servers import LocalServer

Reply = tuple[int, Any]


def says(text: str | None, top: dict[str, float] | None = None) -> Reply:
    """A reply of the protocol, with log-probabilities where they are given."""
    choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    if top is not None:
        tokens = [{"token": t, "logprob": math.log(p)} for t, p in top.items()]
        choice["logprobs"] = {"content": [{"token": text, "logprob": 0.0, "top_logprobs": tokens}]}
    return 200, {"choices": [choice]}


class Service:
    """A server of the protocol. answer: makes a reply of a request's body; script: replies that come before those: a status and an object,
    "cut", "text" or "slow"."""

    def __init__(self) -> None:
        self.script: list[Any] = []
        self.answer: Callable[[dict[str, Any]], Reply] = lambda body: says("1")
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.noting = threading.Lock()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: Any) -> None: ...

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with service.noting:  # one request's body and headers stand at one place
                    service.bodies.append(body)
                    service.headers.append(dict(self.headers))
                reply = service.script.pop(0) if service.script else service.answer(body)
                if reply == "cut":
                    self.close_connection = True
                    self.connection.close()
                    return
                if reply == "slow":
                    time.sleep(0.6)
                    self.close_connection = True
                    return
                status, data = (200, "<html>") if reply == "text" else reply
                raw = (data if isinstance(data, str) else json.dumps(data)).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(raw)), **({"Retry-After": "2"} if status == 429 else {})}.items():
                    self.send_header(name, value)
                if status == 307:
                    self.send_header("Location", "http://127.0.0.1:9/elsewhere")
                self.end_headers()
                self.wfile.write(raw)

        self.server = LocalServer(Handler)
        self.address = f"{self.server.address}/v1"
