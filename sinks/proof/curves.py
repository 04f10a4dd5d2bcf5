"""Curves: what becomes of generations of models, and what synthetic data adds as a real log grows.

    collapse   generation 1 is fitted on the core; each later one on the one before alone (replace: Shumailov et al.
               2024, doi:10.1038/s41586-024-07566-y), on the core and all before it (accumulate: Gerstgrasser et al.
               2024, arXiv:2404.01413), or on the core and as many sessions of all before it (mix: what training sets
               do at the ratio 1; what one generation gets wrong then counts half at most in the next)
    growth     with 0, 1, 3, 10, 30 and 100 % of the core's users: real alone, synthetic alone (by a model that saw
               only them), both, and the real ones with the synthetic log of this proof, unless that tells that it
               learned from a core. Day zero has no core: its synthetic log is one that knew none, where it is given

In a mix a real user counts 1, and all synthetic users together count for as many real ones as there are, but for PRIOR
at most: a prior that fades as the core grows, as in training sets (`dayone build --core`). Two other ways were tried on
two real logs: counting every synthetic user 1 (the few real ones drown: recommenders and returns got worse than with
them alone), and always PRIOR (as good, but for returns with 260 real users).

Each point is judged on the hold-out (judge.py); nothing in these curves ever saw that. Where generations are compared,
DRAWS samples of each model are judged, and what a model is worth is their mean. On a shop's log, where the core is
worth 0.007 nats, samples of one model had skills from 0.23 to 0.67; comparing one sample of each model showed a loss of
42 % that no model had. What the curves say in words is in saying.py.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from personas.errors import ProofError
from personas.randomness import F64, fold, root_key, uniform
from sinks.proof.evidence import Evidence
from sinks.proof.judge import TRAINED, Judge
from sinks.proof.log import Log, concatenated
from sinks.proof.maker import Maker
from sinks.proof.record import Curve, Gain, Interval, Point, interval, rounded
from sinks.proof.sampling import at_most, share_of_users, summarised
from sinks.proof.saying import beginning, losing, silent, stopping

log = logging.getLogger("dayone.proof")

#: The line that may know, at every share, what the whole core says.
THIS_LOG = "real and this log (may know all of the core)"
ALONE, SYNTHETIC, BOTH = "real alone", "synthetic alone", "both"
#: What a generation learns from, in the order in which it is played.
STRATEGIES = ("replace", "accumulate", "mix")
SHARES = (0.01, 0.03, 0.1, 0.3, 1.0)
#: Real users that all synthetic ones of a mix together count for, at most.
PRIOR = 1000.0
#: Samples of each model of a generation, each as large as the core.
DRAWS = 5
Tell = Callable[[int, int, int], None]


@dataclass(frozen=True)
class Curves:
    """Lines, what was gained from one point to another (both over real alone; the last generation over the first), and
    what that says in words."""

    lines: list[Curve]
    gains: list[Gain]
    said: list[str]


def collapse(
    evidence: Evidence, maker: Maker, generations: int, progress: Tell = lambda done, of, rows: None,
    wanted: Sequence[str] = (),
) -> Curves:  # fmt: skip
    """Three lines, replace, accumulate and mix, from generation 0 (the core itself) on; what each lost from the first
    model to the last. The next generation learns from the first sample of each model, points are means over all
    samples. `wanted` names measures, as in Judge."""
    judge, (core, _) = Judge(evidence, wanted), evidence.real
    steps = max(3 * generations - 3, 1)
    done = 0

    def made_of(taught: Log, name: str, generation: int) -> tuple[Log, Judged]:
        nonlocal done
        progress(done, steps, taught.rows)
        made = _named(maker.make(taught, DRAWS * core.sessions, evidence.seed + generation), name)
        done += 1
        draws = parted(made, DRAWS)
        key = root_key("draws", evidence.seed, name)
        return draws[0], averaged([_judged(judge, generation, str(generation), draw) for draw in draws], key)

    begun = made_of(core, "first", 1)
    second = None  # of all but replace
    real = _judged(judge, 0, "real", core)
    lines, gains = [], []
    for strategy in STRATEGIES:
        points, so_far = [real, begun[1]], begun[0]
        for generation in range(2, generations + 1):
            if generation == 2 and second and strategy != "replace":
                made, point = second
            else:
                taught = so_far if strategy == "replace" else concatenated(core, so_far)
                if strategy == "mix":
                    taught = concatenated(core, at_most(so_far, core.sessions, evidence.seed + generation))
                made, point = made_of(taught, f"{strategy}{generation}", generation)
                second = (made, point) if strategy == "accumulate" and generation == 2 else second
            points.append(point)
            so_far = made if strategy == "replace" else concatenated(so_far, made)
        lines.append(Curve(name=f"{strategy} ({maker.name})", points=[each.point for each in points]))
        gains += [_gain(task, strategy, begun[1], points[-1]) for task in begun[1].skills]
    progress(steps, steps, core.rows)
    return Curves(lines, gains, [*losing(lines, gains), *silent(judge.unjudged)])


def growth(
    evidence: Evidence,
    maker: Maker,
    day_zero: Log | None = None,
    progress: Tell = lambda done, of, rows: None,
    shares: Sequence[float] = SHARES,
    wanted: Sequence[str] = (),
) -> Curves:
    """The lines real alone, synthetic alone, both, and real with the log of this proof; what both gain over real alone
    at each share. A share from which no model can be made has no point on the second and third."""
    judge, (core, _) = Judge(evidence, wanted), evidence.real
    proved = None if evidence.learned else at_most(evidence.synthetic, core.sessions, evidence.seed)
    lines: dict[str, list[Point]] = {ALONE: [_nothing()], SYNTHETIC: [], BOTH: [], THIS_LOG: []}
    gains: list[Gain] = []
    if proved is not None:
        lines[THIS_LOG].append(_judged(judge, 0, "0 %", proved).point)
    if day_zero is not None:
        point = _judged(judge, 0, "0 %", day_zero).point
        lines[SYNTHETIC].append(point)
        lines[BOTH].append(point)
    for place, share in enumerate(shares):
        progress(place, len(shares), core.rows)
        x, label = float(place + 1), f"{100 * share:g} %"
        known = share_of_users(core, share, evidence.seed) if share < 1 else core
        if known.sessions < 2:
            continue
        alone = _judged(judge, x, label, known)
        lines[ALONE].append(alone.point)
        if proved is not None:
            lines[THIS_LOG].append(_judged(judge, x, label, mixed(known, proved, evidence.seed)).point)
        try:
            made = _named(maker.make(known, core.sessions, evidence.seed + place), f"share{place}")
        except ProofError as error:
            log.warning("no synthetic log from %s of the core: %s", label, error.message)
            continue
        lines[SYNTHETIC].append(_judged(judge, x, label, made).point)
        both = _judged(judge, x, label, mixed(known, made, evidence.seed))
        lines[BOTH].append(both.point)
        gains += [_gain(task, BOTH, alone, both) for task in alone.skills]
    progress(len(shares), len(shares), core.rows)
    drawn = [Curve(name=name, points=points) for name, points in lines.items() if points]
    said = [*stopping(gains), *beginning(drawn, SYNTHETIC), *silent(judge.unjudged)]
    return Curves(drawn, gains, said)


def mixed(real: Log, made: Log, seed: int) -> Log:
    """Real sessions with synthetic ones that count for as many users as there are real ones, but for PRIOR at most; of
    the synthetic ones as many as leave room for all real rows where a model is trained."""
    room = max(TRAINED - real.rows, TRAINED // 4)
    made = at_most(made, max(1, made.sessions * room // made.rows), seed)
    weight = min(1.0, min(PRIOR, len(real.users)) / len(made.users))
    return concatenated(real, replace(made, weight=np.full(made.sessions, weight)))


@dataclass(frozen=True)
class Judged:
    """A point, and the skills with their replicates that it was made of."""

    point: Point
    skills: Mapping[str, F64]


def parted(log: Log, parts: int) -> list[Log]:
    """The log in so many parts of about as many sessions each, by whole users in their order."""
    first = np.unique(log.user, return_index=True)[1]
    part = first * parts // log.sessions
    return [log.of_users(part == number) for number in range(parts)]


def averaged(draws: Sequence[Judged], key: np.uint64) -> Judged:
    """The mean of several samples of one model. Each replicate is that of as many samples drawn with replacement
    (Efron, Tibshirani 1993, ch. 8), so an interval holds what the users of the hold-out decide and what the sample
    does. Few samples vary less around their own mean than around the model's, by a factor that is put right."""
    many, first = len(draws), draws[0].point
    again = math.sqrt(many / (many - 1)) if many > 1 else 0.0

    def of_task(task: str) -> F64:
        values = np.stack([draw.skills[task] for draw in draws])
        mean, count = values.mean(axis=0), values.shape[1]
        chosen = (uniform(fold(key, np.arange(many * count))).reshape(many, count) * many).astype(np.int64)
        chosen[:, 0] = np.arange(many)  # the value itself: each sample once
        return np.asarray(mean + again * (np.take_along_axis(values, chosen, axis=0).mean(axis=0) - mean))

    def share(name: str) -> float | None:
        found = [value for draw in draws if (value := getattr(draw.point, name)) is not None]
        return rounded(sum(found) / len(found)) if found else None

    skills = {task: of_task(task) for task in draws[0].skills}
    point = first.model_copy(update={
        "skills": {task: _interval(values) for task, values in skills.items()},
        "tail_coverage": share("tail_coverage"), "catalogue_coverage": share("catalogue_coverage"),
    })  # fmt: skip
    return Judged(point, skills)


def _judged(judge: Judge, x: float, label: str, taught: Log) -> Judged:
    skills = judge.skills(taught)
    point = Point(
        x=x, label=label, skills={task: _interval(values) for task, values in skills.items()},
        tail_coverage=rounded(judge.coverage(taught, tail=True)),
        catalogue_coverage=rounded(judge.coverage(taught, tail=False)), sessions=taught.sessions,
        users=len(taught.users),
    )  # fmt: skip
    return Judged(point, skills)


def _gain(task: str, line: str, before: Judged, after: Judged) -> Gain:
    """What one point has over another in a task. Both were asked the same questions, so replicates are paired."""
    return Gain(
        task=task, line=line, x=after.point.x, label=after.point.label, users=before.point.users,
        value=_interval(after.skills[task] - before.skills[task]),
    )  # fmt: skip


def _interval(values: F64) -> Interval:
    return interval(summarised(float(values[0]), values[1:]))


def _nothing() -> Point:
    return Point(x=0, label="0 %", skills={}, sessions=0, users=0)


def _named(made: Log, prefix: str) -> Log:
    """The log with users that no other log has."""
    return replace(made, users=np.array([f"{prefix}/{user}" for user in made.users.tolist()], dtype=object))
