"""Runs that a student plays: another run than the prior's, told as what it is, and refused where it does not fit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from personas.errors import SettingsError, StudentError
from personas.population import DAY_MS
from personas.provenance import RunIdentity
from simulator.behaviour.artefact import load_student, save_student
from simulator.daemon import _behaviour_of
from simulator.options import RunOptions
from simulator.order import order_of, run_of
from simulator.partitioner import Shard
from simulator.producer import MemoryProducer
from simulator.settings import load_settings
from simulator.simulation import Simulation
from tests.runs import pack_of
from tests.simulator.behaviour.test_artefact import student_of


def identity_with(folder: Path | None, teacher: str = "student") -> RunIdentity:
    options = RunOptions(users=60, days=4, teacher=teacher, student=folder)  # type: ignore[arg-type]
    return run_of("shop", options, load_settings())[1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_student(tmp_path / "student", student_of(pack_of("shop")))
    return tmp_path / "student"


def test_a_run_of_a_student_says_so_in_its_identity_and_in_every_event(folder: Path) -> None:
    identity = identity_with(folder)
    assert (identity.generator, identity.generation) == ("student", 2)
    assert identity.run_id != identity_with(None, "prior").run_id
    student = load_student(folder, pack_of("shop")).behaviour
    assert identity.student == student.fingerprint
    producer = MemoryProducer()
    Simulation(pack_of("shop"), identity, Shard(0, 1, 4), producer, behaviour=student).advance(4 * DAY_MS)
    told = [json.loads(record.value) for record in producer.records]
    assert len(told) > 100
    assert {(each["generator"], each["generation"], each["runid"]) for each in told} == {
        ("student", 2, identity.run_id)
    }


def test_another_student_is_another_run(folder: Path) -> None:
    first = identity_with(folder)
    student = student_of(pack_of("shop"))
    behaviour = replace(student.behaviour, fatigue=2.5)
    lineage = student.lineage.model_copy(update={"fingerprint": behaviour.fingerprint})
    save_student(folder, replace(student, behaviour=behaviour, lineage=lineage))
    assert identity_with(folder).run_id != first.run_id


def test_a_student_may_stand_in_for_the_prior_beside_agents(folder: Path) -> None:
    assert identity_with(folder, "tutor").student == student_of(pack_of("shop")).behaviour.fingerprint


def test_options_that_do_not_fit_are_refused(folder: Path) -> None:
    with pytest.raises(SettingsError, match="--teacher student needs --student DIR"):
        identity_with(None)
    with pytest.raises(SettingsError, match="--student is for --teacher student or tutor"):
        identity_with(folder, "prior")
    with pytest.raises(StudentError, match="taught for shop"):
        run_of("desk", RunOptions(teacher="student", student=folder), load_settings())


def test_a_student_that_is_replaced_between_reading_and_playing_is_refused(folder: Path) -> None:
    options, settings = RunOptions(users=60, teacher="student", student=folder), load_settings()
    order = order_of(run_of("shop", options, settings), options, settings)
    behaviour = _behaviour_of(order)
    assert behaviour is not None and behaviour.fingerprint == order.identity.student
    student = student_of(pack_of("shop"))
    other = replace(student.behaviour, seen=0.1)
    save_student(folder, replace(student, behaviour=other, lineage=student.lineage.model_copy(
        update={"fingerprint": other.fingerprint})))  # fmt: skip
    with pytest.raises(StudentError, match="replaced meanwhile"):
        _behaviour_of(order)
