"""`dayone audit`: a whole set passes, every way of tampering with one is found, and each row tells where it is from."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from personas.errors import AuditError, TrainingError
from sinks.audit_log import Note, note
from sinks.store import Store
from sinks.training.papers import keys
from sinks.training.papers.manifest import MANIFEST, SIGNATURE, text_of
from sinks.training.papers.reading import published
from sinks.training.papers.repeating import repeat_faults
from sinks.training.papers.report import markdown_of, report_of
from sinks.training.papers.tracing import row_at, rows_with, trace
from sinks.training.papers.verify import Evidence, evidence_of, verify
from tests.sinks.training.making import built_set, told_store

Change = Callable[[Path], object]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Path, keys.SigningKey]]:
    """A store, a signed set that was built from it, and the key. Read only: tests change copies."""
    folder = tmp_path_factory.mktemp("made")
    key = keys.new_key(folder / "keys")
    with told_store() as store:
        directory = built_set(store, folder, key).directory
        store.note([note("gate", "later/entry", {})])
        yield store, directory, key


@pytest.fixture
def copied(made: tuple[Store, Path, keys.SigningKey], tmp_path: Path) -> Path:
    return shutil.copytree(made[1], tmp_path / "set")


def evidence(store: Store) -> Evidence:
    return evidence_of(lambda sql: [tuple(row.values()) for row in store.query(sql).to_pylist()])


def edited(change: Callable[[dict[str, Any]], object]) -> Change:
    """A change of the manifest."""

    def apply(directory: Path) -> None:
        manifest = json.loads((directory / MANIFEST).read_text())
        change(manifest)
        (directory / MANIFEST).write_bytes(text_of(manifest))

    return apply


def a_row(directory: Path) -> None:
    path = next((directory / "data").glob("train-*"))
    table = pq.read_table(path)
    values = table.column("hour").to_pylist()
    values[3] = (values[3] + 1) % 24
    place = table.column_names.index("hour")
    pq.write_table(table.set_column(place, "hour", [values]), path)


def a_row_with_its_sum(directory: Path) -> None:
    a_row(directory)
    path = next((directory / "data").glob("train-*"))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()

    def resum(manifest: dict[str, Any]) -> None:
        for file in manifest["distribution"]:
            if file["@id"] == f"data/{path.name}":
                file["sha256"], file["contentSize"] = digest, f"{path.stat().st_size} B"

    edited(resum)(directory)


def signed_by_another(directory: Path) -> None:
    key = keys.new_key(directory.parent / "foreign")
    (directory / SIGNATURE).write_text(keys.signature_of((directory / MANIFEST).read_bytes(), key))


def swapped_files(directory: Path) -> None:
    one, other = next((directory / "data").glob("train-*")), next((directory / "data").glob("test-*"))
    one.rename(directory / "x")
    other.rename(one)
    (directory / "x").rename(other)


def one_byte(name: str) -> Change:
    def apply(directory: Path) -> None:
        text = bytearray((directory / name).read_bytes())
        text[len(text) // 2] ^= 1
        (directory / name).write_bytes(text)

    return apply


#: What is done to a signed set, and what is said then. None of these needs a store or a key to be found.
TAMPERINGS: dict[str, tuple[Change, str]] = {
    "a row": (a_row, "train.* the file was changed"),
    "a row, and its sum": (a_row_with_its_sum, "signature is not of this manifest"),
    "a file cut off": (lambda d: next((d / "data").glob("test-*")).write_bytes(b""), "test.* the file was changed"),
    "a file deleted": (lambda d: next((d / "data").glob("valid-*")).unlink(), "valid.* the file is missing"),
    "a file added": (lambda d: (d / "data" / "more.parquet").write_bytes(b"x"), "more.parquet: .* does not know"),
    "a hidden file added": (lambda d: (d / ".more").write_bytes(b"x"), ".more: .* does not know"),
    "a link added": (lambda d: (d / "link").symlink_to(d / MANIFEST), "link: .* does not know"),
    "files swapped": (swapped_files, "the file was changed"),
    "the card": (lambda d: (d / "README.md").write_text("All real."), "README.md: the file was changed"),
    "the columns": (one_byte("columns.json"), "columns.json: the file was changed"),
    "the manifest's licence": (edited(lambda m: m.update(license="MIT")), "signature is not of this manifest"),
    "the manifest's gates": (edited(lambda m: m["dayone:gates"].append({})), "signature is not of this manifest"),
    "the recipe": (edited(lambda m: m["dayone:recipe"].update(product="x")), "recipe is that of version"),
    "a run's identity": (edited(lambda m: m["dayone:runs"][0]["identity"].update(seed=8)), "makes run shop-"),
    "the signature": (one_byte(SIGNATURE), "signature"),
    "the signature deleted": (lambda d: (d / SIGNATURE).unlink(), "unsigned, so nothing vouches"),
}


@pytest.mark.parametrize("what", TAMPERINGS)
def test_every_tampering_with_a_set_is_found(what: str, copied: Path) -> None:
    assert verify(published(copied)).faults == []
    change, fault = TAMPERINGS[what]
    change(copied)
    try:
        faults = verify(published(copied)).faults
    except AuditError as error:
        faults = [error.message]
    with pytest.raises(AssertionError, match=fault):
        assert faults == [], "\n".join(faults)


def test_a_set_signed_anew_is_found_by_the_key_and_by_the_log(
    made: tuple[Store, Path, keys.SigningKey], copied: Path
) -> None:
    store, _, key = made
    assert verify(published(copied), expected=key.public, evidence=evidence(store)).faults == []
    a_row_with_its_sum(copied)
    signed_by_another(copied)
    assert verify(published(copied)).faults == [], "whole, but by whom?"
    assert any("expected ed25519:" in fault for fault in verify(published(copied), expected=key.public).faults)
    [fault] = verify(published(copied), evidence=evidence(store)).faults
    assert "with another manifest" in fault


def test_a_signature_that_is_taken_away_or_replaced_is_found_by_the_log(
    made: tuple[Store, Path, keys.SigningKey], copied: Path
) -> None:
    store = made[0]
    signed_by_another(copied)
    [fault] = verify(published(copied), evidence=evidence(store)).faults
    assert "says that it was signed by" in fault
    (copied / SIGNATURE).unlink()
    [fault] = verify(published(copied), evidence=evidence(store)).faults
    assert "found nobody" in fault
    assert verify(published(copied), unsigned=True).faults == []


#: What is done to the store, and what is said then.
STORE_TAMPERINGS = {
    "an entry changed": ("UPDATE audit_log SET subject = 'x' WHERE sequence = 1", "entry 1 .* was changed"),
    "the build's entry deleted": ("DELETE FROM audit_log WHERE action = 'build'", "knows no build"),
    "the log cut off": ("DELETE FROM audit_log", "does not hold the entry that the manifest remembers"),
    "a run's manifest changed": (
        "UPDATE runs SET manifest = replace(manifest::VARCHAR, '\"seed\":7', '\"seed\":9')", "not the one that"
    ),
    "a run deleted": ("DELETE FROM runs", "the store has no manifest of it"),
    "a run added": ("INSERT INTO runs SELECT * REPLACE ('x' AS run_id) FROM runs", "knows nothing of it"),
}  # fmt: skip


@pytest.mark.parametrize("what", STORE_TAMPERINGS)
def test_every_tampering_with_the_store_is_found(what: str, tmp_path: Path) -> None:
    statement, fault = STORE_TAMPERINGS[what]
    with told_store() as store:
        found = published(built_set(store, tmp_path).directory)
        assert verify(found, evidence=evidence(store)).faults == [], "unsigned, but the log vouches for it"
        store.query(statement)
        faults = verify(found, evidence=evidence(store)).faults
    with pytest.raises(AssertionError, match=fault):
        assert faults == [], "\n".join(faults)


def test_a_changed_event_is_found_by_making_the_set_again(tmp_path: Path) -> None:
    with told_store() as store:
        found = published(built_set(store, tmp_path).directory)
        assert repeat_faults(found, store) == []
        store.query("UPDATE events SET item_id = 'p0001' WHERE event_id = (SELECT min(event_id) FROM events)")
        assert verify(found, evidence=evidence(store)).faults == []
        faults = repeat_faults(found, store)
        assert faults
        assert all("it has other bytes" in fault and fault.startswith("data/") for fault in faults)
        store.query("DELETE FROM events WHERE event_id = (SELECT min(event_id) FROM events)")
        [fault] = repeat_faults(found, store)
        assert "made again it is version" in fault


def test_a_build_that_waits_beside_the_store_is_known(tmp_path: Path) -> None:
    notes: list[Note] = []
    with told_store() as store:
        found = published(built_set(store, tmp_path, keep=notes.extend).directory)
        log = evidence(store)
    [fault] = verify(found, evidence=log).faults
    assert "knows no build" in fault
    waiting = [(each.action, each.subject, dict(each.details)) for each in notes]
    assert verify(found, evidence=replace(log, waiting=waiting)).faults == []


def test_a_row_tells_where_it_comes_from(made: tuple[Store, Path, keys.SigningKey]) -> None:
    store, directory, _ = made
    found = published(directory)

    def ask(sql: str, values: Any) -> list[dict[str, Any]]:
        return store.query(sql, list(values)).to_pylist()

    told = row_at(found, 5)
    answer = trace(found, told, ask)
    assert answer["split"] == "train"
    assert answer["run"] == found.manifest["dayone:runs"][0]["run_id"]
    assert answer["origin"]["generator"] == "prior"
    assert (answer["models"], answer["product_version"]) == ([], 1)
    [label] = ask("SELECT persona FROM labels WHERE kind = 'user' AND user_id = ?", [told["row"]["user_id"]])
    assert answer["persona"] == label["persona"]
    assert len(answer["events"]) == told["row"]["position"]
    assert [event["type"] for event in answer["events"]][-10:] == told["row"]["history_types"]
    key = {name: str(answer["key"][name]) for name in ("session_id", "position")}
    assert rows_with(found, key)[0]["row"] == told["row"]
    total = sum(rows for *_, rows in found.parts)
    assert row_at(found, total - 1)["split"] == "test"
    assert row_at(found, 0, "test")["split"] == "test"
    with pytest.raises(TrainingError, match="no row"):
        row_at(found, total)
    with pytest.raises(TrainingError, match="no key"):
        rows_with(found, {"device": "mobile"})
    with pytest.raises(TrainingError, match="has no row with"):
        rows_with(found, {"user_id": "nobody"})


def test_the_report_answers_what_an_auditor_asks(made: tuple[Store, Path, keys.SigningKey]) -> None:
    found = published(made[1])
    report = report_of(found, made[2].public.name)
    assert report["share_of_synthetic"] == 1
    assert report["retention"] == "two years"
    assert report["reproduce"].startswith("dayone build next_event --product shop --run shop-")
    page = markdown_of(report)
    for title in ("Purpose", "Origin", "Labels", "Known gaps", "Personal data", "Terms and retention", "Integrity"):
        assert f"\n## {title}\n" in page
    assert made[2].public.name in page


def test_what_is_no_set_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no training set"):
        published(tmp_path)
    for text in ("{", "[]", "{}", '{"version": 1}'):
        (tmp_path / MANIFEST).write_text(text)
        with pytest.raises(AuditError, match="no manifest"):
            published(tmp_path)
