"""The budget of `dayone up` outlives the death of all its processes at once: the dollars are counted at the server."""

from __future__ import annotations

import contextlib
import json

import psutil
import pytest

from tests.integration.program import Program, until
from tests.nursery import Starter
from tests.stub_anthropic import KEY, StubAnthropic

CEILING = 0.012
RUN = ("up", "shop", "--users", 400, "--days", 4, "--teacher", "tutor", "--tutor-share", 1, "--budget", CEILING)


def kill_all(program: Program) -> None:
    """SIGKILL to the command and to all that it has started, as when a machine runs out of memory."""
    for process in [psutil.Process(program.process.pid), *program.family()]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    program.wait()


@pytest.mark.kafka
@pytest.mark.timeout(120)
@pytest.mark.thorough
def test_kills_of_the_whole_tree_never_make_the_bill_exceed_the_budget(dayone: Starter) -> None:
    """No answers are recorded and the broker dies too, so every start begins from nothing and would ask it all. Of
    several starts, each killed when it has spent a third, only the file of spending makes one the last."""
    kills = 0
    with StubAnthropic() as stub:
        stub.keep_bodies, stub.delay = False, 0.005
        env = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": stub.url}
        while True:
            enough = stub.dollars + CEILING / 3
            program = dayone(*RUN, "--store", "run.duckdb", "--json", env=env)
            until(lambda: not program.running or stub.dollars >= enough)  # noqa: B023 - called before it changes
            if not program.running:
                break
            kill_all(program)
            kills += 1
            assert kills < 4, "the money never ended"
        assert program.wait() == 0, program.err
        assert kills >= 1 and CEILING / 3 < stub.dollars <= CEILING + 1e-9
        told = json.loads(program.out)["tutor"]
        assert stub.dollars - 1e-9 <= told["dollars"] <= CEILING + 1e-9 and told["stepped_down"] > 0
