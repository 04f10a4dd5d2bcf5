"""A live run keeps in step with the wall clock, says how it is, and ends cleanly when told to."""

from __future__ import annotations

import signal
import time
import urllib.error
import urllib.request

import pytest

from tests.integration.program import (
    PACK,
    Program,
    assert_same,
    expected,
    free_port,
    metrics,
    of_messages,
    of_topics,
    until,
)
from tests.nursery import Starter

pytestmark = pytest.mark.kafka
CLOCK = "dayone_simulator_virtual_clock_seconds"
DAY = 86_400.0
START = 1_767_225_600.0  # 2026-01-01 UTC


def status(port: int, path: str) -> int:
    """The HTTP status of a path; 0 while nobody serves."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return 0


def next_tick(port: int, program: Program) -> tuple[float, float]:
    """The virtual clock just after it has moved, and the wall clock at that moment, in seconds."""
    before = metrics(port)[CLOCK]
    now = until(lambda: (found := metrics(port)[CLOCK]) != before and found, program)
    return now, time.monotonic()


def test_a_live_run_is_in_step_with_the_wall_clock(dayone: Starter, servers: str) -> None:
    """Virtual time is read as it moves (every quarter of a second), so it is exact to what one poll takes."""
    speed, days, port = 3600, 1.0, free_port()
    program = dayone(
        "simulate", PACK, "--users", 200, "--days", days, "--live", "--speed", speed, "--bootstrap-servers", servers,
        "--metrics-port", port,
    )  # fmt: skip
    until(lambda: metrics(port).get(CLOCK, 0.0) > START + days * DAY, program)
    assert status(port, "/health/ready") == status(port, "/health/live") == 200
    virtual, wall = next_tick(port, program)
    until(lambda: time.monotonic() > wall + 2.5, program)
    later, then = next_tick(port, program)
    assert (later - virtual) / (then - wall) == pytest.approx(speed, rel=0.15)
    assert metrics(port)["dayone_simulator_wall_clock_lag_seconds"] < 2.0

    program.signal(signal.SIGTERM)
    assert program.wait() == 130, program.err
    assert "stopped" in program.out


def test_live_then_backfill_is_the_same_run_as_backfill_alone(dayone: Starter, servers: str) -> None:
    port, run = free_port(), (PACK, "--users", 200, "--bootstrap-servers", servers)
    live = dayone("simulate", *run, "--days", 2, "--live", "--speed", 100_000, "--metrics-port", port)
    until(lambda: metrics(port).get(CLOCK, 0.0) > START + 3 * DAY, live)
    live.signal(signal.SIGINT)
    assert live.wait() == 130, live.err
    begun = len(of_topics(servers))
    rest = dayone("simulate", *run, "--days", 20, "--metrics-port", 0)
    assert rest.wait() == 0, rest.err
    assert 0 < begun < len(of_topics(servers))
    assert_same(of_messages(of_topics(servers)), expected(200, 20))
