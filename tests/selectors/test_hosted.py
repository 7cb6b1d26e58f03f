"""A hosted LLM that is asked with the token of whoever asks; this machine's own for everybody else."""

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.selectors.chat_service import Service
from tests.selectors.test_endpoint import ASKED
from wrapper.candidates import Reason, Selection
from wrapper.errors import ModelError
from wrapper.pipeline import Wrapper
from wrapper.selectors.endpoint import TOKEN, Endpoint
from wrapper.selectors.hosted import Hosted, asked_with, logged_in


@pytest.fixture
def hosted(service: Service, wrapper: Wrapper, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hosted]:
    monkeypatch.setenv(TOKEN, "the-owners-token")
    found = Hosted(wrapper.llm, Endpoint.load(f"openai:{service.address}#llama", of_visitors=True))
    yield found
    found.service.client.close()


def test_who_has_not_logged_in_is_answered_by_this_machines_llm(service: Service, hosted: Hosted, wrapper: Wrapper) -> None:
    assert hosted.select([ASKED]) == wrapper.llm.select([ASKED]) and service.bodies == []
    assert (hosted.name, set(hosted.adapters)) == (wrapper.llm.name, set(wrapper.llm.adapters))
    assert hosted.count_tokens("Boxes:", None) == wrapper.llm.count_tokens("Boxes:", None)


def test_who_has_logged_in_has_the_service_asked_with_their_own_token(service: Service, hosted: Hosted) -> None:
    """Never with the owner's; also where several questions are asked at once."""
    with asked_with("visitor-one"):
        picks = hosted.select([ASKED] * 5)
        assert not hosted.adapters and hosted.count_tokens("Boxes:", None) is None and logged_in()
    assert [s.index for s in picks] == [1] * 5 and all(s.reason is Reason.CHOSEN for s in picks)
    assert {h["Authorization"] for h in service.headers} == {"Bearer visitor-one"} and not logged_in()


def test_two_visitors_at_once_each_ask_with_their_own(service: Service, hosted: Hosted) -> None:
    both, told = threading.Barrier(2), dict[str, list[Selection]]()

    def visit(name: str) -> None:
        with asked_with(name):
            both.wait()
            told[name] = hosted.select([replace(ASKED, expression=name)] * 4)

    threads = [threading.Thread(target=visit, args=(name,)) for name in ("ann-of-a-token", "bob-of-a-token")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asked = [(h["Authorization"], b["messages"][0]["content"]) for h, b in zip(service.headers, service.bodies, strict=True)]
    assert len(asked) == 8 and all(who.removeprefix("Bearer ") in text for who, text in asked)


def test_a_login_that_is_over_is_said_and_the_token_is_not(service: Service, hosted: Hosted) -> None:
    service.answer = lambda body: (401, {"error": {"message": "visitor-one is not known"}})
    with asked_with("visitor-one"), pytest.raises(ModelError, match="log out and in again") as refused:
        hosted.select([ASKED])
    assert "visitor-one" not in str(refused.value) and TOKEN not in str(refused.value)


def test_a_token_that_cannot_stand_in_a_header_is_refused(service: Service, hosted: Hosted) -> None:
    with asked_with("two\r\nlines"), pytest.raises(ModelError, match="your login") as refused:
        hosted.select([ASKED])
    assert "lines" not in str(refused.value) and service.bodies == []
