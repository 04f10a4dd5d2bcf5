"""Where a measure has to stay silent, and where the size of a log must not blind it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from sinks.proof.evidence import NO_NEXT_ITEM, Evidence
from sinks.proof.learners import next_item
from sinks.proof.likeness import nearest, vectors
from sinks.proof.log import Log, Words
from sinks.proof.measures import copies, membership
from sinks.proof.measures.next_item import NextItemHits
from sinks.proof.measures.progress import ReturnCurve
from sinks.proof.metric import Figure
from tests.sinks.proof.degrading import copied
from tests.sinks.proof.good import good

_SESSIONS, _LENGTH, _ITEMS = 12_500, 4, 3_000


def plain(seed: int) -> Log:
    """Many short sessions of one user each, with any items in any order: alike by chance only."""
    draw = np.random.default_rng(seed)
    words = Words(("cart", "view"), tuple(f"i{number:04}" for number in range(_ITEMS)), ())
    rows = _SESSIONS * _LENGTH
    return replace(
        good().synthetic, words=words, event=draw.integers(2, size=rows).astype(np.int32),
        item=draw.integers(_ITEMS, size=rows).astype(np.int32), time=np.arange(rows) * 10_000_000,
        start=np.arange(_SESSIONS + 1) * _LENGTH, user=np.arange(_SESSIONS), persona=np.full(_SESSIONS, -1, np.int32),
        users=np.array([f"{seed}-{number}" for number in range(_SESSIONS)], dtype=object),
    )  # fmt: skip


def singles(seed: int) -> Log:
    """The same events, each a session of its own."""
    log = plain(seed)
    users = np.array([f"{seed}-{number}" for number in range(log.rows)], dtype=object)
    return replace(
        log, start=np.arange(log.rows + 1), user=np.arange(log.rows), persona=np.full(log.rows, -1, np.int32),
        users=users,
    )  # fmt: skip


@cache
def large() -> Evidence:
    """A core of many sessions, copied."""
    real = Evidence(plain(1), plain(2), plain(3), replicates=20)
    return replace(real, synthetic=copied(real), _once={})


def value(found: Figure | str) -> float:
    assert isinstance(found, Figure), found
    assert not found.note
    return found.value.value


def test_a_large_core_that_was_copied_gives_its_members_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "TARGETS", 500)
    assert value(membership.Membership().compute(large())) > 0.9


def test_the_copies_of_a_large_core_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "SESSIONS", 500)
    assert value(copies.NearCopies().compute(large())) > 0.95
    assert value(copies.ClosestRecord().compute(large())) > 0.95
    assert value(copies.NearestRatio().compute(large())) < -0.5


def test_a_log_that_is_searched_in_part_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "SEARCHED", 300)
    monkeypatch.setattr(copies, "SEARCHED", 300)
    for metric in (membership.Membership(), copies.NearCopies(), copies.ClosestRecord()):
        found = metric.compute(replace(good(), _once={}))
        assert isinstance(found, Figure) and "sessions: what comes from the others is not seen" in found.note


def test_the_nearest_are_the_same_however_the_search_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = vectors(good().synthetic, good().real[0])
    whole = nearest(ours[:50], theirs, 3)
    expected = np.sort(1 - (ours[:50] @ theirs.T).toarray(), axis=1)[:, :3]
    assert np.allclose(whole, np.clip(expected, 0, 1))
    monkeypatch.setattr("sinks.proof.likeness._BLOCK", 7)
    monkeypatch.setattr("sinks.proof.likeness._CHUNK", 11)
    assert np.array_equal(nearest(ours[:50], theirs, 3), whole)


def test_a_log_of_less_than_a_day_says_nothing_of_who_comes_back() -> None:
    whole = good()
    short = replace(whole.synthetic, time=whole.synthetic.time // 60)  # forty days become sixteen hours
    found = ReturnCurve().compute(Evidence(short, *whole.real, replicates=20))
    assert isinstance(found, str) and "too short to tell" in found
    assert isinstance(ReturnCurve().compute(whole), Figure)


def test_sessions_of_one_item_pose_no_question() -> None:
    questions = next_item.asked(replace(plain(1), start=np.arange(_SESSIONS * _LENGTH + 1)))
    assert questions.last.shape[0] == questions.seen.shape[0] == len(questions.truth) == len(questions.new) == 0
    alone = Evidence(*(singles(seed) for seed in (1, 2, 3)), replicates=2)
    assert NextItemHits().compute(alone) == NO_NEXT_ITEM


def test_a_session_without_end_poses_a_share_of_its_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(next_item, "_MOST_SEEN", 100_000)
    whole = plain(1)
    rows = {"event": whole.event[:2000], "item": whole.item[:2000], "time": whole.time[:2000]}
    endless = next_item.asked(replace(whole, **rows, start=np.array([0, 2000]), user=np.zeros(1, np.int64)))
    assert endless.seen.nnz < 200_000 and 50 < len(endless.truth) < 200
    assert len(next_item.asked(whole).truth) == _SESSIONS * (_LENGTH - 1), "short ones pose all of theirs"
