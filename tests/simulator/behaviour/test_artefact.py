"""A student on disk is the one that was taught, for its own pack and no other, or there is an error with words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from personas.errors import StudentError
from personas.pack import Pack
from personas.situations import Situations
from simulator.behaviour.arrays import load_arrays, save_arrays
from simulator.behaviour.artefact import ARRAYS, LINEAGE, Lineage, Student, Teacher, load_student, save_student
from simulator.behaviour.prior import prior
from tests.runs import pack_of


def student_of(pack: Pack) -> Student:
    base = prior(pack, Situations(pack.product))
    behaviour = replace(base, generator="student", next_event=base.next_event * np.float32(1.5), fatigue=1.75)
    lineage = Lineage(
        dayone_version="0", product=pack.product.name, pack_fingerprint=pack.fingerprint,
        fingerprint=behaviour.fingerprint, base=base.fingerprint, seed=1, teacher=Teacher(kind="oracle"), traces="",
        sessions=1, decisions=1, held_out_sessions=0,
    )  # fmt: skip
    return Student(behaviour, lineage)


def test_a_student_comes_back_as_it_was(tmp_path: Path) -> None:
    pack = pack_of("shop")
    student = student_of(pack)
    for name in ("one", "other"):
        save_student(tmp_path / name, student)
    again = load_student(tmp_path / "one", pack)
    assert again.behaviour.fingerprint == student.behaviour.fingerprint and again.lineage == student.lineage
    assert isinstance(again.behaviour.fatigue, float) and again.behaviour.generator == "student"
    for name in (ARRAYS, LINEAGE):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == sorted([ARRAYS, LINEAGE])


def test_a_student_of_another_pack_is_refused(tmp_path: Path) -> None:
    save_student(tmp_path, student_of(pack_of("shop")))
    with pytest.raises(StudentError, match=r"taught for shop, pack \w{12}; the pack to be played is stream"):
        load_student(tmp_path, pack_of("stream"))
    changed = replace(pack_of("shop"), product=pack_of("shop").product.model_copy(update={"title": "Another"}))
    with pytest.raises(StudentError, match="Teach it anew for this pack"):
        load_student(tmp_path, changed)


def test_a_folder_that_holds_no_student_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    pack = pack_of("shop")
    with pytest.raises(StudentError, match="no such folder"):
        load_student(tmp_path / "none", pack)
    with pytest.raises(StudentError, match="no student in it"):
        load_student(tmp_path, pack)
    save_student(tmp_path, student_of(pack))
    arrays = load_arrays(tmp_path / ARRAYS)
    save_arrays(tmp_path / ARRAYS, arrays | {"taste": np.asarray(9.0)})
    with pytest.raises(StudentError, match="changed after it was made"):
        load_student(tmp_path, pack)
    save_arrays(tmp_path / ARRAYS, arrays | {"load": np.zeros(3)})
    with pytest.raises(StudentError, match="not the tables of this pack"):
        load_student(tmp_path, pack)
    (tmp_path / ARRAYS).write_bytes(b"PK\x03\x04")
    with pytest.raises(StudentError, match="cannot be read"):
        load_student(tmp_path, pack)
    (tmp_path / LINEAGE).write_text("{")
    with pytest.raises(StudentError, match="cannot be read"):
        load_student(tmp_path, pack)
