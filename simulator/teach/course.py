"""A course: rounds of visits, each chosen by what the student does not know yet, until the money or the time is up.

    1. A first round of visits as they come tells what a decision costs.
    2. Each further round spends a part of the budget: most of it on the visits that take away most uncertainty per
       dollar (see `choosing`), the rest on visits as they come, which are held out to judge by.
    3. In the end the student is fitted to all that was taught, and judged on what was held out.

After each round everything is in the notebook. A round that is broken off is void; its answers are in the recordings,
if there are any. Knows no terminal and no language model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from personas.provenance import dayone_version
from personas.randomness import fold, root_key, uniform
from simulator.agents.quality import Measure, of_behaviour
from simulator.behaviour.artefact import TUTORED, Lineage, Student, Teacher
from simulator.behaviour.fit import Fitted, fit, report_of
from simulator.behaviour.traces import Traces
from simulator.choice import Interrupted
from simulator.teach.choosing import allot, survey
from simulator.teach.fidelity import Fidelity, HeldOut
from simulator.teach.notebook import Notebook
from simulator.teach.predicting import next_event_chances
from simulator.teach.teachers import Bill, TeacherOfCourse
from simulator.teach.walks import Room, Visits, next_users, visit

#: Visits of the first round, rounds after it, visits that a round has at least; what is held out, and the most of it.
PILOT, ROUNDS, LEAST_ROUND, HELD_OUT, MOST_HELD_OUT = 12, 8, 4, 0.2, 2000
#: The part of the others that is not chosen: a student that is wrong about what it knows would choose wrongly.
AS_THEY_COME = 0.5
#: So many times as many visits may be chosen for the same money, where they are that much shorter.
SHORTER = 4
#: The parts of the taught sessions that students are compared at.
PARTS = (0.25, 0.5, 1.0)


@dataclass(frozen=True)
class Plan:
    """At most so many dollars (at list price) and, if given, sessions."""

    budget: float
    sessions: int | None = None
    seed: int = 1


@dataclass(frozen=True)
class Lesson:
    """What a course came to: the student, how well it predicts, whether it was stopped before its end, and what is odd
    about the visits that it is taught by."""

    student: Student
    fidelity: tuple[Fidelity, ...]
    stopped: bool
    quality: tuple[Measure, ...] = ()


class Course:
    """One course. `keep` is called with the notebook after each round, `tell` before and after everything that takes
    time, `stopping` asks whether to stop."""

    def __init__(
        self,
        room: Room,
        teacher: TeacherOfCourse,
        notebook: Notebook,
        plan: Plan,
        *,
        keep: Callable[[Notebook], None] = lambda notebook: None,
        tell: Callable[[str, Notebook], None] = lambda what, notebook: None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self.room, self.teacher, self.notebook, self.plan = room, teacher, notebook, plan
        self.keep, self.tell, self.stopping = keep, tell, stopping
        self._paid_before = notebook.paid

    def teach(self) -> bool:
        """Go on until the budget, the sessions or the users are used up. False when it was stopped before."""
        while not self.stopping():
            chosen, held_out = self._next_round()
            if not len(chosen) + len(held_out):
                return True
            try:
                self._play(chosen, held_out)
            except Interrupted:
                return False
            finally:
                self.notebook.paid = self._paid_before + self.teacher.paid
                self.keep(self.notebook)
            if self.teacher.exhausted:
                return True
        return False

    def learn(self, *, complete: bool) -> Lesson:
        """Fit and judge the student."""
        notebook, world = self.notebook, self.room.world
        judge = HeldOut(notebook.held_out, world, self.plan.seed)
        taught, share = notebook.taught, notebook.taught.sessions / max(notebook.sessions, 1)
        found = [judge.judge("prior", self.room.prior)]
        order = np.argsort(uniform(fold(root_key("parts", self.plan.seed), np.arange(taught.sessions))), kind="stable")
        fitted = self._fit(taught)
        for part in PARTS:
            self.tell(f"judging {part:.0%} of the traces", notebook)
            keep = np.zeros(taught.sessions, dtype=bool)
            keep[order[: round(part * taught.sessions)]] = True
            behaviour = fitted.behaviour if part == 1.0 else self._fit(taught.of_sessions(keep)).behaviour
            one = judge.judge(f"student, {part:.0%}", behaviour, int(keep.sum()), notebook.dollars * share * part)
            gain = found[0].log_loss.value - one.log_loss.value
            found.append(replace(one, gain_per_dollar=gain / one.dollars if one.dollars > 0 else None))
        lineage = self._lineage(fitted, found)
        visits = Traces.join([taught, notebook.held_out])
        leaving = next_event_chances(visits, self.room.prior, world)[:, -1]
        quality = () if self.teacher.by_themselves else of_behaviour(visits, self.room.prior, leaving)
        return Lesson(Student(fitted.behaviour, lineage), tuple(found), not complete, quality)

    def _next_round(self) -> tuple[Visits, Visits]:
        """The visits to learn from, and those to hold out; none when the course is over."""
        notebook, plan = self.notebook, self.plan
        played = notebook.sessions + notebook.lost
        left = np.inf if plan.sessions is None else float(plan.sessions - played)
        if plan.budget <= 0:
            left = 0.0
        if not notebook.rounds:
            return self._natural(int(min(PILOT, left))), self._natural(0)
        per_visit = notebook.dollars / max(played, 1)
        round_of = np.inf if plan.sessions is None else plan.sessions / ROUNDS
        if per_visit > 0:
            left = min(left, (plan.budget - notebook.dollars) / per_visit)
            round_of = min(round_of, plan.budget / ROUNDS / per_visit)
        round_of = max(round_of, LEAST_ROUND)
        visits = 0 if np.isinf(left) else int(left if left < 1.5 * round_of else round_of)
        if visits < 1:
            return self._natural(0), self._natural(0)
        held_out = self._natural(min(round(HELD_OUT * visits), MOST_HELD_OUT - notebook.held_out.sessions))
        return self._chosen(visits - len(held_out), held_out), held_out

    def _natural(self, count: int) -> Visits:
        """Visits as they come."""
        users = next_users(self.room, self.notebook.used, max(count, 0))
        return Visits(users, np.full(len(users), -1), np.zeros(len(users), dtype=bool))

    def _chosen(self, count: int, held_out: Visits) -> Visits:
        """About so many visits: those that take away most uncertainty for the decisions (so, the dollars) they cost."""
        room, used = self.room, self.notebook.used.copy()
        used[held_out.user] = True
        users = next_users(room, used, round(AS_THEY_COME * count))
        used[users] = True
        parts = [Visits(users, np.full(len(users), -1), np.zeros(len(users), dtype=bool))]
        self.tell("looking where the student knows least", self.notebook)
        kinds = survey(room, self._fit(self.notebook.taught))
        waiting = np.bincount(room.population.persona[~used], minlength=len(room.pack.personas))
        decisions = len(self.notebook.taught) + len(self.notebook.held_out)
        per_visit = max(decisions / max(self.notebook.sessions, 1), 1.0)
        wanted = count - len(users)
        most = wanted if self.plan.sessions is not None else SHORTER * wanted
        numbers = allot(kinds, wanted * per_visit, most, waiting)
        for kind in np.flatnonzero(numbers).tolist():
            users = next_users(room, used, int(numbers[kind]), int(kinds.persona[kind]))
            used[users] = True
            intent, troubled = int(kinds.intent[kind]), bool(kinds.troubled[kind])
            parts.append(Visits(users, np.full(len(users), intent), np.full(len(users), troubled)))
        return Visits.join(parts)

    def _play(self, chosen: Visits, held_out: Visits) -> None:
        notebook, bill = self.notebook, self.teacher.bill
        before = Bill(bill.calls, bill.tokens.copy(), bill.dollars)
        visits = Visits.join([chosen, held_out])
        self.tell(f"round {notebook.rounds + 1}: {len(visits)} visits", notebook)
        traces, users = visit(self.room, visits, self.teacher, agents_only=self.teacher.agents_only)
        if not len(users) and self.stopping():
            raise Interrupted
        held = np.isin(users, held_out.user)
        notebook.taught = Traces.join([notebook.taught, traces.of_sessions(~held)])
        notebook.held_out = Traces.join([notebook.held_out, traces.of_sessions(held)])
        notebook.used[visits.user] = True
        notebook.lost += len(visits) - len(users)
        notebook.rounds += 1
        notebook.calls += bill.calls - before.calls
        notebook.dollars += bill.dollars - before.dollars
        notebook.tokens += bill.tokens - before.tokens

    def _fit(self, traces: Traces) -> Fitted:
        natural = self.teacher.by_themselves
        return fit(self.room.prior, traces, self.room.world, self.room.rankings, learn_intents=natural)

    def _lineage(self, fitted: Fitted, found: list[Fidelity]) -> Lineage:
        notebook, pack, teacher = self.notebook, self.room.pack, self.teacher
        return Lineage(
            dayone_version=dayone_version(),
            product=pack.product.name,
            pack_fingerprint=pack.fingerprint,
            fingerprint=fitted.behaviour.fingerprint,
            base=self.room.prior.fingerprint,
            seed=self.plan.seed,
            teacher=Teacher(
                kind=teacher.kind, model=teacher.model, prompts=teacher.prompts, sessions=notebook.sessions,
                lost=notebook.lost, calls=notebook.calls, tokens=dict(sorted(notebook.tokens.items())),
                dollars=round(notebook.dollars, 6), budget=self.plan.budget, **teacher.origin,
            ),
            generation=teacher.origin.get("generation", TUTORED) + 1,
            traces=notebook.taught.fingerprint,
            sessions=notebook.taught.sessions,
            decisions=len(notebook.taught),
            held_out_sessions=notebook.held_out.sessions,
            unexplained=fitted.unexplained,
            weights=report_of(fitted),
            fidelity={one.name: one.told() for one in found},
        )  # fmt: skip
