"""Teaching by agents: paid at most once, repeated byte for byte from recordings, and a ceiling that holds."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import pytest

from personas.provenance import TutorIdentity
from simulator.agents.fakes import random_instance
from simulator.agents.language import Request
from simulator.agents.prices import price_table
from simulator.behaviour.artefact import save_student
from simulator.teach.course import Course, Lesson, Plan
from simulator.teach.notebook import Notebook, open_notebook
from simulator.teach.teachers import TutorTeacher
from simulator.teach.walks import Room, room_of
from simulator.tutoring import Tutoring
from tests.runs import pack_of
from tests.simulator.agents.brains import Brain, random_legal
from tests.simulator.test_tutoring import odd, recorded, settings

TUTOR = TutorIdentity(share=1.0, model="fake", prompts="0")
ENTRY = price_table(None)["claude-haiku-5-5"]


@lru_cache
def room() -> Room:
    return room_of(pack_of("shop"), 1, 2000)


def taught(
    out: Path, recordings: Path, mode: str, brain: Brain | None, plan: Plan, *, ceiling: float | None = None,
    stopping: Callable[[], bool] = lambda: False, identity: TutorIdentity = TUTOR,
) -> tuple[Lesson | None, Notebook, TutorTeacher]:  # fmt: skip
    notebook = open_notebook(out, {}, room().pack, 2000)
    with Tutoring(identity, settings(recordings, mode), ceiling, recorded(brain)) as tutoring:
        tutoring.stopping = stopping
        tutoring.open(resumed=False)
        teacher = TutorTeacher(tutoring, room().prior, ENTRY)
        course = Course(room(), teacher, notebook, plan, keep=lambda notes: notes.save(out), stopping=stopping)
        complete = course.teach()
    return course.learn(complete=complete) if notebook.taught.sessions else None, notebook, teacher


def test_a_repeated_course_has_the_same_bytes_asks_nobody_and_pays_nothing(tmp_path: Path) -> None:
    plan = Plan(5.0, 24)
    first, notebook, paid = taught(tmp_path / "a", tmp_path, "record", random_legal, plan)
    again, _, free = taught(tmp_path / "b", tmp_path, "replay", None, plan)
    assert first is not None and again is not None
    for lesson, name in ((first, "a"), (again, "b")):
        save_student(tmp_path / name, lesson.student)
    for file in ("student.npz", "lineage.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert paid.paid > 0 and free.paid == 0
    teacher = again.student.lineage.teacher
    assert teacher.calls == notebook.calls > 100 and teacher.dollars > 0 and teacher.tokens["input"] > 1000
    assert (teacher.kind, teacher.model, teacher.sessions) == ("tutor", "fake", 24)


def test_sessions_whose_agents_failed_teach_nothing(tmp_path: Path) -> None:
    """Agents that answer nonsense most of the time: what they did not walk to the end is lost, and counted."""
    lesson, notebook, _ = taught(tmp_path / "a", tmp_path, "record", odd, Plan(5.0, 30))
    assert notebook.lost > 1 and notebook.sessions + notebook.lost == 30
    assert lesson is None or lesson.student.lineage.teacher.lost == notebook.lost


def test_the_ceiling_of_dollars_ends_a_course_and_keeps_what_was_walked(tmp_path: Path) -> None:
    lesson, notebook, teacher = taught(tmp_path / "a", tmp_path, "record", random_legal, Plan(5.0, 100), ceiling=0.4)
    assert teacher.exhausted and teacher.paid <= 0.4 + 1e-9 and notebook.paid == pytest.approx(teacher.paid)
    assert lesson is not None and 0 < notebook.sessions < 100 and notebook.lost > 0


def test_a_course_that_is_interrupted_in_a_round_goes_on_from_its_recordings(tmp_path: Path) -> None:
    """The round is void; its answers are kept, so going on pays for none of them again."""
    asked = 0

    def counting(request: object) -> object:
        nonlocal asked
        asked += 1
        return random_legal(request)  # type: ignore[arg-type]

    plan = Plan(5.0, 30)
    whole, _, _ = taught(tmp_path / "whole", tmp_path / "other", "auto", random_legal, plan)
    _, notebook, _ = taught(tmp_path / "a", tmp_path, "auto", counting, plan, stopping=lambda: asked > 150)
    assert asked > 150 and 0 < notebook.sessions < 30 and notebook.paid > 0
    before = asked
    again, notebook, _ = taught(tmp_path / "a", tmp_path, "auto", counting, plan)
    assert whole is not None and again is not None
    assert again.student.behaviour.fingerprint == whole.student.behaviour.fingerprint
    assert again.student.lineage == whole.student.lineage
    assert asked == whole.student.lineage.teacher.calls > before, "no question twice"


def test_plans_are_asked_for_once_and_teach_every_round(tmp_path: Path) -> None:
    identity = TUTOR.model_copy(update={"mode": "plan"})
    asked = []

    def planning(request: Request) -> object:
        asked.append(request.purpose)
        return random_instance(request.answer_schema, request.fingerprint)

    lesson, notebook, _ = taught(tmp_path / "a", tmp_path, "record", planning, Plan(5.0, 40), identity=identity)
    assert lesson is not None and notebook.rounds > 2 and set(asked) == {"plan"}
    assert notebook.sessions > 10 and notebook.calls == len(asked) and notebook.dollars > 0
    questions = len(asked)
    taught(tmp_path / "b", tmp_path, "auto", planning, Plan(5.0, 40), identity=identity)
    assert len(asked) == questions, "a second course repeats them"
