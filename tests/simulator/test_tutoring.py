"""A run with agents: replayed byte for byte and for nothing, gone on with after a stop, never above its ceiling."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from personas.errors import SettingsError, TutorError
from personas.population import DAY_MS
from personas.provenance import TutorIdentity, TutorReport
from simulator.agents.budget import Budget
from simulator.agents.connection import TutorSettings
from simulator.agents.counts import TutorCounts
from simulator.agents.language import Answer, LanguageModel, Request
from simulator.agents.recordings import FILE, Recordings
from simulator.agents.replay import RecordedModel
from simulator.choice import Interrupted
from simulator.daemon import _tutoring
from simulator.order import Order
from simulator.partitioner import Shard
from simulator.producer import MemoryProducer
from simulator.run import Plan
from simulator.settings import load_settings
from simulator.simulation import Held, Simulation
from simulator.tutoring import MakeModel, Tutoring
from tests.runs import START, identity_of, pack_of
from tests.simulator.agents.brains import Brain, BrainModel, silly, talking

TUTOR = TutorIdentity(share=0.4, model="fake", prompts="0")
DAYS = 8
PRICE = 0.001


def odd(request: Request) -> dict[str, Any]:
    """As silly as an object can be."""
    if request.purpose not in ("walk", "plan"):
        return talking(request)
    content = silly(request)
    return content if isinstance(content, dict) else {}


class PaidModel(BrainModel):
    """Costs something for each answer, of a budget."""

    def __init__(self, brain: Brain, budget: Budget) -> None:
        super().__init__(brain)
        self.budget = budget

    async def ask(self, request: Request) -> Answer:
        (await self.budget.reserve(PRICE)).settle(PRICE)
        return await super().ask(request)


def recorded(brain: Brain | None) -> MakeModel:
    """Makes a model with this brain (None: nobody may be asked) that keeps and repeats as the settings say."""

    def make(settings: TutorSettings, budget: Budget, counts: TutorCounts) -> LanguageModel:
        model = None if brain is None else PaidModel(brain, budget)
        mode, folder = settings.tutor_recording_mode, settings.tutor_recordings
        assert folder is not None
        return RecordedModel(model, Recordings(folder / FILE, writable=brain is not None), mode, counts)

    return make


def settings(folder: Path | None, mode: str = "auto") -> TutorSettings:
    return TutorSettings(tutor_recordings=folder, tutor_recording_mode=mode)  # type: ignore[arg-type]


def played(
    chosen: TutorSettings, make: MakeModel, *, ceiling: float | None = None, until: int = DAYS * DAY_MS,
    held: Held | None = None, stopping: Callable[[], bool] = lambda: False, earlier: TutorReport | None = None,
) -> tuple[MemoryProducer, Simulation, TutorReport]:  # fmt: skip
    identity = identity_of("shop", users=80).model_copy(update={"tutor": TUTOR})
    producer = MemoryProducer()
    with Tutoring(TUTOR, chosen, ceiling, make) as tutoring:
        simulation = Simulation(pack_of("shop"), identity, Shard(0, 1, 4), producer, agents=tutoring.agents,
                                speaker=tutoring.speaker)  # fmt: skip
        simulation.resume(held or {})
        tutoring.stopping = stopping
        tutoring.open(resumed=bool(held), earlier=earlier)
        try:
            simulation.advance(until)
        except Interrupted:
            assert stopping()
        return producer, simulation, tutoring.report(START)


def sha(producer: MemoryProducer) -> str:
    return hashlib.sha256(b"\n".join(one.value for one in producer.records)).hexdigest()


def test_a_replay_has_the_same_bytes_asks_nobody_and_costs_nothing(tmp_path: Path) -> None:
    first, _, told = played(settings(tmp_path, "record"), recorded(odd))
    again, _, repeated = played(settings(tmp_path, "replay"), recorded(None))
    assert sha(again) == sha(first) and len(first.records) > 300
    assert told.dollars > 0.1 and told.replayed == 0 and sum(told.refused.values()) > 10
    assert repeated.dollars == 0 and repeated.replayed == round(told.dollars / PRICE)
    assert (repeated.outcomes, repeated.refused) == (told.outcomes, told.refused)


def test_a_run_of_another_seed_is_not_in_the_recordings(tmp_path: Path) -> None:
    Recordings(tmp_path / FILE).close()
    with pytest.raises(TutorError, match="No recording of a walk question"):
        played(settings(tmp_path, "replay"), recorded(None))


@pytest.mark.parametrize("ceiling", [None, 0.15])
def test_a_run_that_was_stopped_goes_on_where_the_topics_end(tmp_path: Path, ceiling: float | None) -> None:
    """Started, stopped in the middle of a window, started again: together what a repetition in one piece gives."""
    kept = settings(tmp_path)
    begun, simulation, so_far = played(kept, recorded(odd), ceiling=ceiling, until=5 * DAY_MS)
    held = {each.topic: dict(each.reached) for each in simulation.sequences}
    stopped, _, _ = played(kept, recorded(odd), ceiling=ceiling, held=held, stopping=in_the_middle(), earlier=so_far)
    assert stopped.records == [], "nothing of a window that was given up is sent"
    rest, _, end = played(kept, recorded(odd), ceiling=ceiling, held=held, earlier=so_far)
    whole, _, _ = played(settings(tmp_path, "replay"), recorded(None))
    values = [one.value for one in (*begun.records, *rest.records)]
    assert sorted(values) == sorted(one.value for one in whole.records)
    assert len(set(values)) == len(values) and 0 < len(rest.records) < len(values)
    assert (end.stepped_down > 0) == (ceiling is not None) and (ceiling is None or end.dollars <= ceiling)


def in_the_middle() -> Callable[[], bool]:
    """Says stop when it has been asked often enough."""
    asked = 0

    def stopping() -> bool:
        nonlocal asked
        asked += 1
        return asked > 150

    return stopping


def test_at_the_ceiling_the_run_goes_on_from_tables_and_says_so(tmp_path: Path) -> None:
    producer, _, told = played(settings(tmp_path), recorded(odd), ceiling=0.1)
    assert 0.09 < told.dollars <= 0.1 and told.stepped_down > 0 and told.ceiling == 0.1
    assert told.stepped_down_at is not None and told.outcomes["stepped_down"] > 0 and told.outcomes["tables"] > 0
    texts = [one.value for one in producer.records if one.topic == "dayone.shop.events"]
    late = [text for text in texts if b'"generator":"tutor"' not in text]
    assert len(late) < len(texts)
    again, _, _ = played(settings(tmp_path, "replay"), recorded(None))
    assert sha(again) == sha(producer), "the step down is repeated as well"


@pytest.mark.parametrize(("folder", "mode"), [(None, "auto"), (Path("recordings"), "record")])
def test_what_cannot_be_repeated_cannot_go_on(folder: Path | None, mode: str) -> None:
    with (
        Tutoring(TUTOR, settings(folder, mode), None, recorded(odd)) as tutoring,
        pytest.raises(SettingsError, match="what its agents decided cannot be repeated"),
    ):
        tutoring.open(resumed=True)


def test_money_that_an_earlier_start_spent_counts(tmp_path: Path) -> None:
    with Tutoring(TUTOR, settings(tmp_path), 1.0, recorded(odd)) as tutoring:
        tutoring.open(resumed=True, earlier=TutorReport(dollars=0.75))
        assert tutoring.budget.ceiling == 0.25
        assert tutoring.report(START).dollars == 0.75
    with Tutoring(TUTOR, settings(tmp_path), 1.0, recorded(odd)) as tutoring:
        tutoring.open(resumed=True, earlier=TutorReport(dollars=2.0))
        assert tutoring.budget.ceiling == 0


@pytest.mark.parametrize(("budget", "shards", "ceiling"), [(5.0, 1, 5.0), (5.0, 2, 2.5), (None, 2, None)])
def test_shards_share_the_ceiling_of_their_run(budget: float | None, shards: int, ceiling: float | None) -> None:
    tutor = TutorIdentity(share=0.5, model="tiny", prompts="ab")
    identity = identity_of("shop", users=10).model_copy(update={"tutor": tutor})
    order = Order(pack_of("shop"), identity, Plan(days=1), budget=budget)
    assert _tutoring(order, load_settings(), Shard(0, shards, 4)).ceiling == ceiling
