"""Many users at once, asking a running app by HTTP.

    python -m tests.load --users 30 --seconds 100                      # questions that the app has answered before
    python -m tests.load --users 50 --seconds 600 --mix                # new ones too, comparisons, bad pictures, visitors who go
    python -m tests.load --users 8 --seconds 1500 --mix --new 0.7      # mostly new pictures, until all that is kept is full
    python -m tests.load --users 1 --count 2000                        # many requests, one after the other

Starts an app of its own where no --url is given. Every answer is held against what a single user was told before. Prints answers a
second, times, refusals and the app's memory, at the start, after each tenth of the time, and at the end.
"""

import argparse
import asyncio
import io
import itertools
import json
import random
import socket
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
from PIL import Image

from wrapper.scenes.dataset import scenes

ROOT = Path(__file__).parents[1]
BUSY = "queue is full"
"""Words of a polite refusal."""


@dataclass(frozen=True)
class Asked:
    """A question: a picture as PNG, and an expression."""

    picture: bytes
    expression: str


@dataclass
class Told:
    """expected: what a single user was told, by question. seconds: of each answer since; by_models: of those the steps that the answer
    itself times. other: what else happened, how often; wrong: answers that differ from the single user's."""

    expected: dict[Asked, Any]
    seconds: list[float] = field(default_factory=list)
    by_models: list[float] = field(default_factory=list)
    other: Counter[str] = field(default_factory=Counter)
    wrong: int = 0

    def note(self, kind: str, answer: Any, expected: Any, seconds: float) -> None:
        """Count what became of a request."""
        if kind != "complete":
            self.other["refused as busy" if BUSY in str(answer).lower() else f"{kind}: {str(answer)[:80]}"] += 1
            return
        self.seconds.append(seconds)
        self.by_models.append(sum(answer[-1]["timings_ms"].values()) / 1000)
        self.wrong += expected is not None and says(answer) != expected


class App:
    """A running app, asked by one visitor as programs ask it: upload, call, and read events until there is an answer."""

    def __init__(self, url: str, client: httpx.AsyncClient, visitor: str) -> None:
        self.url, self.client, self.visitor = url, client, visitor
        self.base = f"{url.rstrip('/')}/gradio_api"

    async def upload(self, picture: bytes) -> dict[str, Any]:
        """A picture sent; how requests name it."""
        sent = await self.client.post(f"{self.base}/upload", files={"files": ("picture.png", picture, "image/png")})
        sent.raise_for_status()
        return {"path": sent.json()[0], "meta": {"_type": "gradio.FileData"}}

    async def ask(self, endpoint: str, data: list[Any]) -> tuple[str, Any]:
        """ "complete" with an endpoint's answer, "error" with why there is none, or "cut off"."""
        begun = await self.client.post(f"{self.base}/call/{endpoint}", json={"data": data, "session_hash": self.visitor})
        if begun.status_code != 200:
            return "error", begun.text
        async with self.client.stream("GET", f"{self.base}/call/{endpoint}/{begun.json()['event_id']}") as events:
            event = ""
            async for line in events.aiter_lines():
                if line.startswith("event: "):
                    event = line.removeprefix("event: ")
                elif line.startswith("data: ") and event in ("complete", "error"):
                    return event, json.loads(line.removeprefix("data: "))
        return "cut off", None

    async def locate(self, picture: bytes, expression: str) -> tuple[str, Any]:
        """A question about a picture, which is sent first."""
        return await self.ask("locate", [await self.upload(picture), expression, [], "auto", 0, 0, ""])

    async def compare(self, picture: bytes, expression: str) -> tuple[str, Any]:
        """A comparison of all methods."""
        return await self.ask("compare", [await self.upload(picture), expression, "auto", ""])


def says(answer: Any) -> dict[str, Any]:
    """What an answer says, without its times."""
    return {k: v for k, v in answer[-1].items() if k != "timings_ms"}


def questions(count: int, seed: int) -> list[Asked]:
    """Questions about RefScenes pictures."""
    found = []
    for scene in scenes("test", count, seed):
        file = io.BytesIO()
        scene.picture().save(file, "PNG")
        found.append(Asked(file.getvalue(), scene.expression.text))
    return found


async def user(app: App, told: Told, until: float, count: int, rng: random.Random) -> None:
    """One visitor, who asks one old question after the other."""
    for _ in range(count):
        if time.monotonic() > until:
            return
        question, began = rng.choice(list(told.expected)), time.perf_counter()
        kind, answer = await app.locate(question.picture, question.expression)
        told.note(kind, answer, told.expected[question], time.perf_counter() - began)


async def mixed_user(app: App, told: Told, until: float, new: float, rng: random.Random) -> None:
    """A visitor who asks old and new things, compares, sends what is no picture, and goes away now and then. Of the other questions a
    fifth are in new words. new: share of them that are about a picture which nobody has sent before."""
    while time.monotonic() < until:
        question, roll, began = rng.choice(list(told.expected)), rng.random(), time.perf_counter()
        if roll < 0.1:
            kind, _ = await app.locate(rng.randbytes(2000), question.expression)
            told.other["bad pictures refused" if kind == "error" else f"bad pictures: {kind}"] += 1
        elif roll < 0.2:
            try:
                async with asyncio.timeout(rng.uniform(0.01, 0.5)):
                    await app.locate(question.picture, f"{question.expression} {rng.random():.6f}")
            except TimeoutError:
                told.other["visitors went away"] += 1
                app = App(app.url, app.client, f"{app.visitor}-")  # by the same name it would be told the answer that it did not wait for
        elif roll < 0.3:
            kind, _ = await app.compare(question.picture, question.expression)
            told.other["comparisons" if kind == "complete" else f"comparison: {kind}"] += 1
        else:
            seen, known = rng.random() >= new, roll >= 0.45
            picture = question.picture if seen else dotted(question.picture, rng)
            text = question.expression if known else f"{question.expression} {rng.choice(('please', 'now', 'here', 'there'))}"
            kind, answer = await app.locate(picture, text)
            told.note(kind, answer, told.expected[question] if seen and known else None, time.perf_counter() - began)


