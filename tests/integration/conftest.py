"""Fixtures of the integration tests: a starter of programs, and a broker of one's own for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from simulator.broker import EmbeddedBroker
from tests.nursery import Starter


@pytest.fixture
def dayone(forked: Starter) -> Iterator[Starter]:
    """Start `dayone` with arguments. Afterwards everything is ended, and no traceback was shown by any."""
    yield forked
    forked.end()
    for program in forked.started:
        assert "Traceback" not in program.err + program.out


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    """A broker with nothing on it: the topics of a product have fixed names."""
    with EmbeddedBroker() as one:
        yield one


@pytest.fixture
def servers(broker: EmbeddedBroker) -> str:
    """Its address."""
    return broker.bootstrap_servers
