"""Fixtures that several rooms' tests share: one embedded broker per test session, and topic names of one's own."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from simulator.broker import EmbeddedBroker


@pytest.fixture(scope="session")
def embedded_broker() -> Iterator[EmbeddedBroker]:
    """One broker for the whole test session (one per xdist worker). It forgets nothing: use topics of your own."""
    from simulator.broker import EmbeddedBroker

    with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture
def own_name() -> Callable[[str], str]:
    """Makes names that no other test uses: `own_name("events")` is `events-<8 hex digits>`."""
    return lambda stem: f"{stem}-{uuid.uuid4().hex[:8]}"
