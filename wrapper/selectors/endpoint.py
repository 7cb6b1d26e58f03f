"""A hosted LLM as the selector: any server that speaks OpenAI's chat protocol, such as vLLM, TGI or `transformers serve`.

    python -m wrapper locate ... --llama openai:http://127.0.0.1:8000/v1#MODEL
    LLM_API_TOKEN=... python -m wrapper evaluate ... --llama openai:settings.json

The LLM writes the index of a candidate. Where the service gives the log-probabilities of the first token's five likeliest values, they
are the candidates' probabilities; elsewhere there are none. The paper's adapters need an LLM of one's own (`wrapper.selectors.llama`); an
endpoint that serves a fine-tuned LLM is told its wording by `template` in a settings file.
"""

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx

from wrapper.candidates import Reason, Selection
from wrapper.control_tokens import open_up
from wrapper.errors import DataError, ModelError
from wrapper.patience import check_token, patiently, read_json, request
from wrapper.prompt import PromptTemplate, messages, render
from wrapper.selectors.base import Question, own_answer, with_labels, without_asking
from wrapper.settings_file import read_settings

SCHEME = "openai:"
TOKEN = "LLM_API_TOKEN"
asking: ContextVar[str | None] = ContextVar("asking", default=None)
"""The token of whoever asks now, where a service is asked with visitors' own; None where nobody has logged in."""
TOP = 5
"""Likeliest tokens that are asked for; OpenAI gives 20 at most, others fewer."""
BRIEF, LONG = 16, 2048
"""Tokens that may be written: an index; and, where nothing came of that, thoughts before it as well."""
CONTROL = ("<|", "|>", "<s>", "</s>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "<start_of_turn>", "<end_of_turn>")
"""What frames a turn in the chat formats in common use: the service's own tokenizer is not at hand to say."""


@dataclass(frozen=True)
class EndpointSettings:
    """How the service is asked.

    url: up to what stands before /chat/completions. model: as the service names it. template: a folder with the prompt.json of the
    wording that the LLM was fine-tuned on, empty for the usual wording. at_once: questions under way together. timeout: seconds for one
    request; patience: for one question with all its tries; pause: before the second try.
    """

    url: str
    model: str
    template: str = ""
    at_once: int = 4
    timeout: float = 60.0
    patience: float = 180.0
    pause: float = 1.0

    @classmethod
    def load(cls, spec: str) -> "EndpointSettings":
        """From openai:URL#MODEL, or openai:FILE.json with the fields; ModelError where that cannot be."""
        place = spec.removeprefix(SCHEME)
        try:
            if not place.endswith(".json"):
                url, _, model = place.partition("#")
                found = cls(url.rstrip("/"), model)
            else:
                found = read_settings(cls, place)
            found.check()
        except (OSError, TypeError, ValueError, httpx.InvalidURL) as error:
            named = "" if "@" in spec else f" {spec}"  # what stands before an @ may be a password
            raise ModelError(f"The LLM{named} cannot be used ({error}). Write openai:URL#MODEL, or openai:FILE.json.") from error
        return found

    def check(self) -> None:
        """ValueError where a value cannot be."""
        address = httpx.URL(self.url)
        if address.scheme not in ("http", "https") or not address.host or not self.model.strip():
            raise ValueError("the URL begins with https:// or http://, and behind # stands the model's name")
        if address.userinfo:
            raise ValueError(f"a token belongs in {TOKEN}, not in the URL")
        if self.at_once < 1 or min(self.timeout, self.patience, self.pause) <= 0:
            raise ValueError("at_once is 1 or more; timeout, patience and pause are seconds above 0")


@dataclass
class Endpoint:
    """The service as an LLM. gives_logprobs: until it has said that it does not. of_visitors: each question is asked with the token of
    whoever asks it (`asking`), and none is sent otherwise."""

    settings: EndpointSettings
    client: httpx.Client
    template: PromptTemplate = field(default_factory=PromptTemplate)
    gives_logprobs: bool = True
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)
    of_visitors: bool = False
    name: str = "llama"

    @classmethod
    def load(cls, spec: str, of_visitors: bool = False) -> "Endpoint":
        """From a spec. The token, which many servers of one's own want none of, is read from the environment and never written anywhere."""
        settings = EndpointSettings.load(spec)
        token = "" if of_visitors else check_token(os.environ.get(TOKEN, "").strip(), TOKEN)
        template = PromptTemplate.load(Path(settings.template)) if settings.template else PromptTemplate()
        if template is None:
            raise ModelError(f"{settings.template} has no prompt.json. Name the folder of the LLM's template, or leave `template` out.")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # No redirect is followed: a token is for the address that its owner wrote
        return cls(
            settings, httpx.Client(base_url=settings.url, headers=headers, timeout=settings.timeout), template, of_visitors=of_visitors
        )

    @property
    def adapters(self) -> Mapping[str, Any]:
        """None: what an endpoint serves is as it is."""
        return MappingProxyType({})

    def template_for(self, adapter: str | None) -> PromptTemplate:
        """The wording that is read; ModelError for an adapter."""
        if adapter is not None:
            raise ModelError(f"The adapter {adapter!r} cannot be used: the LLM is a service. Name the service that serves it instead.")
        return self.template

    def count_tokens(self, prompt: str, adapter: str | None) -> int | None:
        """Of a prompt; only the service knows."""
        return None

    def select(self, questions: Sequence[Question]) -> list[Selection]:
        """The candidate whose index the LLM writes, for each question; the first of the models' own answers where it writes none."""
        for q in questions:
            self.template_for(q.adapter)
        with ThreadPoolExecutor(max(1, min(self.settings.at_once, len(questions))), "llm") as pool:
            contexts = [copy_context() for _ in questions]  # who asks is known in this thread, and to be known in those too
            return list(pool.map(lambda context, q: context.run(self._answer, q), contexts, questions))

    def _answer(self, q: Question) -> Selection:
        if len(q.candidates) < (1 if self.template.none else 2):
            return without_asking(q.candidates)
        plain = [with_labels(c, lambda words: open_up(words, CONTROL)) for c in q.candidates]
        prompt = render(plain, open_up(q.expression, CONTROL), self.template, q.size)
        choice = self._ask(messages(prompt, self.template))
        return read_answer(q, prompt, choice, self.template)

    def _ask(self, chat: list[dict[str, str]]) -> "Choice":
        until = time.monotonic() + self.settings.patience
        found = self._choice(chat, BRIEF, until)
        return found if found.text else self._choice(chat, LONG, until)

    def _choice(self, chat: list[dict[str, str]], most: int, until: float) -> "Choice":
        """One answer. A service that refuses a question with log-probabilities and answers it without is asked without from then on;
        several threads may find that out at once."""
        body: dict[str, Any] = {"model": self.settings.model, "messages": chat, "max_tokens": most, "temperature": 0}
        if self.gives_logprobs:
            response = self._send(body | {"logprobs": True, "top_logprobs": TOP}, until)
            if response.status_code not in (400, 422):
                return Choice.of(response, self._whose)
        response = self._send(body, until)
        if response.status_code == 200:
            self.gives_logprobs = False
        return Choice.of(response, self._whose)

    @property
    def _whose(self) -> str:
        """What is to be looked at where the service refuses whoever asks."""
        return "your login: log out and in again" if self.of_visitors else f"the token in {TOKEN}"

    def _send(self, body: dict[str, Any], until: float) -> httpx.Response:
        token = asking.get() if self.of_visitors else None
        headers = {} if token is None else {"Authorization": f"Bearer {check_token(token, 'your login')}"}
        return patiently(
            lambda: request(self.client, "POST", "/chat/completions", until, json=body, headers=headers),
            self.settings.pause, until, "Ask again later, or see whether it is still running.", self.sleep,
        )  # fmt: skip


