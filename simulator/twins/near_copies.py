"""Sessions that nearly equal a real person's are drawn again: what of the core is kept for that, and the check.

A session is a sequence of (event, item). Of it and of what is left when one of its events is left out (its *elements*)
hashes are kept: sessions that differ by one event more, less, other or elsewhere have an element in common (deletion
neighbourhoods, as in SymSpell: Garbe 2012; Bocek, Hunt, Stiller 2007). An element that k users have is not kept, so
what k users share is never refused; nor is a session that k users had, as all its elements are theirs. Elements below a
shortest length are not kept either: it is the smallest at which the sessions of half of the core's users would be
refused because of the other half in `TOLERATED` of cases at most, and of those that are as long in `TOLERATED_LONG`. So
refusing changes little; and that somebody's session is never drawn tells little, as most sessions of the same kind that
nobody had are not drawn either.

Two ways were weighed. Comparing with the sessions themselves, by any distance: then a model would have to carry them.
Or hashes: this one. They are salted, and cut to so few bits that about as many sessions are refused by mistake as
rightly: who tries many sessions finds mostly mistakes. Who knows a whole session can still ask whether it was in the
core and err in few cases only: `--allow-near-copies` makes models without hashes, to be given away. A Bloom filter
would be as small, and says as much. Knows neither files nor how sessions are drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from personas.randomness import U64, fold, mix, root_key, uniform
from simulator.twins.log import I64, Log
from simulator.twins.privacy import Bools, users_of

Arrays = Mapping[str, npt.NDArray[Any]]
#: Share of the sessions of other real people that may be refused, by the sessions of half of the users: of all, and of
#: those that are long enough to be.
TOLERATED, TOLERATED_LONG = 0.005, 0.02
#: Share of sessions that are refused by mistake: of usual length, and of the greatest.
MISTAKEN, MISTAKEN_LONGEST = 0.005, 0.05
#: Elements of fewer events point at nobody.
FEWEST = 3
_BASE = 0x9E3779B97F4A7C15
_INVERSE = np.uint64(pow(_BASE, -1, 1 << 64))
_MOST_PLACES = 24


@dataclass(frozen=True)
class Elements:
    """Hashes of sessions and of what leaving out one event leaves: `hash`, `session` (row), `length` (events), [n]."""

    hash: U64
    session: I64
    length: I64

    def only(self, rows: Bools) -> Elements:
        """Some of them."""
        return Elements(self.hash[rows], self.session[rows], self.length[rows])


def elements_of(token: U64, session: I64, sessions: int, shortest: int) -> Elements:
    """The elements of at least `shortest` events. `token` is what each event is, `session` (rising) its row.

    A polynomial of the mixed tokens modulo 2^64: leaving out an event takes a term off and divides those behind it by
    the base, so all elements of a session cost as much as the session."""
    length = np.bincount(session, minlength=sessions)
    if (length < shortest).any():
        rows = (length >= shortest)[session]
        token, session = token[rows], session[rows]
    long = np.flatnonzero(length >= shortest)
    lengths = length[long]
    first = np.cumsum(lengths) - lengths
    place = np.arange(len(token)) - np.repeat(first, lengths)
    powers = np.cumprod(np.full(int(lengths.max(initial=0)) + 1, _BASE, dtype=np.uint64))
    term = mix(token) * powers[place]
    upto = np.cumsum(term)
    before = upto - term
    before -= np.repeat(before[first], lengths)
    whole = np.add.reduceat(term, first) if len(first) else term
    inner = np.repeat(lengths > shortest, lengths)
    term, before, owner = term[inner], before[inner], session[inner]
    left = before + (np.repeat(whole, lengths)[inner] - before - term) * _INVERSE
    values = np.concatenate([whole, left])
    sizes = np.concatenate([lengths, np.repeat(lengths - 1, lengths)[inner]])
    return Elements(fold(values, sizes), np.concatenate([long, owner]), sizes)


def tokens_of(event: I64, item: I64, names: int, salt: np.uint64) -> U64:
    """One number for each (event, item); items from `names` on have no name, and are all alike."""
    return fold(fold(salt, event), np.minimum(item, names) + 1)


def fit_near_copies(log: Log, names: int, k: int, longest: int) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """What is kept of a log whose items from the code `names` on have no name: the arrays `near.*`, and the facts."""
    salt = _salt(log)
    token = tokens_of(log.event, log.item, names, salt)
    elements = elements_of(token, log.session, len(log.user), FEWEST)
    code, user = np.unique(elements.hash, return_inverse=True)[1], log.user[elements.session]
    size = int(code.max(initial=-1)) + 1
    users = users_of(code, user, size)
    shortest, share = _shortest(elements, code, users, user, log, k)
    kept = (users < k)[code] & (elements.length >= shortest)
    hashes = np.unique(elements.hash[kept])
    usual = 1.0 + float(log.lengths[log.lengths >= shortest].mean()) if (log.lengths >= shortest).any() else 1.0
    wanted = len(hashes) * max(usual / MISTAKEN, (1 + longest) / MISTAKEN_LONGEST)
    bits = int(np.clip(np.ceil(np.log2(max(wanted, 1.0))), 16, 64))
    cut = np.unique(hashes >> np.uint64(64 - bits))
    arrays = {
        "near.hashes": cut.astype(np.uint32 if bits <= 32 else np.uint64), "near.salt": np.array([salt]),
        "near.sizes": np.array([bits, shortest]),
    }  # fmt: skip
    facts = {
        "hashes": len(cut), "shortest": shortest, "sessions": len(np.unique(elements.session[kept])),
        "refused_of_other_people": round(share, 5), "refused_by_mistake": round(len(cut) * usual / 2.0**bits, 5),
    }  # fmt: skip
    return arrays, facts


def _salt(log: Log) -> np.uint64:
    """The same for the same core, and known to nobody without it or its model."""
    digest = hashlib.sha256()
    for array in (log.event, log.item, log.time, log.first):
        digest.update(np.ascontiguousarray(array).tobytes())
    return root_key("near copies", digest.hexdigest())


def _shortest(elements: Elements, code: I64, users: I64, user: I64, log: Log, k: int) -> tuple[int, float]:
    """From which length on elements are kept, and the share of other people's sessions that this refuses: of half of
    the users, by the elements of the other half."""
    half = uniform(fold(root_key("near copies"), user)) < 0.5
    taught = users_of(np.where(half, code, -1), user, len(users))
    met = ~half & ((taught > 0) & (users <= k))[code]  # the judging user is one of them
    reach = np.zeros(len(log.user), dtype=np.int64)
    np.maximum.at(reach, elements.session[met], elements.length[met])
    judges = uniform(fold(root_key("near copies"), log.user)) >= 0.5
    longest = max(int(log.lengths.max(initial=0)), FEWEST) + 2
    refused, long = (
        np.cumsum(np.bincount(each[judges], minlength=longest)[::-1])[::-1].astype(np.float64)
        for each in (reach, log.lengths)
    )
    share = refused / max(float(judges.sum()), 1.0)
    few = (share <= TOLERATED) & (refused <= TOLERATED_LONG * long)
    shortest = FEWEST + int(np.flatnonzero(few[FEWEST:])[0])
    return shortest, float(share[shortest])


class NearCopies:
    """The check, made ready from the arrays of a model; one without any (`near.*`) refuses nothing."""

    def __init__(self, arrays: Arrays, names: int) -> None:
        self._hashes = arrays.get("near.hashes", np.zeros(0, np.uint32)).astype(np.uint64)
        self._names = names
        if len(self._hashes):
            self._salt = np.uint64(arrays["near.salt"][0])
            bits, self.shortest = (int(size) for size in arrays["near.sizes"])
            self._cut = np.uint64(64 - bits)
            # most elements are ruled out by their first bits alone, without a search
            places = min(int(np.log2(len(self._hashes))) + 4, _MOST_PLACES, bits)
            self._coarse, self._there = np.uint64(bits - places), np.zeros(1 << places, dtype=np.bool_)
            self._there[self._hashes >> self._coarse] = True

    def of(self, event: I64, item: I64, session: I64, sessions: int) -> I64:
        """The rows of the sessions that are too near to a real one; events are sorted by session."""
        if not len(self._hashes):
            return np.zeros(0, dtype=np.int64)
        token = tokens_of(event, item, self._names, self._salt)
        elements = elements_of(token, session, sessions, self.shortest)
        value = elements.hash >> self._cut
        maybe = np.flatnonzero(self._there[value >> self._coarse])
        value = value[maybe]
        found = np.minimum(np.searchsorted(self._hashes, value), len(self._hashes) - 1)
        return np.unique(elements.session[maybe[self._hashes[found] == value]])