def dotted(picture: bytes, rng: random.Random) -> bytes:
    """A picture with a dot of some colour at some place."""
    with Image.open(io.BytesIO(picture)) as image:
        x, y = rng.randrange(image.width - 2), rng.randrange(image.height - 2)
        image.paste(rng.randrange(2**24), (x, y, x + 2, y + 2))
        image.save(file := io.BytesIO(), "PNG")
        return file.getvalue()


async def alone(url: str, client: httpx.AsyncClient, asked: list[Asked]) -> Told:
    """What a single user is told. The first answer, which waits for the models, is not timed."""
    told = Told({})
    for number, question in enumerate(asked):
        began = time.perf_counter()
        kind, answer = await App(url, client, f"alone{number}").locate(question.picture, question.expression)
        if kind != "complete":
            raise SystemExit(f"A single user got no answer: {answer}")
        told.expected[question] = says(answer)
        if number:
            told.note(kind, answer, None, time.perf_counter() - began)
    return told


async def run(url: str, options: argparse.Namespace, memory: Callable[[], float]) -> None:
    async with httpx.AsyncClient(timeout=600, limits=httpx.Limits(max_connections=None)) as client:
        first = await alone(url, client, questions(options.questions, options.seed))
        beside = statistics.median(whole - own for whole, own in zip(first.seconds, first.by_models, strict=True))
        print(f"one user, new questions: {ms(first.seconds)}; models {ms(first.by_models)}, beside them {1000 * beside:.0f} ms")
        again = Told(first.expected)
        await user(App(url, client, "again"), again, float("inf"), len(again.expected), random.Random(1))
        print(f"one user, answered before: {ms(again.seconds)}; {again.wrong} wrong")
        before, began, told = memory(), time.monotonic(), Told(first.expected)
        until = float("inf") if options.count else began + options.seconds
        old = partial(user, until=until, count=options.count or 10**9)
        visit = partial(mixed_user, until=until, new=options.new) if options.mix else old
        people = [(App(url, client, f"user{i}"), random.Random(f"{options.seed}/{i}")) for i in range(options.users)]
        watch = asyncio.create_task(watched(memory, options.seconds / 10))
        await asyncio.gather(*(visit(app, told, rng=rng) for app, rng in people))
        watch.cancel()
        spent = time.monotonic() - began
        pace = f"{len(told.seconds)} answers, {len(told.seconds) / spent:.1f} a second"
        print(f"{options.users} users, {spent:.0f} s: {pace}, {ms(told.seconds)}, {told.wrong} wrong")
        print(", ".join(f"{n} {what}" for what, n in told.other.most_common()) or "nothing refused, none cut off")
        print(f"memory {before / 1e6:.0f} MB before, {memory() / 1e6:.0f} MB after ({100 * (memory() / before - 1):+.1f} %)")


async def watched(memory: Callable[[], float], every: float) -> None:
    """Print the app's memory every so many seconds."""
    for number in itertools.count(1):
        await asyncio.sleep(every)
        print(f"memory {memory() / 1e6:.0f} MB after {number * every:.0f} s", flush=True)


def ms(seconds: list[float]) -> str:
    """Median and 95th percentile."""
    if not seconds:
        return "no answers"
    ordered = sorted(seconds)
    return f"{1000 * statistics.median(ordered):.0f} ms (p95 {1000 * ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]:.0f} ms)"


@contextmanager
def served() -> Iterator[tuple[str, Callable[[], float]]]:
    """An app of our own: its address, and its memory in bytes."""
    with socket.socket() as any_free:
        any_free.bind(("127.0.0.1", 0))
        port = any_free.getsockname()[1]
    command = [sys.executable, "app.py", "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    began, url = time.monotonic(), f"http://127.0.0.1:{port}"
    try:
        while not answers(url):
            if time.monotonic() - began > 120 or process.poll() is not None:
                raise SystemExit("The app did not start.")
            time.sleep(0.1)
        print(f"the page is there after {time.monotonic() - began:.1f} s")
        yield url, lambda: float(psutil.Process(process.pid).memory_info().rss)
    finally:
        process.terminate()
        process.wait(20)


def answers(url: str) -> bool:
    """Whether there is a page."""
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=100)
    parser.add_argument("--count", type=int, default=0, help="requests a user, instead of seconds")
    parser.add_argument("--questions", type=int, default=30)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--mix", action="store_true")
    parser.add_argument("--new", type=float, default=0.0, help="with --mix, share of questions about new pictures")
    parser.add_argument("--url", help="of an app that is running; its memory is not shown")
    options = parser.parse_args()
    if options.url:
        asyncio.run(run(options.url, options, lambda: float("nan")))
        return
    with served() as (url, memory):
        asyncio.run(run(url, options, memory))


if __name__ == "__main__":
    main()
