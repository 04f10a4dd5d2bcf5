"""Models of what models made: on the core and all before them they go on to know the truth; on the last alone they
forget it."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from threadpoolctl import threadpool_info

from personas.randomness import root_key
from simulator.twins.draw import sample
from simulator.twins.fit import fit
from simulator.twins.model import FitOptions, TwinModel
from tests.simulator.twins.judging import nats
from tests.simulator.twins.knowing import promises

USERS, LAST = 150, 3


def of_users(log: pa.Table, first: int, last: int) -> pa.Table:
    """The rows of the users first to last - 1."""
    number = pc.cast(pc.replace_substring(log["user_id"], "person-", ""), pa.int64())
    return log.filter(pc.and_(pc.greater_equal(number, first), pc.less(number, last)))


def taught(log: pa.Table, seed: int) -> TwinModel:
    return fit(log, FitOptions(seed=seed, allow_near_copies=True))


def drawn(model: TwinModel, generation: int) -> pa.Table:
    made = sample(model, USERS, root_key("generation", generation)).drop_columns(["step"])
    names = [pc.binary_join_element_wise(made[name], f"of{generation}", "-") for name in ("user_id", "session_id")]
    return made.set_column(0, "user_id", names[0]).set_column(1, "session_id", names[1])


@pytest.mark.thorough
def test_generations_that_keep_the_core_keep_what_it_teaches_and_others_do_not() -> None:
    log = promises(3 * USERS)
    core, others = of_users(log, 0, USERS), of_users(log, USERS, 3 * USERS)
    first = taught(core, 1)
    every, last = [core, drawn(first, 1)], drawn(first, 1)
    for generation in range(2, LAST + 1):
        kept, replaced = taught(pa.concat_tables(every), generation), taught(last, generation)
        every, last = [*every, drawn(kept, generation)], drawn(replaced, generation + 100)
    begun = nats(first, others)
    assert nats(kept, others) < begun + 0.01
    assert nats(replaced, others) > begun + 0.02


def test_a_model_is_learnt_in_one_thread_on_machines_of_any_size() -> None:
    seen = list[int]()

    def look(step: str, share: float) -> None:
        seen.extend(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")

    fit(promises(30), FitOptions(), look)
    assert seen and set(seen) == {1}
