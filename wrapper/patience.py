"""Asking a service that may be busy: whatever passes is tried again, later each time, until patience is at its end."""

import json
import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

import httpx

from wrapper.errors import ModelError

T = TypeVar("T")
PASSING = (408, 429, 500, 502, 503, 504)
"""Statuses of replies that say to come back later."""
LONGEST = 60.0
"""Seconds between two tries at most, unless the service asks for more."""

MOST_REPLY = 20_000_000
"""Bytes of a reply."""
HEADERS = ("retry-after", "content-type")
"""Of a reply those that say something here."""
TOKEN_HEADERS = ("Authorization", "Token")
LEAST_TOKEN = 8
"""Letters of a token that is taken out of replies. Shorter ones, such as "EMPTY", keep nobody out, and may be words of an answer."""


class Later(Exception):
    """The service is to be asked again. wait: seconds that it asks to wait, 0 where it names none."""

    def __init__(self, why: str, wait: float = 0.0) -> None:
        super().__init__(why)
        self.wait = wait


def patiently(ask: Callable[[], T], pause: float, until: float, what_then: str, sleep: Callable[[float], None] = time.sleep) -> T:
    """What `ask` gives, asked again as long as it raises `Later`. pause: seconds before the second try, doubled from then on; until:
    `time.monotonic()` after which nothing is waited for. ModelError then, which says why and what_then."""
    wait = pause
    while True:
        try:
            return ask()
        except Later as later:
            wait = max(wait, later.wait)
            seconds = wait * random.uniform(0.8, 1.2)  # many who wait do not come back at once
            if time.monotonic() + seconds > until:
                raise ModelError(f"The service does not answer: {later}. {what_then}") from later
            sleep(seconds)
            wait = min(wait * 2, LONGEST)


def request(client: httpx.Client, method: str, path: str, until: float, **options: Any) -> httpx.Response:
    """One request. Later where the connection or the service is in trouble that passes, or its reply does not end until
    `time.monotonic()` is `until`, however it trickles; ModelError where it cannot be asked at all, or says more than anybody would."""
    try:
        with client.stream(method, path, **options) as streamed:
            response = _read(streamed, until)
    except (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.InvalidURL, UnicodeError) as error:
        raise ModelError(f"The service cannot be asked ({type(error).__name__}). Check the endpoint and the token.") from error
    except httpx.HTTPError as error:
        raise Later(f"it cannot be reached ({error or type(error).__name__})") from error
    if response.status_code in PASSING:
        raise Later(f"it answers {response.status_code}", _asked_to_wait(response))
    return _without_tokens(response)


def _read(streamed: httpx.Response, until: float) -> httpx.Response:
    """A whole reply, of which the headers that are looked at are kept."""
    content, late = bytearray(), False
    for part in streamed.iter_bytes():
        if late:  # one that comes late, but whole, is taken
            raise Later("its reply does not end")
        content += part
        if len(content) > MOST_REPLY:
            raise ModelError(f"The service's reply is longer than {MOST_REPLY // 1_000_000} MB. Check the endpoint.")
        late = time.monotonic() > until
    headers = {name: value for name, value in streamed.headers.items() if name.lower() in HEADERS}
    return httpx.Response(streamed.status_code, headers=headers, content=bytes(content), request=streamed.request)


def _without_tokens(response: httpx.Response) -> httpx.Response:
    """The reply without the tokens that were sent, should the service repeat them: what it says is shown, and kept in files."""
    content = response.content
    for token in (response.request.headers.get(name, "").removeprefix("Bearer ") for name in TOKEN_HEADERS):
        if len(token) >= LEAST_TOKEN:
            in_json = json.dumps(token)[1:-1]
            for written in {token, in_json, in_json.replace("/", r"\/")}:
                content = content.replace(written.encode(), b"[token]")
    if content == response.content:
        return response
    return httpx.Response(response.status_code, content=content, request=response.request)


def read_json(response: httpx.Response, way_out: str) -> dict[str, Any]:
    """A reply's object, empty where it is JSON of another kind; ModelError with a way out where it is none."""
    try:
        data = response.json()
    except (ValueError, RecursionError) as error:
        raise ModelError(f"The service's reply ({response.status_code}) is not JSON. {way_out}") from error
    return data if isinstance(data, dict) else {}


def check_token(token: str, variable: str) -> str:
    """A token as it can stand in a header; ModelError, which does not repeat it, where it cannot."""
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ModelError(f"The token in {variable} cannot be one. Set it to yours, on one line and without blanks.")
    return token


def _asked_to_wait(response: httpx.Response) -> float:
    """Seconds that a reply's Retry-After asks for; 0 where it says nothing."""
    asked = response.headers.get("Retry-After", "")
    return float(asked) if asked.isascii() and asked.isdigit() else 0.0
