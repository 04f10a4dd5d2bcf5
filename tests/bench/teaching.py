"""Teaching: how near a student comes to a known truth after 2,000 visits, and how long a fit takes.

For each pack and each truth (see `tests/simulator/behaviour/oracle.py`): the mean total-variation distance to the
oracle's next-event distributions over the situations of visits that were not learnt from; beside it the prior's.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from simulator.behaviour.fit import fit
from tests.bench.figures import Figure
from tests.runs import PACKS
from tests.simulator.behaviour.oracle import TRUTHS, lesson, next_event_chances, sessions_of, total_variation

SESSIONS, GOAL = 2000, 0.05
FIT_GOAL_SECONDS = 60.0


def measure(events: int, say: Callable[[str], None]) -> list[Figure]:
    """Distances for all truths and packs; then the time to fit so many events of the shop."""
    found = []
    for pack in PACKS:
        for truth in TRUTHS:
            say(f"teaching: {pack}, {truth}")
            one = lesson(pack, truth, SESSIONS)
            begun = time.process_time()
            student = fit(one.prior, one.traces, one.world, one.rankings).behaviour
            took = time.process_time() - begun
            theirs = next_event_chances(one.held_out, one.truth, one.world)
            prior = total_variation(theirs, next_event_chances(one.held_out, one.prior, one.world))
            distance = total_variation(theirs, next_event_chances(one.held_out, student, one.world))
            note = f"the prior's is {prior:.3f}; {took:.1f} s of processor time"
            found.append(
                Figure("teaching", f"{pack}: {truth}", round(distance, 4), "", goal=GOAL, smaller=True, note=note)
            )
    one = lesson("shop", "everything at once", SESSIONS)
    users = round(events / (len(one.traces) / SESSIONS))
    say(f"teaching: a fit of about {events:,} decisions")
    traces, _ = sessions_of("shop", one.truth, users, seed=13)
    begun = time.process_time()
    fit(one.prior, traces, one.world, one.rankings)
    took = time.process_time() - begun
    name = f"fit of {len(traces):,} decisions, processor time"
    return [*found, Figure("teaching", name, took, "s", goal=FIT_GOAL_SECONDS, smaller=True)]
