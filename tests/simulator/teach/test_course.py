"""A course: an oracle's truth is recovered, the budget holds, and whoever stops it loses nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from personas.errors import StudentError
from simulator.behaviour.artefact import load_student, save_student
from simulator.behaviour.fit import fit
from simulator.teach.course import Course, Lesson, Plan
from simulator.teach.fidelity import HeldOut
from simulator.teach.notebook import FILE, Notebook, open_notebook
from simulator.teach.oracle import DOLLARS_PER_DECISION, oracle_of
from simulator.teach.predicting import next_event_chances, total_variation
from simulator.teach.teachers import OracleTeacher
from simulator.teach.walks import Room, Tables, Visits, next_users, room_of, visit
from tests.runs import pack_of

USERS = 6000


@lru_cache
def room(seed: int = 1) -> Room:
    return room_of(pack_of("shop"), seed, USERS)


def course_in(folder: Path, plan: Plan, *, stopping: Callable[[], bool] = lambda: False) -> tuple[Course, Notebook]:
    notebook = open_notebook(folder, {"seed": plan.seed}, room().pack, USERS)
    teacher = OracleTeacher(oracle_of(room().prior, seed=3))
    keep = lambda notes: notes.save(folder)  # noqa: E731
    return Course(room(), teacher, notebook, plan, keep=keep, stopping=stopping), notebook


def taught(folder: Path, plan: Plan) -> tuple[Lesson, Notebook]:
    course, notebook = course_in(folder, plan)
    return course.learn(complete=course.teach()), notebook


@pytest.mark.thorough
def test_a_course_recovers_the_truth_of_its_oracle(tmp_path: Path) -> None:
    """What is chosen tells no other truth than what comes by itself. (2,000 visits: see test_fit.py.)"""
    lesson, notebook = taught(tmp_path, Plan(100.0, 300))
    assert 290 <= notebook.sessions <= 300 and notebook.held_out.sessions > 50
    truth, world, held = oracle_of(room().prior, seed=3), room().world, notebook.held_out
    theirs = next_event_chances(held, truth, world)
    before = total_variation(theirs, next_event_chances(held, room().prior, world))
    after = total_variation(theirs, next_event_chances(held, lesson.student.behaviour, world))
    assert after <= 0.11 and after <= before / 2, f"{after:.4f}, and the prior is at {before:.4f}"
    losses = [one.log_loss.value for one in lesson.fidelity]
    assert losses == sorted(losses, reverse=True), "more visits predict better"
    prior, student = lesson.fidelity[0], lesson.fidelity[-1]
    assert student.log_loss.high < prior.log_loss.low and student.top_1.low > prior.top_1.high
    assert student.total_variation.value < 0.5 * prior.total_variation.value
    gains = [one.gain_per_dollar or 0.0 for one in lesson.fidelity[1:]]
    assert gains == sorted(gains, reverse=True) and gains[-1] > 0, "each dollar brings less than the one before"


def test_a_course_ends_with_its_money(tmp_path: Path) -> None:
    lesson, notebook = taught(tmp_path, Plan(0.5))
    assert 0.35 < notebook.dollars < 0.6 and not lesson.stopped
    assert notebook.dollars == pytest.approx(notebook.calls * DOLLARS_PER_DECISION)
    teacher = lesson.student.lineage.teacher
    assert (teacher.dollars, teacher.budget) == (pytest.approx(notebook.dollars), 0.5)


def test_a_course_that_was_stopped_goes_on_to_the_same_end(tmp_path: Path) -> None:
    plan, rounds = Plan(0.15), iter([False, False, False, True])
    whole, _ = taught(tmp_path / "whole", plan)
    course, notebook = course_in(tmp_path / "parts", plan, stopping=lambda: next(rounds))
    assert not course.teach() and 0 < notebook.rounds < 5
    half = course.learn(complete=False)
    assert half.stopped and half.student.lineage.sessions == notebook.taught.sessions
    again, _ = taught(tmp_path / "parts", plan)
    assert again.student.lineage == whole.student.lineage
    for lesson, name in ((whole, "a"), (again, "b")):
        save_student(tmp_path / name, lesson.student)
    for file in ("student.npz", "lineage.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert load_student(tmp_path / "a", pack_of("shop")).lineage.teacher.kind == "oracle"


def test_more_money_goes_on_where_less_has_ended(tmp_path: Path) -> None:
    first, notebook = taught(tmp_path, Plan(0.1))
    before = notebook.taught.sessions
    second, notebook = taught(tmp_path, Plan(0.2))
    assert notebook.taught.sessions > before and notebook.dollars > 0.15
    assert second.student.behaviour.fingerprint != first.student.behaviour.fingerprint
    assert notebook.used.sum() == notebook.sessions + notebook.lost, "nobody is asked twice"
    assert (notebook.held_out.problem >= 0).mean() < 0.05, "held out is what comes by itself"


def test_a_folder_of_another_course_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    taught(tmp_path, Plan(0.05))
    with pytest.raises(StudentError, match="it differs in: seed"):
        open_notebook(tmp_path, {"seed": 2}, pack_of("shop"), USERS)
    (tmp_path / FILE).write_bytes(b"PK")
    with pytest.raises(StudentError, match="cannot be read"):
        open_notebook(tmp_path, {"seed": 1}, pack_of("shop"), USERS)


def test_visits_have_the_intent_and_the_trouble_that_were_chosen() -> None:
    place = room()
    users = next_users(place, np.zeros(USERS, dtype=bool), 60, persona=2)
    assert (place.population.persona[users] == 2).all() and len(np.unique(users)) == 60
    troubled = np.arange(60) % 2 == 0
    traces, of = visit(place, Visits(users, np.full(60, 3), troubled), Tables(place.prior))
    assert (traces.intent == 3).all() and (traces.persona == 2).all() and sorted(of.tolist()) == sorted(users.tolist())
    struck = dict(zip(of.tolist(), np.bincount(traces.session, traces.problem >= 0).tolist(), strict=True))
    in_trouble = sum(struck[user] for user in users[troubled].tolist())
    assert in_trouble > 2 * sum(struck[user] for user in users[~troubled].tolist())
    alone, _ = visit(place, Visits(users[:1], np.array([3]), troubled[:1]), Tables(place.prior))
    assert alone.fingerprint == traces.of_sessions(of == users[0]).fingerprint, "nobody depends on anybody else"


def test_fidelity_is_that_of_the_truth_at_best() -> None:
    place, truth = room(), oracle_of(room().prior, seed=3)
    users = next_users(place, np.zeros(USERS, dtype=bool), 400)
    visits = Visits(users, np.full(400, -1), np.zeros(400, dtype=bool))
    traces, _ = visit(place, visits, OracleTeacher(truth))
    judge = HeldOut(traces, place.world, seed=1)
    best, prior = judge.judge("truth", truth), judge.judge("prior", place.prior)
    assert best.log_loss.low < best.log_loss.value < best.log_loss.high < prior.log_loss.low
    assert abs(best.total_variation.value - best.floor) < 0.03 < prior.total_variation.value - prior.floor
    student = judge.judge("student", fit(place.prior, traces, place.world, place.rankings).behaviour)
    assert student.log_loss.value < prior.log_loss.value
    wrong = replace(place.prior, next_event=np.zeros_like(place.prior.next_event))
    assert judge.judge("nothing", wrong).log_loss.value == pytest.approx(-np.log(1e-6))
    assert best.told()["log_loss"]["value"] == round(best.log_loss.value, 6)
