"""The agents of a run in one process: their event loop, the language model, the money, and what is told of them.

A `Tutoring` is made when a run starts, handed to the simulation as the maker of its agents' chooser, and opened once it
is known what the topics hold: only then is there a language model. A run that goes on has to decide again what it has
decided, so it needs the recordings of its answers; the money that it spent before counts towards the ceiling. How much
that was, stands in the manifest that it last sent, and to the last call in a file (`agents/spending.py`).
Knows agents and settings, no Kafka and no terminal.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

from personas.errors import SettingsError, TutorError
from personas.population import Population
from personas.provenance import TutorIdentity, TutorReport
from simulator.agents.asking import Asker, until_stopped
from simulator.agents.batches import all_at_once
from simulator.agents.budget import Budget
from simulator.agents.connection import TutorSettings
from simulator.agents.conversing import SupportAgents
from simulator.agents.counts import TutorCounts
from simulator.agents.language import Answer, LanguageModel, Request
from simulator.agents.making import make_language_model
from simulator.agents.many import ask_many
from simulator.agents.plan import Plan
from simulator.agents.planner import Kind, make_plans, summary_of
from simulator.agents.playing import PlanChooser
from simulator.agents.quality import Measure, of_texts
from simulator.agents.replay import RecordedModel
from simulator.agents.screen import Screens
from simulator.agents.spending import FILE, LONE_FILE, Payer, Spending
from simulator.agents.walker import Walker, WalkRules
from simulator.choice import BehaviourChooser, Chooser, Interrupted
from simulator.support.speaking import Speaker
from simulator.world import World

log = logging.getLogger("dayone.simulator")
MakeModel = Callable[[TutorSettings, Budget, TutorCounts], LanguageModel]


def _make(settings: TutorSettings, budget: Budget, counts: TutorCounts) -> LanguageModel:
    return make_language_model(settings, budget, counts=counts)


class Tutoring:
    """The agents of one run. A context manager: it ends with connections closed and recordings folded in. `ceiling` in
    dollars, for what this process plays of the run; `payer`: whose account it is (None: nothing is written down);
    `batches`: plans are asked for in message batches (half the price, within a day)."""

    def __init__(
        self, identity: TutorIdentity, settings: TutorSettings, ceiling: float | None, make: MakeModel = _make,
        *, batches: bool = False, payer: Payer | None = None,
    ) -> None:  # fmt: skip
        self.identity, self.settings, self.ceiling, self.batches = identity, settings, ceiling, batches
        self.counts, self.budget = TutorCounts(), Budget(ceiling)
        self.payer = payer
        self.spending: Spending | None = None
        self.asker = Asker()
        #: Asked while questions are under way: whether they should be given up.
        self.stopping: Callable[[], bool] = lambda: False
        self._make = make
        self._runner = asyncio.Runner()
        self._earlier = TutorReport()
        self._planned: PlanChooser | None = None
        self._measured: tuple[int, tuple[Measure, ...]] = (0, ())
        self._plans: dict[Kind, list[Plan]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        try:
            if self.asker.model is not None:
                self._runner.run(self.asker.model.close())
        finally:
            self._runner.close()
            if self.spending is not None:
                self.spending.close()

    def agents(self, population: Population, world: World, fallback: BehaviourChooser) -> Chooser:
        """The chooser of the users whom agents play."""
        if self.identity.mode == "plan":
            self._planned = PlanChooser(population, world, fallback, self.asker.counts)
            if self.asker.model is not None:
                self._plan(self._planned)
            return self._planned
        rules = WalkRules(exact=self.identity.exact)
        return Walker(
            population, world, fallback, self.asker, self.identity.model, runner=self._runner, rules=rules,
            stopping=self._stop_now,
        )  # fmt: skip

    def speaker(self, population: Population, world: World) -> Speaker | None:
        """Who speaks when users whom agents play write to support; nobody where the product has none."""
        if world.pack.help is None:
            return None
        screens = Screens(world, population)
        return SupportAgents(
            world.pack, population, self.asker, self.identity.model, runner=self._runner, persona=screens.persona,
            attributes=screens.attributes, stopping=self._stop_now,
        )  # fmt: skip

    def _stop_now(self) -> bool:
        return self.stopping()

    def open(self, *, resumed: bool, earlier: TutorReport | None = None) -> None:
        """Before the first question. `resumed`: the topics hold some of the run. SettingsError when it then cannot be
        repeated; otherwise as `make_language_model`."""
        folder, mode = self.settings.tutor_recordings, self.settings.tutor_recording_mode
        if resumed and (folder is None or mode == "record"):
            raise SettingsError(
                "The topics hold part of this run already, and what its agents decided cannot be repeated: it cannot "
                "go on.",
                hint="Give --recordings DIR from the start, and no --record to go on; or another --seed for a new run.",
            )
        self._earlier = self._spent_before(earlier or TutorReport(), fresh=not resumed)
        if self.ceiling is not None:
            self.budget = Budget(max(0.0, self.ceiling - self._earlier.dollars), self.spending)

        async def made() -> LanguageModel:
            return self._make(self.settings, self.budget, self.counts)

        model = self._runner.run(made())
        if isinstance(model, RecordedModel):
            model.faithful = resumed
        self.asker.model = model
        if self._planned is not None:
            self._plan(self._planned)

    def _spent_before(self, earlier: TutorReport, *, fresh: bool) -> TutorReport:
        """The report of earlier starts, with all that they have spent: more than the report knows, where they were
        killed. Who asks nobody has no account."""
        if self.payer is None or self.ceiling is None or self.settings.tutor_recording_mode == "replay":
            return earlier
        self.spending = Spending(spending_file(self.settings), replace(self.payer, fresh=fresh and self.payer.fresh))
        spent = max(earlier.dollars, self.spending.spent())
        if spent:
            log.info("%.4f of %.2f dollars were spent by earlier starts of this run", spent, self.ceiling)
        return earlier.model_copy(update={"dollars": spent})

    @property
    def spent_before(self) -> float:
        """Dollars that earlier starts have spent, once it is open."""
        return self._earlier.dollars

    def complete(self) -> None:
        """The run has come to its end: the same run, begun anew where no topics hold it, has its whole budget again."""
        if self.spending is not None:
            self.spending.complete()

    def _plan(self, chooser: PlanChooser) -> None:
        """All plans that are needed, before any visit begins; they are asked for once."""
        if self._plans is not None:
            chooser.deal(self._plans)
            return
        model = self.asker.model
        assert model is not None

        async def ask(requests: Sequence[Request]) -> Sequence[Answer | TutorError]:
            return await (ask_many(model, requests) if self.batches else all_at_once(model.ask, requests))

        making = make_plans(chooser.world.pack, self.identity.model, ask, self.asker.counts)
        try:
            plans = self._runner.run(until_stopped(making, self._stop_now))
        except Interrupted:  # the run ends before it has begun
            return
        self._plans = plans
        chooser.deal(plans)
        made, missing = summary_of(plans)
        same = self.asker.counts.duplicate_plans
        log.info("%d plans for %d kinds of visits, %d refused as nearly the same", made, len(plans), same)
        if missing:
            log.warning("%d of %d kinds of visits have no plans: they are played from tables", missing, len(plans))

    def quality(self) -> tuple[Measure, ...]:
        """What goes wrong in what was written so far; measured again when there are a tenth more messages."""
        said = self.asker.counts.said
        if self.asker.counts.conversations > 1.1 * self._measured[0]:
            self._measured = self.asker.counts.conversations, of_texts(list(said))
        return self._measured[1]

    def report(self, start: datetime) -> TutorReport:
        """What was done and spent so far; `start` is the start of the run. Dollars include those of earlier starts."""
        agents, at = self.asker.counts, self.asker.counts.stepped_down_at
        quality = self.quality()
        return TutorReport(
            ceiling=self.ceiling,
            dollars=self._earlier.dollars + self.budget.spent,
            calls=self.counts.calls["answered"],
            replayed=self.counts.replayed,
            tokens=dict(self.counts.tokens),
            decisions=agents.decisions,
            refused=dict(agents.refused),
            errors=dict(agents.errors),
            outcomes={name or "tables": number for name, number in agents.outcomes.items()},
            conversations=agents.conversations,
            quality={one.name: round(one.figure, 6) for one in quality if one.figure is not None},
            warnings=tuple(str(one) for one in quality if one.warns),
            plans=agents.plans,
            duplicate_plans=agents.duplicate_plans,
            stepped_down=agents.stepped_down,
            stepped_down_at=None if at is None else start + timedelta(milliseconds=at),
        )


def spending_file(settings: TutorSettings) -> Path:
    """The file that remembers what runs have spent."""
    folder = settings.tutor_recordings
    return settings.tutor_spending or (LONE_FILE if folder is None else folder / FILE)
