"""Gate: no feature tells the label by itself.

A feature from which a rule of one line reads the label off is most likely the label in other clothes: a model that
learns it is worth nothing. For each pair, a rule is made on one half of the users and tried on the other: for each
value of the feature (numbers in 64 bins of equal size), the label that is most frequent there, or the mean rank of a
number. The figure is by how much the rule beats knowing nothing: Goodman and Kruskal's lambda (JASA 49, 1954) for
labels that are names, R squared of the ranks for numbers; 1 is a label that is read off without a mistake. Measured on
users that the rule has not seen, a feature with a value of its own in every row gains nothing by it, which it does with
mutual information.

A task may declare a pair that it knows of, with a reason (`shortcuts`, see task.py).
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from personas.sql import identifier
from sinks.training.gates.gate import Evidence, Found, Stage, worst
from sinks.training.task import names

#: Rows that are looked at, about.
SAMPLE = 50_000
BINS = 64
FEWEST = 200
_MISSING = "<null>"


class LabelLeakageGate:
    """Implements Gate."""

    name: ClassVar[str] = "label_leakage"
    stage: ClassVar[Stage] = "rows"
    checks: ClassVar[str] = "features from which alone a label can be read off, on users that the rule has not seen"
    unit: ClassVar[str] = "of the label is told by one feature"
    threshold: ClassVar[float] = 0.98

    def judge(self, evidence: Evidence, threshold: float) -> tuple[float, tuple[Found, ...], str]:
        """See Gate."""
        whole = _sample(evidence)
        parts = [self._judge(evidence, whole.filter(pc.equal(whole.column("of"), origin)), threshold)
                 for origin in sorted(pc.unique(whole.column("of")).to_pylist())]  # fmt: skip
        figure = max((figure for figure, _, _ in parts), default=0.0)
        found = {(each.where, each.what): each for _, some, _ in parts for each in some}
        return figure, worst([*found.values()]), "; ".join(dict.fromkeys(note for *_, note in parts if note))

    def _judge(self, evidence: Evidence, sample: pa.Table, threshold: float) -> tuple[float, list[Found], str]:
        """The same of the rows of one origin: what tells real rows from synthetic ones is no leak of the label."""
        halves = np.asarray(sample.column("half").to_numpy(), dtype=bool)
        if min(halves.sum(), (~halves).sum()) < FEWEST:
            return 0.0, [], f"fewer than {2 * FEWEST} rows: too few to tell"
        features = {name: _codes(sample.column(name)) for name in names(evidence.columns, "feature")}
        found, allowed, highest = [], [], 0.0
        for label in names(evidence.columns, "label"):
            answer = sample.column(label)
            number = pa.types.is_integer(answer.type) or pa.types.is_floating(answer.type)
            if pa.types.is_nested(answer.type):
                continue
            known = np.asarray(pc.is_valid(answer).combine_chunks().to_numpy(zero_copy_only=False))
            for feature, codes in features.items():
                told = (_told_rank if number else _told_name)(codes, answer, halves, known)
                if reason := evidence.allowed.get(f"{feature}>{label}") or evidence.allowed.get(feature):
                    if told > threshold:
                        allowed.append(f"{feature} tells {told:.3f} of {label}, which is allowed: {reason}")
                    continue
                highest = max(highest, told)
                if told > threshold:
                    found.append(Found(feature, told, f"tells {told:.3f} of {label} by itself"))
        return highest, found, "; ".join(allowed)


def _sample(evidence: Evidence) -> pa.Table:
    """Rows of whole users of train, about SAMPLE of them, with the half of the users that each is in."""
    assert evidence.rows is not None
    rows = evidence.rows.query("SELECT count(*) AS n FROM made WHERE split_of_row = 'train'").column(0)[0].as_py()
    every = max(1, round(rows / SAMPLE))
    wanted = (*names(evidence.columns, "feature"), *names(evidence.columns, "label"))
    return evidence.rows.query(
        f"SELECT {', '.join(map(identifier, wanted))}, md5_number_upper(user_id) % 2 = 0 AS half, "  # noqa: S608
        "origin AS of FROM made "
        "WHERE split_of_row = 'train' AND md5_number_lower('leakage/' || user_id) % ? = 0", [every]
    )  # fmt: skip


def _codes(column: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    """A small number for each value; numbers are cut into bins of equal size unless they have few values."""
    if pa.types.is_nested(column.type):
        column = pa.chunked_array([pa.array([repr(value) for value in column.to_pylist()])])
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        values = np.asarray(pc.cast(column, pa.float64()).to_numpy(), dtype=float)
        if len(np.unique(values[~np.isnan(values)])) > BINS * 4:
            edges = np.unique(np.nanquantile(values, np.linspace(0, 1, BINS + 1)[1:-1]))
            return np.where(np.isnan(values), -1, np.searchsorted(edges, values, side="right"))
        return np.asarray(np.unique(values, return_inverse=True)[1])
    text = pc.fill_null(pc.cast(column, pa.string()), _MISSING)
    return np.asarray(text.combine_chunks().dictionary_encode().indices.to_numpy())


def _told_name(codes: Any, answer: pa.ChunkedArray, half: Any, known: Any) -> float:
    """Lambda of a rule that gives each value its most frequent label. A null label is a label, too."""
    text = pc.fill_null(pc.cast(answer, pa.string()), _MISSING)
    encoded = text.combine_chunks().dictionary_encode()
    labels, kinds = np.asarray(encoded.indices.to_numpy()), len(encoded.dictionary)
    learnt, tried = half, ~half
    usual = np.bincount(labels[learnt], minlength=kinds).argmax()
    pairs, counts = np.unique(codes[learnt].astype(np.int64) * kinds + labels[learnt], return_counts=True)
    order = np.lexsort((pairs, counts))
    rule = dict(zip((pairs[order] // kinds).tolist(), (pairs[order] % kinds).tolist(), strict=True))
    guess = np.fromiter((rule.get(code, usual) for code in codes[tried].tolist()), dtype=np.int64)
    wrong, plain = (guess != labels[tried]).sum(), (labels[tried] != usual).sum()
    return max(0.0, 1 - wrong / plain) if plain >= 20 else 0.0


def _told_rank(codes: Any, answer: pa.ChunkedArray, half: Any, known: Any) -> float:
    """R squared of the label's ranks, from the mean rank of each value. Rows without a label are left out."""
    values = np.asarray(pc.cast(answer, pa.float64()).to_numpy(), dtype=float)[known]
    codes, learnt = codes[known], half[known]
    if min(learnt.sum(), (~learnt).sum()) < FEWEST:
        return 0.0
    ranks = np.searchsorted(np.sort(values), values, side="left") / len(values)
    kinds, places = np.unique(codes, return_inverse=True)
    counts = np.bincount(places[learnt], minlength=len(kinds))
    usual = ranks[learnt].mean()
    sums = np.bincount(places[learnt], ranks[learnt], minlength=len(kinds))
    means = np.where(counts > 0, sums / np.maximum(counts, 1), usual)
    off, plain = ((ranks - means[places])[~learnt] ** 2).sum(), ((ranks - usual)[~learnt] ** 2).sum()
    return max(0.0, 1 - float(off / plain)) if plain > 0 else 0.0
