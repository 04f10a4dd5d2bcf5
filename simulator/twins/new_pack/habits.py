"""Kinds of users: what the real ones differ in, and how many kinds that makes.

Each user is a few numbers (how often, how long, which events, when, how many different items); users are put into kinds
by k-means (Lloyd 1982) begun at points far apart (k-means++, Arthur and Vassilvitskii 2007), and the number of kinds is
the one with the best mean silhouette (Rousseeuw 1987) on a sample; one kind, where none is good. A kind that fewer than
k users or a twentieth of them belong to is not told apart. Knows no pack.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from personas.randomness import fold, root_key, uniform
from simulator.twins.log import I64, Log

MOST_KINDS = 6
#: Below this the kinds overlap so much that they are one.
LEAST_SILHOUETTE = 0.2
SMALLEST = 0.05
_SAMPLE = 1500
_EVENTS = 12
DAY_US, HOUR_US = 86_400_000_000, 3_600_000_000
F64 = npt.NDArray[np.float64]
WORDS = {
    "sessions": ("comes back often", "comes seldom"), "length": ("long sessions", "short sessions"),
    "pace": ("takes time between events", "is quick from one event to the next"),
    "items": ("looks at many different items", "stays with few items"),
    "night": ("mostly at night", "hardly at night"), "evening": ("mostly in the evening", "hardly in the evening"),
    "weekend": ("mostly at weekends", "hardly at weekends"),
}  # fmt: skip


@dataclass(frozen=True)
class Kinds:
    """`of` [users]: the kind of each user, numbered by size; `words` what marks each; `silhouette` of the whole."""

    of: I64
    words: tuple[str, ...]
    silhouette: float

    @property
    def count(self) -> int:
        """How many kinds there are."""
        return len(self.words)


def kinds_of(log: Log, events: list[str], k: int) -> Kinds:
    """The kinds of users of a log."""
    features, names = features_of(log, events)
    spread = features.std(axis=0)
    scaled = (features - features.mean(axis=0))[:, spread > 1e-9] / spread[spread > 1e-9]
    scaled = np.clip(scaled, -4.0, 4.0)
    key = root_key("kinds of users", len(features))
    best, score = np.zeros(len(features), dtype=np.int64), 0.0
    for count in range(2, MOST_KINDS + 1) if scaled.shape[1] and len(features) >= 4 * k else ():
        found = _k_means(scaled, count, key)
        sizes = np.bincount(found, minlength=count)
        if sizes.min() < max(k, SMALLEST * len(features)):
            continue
        quality = _silhouette(scaled, found, key)
        if quality > max(score, LEAST_SILHOUETTE):
            best, score = found, quality
    order = np.argsort(-np.bincount(best), kind="stable")
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    of = place[best]
    return Kinds(of, tuple(_told(features, names, of, kind) for kind in range(len(order))), score)


def features_of(log: Log, events: list[str]) -> tuple[F64, list[str]]:
    """[users, features], and the name of each feature."""
    users, by_user = log.users, log.user[log.session]
    sessions = np.bincount(log.user, minlength=users)
    rows = np.maximum(np.bincount(by_user, minlength=users), 1)
    inside = np.diff(log.session, prepend=-1) == 0
    gaps = np.log1p(np.maximum(np.diff(log.time, prepend=0) / 1e6, 0.0))
    counted = np.maximum(np.bincount(by_user[inside], minlength=users), 1)
    pace: F64 = np.bincount(by_user[inside], weights=gaps[inside], minlength=users) / counted
    has = log.item >= 0
    pairs = np.unique(by_user[has] * (len(log.words["item"]) + 1) + log.item[has]) // (len(log.words["item"]) + 1)
    columns = {
        "sessions": np.log1p(sessions), "length": np.log(rows / np.maximum(sessions, 1)), "pace": pace,
        "items": np.bincount(pairs, minlength=users) / np.maximum(np.bincount(by_user[has], minlength=users), 1),
    }  # fmt: skip
    hour = (log.time // HOUR_US) % 24
    if (log.time % DAY_US).any():
        columns["night"] = np.bincount(by_user[(hour < 6) | (hour >= 23)], minlength=users) / rows
        columns["evening"] = np.bincount(by_user[(hour >= 17) & (hour < 23)], minlength=users) / rows
    columns["weekend"] = np.bincount(by_user[(log.time // DAY_US + 3) % 7 >= 5], minlength=users) / rows
    often = np.argsort(-np.bincount(log.event, minlength=len(events)), kind="stable")[:_EVENTS]
    for event in often.tolist() if len(events) > 1 else ():
        columns[f"event {events[event]}"] = np.bincount(by_user[log.event == event], minlength=users) / rows
    return np.stack(list(columns.values()), axis=1), list(columns)


def _told(features: F64, names: list[str], of: I64, kind: int) -> str:
    """What marks a kind: the three features in which it is furthest from all users."""
    if len(np.unique(of)) == 1:
        return "All users are alike enough to be one kind"
    spread = np.where(features.std(axis=0) > 1e-9, features.std(axis=0), np.inf)
    away = (features[of == kind].mean(axis=0) - features.mean(axis=0)) / spread
    said = []
    for place in np.argsort(-np.abs(away), kind="stable")[:3].tolist():
        if abs(away[place]) < 0.15:
            continue
        high, low = WORDS.get(names[place], ("", ""))
        if not high:
            event = names[place].removeprefix("event ")
            high, low = f"often {event}", f"seldom {event}"
        said.append(high if away[place] > 0 else low)
    return ", ".join(said).capitalize() or "Near the middle in everything"


def _k_means(points: F64, count: int, key: np.uint64) -> I64:
    centres = points[_far_apart(points, count, key)]
    found = np.full(len(points), -1, dtype=np.int64)
    for _ in range(100):
        nearest = _distances(points, centres).argmin(axis=1)
        if (nearest == found).all():
            break
        found = nearest
        for kind in range(count):
            if (found == kind).any():
                centres[kind] = points[found == kind].mean(axis=0)
    return found


def _far_apart(points: F64, count: int, key: np.uint64) -> list[int]:
    chosen = [int(uniform(fold(key, 0))[0] * len(points))]
    nearest = _distances(points, points[chosen])[:, 0]
    for number in range(1, count):
        sums = np.cumsum(nearest)
        chosen.append(
            int(min(np.searchsorted(sums, uniform(fold(key, number))[0] * sums[-1], "right"), len(points) - 1))
        )
        nearest = np.minimum(nearest, _distances(points, points[chosen[-1:]])[:, 0])
    return chosen


def _distances(points: F64, centres: F64) -> F64:
    """[points, centres]: squared distances."""
    squares = (points**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1)[None, :] - 2.0 * points @ centres.T
    return np.asarray(np.maximum(squares, 0.0))


def _silhouette(points: F64, found: I64, key: np.uint64) -> float:
    """The mean silhouette of a sample."""
    rows = np.argsort(fold(fold(key, 99), np.arange(len(points))))[:_SAMPLE]
    points, found = points[rows], found[rows]
    away = np.sqrt(_distances(points, points))
    kinds, sizes = np.unique(found, return_counts=True)
    if len(kinds) < 2 or sizes.min() < 2:
        return 0.0
    sums = np.stack([away[:, found == kind].sum(axis=1) for kind in kinds], axis=1)
    own = np.searchsorted(kinds, found)
    row = np.arange(len(points))
    inside = sums[row, own] / (sizes[own] - 1)
    means = sums / sizes[None, :]
    means[row, own] = np.inf
    outside = means.min(axis=1)
    return float(((outside - inside) / np.maximum(np.maximum(inside, outside), 1e-12)).mean())
