"""Singling out and linking, in the manner of Anonymeter (Giomi et al. 2023, arXiv:2211.10459): what an attack gains on
people whose sessions taught the model, over what it gains on people who were never seen.

An attack is counted on the core and, the same, on the hold-out: what works on both is knowledge about people in
general, which is what synthetic data is for. risk = (rate on the core - rate on the hold-out) / (1 - the latter), the
interval from Wilson's of both rates. Written for tables of sessions; the library itself needs pandas and numba.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from personas.randomness import fold, root_key, uniform
from sinks.proof.evidence import Evidence
from sinks.proof.learners.coding import hour_of, new_items, weekday_of
from sinks.proof.log import I64, Log
from sinks.proof.metric import Figure, Goal, Group
from sinks.proof.sampling import Estimate, at_most

#: Sessions of each log, and attacks.
SESSIONS, ATTACKS = 3_000, 1_500
_NEAREST = 5
_Z = 1.959964


class SinglingOut:
    """An attacker finds, in the synthetic log, a combination of three properties that one session only has, and claims
    that exactly one real session has it."""

    name: ClassVar[str] = "singling_out"
    group: ClassVar[Group] = "privacy"
    title: ClassVar[str] = "Singling out: guesses that exactly one real session fits, gained from the core"
    goal: ClassVar[Goal] = "lower"
    range: ClassVar[tuple[float | None, float | None]] = (-1.0, 1.0)
    unit: ClassVar[str] = "risk"
    source: ClassVar[str] = "multivariate singling out of Anonymeter: Giomi et al. 2023, arXiv:2211.10459"
    needs_holdout: ClassVar[bool] = True

    def compute(self, evidence: Evidence) -> Figure | str:
        """See Metric."""
        made, core, holdout = _tables(evidence)
        key = root_key("singling out", evidence.seed)
        tried = succeeded = by_chance = 0
        for attack in range(4 * ATTACKS):
            if tried == ATTACKS:
                break
            draws = uniform(fold(fold(key, attack), np.arange(made.shape[1] + 1)))
            row = made[int(draws[0] * len(made))]
            chosen = np.argsort(draws[1:])[:3]
            if int((made[:, chosen] == row[chosen]).all(axis=1).sum()) != 1:
                continue
            tried += 1
            succeeded += int((core[:, chosen] == row[chosen]).all(axis=1).sum()) == 1
            by_chance += int((holdout[:, chosen] == row[chosen]).all(axis=1).sum()) == 1
        if tried < 50:
            return "too few combinations of properties that one synthetic session only has"
        return _risk(succeeded, by_chance, tried, made, core, holdout)


class Linkability(SinglingOut):
    """An attacker knows the beginning of a person's session and, apart from it, the rest of it, and links the two
    through the synthetic log: both have a nearest synthetic session in common."""

    name: ClassVar[str] = "linkability"
    title: ClassVar[str] = "Linking: two halves of what is known of a session belong together, gained from the core"
    source: ClassVar[str] = "linkability of Anonymeter: Giomi et al. 2023, arXiv:2211.10459; Hamming distance"

    def compute(self, evidence: Evidence) -> Figure | str:
        """See Metric."""
        made, core, holdout = _tables(evidence)
        tried = min(ATTACKS, len(core), len(holdout))
        rates = [_linked(table[:tried], made, evidence.seed) for table in (core, holdout)]
        return _risk(rates[0], rates[1], tried, made, core, holdout)


def _tables(evidence: Evidence) -> tuple[I64, I64, I64]:
    core, holdout = evidence.real
    size = min(SESSIONS, core.sessions, holdout.sessions)
    made, ours, theirs = (properties(at_most(log, size, evidence.seed)) for log in (evidence.synthetic, core, holdout))
    rows = min(len(ours), len(theirs))  # exactly as many, so that one fits is as likely in both
    return made, ours[:rows], theirs[:rows]


def properties(log: Log) -> I64:
    """What may be known of each session, as whole numbers; the first half is about its beginning."""
    first, last = log.start[:-1], log.start[1:] - 1
    second = np.where(log.length > 1, first + 1, first)
    middle = first + log.length // 2
    magnitude = np.log2(1 + (log.ended - log.began) / 1e6).astype(np.int64)
    columns = [
        log.event[first], log.item[first], log.event[second], log.item[second], hour_of(log.began),
        weekday_of(log.began),
        log.event[last], log.item[last], log.event[middle], log.item[middle], log.length, magnitude,
        np.add.reduceat(new_items(log).astype(np.int64), first),
    ]  # fmt: skip
    return np.column_stack(columns).astype(np.int64)


def _linked(targets: I64, made: I64, seed: int) -> int:
    """How many targets have a nearest synthetic session in common for both halves; ties are broken by hash."""
    half = targets.shape[1] // 2
    tie = uniform(fold(root_key("linking", seed), np.arange(len(made)))) * 0.5
    links = 0
    for target in targets:
        near = [
            set(np.argpartition((made[:, part] != target[part]).sum(axis=1) + tie, _NEAREST)[:_NEAREST].tolist())
            for part in (slice(0, half), slice(half, None))
        ]
        links += bool(near[0] & near[1])
    return links


def _risk(core: int, holdout: int, tried: int, *tables: npt.NDArray[np.int64]) -> Figure:
    """The figure of an attack that succeeded so often on the core and on the hold-out."""
    (ours, our_half), (theirs, their_half) = (_wilson(count, tried) for count in (core, holdout))
    room = max(1.0 - theirs, 1e-9)
    half = np.hypot(our_half / room, their_half * (1.0 - ours) / room**2)
    value = (ours - theirs) / room
    return Figure(
        value=Estimate(value, value - float(half), value + float(half)),
        floor=Estimate(0.0, 0.0, 0.0),
        sizes={"attacks": tried, **dict(zip(("synthetic", "core", "holdout"), map(len, tables), strict=True))},
        parts={"core_rate": core / tried, "holdout_rate": holdout / tried},
    )


def _wilson(count: int, tried: int) -> tuple[float, float]:
    """Centre and half width of Wilson's 95 % interval of a rate (Wilson 1927)."""
    share = count / tried
    scale = 1 + _Z**2 / tried
    centre = (share + _Z**2 / (2 * tried)) / scale
    return centre, _Z * float(np.sqrt(share * (1 - share) / tried + _Z**2 / (4 * tried**2))) / scale
