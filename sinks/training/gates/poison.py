"""Gate: no run whose events are others than sampling explains.

A run is compared with the other runs of the same pack, generator and problem rate: the share of each event type, apart
for users' first sessions and later ones (so that a longer run is not taken for another one). Events of one user go
together, so a plain chi-square test would find every run odd: the variance of a share is that of a ratio of sums over
users (linearised, as for clusters in surveys: Rao and Scott, JASA 76, 1981; what a bootstrap of users would give,
without drawing). What is left of the total variation distance after z standard errors of each share, with z for one
false alarm in a thousand runs over all shares (Bonferroni), is the figure: the share of the events that are others than
sampling explains.

Who is odd if two differ? Of three and more, the one that is furthest from the rest; it is taken out and the others are
compared again, so that one poisoned run does not make the good ones look bad. Of two, the one that came later.

A run that has ended is also compared with its own manifest: its events lie between its start and the virtual time that
it reached, are of no later generation than it says, and it has no more users than it says. (The counts in a manifest
are no bound: a run that was resumed counts from there.) What is released by hand stays in the comparison and is not
judged.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Any, ClassVar

import numpy as np

from sinks.training.gates.gate import Evidence, Found, Stage, worst

#: A false alarm in how many runs, from chance alone.
ALARM = 1000
#: Users below which a run is too small to be judged.
FEWEST = 50

_SUMS = """
    SELECT run_id, later, type, sum(n) AS c, sum(n * n) AS cc, sum(n * total) AS cn FROM (
        SELECT run_id, user_id, later, type, n, sum(n) OVER (PARTITION BY run_id, user_id, later) AS total FROM (
            SELECT run_id, user_id, number > 0 AS later, type, count(*)::DOUBLE AS n
            FROM (SELECT run_id, user_id, session_id, type FROM events WHERE product = ?)
            JOIN (SELECT run_id, user_id, session_id, number FROM sessions WHERE product = ?)
            USING (run_id, user_id, session_id) GROUP BY ALL))
    GROUP BY ALL"""
_USERS = """
    SELECT run_id, later, count(*) AS users, sum(n) AS n, sum(n * n) AS nn FROM (
        SELECT run_id, user_id, number > 0 AS later, sum(events)::DOUBLE AS n FROM sessions WHERE product = ?
        GROUP BY ALL) GROUP BY ALL"""
_ALIKE = """
    SELECT run_id, any_value(pack_fingerprint) || '/' || any_value(generator) || '/' ||
           coalesce(any_value(manifest ->> '$.identity.problem_rate'), '') AS kind, max(updated) AS updated,
           bool_or(coalesce(json_array_length(manifest -> '$.steering'), 0) > 0) AS steered
    FROM runs WHERE product = ? GROUP BY run_id"""


class PoisonedRunGate:
    """Implements Gate."""

    name: ClassVar[str] = "poisoned_run"
    stage: ClassVar[Stage] = "runs"
    checks: ClassVar[str] = "runs whose events differ from those of their pack's other runs, or from their own manifest"
    unit: ClassVar[str] = "of a run's events are others than sampling explains"
    threshold: ClassVar[float] = 0.03

    def judge(self, evidence: Evidence, threshold: float) -> tuple[float, tuple[Found, ...], str]:
        """See Gate."""
        store = evidence.store
        chosen = set(store.query("SELECT run_id FROM chosen_runs").column(0).to_pylist())
        entries = store.query("SELECT run_id, released IS NOT NULL AS trusted FROM quarantine").to_pylist()
        trusted = {row["run_id"] for row in entries if row["trusted"]}
        aside = {row["run_id"] for row in entries if not row["trusted"]}
        undeclared = _undeclared(evidence)
        found = [
            Found(run, share, f"{share:.1%} of its events are none that its manifest accounts for")
            for run, share in sorted(undeclared.items()) if share > threshold and run in chosen and run not in trusted
        ]  # fmt: skip
        highest = max([0.0, *(share for run, share in undeclared.items() if run in chosen and run not in trusted)])
        out = aside | {each.where for each in found}
        odd, most = _odd(evidence, chosen, trusted, out, threshold)
        note = "" if len(chosen | trusted) > 1 else "one run alone: nothing to compare it with but its manifest"
        if passed := sorted(trusted & chosen):
            note = "; ".join([*filter(None, [note]), f"released by hand: {', '.join(passed)}"])
        return max(highest, most), worst([*found, *odd]), note


def _undeclared(evidence: Evidence) -> dict[str, float]:
    """By run: the share of its events that its manifest does not account for. Of a run without a manifest, none."""
    rows = evidence.store.query(
        "SELECT run_id, (count(*) FILTER (time < start OR time > virtual_time + INTERVAL 1 DAY OR generation > "
        "declared) + count(*) FILTER (place > users)) / count(*) AS share FROM (SELECT run_id, time, generation, "
        "dense_rank() OVER (PARTITION BY run_id ORDER BY user_id) AS place FROM events WHERE product = ?) JOIN "
        "(SELECT run_id, min(start) AS start, max(virtual_time) AS virtual_time, max(users) AS users, "
        "max(generation) AS declared FROM runs GROUP BY run_id HAVING count(*) = max(shards) AND "
        "bool_and(state IN ('completed', 'stopped'))) USING (run_id) GROUP BY run_id", [evidence.product]
    ).to_pylist()  # fmt: skip
    return {row["run_id"]: min(1.0, row["share"]) for row in rows}


def _odd(
    evidence: Evidence, chosen: set[str], trusted: set[str], out: set[str], threshold: float
) -> tuple[list[Found], float]:
    """The runs that do not fit the others of their kind, and the highest figure of one that was looked at."""
    product, store = evidence.product, evidence.store
    described = {row["run_id"]: row for row in store.query(_ALIKE, [product]).to_pylist()}
    sums = _tables(evidence)
    kinds: dict[str, list[str]] = {}
    for run in sorted(sums.users):
        if run not in out:
            kinds.setdefault(described.get(run, {}).get("kind", ""), []).append(run)
    found, highest = [], 0.0
    for runs in kinds.values():
        left = list(runs)
        while len(left) > 1 and (judged := [run for run in left if run not in trusted and run in chosen]):
            figures = {run: sums.difference(run, [other for other in left if other != run]) for run in judged}
            top = max(figure for figure, _ in figures.values())
            highest = max(highest, top)
            if top <= threshold:
                break
            late = {run: str(described.get(run, {}).get("updated", "")) for run in judged}
            suspect = max(judged, key=lambda run: (round(figures[run][0], 9), late[run], run))
            figure, where = figures[suspect]
            steered = " It was steered while it ran." if described.get(suspect, {}).get("steered") else ""
            found.append(Found(suspect, figure, f"{figure:.1%} of its events are others than sampling explains, "
                               f"against {len(left) - 1} other runs of its kind: {where}.{steered}"))  # fmt: skip
            left.remove(suspect)
    return found, highest


class _Sums:
    """Sums over users by run, stratum (first sessions, later ones) and event type; made by `_tables`."""

    def __init__(self, users: dict[str, Any], counts: dict[str, Any], types: list[str]) -> None:
        self.users, self.counts, self.types = users, counts, types

    def difference(self, run: str, others: list[str]) -> tuple[float, str]:
        """The share of a run's events that are others than sampling explains, and in which types, in words."""
        mine, theirs = self.counts[run], sum(self.counts[other] for other in others)
        my_users, their_users = self.users[run], sum(self.users[other] for other in others)
        z = NormalDist().inv_cdf(1 - 1 / (2 * ALARM * 2 * max(1, len(self.types))))
        weights = my_users[:, 1] / max(1.0, my_users[:, 1].sum())
        excess, gaps = 0.0, np.zeros(len(self.types))
        for stratum in (0, 1):
            if min(my_users[stratum, 0], their_users[stratum, 0]) < FEWEST:
                continue
            one, one_error = _share(mine[stratum], my_users[stratum])
            two, two_error = _share(theirs[stratum], their_users[stratum])
            beyond = np.maximum(0.0, np.abs(one - two) - z * np.sqrt(one_error + two_error))
            excess += weights[stratum] * beyond.sum() / 2
            gaps += weights[stratum] * np.where(beyond > 0, one - two, 0.0)
        order = np.argsort(-np.abs(gaps))[:3]
        told = ", ".join(f"{self.types[k]} {100 * gaps[k]:+.1f} points" for k in order if gaps[k])
        return float(excess), told


def _share(sums: Any, users: Any) -> tuple[Any, Any]:
    """Shares of the types, and the variances of these ratios of sums over users."""
    (counts, squares, products), (_, total, total_squares) = sums, users
    share = counts / total
    return share, np.maximum(0.0, squares - 2 * share * products + share**2 * total_squares) / total**2


def _tables(evidence: Evidence) -> _Sums:
    product = evidence.product
    sums = evidence.store.query(_SUMS, [product, product]).to_pylist()
    types = sorted({row["type"] for row in sums})
    place = {name: number for number, name in enumerate(types)}
    users: dict[str, Any] = {}
    for row in evidence.store.query(_USERS, [product]).to_pylist():
        users.setdefault(row["run_id"], np.zeros((2, 3)))[int(row["later"])] = row["users"], row["n"], row["nn"]
    counts = {run: np.zeros((2, 3, len(types))) for run in users}
    for row in sums:
        counts[row["run_id"]][int(row["later"]), :, place[row["type"]]] = row["c"], row["cc"], row["cn"]
    return _Sums(users, counts, types)
