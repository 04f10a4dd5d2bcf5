"""Curves: a Markov chain that eats its own words collapses, one that keeps the real ones does not; a little real data
and much synthetic is worth more than the little alone."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import cache
from html import escape
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from personas.errors import ProofError, SettingsError
from personas.randomness import root_key
from sinks.proof.curves import DRAWS, Curves, Judged, averaged, collapse, growth, mixed, parted
from sinks.proof.evidence import Evidence
from sinks.proof.judge import TASKS, Judge
from sinks.proof.learners import next_event, next_item
from sinks.proof.log import Log, concatenated, encode, encode_with
from sinks.proof.maker import Commands, Maker, maker_of, table_of
from sinks.proof.markov import Markov
from sinks.proof.page import page_of
from sinks.proof.record import Curve, Gain, Interval, LogRecord, Point, Proof
from sinks.proof.saying import stopping
from sinks.proof.telling import told
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


class Listening(Markov):
    """A maker that tells how many sessions it learned from, and how many of them a model had made."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, int]] = []

    def make(self, taught: Log, sessions: int, seed: int) -> Log:
        made = np.array(["/" in str(user) for user in taught.users.tolist()])[taught.user]
        self.heard.append((taught.sessions, int(made.sum())))
        return super().make(taught, sessions, seed)


@cache
def few() -> Evidence:
    logs = encode({name: shop_log(seed, 160) for seed, name in enumerate(("synthetic", "core", "holdout"), start=40)})
    return Evidence(**logs, replicates=20)


#: Recommenders are quick, and lose what a generator forgets; the other tasks are asked as measures ask them.
ITEMS = ("next_item_hits",)


@cache
def fallen() -> Curves:
    return collapse(few(), Forgetful(), 3, wanted=ITEMS)


def generations() -> dict[str, Curve]:
    return {curve.name.split()[0]: curve for curve in fallen().lines}


def skill(point: Point, task: str = "next item") -> float:
    found = point.skills[task].value
    assert found is not None
    return found


def test_what_each_generation_learns_from_is_the_last_all_or_the_core_and_as_much_of_all() -> None:
    maker = Listening()
    lines = {curve.name.split()[0]: curve for curve in collapse(few(), maker, 4, wanted=ITEMS).lines}
    core = few().real[0].sessions
    assert len(maker.heard) == 9
    replaced, accumulated, mixes = (maker.heard[rows] for rows in (slice(1, 4), slice(4, 7), slice(7, 9)))
    assert all(made == heard and heard == pytest.approx(core, rel=0.1) for heard, made in replaced)
    assert [heard for heard, _ in accumulated] == pytest.approx([2 * core, 3 * core, 4 * core], rel=0.1)
    assert all(heard - made == core for heard, made in (*accumulated, *mixes))
    assert [made for _, made in mixes] == pytest.approx([core, core], rel=0.2)
    assert lines["mix"].points[:3] == lines["accumulate"].points[:3]


def test_replaced_generations_lose_their_tail_and_accumulated_ones_keep_more() -> None:
    replaced, accumulate = generations()["replace"], generations()["accumulate"]
    assert [point.x for point in replaced.points] == [0, 1, 2, 3]
    assert replaced.points[:2] == accumulate.points[:2]
    covered = [point.catalogue_coverage for point in replaced.points]
    assert covered == sorted(covered, key=lambda share: -(share or 0)) and (covered[-1] or 1) < 0.7
    assert (accumulate.points[-1].catalogue_coverage or 0) > (covered[-1] or 1) + 0.15
    assert skill(accumulate.points[-1]) > skill(replaced.points[-1])
    lost = {gain.line: gain.value for gain in fallen().gains}
    assert (lost["replace"].high or 0) < 0 and (lost["accumulate"].value or 0) > (lost["replace"].value or 0)
    [said] = [text for text in fallen().said if text.startswith("replace") and "next item" in text]
    assert "generation 1 to 3" in said and f"{lost['replace'].value:+.3f} [" in said
    assert any("replace" in text and "tail coverage goes from" in text for text in fallen().said)
    assert fallen().said[0].startswith("By generation 3: learning from the core and all before it (accumulate), ")
    assert "(replace), next item can be told to lose skill" in fallen().said[0]


