"""`dayone control` steers a running simulator: every command is answered, or refused with a reason."""

from __future__ import annotations

import json

import pytest

from tests.integration.program import PACK, Program, free_port, metrics, until
from tests.nursery import Starter

pytestmark = pytest.mark.kafka
CLOCK = "dayone_simulator_virtual_clock_seconds"
PROBLEMS = "dayone_simulator_problems_planted_total"


@pytest.fixture
def port() -> int:
    """Of the metrics of the run that is steered."""
    return free_port()


@pytest.fixture
def run(dayone: Starter, servers: str, port: int) -> Program:
    """A live run."""
    program = dayone(
        "simulate", PACK, "--users", 300, "--days", 5, "--live", "--speed", 20_000, "--bootstrap-servers", servers,
        "--metrics-port", port,
    )  # fmt: skip
    until(lambda: metrics(port).get(CLOCK, 0.0) > 0, program)
    return program


def control(dayone: Starter, servers: str, *words: object) -> Program:
    """`dayone control ...`, ended."""
    program = dayone("control", *words, "--bootstrap-servers", servers)
    program.wait()
    return program


def test_pause_holds_virtual_time_and_resume_lets_it_go_on(
    dayone: Starter, servers: str, run: Program, port: int
) -> None:
    paused = control(dayone, servers, "pause")
    assert paused.wait() == 0 and paused.out.strip().endswith(": done"), paused.err
    held = until(lambda: (clock := metrics(port)[CLOCK]) and clock == metrics(port)[CLOCK] and clock, run)
    again = control(dayone, servers, "pause", "--json")
    assert again.wait() == 7
    (reply,) = json.loads(again.out)
    assert not reply["accepted"] and reply["reason"] == "the run is paused already" and reply["state"]["paused"]
    assert metrics(port)[CLOCK] <= held + 2 * 20_000, "at most the step that was under way"
    still = metrics(port)[CLOCK]

    assert control(dayone, servers, "resume").wait() == 0
    until(lambda: metrics(port)[CLOCK] > still, run)
    refused = control(dayone, servers, "resume")
    assert refused.wait() == 7 and "the run is not paused" in refused.out


def test_the_problem_rate_is_changed_and_stop_ends_the_run(
    dayone: Starter, servers: str, run: Program, port: int
) -> None:
    assert control(dayone, servers, "problem-rate", 0).wait() == 0
    assert control(dayone, servers, "problem-rate", 1000).wait() == 0
    before = metrics(port)[PROBLEMS]
    until(lambda: metrics(port)[PROBLEMS] > before, run)
    wrong = control(dayone, servers, "problem-rate", 100_000)
    assert wrong.wait() == 2 and "less than or equal to 1000" in wrong.err
    stopped = control(dayone, servers, "stop")
    assert stopped.wait() == 0, stopped.err
    assert run.wait() == 130, run.err
    nobody = control(dayone, servers, "stop", "--timeout", 0.5)
    assert nobody.wait() == 7 and "no running simulator answered" in nobody.err
