"""Is there as much variety as in real life? Coverage, runs, and differences between people."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from scipy import sparse

from personas.randomness import F64
from sinks.proof.comparing import Weights, grams
from sinks.proof.evidence import SAME_ITEMS, Evidence
from sinks.proof.learners.coding import new_items
from sinks.proof.likeness import fingerprints, tokens
from sinks.proof.log import I64, Log
from sinks.proof.measures.popularity import counter
from sinks.proof.measures.shared import with_floor
from sinks.proof.metric import Figure, Goal, Group
from sinks.proof.sampling import Estimate, at_most, estimate

#: Share of all interactions that the popular items make up; the others are the tail.
HEAD = 0.8


class CatalogueCoverage:
    """Share of the items of the hold-out that occur in as many synthetic sessions."""

    name: ClassVar[str] = "catalogue_coverage"
    group: ClassVar[Group] = "diversity"
    title: ClassVar[str] = "Items of the hold-out that occur at all"
    goal: ClassVar[Goal] = "higher"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)
    unit: ClassVar[str] = "share of items"
    source: ClassVar[str] = "catalogue coverage: Ge et al. 2010, doi:10.1145/1864708.1864761"
    needs_holdout: ClassVar[bool] = True
    tail: ClassVar[bool] = False

    def compute(self, evidence: Evidence) -> Figure | str:
        """See Metric."""
        if not evidence.items_differ:
            return SAME_ITEMS
        samples = evidence.samples
        size = min(log.sessions for log in samples.values())
        seen = {arm: np.unique(at_most(samples[arm], size, evidence.seed).item) for arm in ("synthetic", "real")}
        table = counter(samples["test"])
        counts = np.asarray(table.sum(axis=1)).ravel()
        asked = counts > 0
        if self.tail:
            asked &= ~popular(samples["real"])
        if not asked.any():
            return "there is no tail: few items make up all interactions"
        covered = {arm: np.isin(np.arange(len(counts)), items) & asked for arm, items in seen.items()}

        def share(arm: str, _ours: Weights, theirs: Weights) -> float:
            drawn = np.asarray(table @ theirs)
            drawn = drawn if self.tail else (drawn > 0).astype(np.float64)
            return float(drawn @ covered[arm] / max(float(drawn @ asked), 1e-12))

        value, floor = with_floor(evidence, share)
        return Figure(
            value=value, floor=floor, real=1.0,
            sizes={"items": int(asked.sum()), "sessions": size},
            parts={f"{arm}_items": float(len(items)) for arm, items in seen.items()},
        )  # fmt: skip


class TailCoverage(CatalogueCoverage):
    """Share of the hold-out's interactions with items of the tail whose item occurs in as many synthetic sessions."""

    name: ClassVar[str] = "tail_coverage"
    title: ClassVar[str] = "Interactions with rare items whose item occurs at all"
    unit: ClassVar[str] = "share of interactions"
    source: ClassVar[str] = "own: coverage of the items outside the most popular that make up 80 % of interactions"
    tail: ClassVar[bool] = True


class Trigrams:
    """Different runs of three events with their items, over as many sessions of the hold-out: 1 is as many."""

    name: ClassVar[str] = "trigrams"
    group: ClassVar[Group] = "diversity"
    title: ClassVar[str] = "Different runs of three events with items, over those of the hold-out (1 is as many)"
    goal: ClassVar[Goal] = "close"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, None)
    unit: ClassVar[str] = "ratio"
    source: ClassVar[str] = "distinct-3: Li et al. 2016, arXiv:1510.03055"
    needs_holdout: ClassVar[bool] = True

    def compute(self, evidence: Evidence) -> Figure | str:
        """See Metric."""
        samples = evidence.samples
        size = min(log.sessions for log in samples.values())
        logs = {arm: at_most(samples[arm], size, evidence.seed) for arm in ("synthetic", "real", "test")}
        counts = {arm: _different(log) for arm, log in logs.items()}
        rates = {arm: count / logs[arm].sessions for arm, count in counts.items()}
        # Drawing with replacement would lose different ones: halves of the users say how sure the number is.
        spread = float(np.std([_half_rate(logs["synthetic"], evidence.seed + place) for place in range(8)]))
        value = rates["synthetic"] / rates["test"]
        half = 1.96 * spread / max(_half_rate(logs["test"], evidence.seed), 1e-12)
        return Figure(
            value=Estimate(value, max(0.0, value - half), value + half),
            floor=Estimate(rates["real"] / rates["test"], float("nan"), float("nan")),
            real=1.0,
            sizes={f"{arm}_sessions": log.sessions for arm, log in logs.items()},
            parts={arm: float(count) for arm, count in counts.items()},
        )


class DifferentSessions:
    """Share of the synthetic sessions with at least four events that no other synthetic session equals."""

    name: ClassVar[str] = "different_sessions"
    group: ClassVar[Group] = "diversity"
    title: ClassVar[str] = "Sessions that no other synthetic session equals"
    goal: ClassVar[Goal] = "close"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)
    unit: ClassVar[str] = "share of sessions"
    source: ClassVar[str] = "own: unique sequences"
    needs_holdout: ClassVar[bool] = False

    def compute(self, evidence: Evidence) -> Figure | str:
        """See Metric."""
        logs = {"synthetic": evidence.synthetic} if evidence.holdout is None else evidence.real_samples
        size = min(log.sessions for log in logs.values())
        logs = {arm: at_most(log, size, evidence.seed) for arm, log in logs.items()}
        found = {arm: _unlike_others(log) for arm, log in logs.items()}
        if not len(found["synthetic"][0]):
            return "no session has four events"

        def share(arm: str, weights: Weights) -> float:
            alone, user = found[arm]
            return float(weights[user] @ alone / max(float(weights[user].sum()), 1e-12))

        def of(arm: str) -> Estimate:
            return estimate(lambda weights: share(arm, weights), evidence.weights(logs[arm]))

        return Figure(
            value=of("synthetic"),
            floor=of("real") if "real" in logs else None,
            real=of("test").value if "test" in logs else None,
            sizes={f"{arm}_sessions": log.sessions for arm, log in logs.items()},
        )


