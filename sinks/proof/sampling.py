"""Who is in which half, which users a measure looks at, and how often a bootstrap replicate counts each of them.

Everything is decided by hashes of user ids (law: counter-based randomness), so a proof is the same on every machine
and in every order. The halves are the first 8 bytes of SHA-256 of the id, big-endian: even is core, odd is hold-out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from personas.randomness import F64, U64, fold, root_key, uniform
from sinks.proof.log import Log, Mask, Strings

#: The distribution function of a Poisson variable with mean 1, at 0, 1, 2, ...
_POISSON = np.cumsum(np.exp(-1.0) / np.cumprod(np.r_[1.0, np.arange(1.0, 12.0)]))
#: Salts of the splits inside a proof; each is independent of the others and of the halves.
FOLD, SAMPLE, REPLICATE, FEW = 1, 2, 3, 4


def bits_of(users: Strings) -> U64:
    """64 random-looking bits for each user id."""
    return np.array([root_key(user) for user in users.tolist()], dtype=np.uint64)


def is_core(users: Strings) -> Mask:
    """Whether each user belongs to the core: an even hash."""
    return np.asarray(bits_of(users) % np.uint64(2) == 0)


def halves(log: Log) -> tuple[Log, Log]:
    """Core and hold-out of a log."""
    core = is_core(log.users)
    return log.of_users(core), log.of_users(~core)


def folds(log: Log, seed: int) -> tuple[Log, Log]:
    """Two random halves of the users of a log."""
    first = uniform(fold(fold(bits_of(log.users), FOLD), seed)) < 0.5
    return log.of_users(first), log.of_users(~first)


def share_of_users(log: Log, share: float, seed: int) -> Log:
    """A random share of the users; a smaller share is contained in a larger one."""
    return log.of_users(uniform(fold(fold(bits_of(log.users), SAMPLE), seed)) < share)


def at_most(log: Log, sessions: int, seed: int) -> Log:
    """All of a log, or about `sessions` sessions of whole users, where it has more."""
    return log if log.sessions <= sessions else share_of_users(log, sessions / log.sessions, seed)


def coverage(logs: Mapping[str, tuple[Log, Log]]) -> str:
    """In words, which logs were searched only in part (whole, searched); nothing where all were searched whole."""
    return "; ".join(
        f"searched {part.sessions:,} of {whole.sessions:,} {name} sessions: what comes from the others is not seen"
        for name, (whole, part) in logs.items()
        if part.sessions < whole.sessions
    )


def replicates(log: Log, seed: int, count: int) -> npt.NDArray[np.float32]:
    """How often each bootstrap replicate (row) counts each user (column): independent Poisson(1) numbers, the limit of
    drawing users with replacement (Hanley, MacGibbon 2006, doi:10.1016/j.cmpb.2006.04.006)."""
    keys = fold(fold(bits_of(log.users), REPLICATE), seed)
    drawn = [np.searchsorted(_POISSON, uniform(fold(keys, number))) for number in range(count)]
    return np.asarray(drawn, dtype=np.float32).reshape(count, len(log.users))


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % bootstrap interval; NaN where there is none."""

    value: float
    low: float
    high: float


def estimate(statistic: Callable[..., float | F64], *weights: npt.NDArray[np.float32]) -> Estimate:
    """A statistic of weights of users, one array of weights for each log: its value with all weights 1, and an interval
    with the width of the 2.5 % to 97.5 % quantiles over the replicates (Efron, Tibshirani 1993, ch. 13).

    See `summarised`."""
    value = float(statistic(*(np.ones(each.shape[1], np.float32) for each in weights)))
    return summarised(value, np.array([float(statistic(*each)) for each in zip(*weights, strict=True)]))


def summarised(value: float, values: F64) -> Estimate:
    """A value and the interval that its replicates give.

    It is moved so that their median lies on the value: resampling adds noise of its own to a distance, which is then
    never small. What is never below 0 in any replicate has no interval below 0."""
    values = values[np.isfinite(values)]
    if not len(values):
        return Estimate(value, float("nan"), float("nan"))
    low, middle, high = np.quantile(values, [0.025, 0.5, 0.975]).tolist()
    least = 0.0 if values.min() >= 0 else -np.inf
    return Estimate(value, max(least, value + low - middle), value + high - middle)
