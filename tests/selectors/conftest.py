"""What tests of selectors share."""

from collections.abc import Iterator

import pytest

from tests.selectors.chat_service import Service


@pytest.fixture
def service() -> Iterator[Service]:
    running = Service()
    yield running
    running.server.stop()