class BetweenPersonas:
    """Share of the variance of sessions (length, pace, items, events) that lies between personas, not within."""

    name: ClassVar[str] = "between_personas"
    group: ClassVar[Group] = "diversity"
    title: ClassVar[str] = "Variance of sessions that lies between personas"
    goal: ClassVar[Goal] = "close"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)
    unit: ClassVar[str] = "share of variance"
    source: ClassVar[str] = "eta squared: Fisher 1925; mean over traits"
    needs_holdout: ClassVar[bool] = False

    def compute(self, evidence: Evidence) -> Figure | str:
        """See Metric."""
        logs = {"synthetic": evidence.synthetic} if evidence.holdout is None else evidence.real_samples
        groups = {arm: self._groups(log) for arm, log in logs.items()}
        if groups["synthetic"] is None:
            return "no groups: the synthetic log has no personas, or users have one session each"
        values = {arm: _few_traits(log) for arm, log in logs.items()}

        def of(arm: str) -> Estimate | None:
            group = groups[arm]
            if group is None:
                return None
            user = logs[arm].user
            return estimate(lambda drawn: explained(values[arm], group, drawn[user]), evidence.weights(logs[arm]))

        value = of("synthetic")
        assert value is not None
        real = of("test") if "test" in logs else None
        return Figure(
            value=value,
            floor=of("real") if "real" in logs else None,
            real=None if real is None else real.value,
            sizes={f"{arm}_sessions": log.sessions for arm, log in logs.items()},
        )

    def _groups(self, log: Log) -> I64 | None:
        known = np.unique(log.persona)
        return log.persona.astype(np.int64) - int(known.min()) if len(known[known >= 0]) > 1 else None


class BetweenUsers(BetweenPersonas):
    """The same between users: how much of a session is its user's habit."""

    name: ClassVar[str] = "between_users"
    title: ClassVar[str] = "Variance of sessions that lies between users, of those who came back"
    source: ClassVar[str] = "adjusted eta squared (epsilon squared): Kelley 1935; mean over traits"

    def _groups(self, log: Log) -> I64 | None:
        return log.user if log.returns and log.sessions - len(log.users) >= 50 else None


def popular(log: Log) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """The head of the catalogue: the most popular items that together make up 80 % of a log's interactions."""
    counts = np.bincount(log.item[log.item >= 0], minlength=len(log.words.items))
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]
    head = np.zeros(len(counts), bool)
    head[order[before < HEAD * counts.sum()]] = True
    return head


def explained(values: F64, group: I64, weights: Weights) -> float:
    """The share of variance between groups, adjusted for their number, as a mean over the columns."""
    rows = np.arange(len(group))
    drawn = sparse.csr_matrix((weights.astype(np.float64), (group, rows)), shape=(int(group.max()) + 1, len(group)))
    total = np.asarray(drawn.sum(axis=1)).ravel()
    some = total > 0
    count = float(total.sum())
    sums, squares = drawn @ values, (drawn @ values**2).sum(axis=0)
    spread = squares - sums.sum(axis=0) ** 2 / count
    inner = squares - (sums[some] ** 2 / total[some, None]).sum(axis=0)
    free = max(count - some.sum(), 1.0)
    shares = 1 - (inner / free) / np.maximum(spread / max(count - 1, 1.0), 1e-12)
    return float(np.clip(shares[spread > 1e-9], 0, 1).mean()) if (spread > 1e-9).any() else 0.0


def _few_traits(log: Log) -> F64:
    first = log.start[:-1]
    pace = np.log1p(np.maximum(np.nan_to_num(log.gap), 0))
    columns = [
        np.log1p(log.length), np.add.reduceat(pace, first) / np.maximum(log.length - 1, 1),
        np.log1p(np.add.reduceat(new_items(log).astype(np.float64), first)),
    ]  # fmt: skip
    for code in np.argsort(-np.bincount(log.event))[:5]:
        columns.append(np.add.reduceat((log.event == code).astype(np.float64), first) / log.length)
    return np.column_stack(columns)


def _different(log: Log) -> int:
    codes = np.unique(tokens(log), return_inverse=True)[1].astype(np.int64)
    return len(np.unique(grams(codes, log.length, 3)))


def _half_rate(log: Log, seed: int) -> float:
    half = at_most(log, log.sessions // 2, seed)
    return _different(half) / max(half.sessions, 1)


def _unlike_others(log: Log) -> tuple[F64, I64]:
    long = log.length >= 4
    marks = fingerprints(log)[long]
    if not len(marks):
        return np.zeros(0), np.zeros(0, np.int64)
    place, counts = np.unique(marks, return_inverse=True, return_counts=True)[1:]
    return (counts[place] == 1).astype(np.float64), log.user[long]