@dataclass(frozen=True)
class Choice:
    """What a service wrote. text: empty where it wrote none; top: log-probabilities of the first token's likeliest values by their text,
    empty where they were not given."""

    text: str
    top: Mapping[str, float]

    @classmethod
    def of(cls, response: httpx.Response, whose: str) -> "Choice":
        """From a reply; ModelError where the service refused, DataError where its reply is not as the protocol has it. whose: what says who
        asks, for people."""
        way_out = {401: f"Check {whose}.", 403: f"Check {whose}.", 404: "Check the URL and the model's name."}
        out = way_out.get(response.status_code, "Check the URL, the model's name and what the service says.")
        if response.status_code != 200:
            raise ModelError(f"The LLM's service refused ({response.status_code}: {_said(response)}). {out}")
        data = read_json(response, out)
        try:
            first = data["choices"][0]
            text = first["message"]["content"]
            if not (text is None or isinstance(text, str)):
                raise TypeError("the content is no text")
            return cls((text or "").strip(), _top(first.get("logprobs")))
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise DataError(f"The LLM's service does not answer as the chat protocol has it ({type(error).__name__}: {error}).") from error


def _top(told: Any) -> dict[str, float]:
    """Log-probabilities of the first token that is more than blanks; none where they are not written as the protocol has it."""
    try:
        for token in told["content"]:
            if token["token"].strip():
                return {str(t["token"]): float(t["logprob"]) for t in token["top_logprobs"]}
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError):
        return {}
    return {}


