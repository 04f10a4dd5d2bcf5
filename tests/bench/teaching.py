"""Teaching: how near a student comes to a known truth after 2,000 visits, and how long a fit takes.

For each pack and each truth (see `tests/simulator/behaviour/oracle.py`): the mean total-variation distance to the
oracle's next-event distributions over the situations of visits that were not learnt from; beside it the prior's, and
that of an estimator that is told what nobody knows: which effects there are and how large each kind of them is. It
has nothing to find out but the effects themselves, from the same visits, so no choice of back-off or of pooling does
better in the mean but by chance. Where even this one stays above the goal, 2,000 visits (24,000 decisions, over 500 to
900 cells of persona, intent and situation, half of which were seen no more than 4 to 9 times) do not tell enough.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from threadpoolctl import threadpool_limits

from simulator.behaviour.contexts import arrange, unlocked
from simulator.behaviour.fit import fit, with_moves
from simulator.behaviour.model import Behaviour
from simulator.behaviour.moves import BLOCKS, fit_moves
from simulator.behaviour.picks import fit_picks, with_picks
from tests.bench.figures import Figure
from tests.runs import PACKS
from tests.simulator.behaviour.oracle import TRUTHS, Lesson, lesson, next_event_chances, sessions_of, total_variation

SESSIONS, GOAL = 2000, 0.05
FIT_GOAL_SECONDS = 60.0
#: The blocks of effects by what the truths are made of.
BLOCK_OF = {
    "persona": "persona", "intent": "intent", "situation": "situation", "persona situation": "persona, situation",
    "intent situation": "intent, situation", "cell": "persona, intent, situation", "after": "after",
    "reaction": "reaction", "traits": "traits",
}  # fmt: skip
#: The spread of a block that there is none of.
NONE = 3e-4


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
            told = total_variation(theirs, next_event_chances(one.held_out, told_the_structure(one, truth), one.world))
            note = f"the prior's is {prior:.3f}; {told:.3f} if told the structure; {took:.1f} s of processor time"
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


def told_the_structure(one: Lesson, truth: str) -> Behaviour:
    """What is learnt from the same visits by who knows the true spread of every kind of effect."""
    spreads = dict.fromkeys(BLOCKS, NONE)
    spreads |= {BLOCK_OF[name]: spread for name, spread in TRUTHS[truth].items() if name in BLOCK_OF}
    with threadpool_limits(1):
        base = replace(unlocked(one.prior, one.traces, one.world), generator="student")
        base = with_picks(base, fit_picks(base, one.traces.choices, one.world.pack, one.rankings), one.world.pack)
        contexts = arrange(one.traces, base, one.world)
        return with_moves(base, fit_moves(contexts, spreads=spreads), contexts, one.world)
