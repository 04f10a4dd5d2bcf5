"""A small core leans on its teacher, a large one on itself, and how much is found by evidence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from personas.randomness import F64, cumulative_shares, fold, pick, root_key, uniform
from simulator.twins.fit import fit
from simulator.twins.log import Log, table_of
from simulator.twins.model import FitOptions
from simulator.twins.posterior import joined, pseudo_of, strength_of, with_words
from simulator.twins.user_state import static_of
from tests.simulator.twins.judging import nats

WORDS = ("ask", "buy", "chat", "deal", "edge", "fold", "gain", "hold")
MINUTE = 60_000_000


def law(name: str) -> F64:
    """[9, 9] how likely each event, or the end, follows each other one, or the beginning."""
    drawn = uniform(fold(root_key("law", name), np.arange(81))).reshape(9, 9) ** 3
    drawn[:, 8] = 0.2 * drawn[:, :8].sum(axis=1)
    drawn[8, 8] = 0.0
    return np.asarray(drawn / drawn.sum(axis=1, keepdims=True))


def log_of_law(chances: F64, users: int, name: str) -> Log:
    """One session of each user, a minute an event."""
    key, shares = fold(root_key("walk", name), np.arange(users)), cumulative_shares(chances)
    state, rows, active = np.full(users, 8), [], np.arange(users)
    for step in range(40):
        state = pick(shares, state, uniform(fold(key[active], step)))
        on = state < 8
        state, active = state[on], active[on]
        rows.append(np.stack([active, np.full(len(active), step), state]))
    session, step, event = (row[order] for all_rows in [np.concatenate(rows, axis=1)]
                            for order in [np.lexsort((all_rows[1], all_rows[0]))] for row in all_rows)  # fmt: skip
    time = 1_767_225_600_000_000 + session * 37 * MINUTE + step * MINUTE
    first = np.flatnonzero(np.diff(session, prepend=-1))
    return Log(
        event, np.full(len(event), -1), time, session, np.append(first, len(event)), np.arange(users),
        {"event": WORDS, "item": ()}, users,
    )  # fmt: skip


def table(log: Log) -> pa.Table:
    return table_of(log, [f"p{n}" for n in range(log.users)], [f"s{n}" for n in range(len(log.user))])


TRUTH, OTHER = law("truth"), law("other")
TEACHERS = {
    "right": {"prior": log_of_law(TRUTH, 800, "teacher")},
    "wrong": {"prior": log_of_law(OTHER, 800, "teacher")},
}


def test_the_strength_fades_by_itself() -> None:
    """Half wrong: what it says helps a small core, and is nothing to a large one."""
    near = {"prior": log_of_law(0.6 * TRUTH + 0.4 * OTHER, 800, "teacher")}
    weights = [strength_of(log_of_law(TRUTH, users, "core"), near).told["weight"] for users in (20, 200, 5000)]
    assert weights[0] > 0.4 and weights[0] > weights[1] >= weights[2] and weights[2] < 0.02


@pytest.mark.parametrize("users", [20, 200, 5000])
@pytest.mark.parametrize("teacher", ["right", "wrong"])
def test_the_posterior_is_no_worse_than_the_better_of_both(teacher: str, users: int) -> None:
    found = strength_of(log_of_law(TRUTH, users, "core"), TEACHERS[teacher])
    losses = found.told["log_loss"]
    assert losses["posterior"] <= min(losses["core"], losses["prior"]) + (0.03 if users == 20 else 0.005)
    assert found.sessions == 0 or teacher == "right"


def test_the_better_teacher_is_heard() -> None:
    both = {**TEACHERS["wrong"], "student": TEACHERS["right"]["prior"]}
    assert strength_of(log_of_law(TRUTH, 30, "core"), both).teacher == "student"


def test_the_model_itself_foretells_other_users_better() -> None:
    core, hold = table(log_of_law(TRUTH, 25, "core")), table(log_of_law(TRUTH, 600, "hold"))
    alone, taught = fit(core, FitOptions()), fit(core, FitOptions(), teachers=TEACHERS["right"])
    prior = fit(table(TEACHERS["right"]["prior"]), FitOptions())
    assert nats(taught, hold) <= min(nats(alone, hold), nats(prior, hold)) + 0.03
    assert nats(taught, hold) < nats(alone, hold) - 0.2
    assert taught.facts["posterior"]["teacher"] == "prior"


def test_a_core_that_needs_nobody_is_fitted_as_without() -> None:
    core = table(log_of_law(TRUTH, 120, "core"))
    alone, taught = fit(core, FitOptions()), fit(core, FitOptions(), teachers=TEACHERS["wrong"])
    assert taught.fingerprint == alone.fingerprint and taught.facts["posterior"]["sessions"] == 0
    assert alone.facts["posterior"] == {}


def test_a_teacher_gives_events_but_no_times_and_no_items() -> None:
    core, teacher = log_of_law(TRUTH, 50, "core"), log_of_law(TRUTH, 200, "teacher")
    core = replace(core, words={"event": tuple(word if word != "hold" else "held" for word in WORDS), "item": ()})
    core = with_words(core, teacher)
    assert core.words["event"][-1] == "hold" and len(core.words["event"]) == 9
    slow = replace(teacher, time=teacher.time * 3, item=np.zeros(len(teacher.item), dtype=np.int64))
    pseudo = pseudo_of(core, replace(slow, words={**slow.words, "item": ("i",)}), 100, np.uint64(1))
    log, static = joined(core, static_of(core), pseudo)
    assert len(log.user) == 150 == len(static) and log.users == 150 and (pseudo.log.item == -1).all()
    gaps = np.diff(pseudo.log.time)[np.diff(pseudo.log.session) == 0]
    assert set(gaps.tolist()) == {MINUTE}
    assert set(pseudo.log.time[pseudo.log.first[:-1]].tolist()) <= set(core.time[core.first[:-1]].tolist())
    names = {word for code, word in enumerate(core.words["event"]) if (pseudo.log.event == code).any()}
    assert "hold" in names and "held" not in names