def _said(response: httpx.Response) -> str:
    """What a refusal says, short."""
    try:
        error = response.json().get("error")
        return str(error.get("message") if isinstance(error, dict) else error)[:200]
    except (ValueError, AttributeError, RecursionError):
        return response.text[:200].strip() or "without a word"


def read_answer(q: Question, prompt: str, choice: Choice, template: PromptTemplate) -> Selection:
    """The selection that an answer stands for. It must be an index and nothing else, or the word for none. Probabilities by which another
    answer would be the likeliest are those of something else, such as a thought that was written first."""
    count, own = len(q.candidates), own_answer(q.candidates)
    none = bool(template.none) and choice.text == template.none
    index = int(choice.text) if choice.text.isascii() and choice.text.isdigit() and len(choice.text) < 4 else count
    if index >= count and not none:
        return Selection(q.candidates, own, (), Reason.FALLBACK_NOT_AN_INDEX, prompt, left_out=q.left_out)
    shares = probabilities(choice, count, template)
    if shares and shares[count if none else index] < max(shares):
        shares = ()
    if none:  # as with an LLM of one's own, the likeliest candidate is named beside it
        guess = shares.index(max(shares[:count])) if shares else own
        absent = shares[count] if shares else 1.0
        return Selection(q.candidates, guess, shares[:count], Reason.CHOSEN, prompt, left_out=q.left_out, absent=absent)
    reason = Reason.CHOSEN_FROM_PART if q.left_out else Reason.CHOSEN
    none_meant = (shares[count] if shares else 0.0) if template.none else None
    return Selection(q.candidates, index, shares[:count], reason, prompt, left_out=q.left_out, absent=none_meant)


def probabilities(choice: Choice, count: int, template: PromptTemplate) -> tuple[float, ...]:
    """One a candidate, and one more for none where there is such an answer, from the likeliest first tokens; they sum to 1, and those that
    are not among the likeliest have 0. Empty where they are not given, or where the first token does not tell: of more than ten candidates
    "1" may begin "12", unless the tokenizer is seen to take several digits together."""
    said: dict[str, float] = {}
    for text, value in choice.top.items():  # the same word may come with and without a blank before it
        if math.isfinite(value) and value <= 0.01:  # a log-probability, rounded
            said[text.strip()] = max(value, said.get(text.strip(), -math.inf))
    if count > 10 and not any(text.isdigit() and len(text) > 1 for text in said):
        return ()
    answers = [str(i) for i in range(count)] + ([template.none] if template.none else [])
    logs = [max((v for t, v in said.items() if t == a or (t and not t.isdigit() and a.startswith(t))), default=-math.inf) for a in answers]
    total = sum(math.exp(v) for v in logs)
    return tuple(math.exp(v) / total for v in logs) if total > 0 else ()
