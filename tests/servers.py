"""Servers on this machine: of what the app asks, and the app itself in a process of its own."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[1]


class LocalServer:
    """Serves by a handler until it is stopped. address: without a path."""

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def app_alone(arguments: list[str], environment: Mapping[str, str], log: Path) -> Iterator[str]:
    """The app in a process of its own, as people start it; gives its address once the page is there. Stopped as a service is. log: takes
    what it says."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "app.py", "--host", "127.0.0.1", "--port", str(port), *arguments]
    with log.open("w") as out, subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out) as app:
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_for(address, app, log)
            yield address
            app.terminate()
            assert app.wait(30) == 0, log.read_text()[-500:]
        finally:
            app.kill()


def _wait_for(address: str, app: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(600):
        assert app.poll() is None, f"the app has ended: {log.read_text()[-500:]}"
        try:
            httpx.get(address).raise_for_status()
            return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise AssertionError(f"the page does not come: {log.read_text()[-500:]}")