def test_an_interval_of_a_generation_holds_how_samples_of_one_model_differ() -> None:
    random = np.random.default_rng(3)
    errors, widths = [], []
    for number in range(200):
        draws = [
            Judged(Point(x=1, label="1", skills={}, sessions=9, tail_coverage=place / 4), {"t": np.full(201, at)})
            for place, at in enumerate(random.normal(0.7, 0.2, DRAWS))
        ]
        found = averaged(draws, root_key("draws", number))
        assert found.skills["t"][0] == pytest.approx(np.mean([draw.skills["t"][0] for draw in draws]))
        assert found.point.tail_coverage == pytest.approx(0.5)
        errors.append(abs(found.skills["t"][0] - 0.7))
        widths.append((found.point.skills["t"].high or 0) - (found.point.skills["t"].low or 0))
    assert np.mean(widths) == pytest.approx(2 * 1.96 * 0.2 / DRAWS**0.5, rel=0.15)
    assert np.mean(np.array(errors) < np.array(widths) / 2) > 0.8  # five samples tell their spread roughly


def test_one_unlucky_sample_is_no_collapse() -> None:
    class Fickle:
        """Knows the truth in every generation; but one sample of five is noise: the first, in generation 3."""

        name = "fickle"

        def make(self, taught: Log, sessions: int, seed: int) -> Log:
            made = encode_with(taught.words, "made", shop_log(100 + seed, sessions))
            made = made.take(np.arange(made.sessions) < sessions)
            bad = (made.session // small.sessions + seed) % 5 == 3
            noise = np.random.default_rng(seed).integers(0, len(made.words.items), made.rows)
            item = np.where(bad & (made.item >= 0), noise, made.item).astype(np.int32)
            return replace(made, item=item)

    core, holdout = few().real
    small = core.of_users(np.arange(len(core.users)) < 100)
    found = collapse(Evidence(small, small, holdout, replicates=50), Fickle(), 3, wanted=ITEMS)
    assert found.gains and all((gain.value.low or 0) < 0 < (gain.value.high or 0) for gain in found.gains)


def test_parts_of_a_log_have_whole_users_and_about_as_many_sessions() -> None:
    log = few().real[0]
    parts = parted(log, DRAWS)
    assert sum(part.sessions for part in parts) == log.sessions
    assert max(part.sessions for part in parts) < 1.3 * min(part.sessions for part in parts)
    assert len({user for part in parts for user in part.users.tolist()}) == sum(len(part.users) for part in parts)


def test_generation_nought_is_the_core_itself() -> None:
    begin = generations()["replace"].points[0]
    assert begin.skills and all(each.value == pytest.approx(1) for each in begin.skills.values())


def test_every_task_of_the_measures_is_asked_unless_measures_are_named() -> None:
    assert set(Judge(few()).skills(few().real[0])) | set(Judge(few()).unjudged) == set(TASKS)
    assert set(Judge(few(), ("new_item_rank", "gaps")).skills(few().real[0])) == {"new item"}


@pytest.mark.thorough
def test_synthetic_data_helps_while_real_data_is_little() -> None:
    zero = encode_with(few().synthetic.words, "zero", shop_log(30, 200))
    wanted = (*ITEMS, "next_event_log_loss")
    found = growth(few(), Markov(), zero, shares=(0.1, 1.0), wanted=wanted)
    lines = {curve.name: curve.points for curve in found.lines}
    assert [point.label for point in lines["real alone"]] == ["0 %", "10 %", "100 %"]
    assert lines["synthetic alone"][0].label == "0 %"
    last = lines["real alone"][-1]
    assert last.skills and all(each.value == pytest.approx(1) for each in last.skills.values())
    pairs = zip(lines["both"][1:], lines["real alone"][1:], strict=True)
    assert all(both.sessions > alone.sessions for both, alone in pairs)
    tenth = {name: points[1] for name, points in lines.items() if name != "synthetic alone"}
    assert skill(tenth["real alone"]) < skill(tenth["real and this log (may know all of the core)"]) < 1.1
    assert [name for name in lines if "this log" in name] == ["real and this log (may know all of the core)"]
    begun = lines["synthetic alone"][0].skills["next event, log-loss"]
    assert (begun.low or 0) > 0  # it comes of the same truth
    assert any("Day zero" in text and "more than a guess" in text for text in found.said)
    assert found.said[0].startswith(("Stop simulating at", "Do not stop simulating yet"))
    assert {(gain.task, gain.label) for gain in found.gains} >= {("next item", "10 %"), ("next item", "100 %")}


def test_a_log_that_was_learned_from_the_core_has_no_line_of_its_own() -> None:
    found = growth(replace(few(), learned=True, _once={}), Markov(), shares=(1.0,), wanted=ITEMS)
    assert [curve.name for curve in found.lines] == ["real alone", "synthetic alone", "both"]


def test_in_a_mix_synthetic_users_count_for_as_many_real_ones_and_fade() -> None:
    core, made = few().real[0], replace(few().synthetic, users=few().synthetic.users + "x")
    little = core.of_users(np.arange(len(core.users)) < 40)
    both = mixed(little, made, 0)
    assert both.weight is not None and both.sessions == little.sessions + made.sessions
    assert (both.weight[: little.sessions] == 1).all()
    first = np.unique(both.user, return_index=True)[1]
    assert both.weight[first].sum() == pytest.approx(2 * 40)
    assert both.take(np.arange(both.sessions) % 2 == 0).weight == pytest.approx(both.weight[::2])


def test_weights_count_as_copies_do() -> None:
    log = few().synthetic
    heavy = replace(log, weight=np.where(np.arange(log.sessions) < 50, 3.0, 1.0))
    again = concatenated(log, *[log.take(np.arange(log.sessions) < 50)] * 2)
    one, two = next_item.taught(heavy), next_item.taught(again)
    assert np.allclose(one.popularity, two.popularity)
    assert one.follows is not None and abs(one.follows - two.follows).max() < 1e-12
    test = next_event.rows_of(few().real[1], few().coding)
    said = [
        next_event.predicted("logistic", next_event.rows_of(each, few().coding), test, few().coding.event_codes + 1)
        for each in (heavy, again, log)
    ]
    assert np.abs(said[0] - said[1]).mean() < 0.2 * np.abs(said[0] - said[2]).mean()


def test_a_share_from_which_nothing_can_be_made_has_no_point() -> None:
    class Choosy:
        name = "choosy"

        def make(self, taught: Log, sessions: int, seed: int) -> Log:
            if taught.sessions < 100:
                raise ProofError("too little to learn from")
            return Markov().make(taught, sessions, seed)

    found = growth(few(), Choosy(), shares=(0.1, 1.0), wanted=ITEMS)
    lines = {curve.name: curve.points for curve in found.lines}
    assert len(lines["synthetic alone"]) < len(lines["real alone"]) - 1
    assert lines["synthetic alone"][0].sessions > 0


def test_curves_are_drawn() -> None:
    words = LogRecord(said="s", sessions=1, users=1, events=1, looked_at=1)
    proof = Proof(
        dayone="0", checked="checked on real hold-out", seed=0, replicates=20, logs={"synthetic": words}, figures=[],
        absent=[], collapse=fallen().lines, collapse_said=fallen().said,
    )  # fmt: skip
    text = page_of(proof)
    assert "Catalogue coverage" in text and "replace (forgetful)" in text and text.count("<svg role") >= 3
    assert all(escape(said) in text for said in fallen().said)
    last = generations()["replace"].points[-1].skills["next item"]
    assert f"{last.low:.3f} to {last.high:.3f}" in text and "20 replicates" in text
    lines = list(told(proof, Path("proof.html")))
    assert any(f"{last.value:.3f}" in line for line in lines) and "generations:" in lines


def gain(share: int, low: float, high: float, task: str = "next item") -> Gain:
    value = Interval(value=(low + high) / 2, low=low, high=high)
    return Gain(task=task, line="both", x=share, label=f"{share} %", users=share * 10, value=value)


@pytest.mark.parametrize(
    ("gains", "first", "then"),
    [
        ([gain(1, 0.1, 0.2), gain(10, 0.01, 0.1), gain(100, -0.1, 0.1)],
         "Stop simulating at 100 % of this core, 1,000 real users", "adds skill up to 10 % of the core"),
        ([gain(1, 0.1, 0.2), gain(10, 0.01, 0.1)], "Do not stop simulating yet", "all that there is"),
        ([gain(1, -0.1, 0.2), gain(10, -0.2, -0.1)], "Stop simulating at 1 %", "it costs skill at 10 % of the core"),
        ([gain(1, 0.1, 0.2), gain(10, -0.1, 0.1), gain(1, 0.1, 0.2, "return"), gain(10, 0.1, 0.2, "return")],
         "Do not stop simulating yet: with all of this core, return still gains", "from 10 % of the core"),
    ],
)  # fmt: skip
def test_it_is_said_in_words_when_to_stop_simulating(gains: list[Gain], first: str, then: str) -> None:
    said = stopping(gains)
    assert said[0].startswith(first) and then in said[1]


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


@pytest.mark.thorough
@pytest.mark.timeout(300)
class TestCommands(MakerContract):
    users = 40

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


def test_a_pack_goes_along_to_what_is_fitted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "program"
    seen = tmp_path / "seen"
    program.write_text(
        f'#!/bin/sh\necho "$@" > {seen}\ncat "${{@: -1}}" >> {seen}\nexit 13\n'.replace("/bin/sh", "/bin/bash")
    )
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(ProofError):
        maker_of("twins", "shop").make(Evidence(good().synthetic).synthetic, 10, 0)
    said = seen.read_text()
    assert "--pack shop --map" in said and "unknown: keep" in said
    with pytest.raises(SettingsError, match="knows no pack"):
        maker_of("markov", "shop")
