"""`dayone up` and the sink it has started: when the end of that is a fault, and when it is not."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from personas.connection import KafkaConnection
from personas.errors import StoreError
from personas.population import DAY_MS
from simulator import daemon, up
from simulator.commands import nobody_came
from simulator.settings import SimulatorSettings


@pytest.mark.parametrize(("state", "fault"), [("started", True), ("completed", False), ("stopped", False)])
def test_a_sink_may_end_before_the_last_report_but_not_before_the_run(
    state: str, fault: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends by itself with the run, and may be the quicker one."""

    def run_order(*_: Any, report: Callable[[Any], None], **__: Any) -> Any:
        run = SimpleNamespace(state=state)
        report(run)
        return run

    monkeypatch.setattr(daemon, "run_order", run_order)
    monkeypatch.setattr(up, "progress_of", lambda order: nullcontext(lambda run: None))
    order: Any = None
    with subprocess.Popen(["true"]) as sink:
        sink.wait()
        playing = (order, SimulatorSettings(), KafkaConnection(), None, sink, threading.Event())
        if fault:
            with pytest.raises(StoreError, match="the sink ended with exit code 0"):
                up._play(*playing)
        else:
            assert up._play(*playing).state == state
            assert up.finish_sink(sink) == b""


@pytest.mark.parametrize(
    ("first", "events", "said"),
    [(20, 0, "nobody came in these 5 days: the first of 2 users comes on day 21. Give --days 42"), (1, 9, "")],
)
def test_a_run_without_anybody_says_when_they_come(first: int, events: int, said: str) -> None:
    people = type("People", (SimpleNamespace,), {"__len__": lambda self: 2})(signed_up=np.array([first, 90]) * DAY_MS)
    run: Any = SimpleNamespace(
        state="completed", resumed_until=0, plan=SimpleNamespace(days=5.0),
        simulation=SimpleNamespace(population=people, progress=SimpleNamespace(total_events=events)),
    )  # fmt: skip
    found = nobody_came(run)
    assert found.startswith(said) and bool(found) == bool(said)
