"""What measures look at: the logs, with what is computed once for several of them.

The core and the hold-out are missing together where there is no real log: then only measures that need none speak.
Knows logs and learners, no measure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal, TypeVar

import numpy as np

from personas.randomness import F64, root_key, uniform
from personas.randomness import fold as mixed_into
from sinks.proof.learners import next_event, next_item, outcome
from sinks.proof.learners.arms import Areas, Means, Weights
from sinks.proof.learners.coding import Coding, coding_of
from sinks.proof.learners.models import Kind
from sinks.proof.learners.next_event import Rows as Steps
from sinks.proof.learners.outcome import Outcome
from sinks.proof.learners.outcome import Rows as Ends
from sinks.proof.log import Log, Mask, concatenated
from sinks.proof.markov import Markov
from sinks.proof.sampling import FEW, at_most, bits_of, folds, replicates, share_of_users

Found = TypeVar("Found")
Checked = Literal["checked on real hold-out", "hold-out not independent: it taught the model", "synthetic only"]
#: What is said instead where the hold-out is among the files that the model learned from.
NOT_INDEPENDENT: Final = "hold-out not independent: it taught the model"
#: At most: sessions of each log that are looked at, rows that a model of next events is trained or tested on, and
#: questions to recommenders.
SESSIONS, ROWS, ASKED = 12_000, 40_000, 20_000
#: The share of the core's users that stays in a mix; of fewer sessions than these no mix is made.
KEPT, FEWEST = 0.1, 10
#: Why a measure of items says nothing where `items_differ` does not hold.
SAME_ITEMS = "the core has too few items in use, or one of them nearly everywhere"
#: Why it says nothing where items differ.
NO_NEXT_ITEM = "no session of the hold-out goes on to another item: there is no question"


@dataclass(frozen=True, eq=False)
class Evidence:
    """The logs of a proof. `conversion` names the event that the product lives on; `replicates` is how many bootstrap
    replicates make an interval. `taught`: the model learned from the hold-out as well. `learned`: the synthetic log
    tells that its model learned from a core."""

    synthetic: Log
    core: Log | None = None
    holdout: Log | None = None
    seed: int = 0
    replicates: int = 200
    conversion: str | None = None
    taught: bool = False
    learned: bool = False
    _once: dict[object, Any] = field(default_factory=dict, repr=False)
    #: What depends on core and hold-out alone: another synthetic log in the same words may keep it.
    _of_real: dict[object, Any] = field(default_factory=dict, repr=False)

    @property
    def checked(self) -> Checked:
        """What a reader has to know of every figure."""
        if self.holdout is None:
            return "synthetic only"
        return NOT_INDEPENDENT if self.taught else "checked on real hold-out"

    def once(self, key: object, make: Callable[[], Found]) -> Found:
        """What `make` gives, made only once for this key."""
        if key not in self._once:
            self._once[key] = make()
        found: Found = self._once[key]
        return found

    def once_real(self, key: object, make: Callable[[], Found]) -> Found:
        """The same for what does not depend on the synthetic log."""
        if key not in self._of_real:
            self._of_real[key] = make()
        found: Found = self._of_real[key]
        return found

    @cached_property
    def real(self) -> tuple[Log, Log]:
        """Core and hold-out; only for measures that need them."""
        assert self.core is not None and self.holdout is not None, "asked of a measure that does not need real logs"
        return self.core, self.holdout

    @cached_property
    def coding(self) -> Coding:
        """How the features of all arms are coded."""
        return coding_of(self.synthetic if self.core is None else self.core)

    @cached_property
    def samples(self) -> dict[str, Log]:
        """The training log of each arm but `fresh` and `reference`, and the test log, within the stated sizes."""
        ours, real = at_most(self.synthetic, SESSIONS, self.seed), self.once_real("samples", self._samples)
        mix = {"mix": concatenated(real["tenth"], ours)} if "tenth" in real else {}
        return {"synthetic": ours, **mix, **real}

    def _samples(self) -> dict[str, Log]:
        core, test = (at_most(log, SESSIONS, self.seed) for log in self.real)
        tenth = share_of_users(core, KEPT, self.seed)
        kept = {"tenth": tenth} if tenth.sessions >= FEWEST else {}
        return {"real": core, "test": test, "markov": Markov().make(core, core.sessions, self.seed), **kept}

    @property
    def mixes(self) -> bool:
        """Whether there are the arms `tenth` and `mix`."""
        return "mix" in self.samples

    @cached_property
    def real_samples(self) -> dict[str, Log]:
        """`samples` without those that are only there to compare with."""
        return {arm: log for arm, log in self.samples.items() if arm in ("synthetic", "real", "test")}

    def _taught(self, *, real: bool) -> dict[str, Log]:
        """The logs that models are trained on, but for `fresh` and `reference`: those of real users, to which the chain
        counts, or those with synthetic ones."""
        names = ("real", "markov", "tenth") if real else ("synthetic", "mix")
        return {arm: self.samples[arm] for arm in names if arm in self.samples}

    @property
    def folds(self) -> tuple[tuple[Log, Log, Log], ...]:
        """Twice: a fresh real sample, a part of the core of that size, and the test log whose users are in neither. The
        two test logs together are the test log of `samples`."""
        return self.once_real("folds", self._folds)

    def _folds(self) -> tuple[tuple[Log, Log, Log], ...]:
        one, other = folds(self.samples["test"], self.seed)
        mine, yours = folds(self.samples["real"], self.seed)
        size = min(part.sessions for part in (one, other, mine, yours))
        return tuple(
            (at_most(fresh, size, self.seed), at_most(ours, size, self.seed), test)
            for fresh, ours, test in ((one, mine, other), (other, yours, one))
        )

    def weights(self, log: Log) -> Weights:
        """Bootstrap weights of the users of a log; computed once. The log is kept, so that its id stays its own."""
        return self.once(("weights", id(log)), lambda: (log, replicates(log, self.seed, self.replicates)))[1]

    def next_event(self, kind: Kind) -> tuple[Means, Means]:
        """Hits and log-likelihoods of each arm on the next event or end."""
        return self.once(("next_event", kind), lambda: self._next_event(kind))

    def _next_event(self, kind: Kind) -> tuple[Means, Means]:
        classes = self.coding.event_codes + 1
        whole = self.samples["test"]
        asked = _few(whole, ROWS, self.seed)[whole.session]
        test = next_event.rows_of(whole, self.coding).take(asked)
        hits, likely = self.once_real(("next_event", kind), lambda: self._next_event_of_real(kind, test))
        hits, likely = dict(hits), dict(likely)
        for arm, log in self._taught(real=False).items():
            guess = next_event.predicted(kind, self._steps(log), test, classes)
            hits[arm] = next_event.hits(guess, test.answers)
            likely[arm] = next_event.log_likelihood(guess, test.answers)
        users = len(whole.users)
        return Means(hits, test.user, users), Means(likely, test.user, users)

    def _next_event_of_real(self, kind: Kind, test: Steps) -> tuple[dict[str, F64], dict[str, F64]]:
        classes, whole = self.coding.event_codes + 1, self.samples["test"]
        rows = {arm: self._steps(log) for arm, log in self._taught(real=True).items()}
        said = {arm: next_event.predicted(kind, each, test, classes) for arm, each in rows.items()}
        said["trivial"] = next_event.frequencies(rows["real"], len(test.answers), classes)
        hits = {arm: next_event.hits(each, test.answers) for arm, each in said.items()}
        likely = {arm: next_event.log_likelihood(each, test.answers) for arm, each in said.items()}
        for arm, place in (("fresh", 0), ("reference", 1)):
            hits[arm], likely[arm] = np.zeros(len(test.answers)), np.zeros(len(test.answers))
            for parts in self.folds:
                where = np.isin(whole.users, parts[2].users)[test.user]
                part = test.take(where)
                guess = next_event.predicted(kind, self._steps(parts[place]), part, classes)
                hits[arm][where] = next_event.hits(guess, part.answers)
                likely[arm][where] = next_event.log_likelihood(guess, part.answers)
        return hits, likely

    def _steps(self, log: Log) -> Steps:
        """The rows on next events of a log, as many as a model is trained on."""
        return next_event.rows_of(log, self.coding).take(_few(log, ROWS, self.seed)[log.session])

    @cached_property
    def items_differ(self) -> bool:
        """Whether the items of the core can be told apart: more than 20 in use, none in nine rows of ten."""
        core, _ = self.real
        counts = np.bincount(core.item[core.item >= 0], minlength=1)
        return bool((counts >= 5).sum() > 20 and counts.max() <= 0.9 * counts.sum())

    def next_item(self, *, only_new: bool) -> tuple[Means, Means] | None:
        """Hits among the first 20 and reciprocal ranks of each arm on the next item; None where items do not
        differ."""
        return self.once(("next_item", only_new), lambda: self._next_item(only_new))

    def _next_item(self, only_new: bool) -> tuple[Means, Means] | None:
        if not self.items_differ:
            return None
        core, test = self.real[0], self.samples["test"]
        trained = {**self._taught(real=True), **self._taught(real=False), "synthetic": self.synthetic, "real": core}
        models = {arm: next_item.taught(log) for arm, log in trained.items()}
        models["trivial"] = next_item.popular(core)
        result: dict[str, list[F64]] = {arm: [] for arm in (*models, "fresh", "reference")}
        users: list[Any] = []
        for fresh, ours, asking in self.folds:
            questions = _thinned(next_item.asked(asking), only_new, self.seed)
            if not len(questions.truth):
                return None
            both = {"fresh": next_item.taught(fresh), "reference": next_item.taught(ours)}
            for arm, model in {**models, **both}.items():
                result[arm].append(next_item.ranks(model, questions, only_new=only_new).astype(np.float64))
            codes = {user: code for code, user in enumerate(test.users.tolist())}
            users.append(np.array([codes[user] for user in asking.users.tolist()])[questions.user])
        ranks = {arm: np.concatenate(parts) for arm, parts in result.items()}
        user = np.concatenate(users)
        hits = {arm: (rank <= 20).astype(np.float64) for arm, rank in ranks.items()}
        found = {arm: np.where(rank <= 20, 1.0 / rank, 0.0) for arm, rank in ranks.items()}
        return Means(hits, user, len(test.users)), Means(found, user, len(test.users))

    @cached_property
    def outcomes(self) -> dict[str, Outcome]:
        """The outcomes that the core has, by name."""
        core, _ = self.real
        return {each.name: each for each in outcome.outcomes_of(core, self.conversion)}

    def outcome(self, name: str, kind: Kind) -> Areas | None:
        """Areas under the curve of each arm on an outcome; None where the core has no such outcome."""
        return self.once(("outcome", name, kind), lambda: self._outcome(name, kind))

    def _outcome(self, name: str, kind: Kind) -> Areas | None:
        if name not in self.outcomes:
            return None
        what = self.outcomes[name]
        test = outcome.rows_of(what, self.samples["test"], self.coding)
        values = dict(self.once_real(("outcome", name, kind), lambda: self._outcome_of_real(what, kind, test)))
        for arm, log in self._taught(real=False).items():
            values[arm] = outcome.predicted(kind, outcome.rows_of(what, log, self.coding), test)
        return Areas(values, test.answers, test.user)

    def _outcome_of_real(self, what: Outcome, kind: Kind, test: Ends) -> dict[str, F64]:
        whole, logs = self.samples["test"], self._taught(real=True)
        rows = {arm: outcome.rows_of(what, log, self.coding) for arm, log in logs.items()}
        values = {arm: outcome.predicted(kind, each, test) for arm, each in rows.items()}
        values["trivial"] = np.zeros(len(test.answers))
        for arm, place in (("fresh", 0), ("reference", 1)):
            values[arm] = np.zeros(len(test.answers))
            for parts in self.folds:
                where = np.isin(whole.users, parts[2].users)[test.user]
                train = outcome.rows_of(what, parts[place], self.coding)
                values[arm][where] = _ranked(outcome.predicted(kind, train, test.take(where)))
        return values


def _few(log: Log, rows: int, seed: int) -> Mask:
    """Sessions of some users, by hash, that together have about so many rows."""
    return (uniform(mixed_into(mixed_into(bits_of(log.users), FEW), seed)) < rows / max(log.rows, 1))[log.user]


def _ranked(values: F64) -> F64:
    """Values as shares of the values that are not larger, so that those of two models can be put together."""
    return np.asarray(np.searchsorted(np.sort(values), values, side="right") / max(len(values), 1))


def _thinned(questions: next_item.Questions, only_new: bool, seed: int) -> next_item.Questions:
    """At most ASKED / 2 questions, chosen by hash; only those about new items where that is asked."""
    chosen = questions.new if only_new else np.ones(len(questions.truth), bool)
    share = ASKED / 2 / max(int(chosen.sum()), 1)
    bits = mixed_into(root_key("questions", seed), np.arange(len(chosen)))
    chosen = chosen & (uniform(bits) < share)
    return questions.take(chosen)
