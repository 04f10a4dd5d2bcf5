"""The two classifiers that every task is judged with: gradient boosting and a logistic regression, of scikit-learn.

Boosting finds what depends on what; the logistic one shows what a plain model gets, and is hard to fool by noise. Both
are deterministic. Small trees and few rounds: a proof trains a dozen, and on a log where little can be learned larger
ones learn noise, which makes every comparison worse.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from personas.randomness import F64
from sinks.proof.log import I64

Kind = Literal["boosting", "logistic"]
KINDS: tuple[Kind, ...] = ("boosting", "logistic")
#: Probability that is spread evenly over all classes, so that an answer a model has never seen costs it much, not
#: everything.
SMOOTHING = 1e-3
_TREES = 400
_STEPS = 60


@dataclass(frozen=True, eq=False)
class Features:
    """Rows of features: categories as codes from 0 with their number of codes, and numbers. Pairs name categories
    whose combinations the logistic model gets as well; boosting finds them by itself."""

    categories: tuple[tuple[I64, int], ...]
    numbers: F64
    pairs: tuple[tuple[int, int], ...] = ()

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.numbers)

    def take(self, rows: npt.NDArray[np.bool_]) -> Features:
        """The rows of a mask."""
        return Features(tuple((codes[rows], size) for codes, size in self.categories), self.numbers[rows], self.pairs)


def probabilities(
    kind: Kind, train: Features, answers: I64, test: Features, classes: int, weight: F64 | None = None
) -> F64:
    """Train on rows with answers (codes below `classes`), and give each test row a probability for each class.
    `weight`: what each row counts for; None is 1 for each."""
    known, coded = np.unique(answers, return_inverse=True)
    result = np.full((test.rows, classes), SMOOTHING / classes)
    if len(known) == 1:
        result[:, known[0]] += 1 - SMOOTHING
        return result
    if kind == "boosting":
        found = _boosted(train, coded, test, len(known), weight)
    else:
        found = _logistic(train, coded, test, weight)
    result[:, known] += (1 - SMOOTHING) * found
    return result


def _boosted(train: Features, answers: I64, test: Features, classes: int, weight: F64 | None) -> F64:
    trees = 1 if classes == 2 else classes
    model = HistGradientBoostingClassifier(
        max_iter=int(np.clip(_TREES / trees, 25, 60)),
        learning_rate=0.1,
        max_leaf_nodes=12,
        min_samples_leaf=max(5, min(60, train.rows // 200)),
        l2_regularization=5.0,
        categorical_features=list(range(len(train.categories))),
        early_stopping=False,
        random_state=0,
    )
    with threadpool_limits(1):  # threads that wait for one another burn more than they save on small data
        model.fit(_dense(train), answers, sample_weight=weight)
        return np.asarray(model.predict_proba(_dense(test)), dtype=np.float64)


def _dense(features: Features) -> F64:
    return np.column_stack([*(codes.astype(np.float64) for codes, _ in features.categories), features.numbers])


def _logistic(train: Features, answers: I64, test: Features, weight: F64 | None) -> F64:
    scaler = StandardScaler().fit(train.numbers)
    model = LogisticRegression(C=1.0, max_iter=_STEPS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # as many steps as there are, for every arm alike
        model.fit(_sparse(train, scaler), answers, sample_weight=weight)
    return np.asarray(model.predict_proba(_sparse(test, scaler)), dtype=np.float64)


def _sparse(features: Features, scaler: StandardScaler) -> sparse.csr_matrix:
    place = np.arange(features.rows)
    crossed = [
        (features.categories[a][0] * features.categories[b][1] + features.categories[b][0],
         features.categories[a][1] * features.categories[b][1])
        for a, b in features.pairs
    ]  # fmt: skip
    blocks = [
        sparse.csr_matrix((np.ones(features.rows), (place, codes)), shape=(features.rows, size))
        for codes, size in (*features.categories, *crossed)
    ]
    numbers = np.clip(np.asarray(scaler.transform(features.numbers)), -5, 5)
    return sparse.hstack([*blocks, sparse.csr_matrix(numbers)], format="csr")
