"""Curves: a Markov chain that eats its own words collapses, one that keeps the real ones does not; a little real data
and much synthetic is worth more than the little alone."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from personas.errors import ProofError
from sinks.proof.curves import collapse, growth
from sinks.proof.evidence import Evidence
from sinks.proof.log import Log, encode, encode_with
from sinks.proof.maker import Commands, Maker, table_of
from sinks.proof.markov import Markov
from sinks.proof.page import page_of
from sinks.proof.record import Curve, LogRecord, Proof
from tests.contracts.maker import MakerContract
from tests.sinks.proof.good import good
from tests.sinks.proof.making import shop_log


class Forgetful:
    """A maker that loses a fifth of the items and, with each event that it makes, some of the order."""

    name = "forgetful"

    def make(self, taught: Log, sessions: int, seed: int) -> Log:
        made = Markov().make(taught, sessions, seed)
        known = np.unique(taught.item[taught.item >= 0])
        lost = np.random.default_rng(seed).choice(known, len(known) // 5, replace=False)
        item = np.where(np.isin(made.item, lost), known[0], made.item).astype(np.int32)
        return Log(
            made.words, made.event, item, made.time, made.start, made.user, made.users, made.persona,
        )  # fmt: skip


@cache
def few() -> Evidence:
    logs = encode({name: shop_log(seed, 160) for seed, name in enumerate(("synthetic", "core", "holdout"), start=40)})
    return Evidence(**logs, replicates=20)


@cache
def generations() -> dict[str, Curve]:
    return {curve.name.split()[0]: curve for curve in collapse(few(), Forgetful(), 3)}


def test_replaced_generations_lose_their_tail_and_accumulated_ones_keep_more() -> None:
    replace, accumulate = generations()["replace"], generations()["accumulate"]
    assert [point.x for point in replace.points] == [0, 1, 2, 3]
    assert replace.points[:2] == accumulate.points[:2]
    covered = [point.catalogue_coverage for point in replace.points]
    assert covered == sorted(covered, key=lambda share: -(share or 0)) and (covered[-1] or 1) < 0.7
    assert (accumulate.points[-1].catalogue_coverage or 0) > (covered[-1] or 1) + 0.15
    assert (accumulate.points[-1].skills["next item"] or 0) > (replace.points[-1].skills["next item"] or 0)


def test_generation_nought_is_the_core_itself() -> None:
    begin = generations()["replace"].points[0]
    assert all(skill == pytest.approx(1) for skill in begin.skills.values() if skill is not None)


def test_synthetic_data_helps_while_real_data_is_little() -> None:
    zero = encode_with(few().synthetic.words, "zero", shop_log(30, 200))
    lines = {curve.name: curve.points for curve in growth(few(), Markov(), zero, shares=(0.1, 1.0))}
    assert [point.label for point in lines["real alone"]] == ["0 %", "10 %", "100 %"]
    assert lines["synthetic alone"][0].label == "0 %"
    last = lines["real alone"][-1]
    assert all(skill == pytest.approx(1) for skill in last.skills.values() if skill is not None)
    pairs = zip(lines["both"][1:], lines["real alone"][1:], strict=True)
    assert all(both.sessions > alone.sessions for both, alone in pairs)
    tenth = {name: points[1].skills["next item"] or 0 for name, points in lines.items()}
    assert tenth["real alone"] < 1
    assert [name for name in lines if "this log" in name] == ["real and this log (may know all of the core)"]


def test_a_share_from_which_nothing_can_be_made_has_no_point() -> None:
    class Choosy:
        name = "choosy"

        def make(self, taught: Log, sessions: int, seed: int) -> Log:
            if taught.sessions < 100:
                raise ProofError("too little to learn from")
            return Markov().make(taught, sessions, seed)

    lines = {curve.name: curve.points for curve in growth(few(), Choosy(), shares=(0.1, 1.0))}
    assert len(lines["synthetic alone"]) < len(lines["real alone"]) - 1
    assert lines["synthetic alone"][0].sessions > 0


def test_curves_are_drawn() -> None:
    words = LogRecord(said="s", sessions=1, users=1, events=1, looked_at=1)
    proof = Proof(
        dayone="0", checked="checked on real hold-out", seed=0, replicates=20, logs={"synthetic": words}, figures=[],
        absent=[], collapse=list(generations().values()),
    )  # fmt: skip
    text = page_of(proof)
    assert "Catalogue coverage" in text and "replace (forgetful)" in text and text.count("<svg role") >= 4


class TestMarkov(MakerContract):
    def maker(self) -> Maker:
        return Markov()

    def test_what_follows_two_events_is_what_followed_them(self) -> None:
        core, _ = good().real
        made = self.maker().make(core, 3000, 1)
        for first in range(len(core.words.events)):
            shares = []
            for log in (core, made):
                inner = np.flatnonzero((log.event[:-1] == first) & (np.diff(log.session) == 0))
                shares.append(np.bincount(log.event[inner + 1], minlength=4) / max(len(inner), 1))
            assert np.abs(shares[0] - shares[1]).max() < 0.06


@pytest.mark.slow
class TestCommands(MakerContract):
    users = 120

    def maker(self) -> Maker:
        return Commands()


def test_a_log_goes_to_a_table_and_back(tmp_path: Path) -> None:
    log = encode({"a": shop_log(5, 40)})["a"]
    pq.write_table(table_of(log), tmp_path / "a.parquet")
    again = encode_with(log.words, "again", pq.read_table(tmp_path / "a.parquet"))
    for name in ("event", "item", "time", "start", "user"):
        assert np.array_equal(getattr(again, name), getattr(log, name))


def test_commands_that_fail_say_what_the_program_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\necho Error: too few users >&2\nexit 13\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(ProofError, match="dayone fit failed: Error: too few users"):
        Commands().make(Evidence(good().synthetic).synthetic, 10, 0)
