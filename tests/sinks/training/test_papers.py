"""The papers of a training set: a manifest that Croissant's own tools read, a card, keys, and the same bytes again."""

from __future__ import annotations

import itertools
import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from personas.errors import AuditError, GateError, TrainingError
from personas.provenance import RunLineage
from sinks.training.build import Order, build
from sinks.training.gates.gate import Verdict
from sinks.training.papers import keys
from sinks.training.papers.manifest import MANIFEST, SIGNATURE, sums_of
from sinks.training.papers.papers import Papers
from sinks.training.papers.reading import published
from sinks.training.papers.report import markdown_of, report_of
from sinks.training.registry import task_of
from tests.runs import identity_of, tell_of_run
from tests.sinks.training.making import DAYS, USERS, built_set, told_store


def test_a_repeated_build_has_the_same_bytes_signature_included(tmp_path: Path) -> None:
    key = keys.new_key(tmp_path / "keys")
    with told_store() as store:
        one = built_set(store, tmp_path / "one", key).directory
        other = built_set(store, tmp_path / "other", key).directory
    names = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(other) for path in other.rglob("*") if path.is_file())
    assert {str(name) for name in names} >= {MANIFEST, SIGNATURE, "README.md", "columns.json"}
    for name in names:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_croissant_s_own_library_accepts_the_manifest_and_reads_the_rows(form: str, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the library's own dependencies
        import mlcroissant

        with told_store() as store:
            built = built_set(store, tmp_path, form=form)
        dataset = mlcroissant.Dataset(jsonld=built.directory / MANIFEST)
        assert not dataset.metadata.issues.errors
        assert not dataset.metadata.issues.warnings
        rows = list(itertools.islice(dataset.records("rows"), 5))
    assert {row["rows/split"] for row in rows} <= {b"train", b"valid", b"test"}
    assert {row["rows/run_id"].decode() for row in rows} == {identity_of("shop", users=USERS).run_id}


def test_the_manifest_tells_what_a_generator_descends_from(tmp_path: Path) -> None:
    lineage = RunLineage(models=("tiny-1",), prompts={"walk": "ab" * 32}, ancestors=("model m",), core="cd" * 32)
    with told_store() as store:
        tell_of_run(store, identity_of("shop", users=USERS), days=DAYS, number=1, lineage=lineage)
        built = built_set(store, tmp_path)
    manifest = json.loads((built.directory / MANIFEST).read_text())
    [run] = manifest["dayone:runs"]
    assert (run["models"], run["prompts"]) == (["tiny-1"], {"walk": "ab" * 32})
    assert (run["ancestors"], run["core"]) == (["model m"], "cd" * 32)
    report = markdown_of(report_of(published(built.directory), None))
    assert "tiny-1" in report
    assert "walk `abababababab`" in report
    assert "fitted on real data `cdcdcdcdcdcd`" in report


def test_the_manifest_tells_what_an_auditor_asks(tmp_path: Path) -> None:
    identity = identity_of("shop", users=USERS)
    with told_store() as store:
        built = built_set(store, tmp_path)
        [head] = store.query("SELECT hash FROM audit_log WHERE action = 'run'").column(0).to_pylist()
    manifest = json.loads((built.directory / MANIFEST).read_text())
    assert manifest["conformsTo"] == ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"]
    assert manifest["license"] == "CC0-1.0"
    assert manifest["dayone:auditLog"] == {"anchor": head}
    assert manifest["dayone:splits"] == built.rows
    [run] = manifest["dayone:runs"]
    assert run["identity"] == identity.model_dump(mode="json")
    [share] = manifest["dayone:shares"]
    assert (share["generator"], share["rows"]) == ("prior", sum(built.rows.values()))
    sums = {path: digest for path, (_, digest) in sums_of(built.directory).items()}
    assert {file["@id"]: file["sha256"] for file in manifest["distribution"] if "sha256" in file} == sums
    card = (built.directory / "README.md").read_text()
    for column in manifest["dayone:columns"]:
        assert f"| `{column['name']}` | {column['role']} |" in card
    assert manifest["dayone:command"] in card


def test_a_set_that_a_gate_holds_back_is_in_the_log_and_nowhere_else(tmp_path: Path) -> None:
    task = task_of("next_event")
    order = Order(task, task.options(), thresholds={"duplicates": -1.0})
    with told_store() as store:
        with pytest.raises(GateError):
            build(store, order, tmp_path, papers=Papers(keep=store.note))
        [row] = store.query("SELECT subject, details FROM audit_log WHERE action = 'gate'").to_pylist()
    assert row["subject"] == "next_event"
    assert json.loads(row["details"])["verdict"] == "held back"
    assert list(tmp_path.rglob("*.json")) == []


def test_what_a_gate_says_can_be_written_down_though_numpy_computed_it() -> None:
    verdict = Verdict("leakage", "rows", "labels", "share", np.float32(0.25), np.float64(0.5))
    assert json.loads(json.dumps(verdict.told()))["passed"] is True


def test_a_key_is_for_its_owner_alone_and_never_overwritten(tmp_path: Path) -> None:
    made = keys.new_key(tmp_path / "keys")
    path = tmp_path / "keys" / keys.PRIVATE
    assert path.stat().st_mode & 0o777 == 0o600
    found = keys.signing_key(tmp_path / "keys")
    assert found is not None
    assert found.public.name == made.public.name == keys.public_key(tmp_path / "keys").name
    assert "PRIVATE" not in repr(made) + keys.public_key(tmp_path / "keys").pem
    with pytest.raises(TrainingError, match="never overwritten"):
        keys.new_key(tmp_path / "keys")
    path.chmod(0o640)
    with pytest.raises(TrainingError, match="others can read"):
        keys.signing_key(tmp_path / "keys")
    path.chmod(0o600)
    path.write_text("no key")
    with pytest.raises(TrainingError, match="not a private key"):
        keys.signing_key(tmp_path / "keys")
    assert keys.signing_key(tmp_path / "nowhere") is None


def test_a_signature_is_of_one_text_by_one_key(tmp_path: Path) -> None:
    one, other = keys.new_key(tmp_path / "one"), keys.new_key(tmp_path / "other")
    signature = keys.signature_of(b"text", one)
    assert keys.signature_of(b"text", one) == signature
    assert keys.signer_of(b"text", signature.encode()).name == one.public.name
    with pytest.raises(AuditError, match="not of this manifest"):
        keys.signer_of(b"another text", signature.encode())
    told = json.loads(signature)
    foreign = json.loads(keys.signature_of(b"text", other))
    for swapped in ({"signature": foreign["signature"]}, {"public_key": foreign["public_key"]}, {"key": "ed25519:0"},
                    {"algorithm": "none"}, {"public_key": "x"}):  # fmt: skip
        with pytest.raises(AuditError):
            keys.signer_of(b"text", json.dumps({**told, **swapped}).encode())
    for odd in (b"", b"[]", b"{}", b"\xff"):
        with pytest.raises(AuditError, match="cannot be read"):
            keys.signer_of(b"text", odd)
