"""What goes wrong with language models that play people, as numbers with thresholds: pure functions, no model asked.

Known faults (sameness, politeness, a dislike of extremes, things that do not exist, too many words) are measured on
what the agents did, against what was sampled for them: a user who should be displeased, one who should write little.
Each measure is a figure, a threshold and a sentence; it warns where the figure is on the wrong side, and says nothing
where there is too little to tell. Thresholds are set so that play by the packs' own tables does not warn.

Two ways were weighed: a model as the judge of another (costs money, and shares its faults), or counting. Counting won.
Word lists are English; texts in other languages are left out of what needs them.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from personas.randomness import F64

if TYPE_CHECKING:
    from simulator.behaviour.model import Behaviour
    from simulator.behaviour.traces import Traces

#: Fewer visits, dwells, or texts tell nothing.
FEWEST_VISITS, FEWEST_DWELLS, FEWEST_TEXTS, FEWEST_EXPECTED = 40, 100, 20, 5.0
#: Of more texts than this, as many spread over all are compared with each other.
MOST_COMPARED = 400
POSITIVE = frozenset({
    "amazing", "appreciate", "appreciated", "awesome", "beautiful", "brilliant", "delighted", "excellent", "excited",
    "fantastic", "glad", "good", "great", "happy", "helpful", "impressed", "love", "loved", "lovely", "nice",
    "perfect", "pleased", "pleasure", "wonderful",
})  # fmt: skip
NEGATIVE = frozenset({
    "angry", "annoyed", "annoying", "bad", "broken", "broke", "cannot", "cant", "crash", "crashed", "declined",
    "died", "disappointed", "disappointing", "doesnt", "error", "fail", "failed", "fails", "frustrated",
    "frustrating", "gone", "hate", "lost", "never", "no", "nobody", "not", "nothing", "ridiculous", "rubbish", "slow",
    "stuck", "stupid", "terrible", "unacceptable", "upset", "useless", "wait", "waiting", "waste", "why", "worse",
    "worst", "wrong",
})  # fmt: skip
POLITE = frozenset({
    "apologies", "appreciate", "appreciated", "dear", "grateful", "kind", "kindly", "please", "regards", "sorry",
    "thank", "thanks",
})  # fmt: skip
_WORD = re.compile(r"[a-z]+")
DISPLEASED = ("annoyed", "angry")


@dataclass(frozen=True)
class Said:
    """One message of a user: who (the persona), what, and as what it should have been: mood, formality from 0 to 1,
    and, of a first message, the most words that somebody of this level of detail writes."""

    persona: str
    text: str
    mood: str
    formality: float
    language: str = "en"
    most_words: int | None = None


@dataclass(frozen=True)
class Measure:
    """One measure: `figure` should be `side` the `threshold`; None where there is too little to tell."""

    name: str
    figure: float | None
    side: Literal["at most", "at least"]
    threshold: float
    what: str

    @property
    def warns(self) -> bool:
        """Whether the figure is on the wrong side."""
        if self.figure is None:
            return False
        return self.figure > self.threshold if self.side == "at most" else self.figure < self.threshold

    def __str__(self) -> str:
        found = "too little to tell" if self.figure is None else f"{self.figure:.3f}"
        return f"{self.name}: {found} ({self.side} {self.threshold:g}): {self.what}"

    def told(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name, "figure": self.figure, "side": self.side, "threshold": self.threshold,
            "warns": self.warns, "what": self.what,
        }  # fmt: skip


def of_behaviour(traces: Traces, base: Behaviour, leaving: F64) -> tuple[Measure, ...]:
    """Measures of visits. `base` is the Behaviour of the pack's tables, `leaving` [N] its chance of leaving at each
    decision."""
    shares = _event_shares(traces, base.next_event.shape[-1])
    first = np.searchsorted(traces.session, np.arange(traces.sessions)) if traces.sessions else np.zeros(0, np.int64)
    return (
        Measure("personas_differ", explained(shares, traces.persona[first]), "at least", 0.002,
                "of the variance between visits (which events, how many) the part that the persona explains"),
        Measure("visits_repeated", _repeated(traces, first), "at most", 0.35,
                "visits of four events or more that another of the same persona repeats step by step"),
        Measure("extreme_stays", _extreme_stays(traces, base), "at least", 0.3,
                "very short and very long stays, against the part that was sampled to be (1: as many)"),
        Measure("early_leaves", _early_leaves(traces, leaving, base.next_event.shape[-1] - 1), "at least", 0.3,
                "visits that end after one or two events, against the tables of the pack (1: as many)"),
        Measure("items_invented", _invented(traces), "at most", 0.0, "chosen items that were not on the screen"),
    )  # fmt: skip


def of_texts(said: Sequence[Said]) -> tuple[Measure, ...]:
    """Measures of what users wrote."""
    english = [one for one in said if one.language == "en"]
    tones = [(tone(one.text), one) for one in english]
    displeased = [value for value, one in tones if one.mood in DISPLEASED]
    informal = [_polite(one.text) for one in english if one.formality < 0.35]
    first = [len(one.text.split()) > one.most_words for one in said if one.most_words is not None]
    alike, apart = _likeness(said)
    return (
        Measure("texts_alike", alike, "at most", 0.9,
                "cosine (TF-IDF of words and pairs) of a message to the one most like it, in the middle"),
        Measure("voices_differ", apart, "at least", 0.03,
                "by how much messages of one persona are more alike than those of different ones"),
        Measure("pleased_when_displeased", _share([value > 0 for value in displeased]), "at most", 0.25,
                "messages of annoyed and angry users with more pleased words than displeased ones"),
        Measure("polite_when_informal", _share(informal), "at most", 0.5,
                "messages of informal users that say please, thank you or sorry"),
        Measure("too_long", _share(first), "at most", 0.1, "first messages with more words than their level of detail"),
    )  # fmt: skip


def tone(text: str) -> float:
    """From -1 (displeased words alone) to 1 (pleased words alone); 0 for neither."""
    words = _WORD.findall(text.lower().replace("'", ""))
    pleased, displeased = sum(word in POSITIVE for word in words), sum(word in NEGATIVE for word in words)
    return (pleased - displeased) / (pleased + displeased) if pleased + displeased else 0.0


def explained(points: F64, group: Any) -> float | None:
    """The part of the variance of points [n, k] that their groups explain, corrected for what chance would: omega
    squared (Hays 1963), with squared distances in place of squares, as in Anderson 2001, Austral Ecology 26."""
    groups, sizes = np.unique(group, return_counts=True)
    if len(points) < FEWEST_VISITS or len(groups) < 2 or len(points) <= len(groups):
        return None
    means = np.array([points[group == one].mean(axis=0) for one in groups])
    whole = float(((points - points.mean(axis=0)) ** 2).sum())
    between = float((sizes[:, None] * (means - points.mean(axis=0)) ** 2).sum())
    error = (whole - between) / (len(points) - len(groups))
    return (between - (len(groups) - 1) * error) / (whole + error) if whole > 0 else 0.0


def _event_shares(traces: Traces, kinds: int) -> F64:
    """[session, E+1]: the share of each event in a visit, and its length (logarithm, over ten)."""
    counts = np.zeros((traces.sessions, kinds))
    np.add.at(counts, (traces.session, traces.event), 1.0)
    lengths = np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    return np.asarray(np.hstack([counts / lengths, np.log(lengths) / 10]))


def _repeated(traces: Traces, first: Any) -> float | None:
    ends = np.append(first[1:], len(traces))
    paths = [
        (int(traces.persona[begin]), traces.event[begin:end].tobytes())
        for begin, end in zip(first.tolist(), ends.tolist(), strict=True)
        if end - begin >= 4
    ]
    if len(paths) < FEWEST_VISITS:
        return None
    counts = Counter(paths)
    return sum(number for number in counts.values() if number > 1) / len(paths)


def _extreme_stays(traces: Traces, base: Behaviour) -> float | None:
    known = np.flatnonzero(np.isfinite(traces.dwell) & (traces.event < len(base.dwell)))
    if len(known) < FEWEST_DWELLS:
        return None
    cells = base.dwell.shape[1] - 1
    low, high = base.dwell[:, round(0.05 * cells)], base.dwell[:, round(0.95 * cells)]
    event, stay = traces.event[known], traces.dwell[known]
    return float(((stay < low[event]) | (stay > high[event])).mean() / 0.10)


def _early_leaves(traces: Traces, leaving: F64, leave: int) -> float | None:
    early = (traces.events >= 1) & (traces.events <= 2)
    expected = float(leaving[early].sum())
    found = int((traces.event[early] == leave).sum())
    return found / expected if expected >= FEWEST_EXPECTED else None


def _invented(traces: Traces) -> float:
    choices = traces.choices
    width = choices.shown.shape[1] if len(choices) else 0
    there = (choices.place >= 0) & (choices.place < width)
    shown = choices.shown[np.flatnonzero(there), choices.place[there]] if width else choices.shown[:0]
    return float((~there).sum() + (shown < 0).sum())


def _polite(text: str) -> bool:
    return any(word in POLITE for word in _WORD.findall(text.lower()))


def _share(found: Sequence[bool]) -> float | None:
    return sum(found) / len(found) if len(found) >= FEWEST_TEXTS else None


def _likeness(said: Sequence[Said]) -> tuple[float | None, float | None]:
    """How like its nearest a message is (the median), and how much more alike messages of one persona are than those
    of different ones, relative to how alike any two are. Messages of fewer than four words are left out: there are not
    many ways to say ok."""
    long = [one for one in said if len(one.text.split()) >= 4]
    step = max(1, math.ceil(len(long) / MOST_COMPARED))
    chosen = long[::step]
    if len(chosen) < 2 * FEWEST_TEXTS:
        return None, None
    vectors = _tf_idf([one.text for one in chosen])
    alike = vectors @ vectors.T
    np.fill_diagonal(alike, -1.0)
    nearest = float(np.median(alike.max(axis=1)))
    persona = np.array([one.persona for one in chosen])
    others = ~np.eye(len(chosen), dtype=bool)
    same = (persona[:, None] == persona[None, :]) & others
    different = persona[:, None] != persona[None, :]
    if not same.any() or not different.any():
        return nearest, None
    overall = float(alike[others].mean())
    return nearest, float((alike[same].mean() - alike[different].mean()) / overall) if overall > 0 else 0.0


def _tf_idf(texts: Sequence[str]) -> F64:
    """[texts, terms]: words and pairs of words, weighted by how rare they are, rows of length 1."""
    counts = []
    for text in texts:
        words = _WORD.findall(text.lower())
        counts.append(Counter([*words, *(f"{a} {b}" for a, b in pairwise(words))]))
    held = Counter(term for each in counts for term in each)
    places = {term: place for place, term in enumerate(sorted(held))}
    vectors = np.zeros((len(texts), max(len(places), 1)))
    for row, each in enumerate(counts):
        for term, number in each.items():
            vectors[row, places[term]] = number * math.log((1 + len(texts)) / (1 + held[term]) + 1.0)
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))
