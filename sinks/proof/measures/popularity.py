"""Which items are popular, and how unevenly."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from scipy import sparse
from scipy.stats import rankdata

from personas.randomness import F64
from sinks.proof.comparing import Weights, gini
from sinks.proof.evidence import SAME_ITEMS, Evidence
from sinks.proof.log import Log
from sinks.proof.measures.shared import with_floor
from sinks.proof.metric import Figure, Goal, Group


def counter(log: Log) -> sparse.csr_matrix:
    """Items (rows) by users (columns): how often."""
    rows = log.item >= 0
    user = log.user[log.session[rows]]
    shape = (len(log.words.items), len(log.users))
    return sparse.csr_matrix((np.ones(int(rows.sum())), (log.item[rows], user)), shape=shape)


class ItemPopularity:
    """Spearman's correlation of how often each item of the core and the hold-out occurs."""

    name: ClassVar[str] = "item_popularity"
    group: ClassVar[Group] = "fidelity"
    title: ClassVar[str] = "Popularity of items (rank correlation; 1 is the same order)"
    goal: ClassVar[Goal] = "higher"
    range: ClassVar[tuple[float | None, float | None]] = (-1.0, 1.0)
    unit: ClassVar[str] = "correlation"
    source: ClassVar[str] = "Spearman 1904, by scipy.stats.rankdata"
    needs_holdout: ClassVar[bool] = True

    def compute(self, evidence: Evidence) -> Figure | str:
        """See Metric."""
        if not evidence.items_differ:
            return SAME_ITEMS
        arms = {arm: counter(log) for arm, log in evidence.samples.items()}
        known = np.flatnonzero((arms["real"].sum(axis=1) + arms["test"].sum(axis=1)).A1)

        def correlation(arm: str, ours: Weights, theirs: Weights) -> float:
            ranks = [rankdata((arms[name] @ weights)[known]) for name, weights in ((arm, ours), ("test", theirs))]
            return float(np.corrcoef(*ranks)[0, 1]) if min(np.ptp(rank) for rank in ranks) > 0 else 0.0

        samples = evidence.samples
        value, floor = with_floor(evidence, correlation)
        return Figure(
            value=value,
            floor=floor,
            real=1.0,
            sizes={"items": len(known), "synthetic_sessions": samples["synthetic"].sessions},
            curves={arm: [round(share, 6) for share in _curve(arms[arm])] for arm in ("synthetic", "test")},
        )  # fmt: skip


class PopularityUnevenness:
    """Difference of the Gini coefficients of how often items occur."""

    name: ClassVar[str] = "popularity_unevenness"
    group: ClassVar[Group] = "fidelity"
    title: ClassVar[str] = "Unevenness of popularity (difference of Gini coefficients; 0 is equal)"
    goal: ClassVar[Goal] = "lower"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)
    unit: ClassVar[str] = "difference"
    source: ClassVar[str] = "Gini 1912; own, in NumPy"
    needs_holdout: ClassVar[bool] = True

    def compute(self, evidence: Evidence) -> Figure | str:
        """See Metric."""
        if not evidence.items_differ:
            return SAME_ITEMS
        samples = evidence.samples
        arms = {arm: counter(log) for arm, log in samples.items()}

        def difference(arm: str, ours: Weights, theirs: Weights) -> float:
            return abs(gini(arms[arm] @ ours) - gini(arms["test"] @ theirs))

        value, floor = with_floor(evidence, difference)
        return Figure(
            value=value,
            floor=floor,
            real=0.0,
            sizes={"synthetic_sessions": samples["synthetic"].sessions, "test_sessions": samples["test"].sessions},
            parts={arm: gini(np.asarray(table.sum(axis=1)).ravel()) for arm, table in arms.items()},
        )  # fmt: skip


def _curve(table: sparse.csr_matrix) -> list[float]:
    """Shares of the most popular items, falling, at most 60 of them."""
    counts: F64 = np.sort(np.asarray(table.sum(axis=1)).ravel())[::-1]
    return [float(share) for share in (counts / max(counts.sum(), 1))[:60]]
