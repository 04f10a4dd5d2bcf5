"""Curves: what becomes of generations of models, and what synthetic data adds as a real log grows.

    collapse   generation 1 is fitted on the core; each later one on the one before alone (replace: Shumailov et al.
               2024, doi:10.1038/s41586-024-07566-y), or on the core and all before it (accumulate: Gerstgrasser et al.
               2024, arXiv:2404.01413)
    growth     with 0, 1, 3, 10, 30 and 100 % of the core's users: real alone, synthetic alone (by a model that saw
               only them), both, and the real ones with the synthetic log of this proof, which may have learned from
               all of the core and then flatters small shares: `both` tells when to stop. Day zero has no core:
               its synthetic log is one that knew none, where it is given

Each point is judged on the hold-out (judge.py); nothing in these curves ever saw that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from personas.errors import ProofError
from sinks.proof.evidence import Evidence
from sinks.proof.judge import Judge
from sinks.proof.log import Log, concatenated
from sinks.proof.maker import Maker
from sinks.proof.record import Curve, Point, rounded
from sinks.proof.sampling import at_most, share_of_users

log = logging.getLogger("dayone.proof")

#: The line that may know, at every share, what the whole core says.
THIS_LOG = "real and this log (may know all of the core)"
SHARES = (0.01, 0.03, 0.1, 0.3, 1.0)
Tell = Callable[[int, int, int], None]


def collapse(
    evidence: Evidence, maker: Maker, generations: int, progress: Tell = lambda done, of, rows: None
) -> list[Curve]:
    """Two lines, replace and accumulate, from generation 0 (the core itself) on."""
    judge, (core, _) = Judge(evidence), evidence.real
    steps = 2 * generations - 1
    done = 0

    def made_of(taught: Log, name: str, generation: int) -> tuple[Log, Point]:
        nonlocal done
        progress(done, steps, taught.rows)
        made = _named(maker.make(taught, core.sessions, evidence.seed + generation), name)
        done += 1
        return made, _point(judge, generation, str(generation), made)

    first, second = made_of(core, "first", 1)
    begun = [_point(judge, 0, "real", core), second]
    lines = {"replace": [*begun], "accumulate": [*begun]}
    for strategy, line in lines.items():
        taught = first if strategy == "replace" else concatenated(core, first)
        for generation in range(2, generations + 1):
            made, point = made_of(taught, f"{strategy}{generation}", generation)
            line.append(point)
            taught = made if strategy == "replace" else concatenated(taught, made)
    progress(steps, steps, core.rows)
    return [Curve(name=f"{strategy} ({maker.name})", points=line) for strategy, line in lines.items()]


def growth(
    evidence: Evidence,
    maker: Maker,
    day_zero: Log | None = None,
    progress: Tell = lambda done, of, rows: None,
    shares: Sequence[float] = SHARES,
) -> list[Curve]:
    """Four lines: real alone, synthetic alone, both, and real with the log of this proof. A share from which no model
    can be made has no point on the second and third."""
    judge, (core, _) = Judge(evidence), evidence.real
    proved = at_most(evidence.synthetic, core.sessions, evidence.seed)
    lines: dict[str, list[Point]] = {"real alone": [], "synthetic alone": [], "both": [], THIS_LOG: []}
    lines["real alone"].append(_nothing())
    lines[THIS_LOG].append(_point(judge, 0, "0 %", proved))
    if day_zero is not None:
        point = _point(judge, 0, "0 %", day_zero)
        lines["synthetic alone"].append(point)
        lines["both"].append(point)
    for place, share in enumerate(shares):
        progress(place, len(shares), core.rows)
        x, label = float(place + 1), f"{100 * share:g} %"
        known = share_of_users(core, share, evidence.seed) if share < 1 else core
        if known.sessions < 2:
            continue
        lines["real alone"].append(_point(judge, x, label, known))
        lines[THIS_LOG].append(_point(judge, x, label, concatenated(known, proved)))
        try:
            made = _named(maker.make(known, core.sessions, evidence.seed + place), f"share{place}")
        except ProofError as error:
            log.warning("no synthetic log from %s of the core: %s", label, error.message)
            continue
        lines["synthetic alone"].append(_point(judge, x, label, made))
        lines["both"].append(_point(judge, x, label, concatenated(known, made)))
    progress(len(shares), len(shares), core.rows)
    return [Curve(name=name, points=points) for name, points in lines.items() if points]


def _point(judge: Judge, x: float, label: str, taught: Log) -> Point:
    return Point(
        x=x, label=label, skills={task: rounded(skill) for task, skill in judge.skills(taught).items()},
        tail_coverage=rounded(judge.coverage(taught, tail=True)),
        catalogue_coverage=rounded(judge.coverage(taught, tail=False)), sessions=taught.sessions,
    )  # fmt: skip


def _nothing() -> Point:
    return Point(x=0, label="0 %", skills={}, sessions=0)


def _named(made: Log, prefix: str) -> Log:
    """The log with users that no other log has."""
    return replace(made, users=np.array([f"{prefix}/{user}" for user in made.users.tolist()], dtype=object))
