"""Proofs of a store's runs: read from it, put into its audit log, cited by training sets that depend on them."""

from __future__ import annotations

import json
import re
import shutil
from itertools import cycle
from pathlib import Path

import pytest
from typer.testing import CliRunner

import personas
from dayone import front_door
from personas.core.mapping import CoreMap
from personas.population import DAY_MS
from simulator.producer import MemoryProducer
from sinks.audit_log import ENTRIES, HEAD, broken, entries_of
from sinks.place import MEMORY, place_of
from sinks.proof.judge import Judge
from sinks.proof.proving import Wish, evidence_of, split
from sinks.proof.reading import read_log, read_synthetic
from sinks.proof.sampling import summarised
from sinks.store import Store
from tests.runs import identity_of, pack_of, simulation_of, store_records, tell_of_run

USERS, DAYS = 150, 8
GATES = "session_length: {at_most: floor + 0.2}\nfunnel: {at_most: 0.3}\n"


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(front_door(), [str(each) for each in arguments])
    return result.exit_code, result.output


def played(path: Path, pack: str, seed: int) -> None:
    """Fill a store with a run."""
    with Store.open(path) as store:
        producer = MemoryProducer()
        simulation_of(pack, users=USERS, seed=seed, producer=producer).advance(DAYS * DAY_MS)
        store_records(store, pack_of(pack), producer.records)
        tell_of_run(store, identity_of(pack, users=USERS, seed=seed), days=DAYS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a run, the log of another run that stands for real users, and proofs: one passed, one failed."""
    place = tmp_path_factory.mktemp("stores")
    for name, seed in (("made", 7), ("real", 8)):
        played(place / f"{name}.duckdb", "shop", seed)
    code, output = run("export", "--store", place / "real.duckdb", "--out", place / "real.parquet")
    assert code == 0, output
    (place / "good.yaml").write_text(GATES)
    (place / "bad.yaml").write_text("session_length: {at_most: -1}\n")
    only = ("--only", "session_length", "--only", "funnel", "--replicates", 20)
    for name, expected in (("good", 0), ("bad", 9)):
        gates = ("--gate", place / f"{name}.yaml", "--out", place / name)
        code, output = run("prove", place / "made.duckdb", "--real", place / "real.parquet", *only, *gates)
        assert code == expected, output
    return place


def test_a_store_is_proved_by_its_runs_and_its_audit_log_has_it(folder: Path) -> None:
    told = json.loads((folder / "good" / "proof.json").read_text())
    assert told["logs"]["synthetic"]["runs"] == [identity_of("shop", users=USERS, seed=7).run_id]
    with Store.open(folder / "made.duckdb", read_only=True) as store:
        log = entries_of(store.database.execute(ENTRIES))
        assert broken(log, store.database.execute(HEAD)) == []
    proofs = [json.loads(entry.details) for entry in log if entry.action == "proof"]
    assert [proof["gates"][0]["passed"] for proof in proofs] == [True, False]
    assert proofs[0]["checked"] == "checked on real hold-out" and len(proofs[0]["sha256"]) == 64


def test_a_training_set_that_depends_on_a_proof_cites_it_and_can_be_repeated(folder: Path) -> None:
    out = ("--store", folder / "made.duckdb", "--out", folder / "sets", "--unsigned")
    code, output = run("build", "next_event", *out, "--proof", folder / "good", "--json")
    assert code == 0, output
    built = json.loads(output)["directory"]
    manifest = json.loads((Path(built) / "manifest.json").read_text())
    [gate] = [gate for gate in manifest["dayone:gates"] if gate["gate"] == "proof"]
    assert gate["passed"] and "checked on real hold-out" in gate["checks"]
    code, output = run("audit", "verify", built, "--store", folder / "made.duckdb", "--repeat")
    assert code == 0, output
    code, output = run("prove", built, "--store", folder / "made.duckdb", "--only", "different_sessions", "--json",
                       "--out", folder / "of-set")  # fmt: skip
    assert code == 0, output
    assert json.loads(output)["logs"]["synthetic"]["runs"] == [identity_of("shop", users=USERS, seed=7).run_id]


@pytest.mark.parametrize(
    ("store", "proof", "code", "said"),
    [
        ("made", "bad", 9, "session_length: expected at most -1"),
        ("real", "good", 9, "the proof is not about this run"),
        ("made", "nowhere", 8, "`dayone prove` makes one"),
    ],
)
def test_publishing_depends_on_it(folder: Path, store: str, proof: str, code: int, said: str) -> None:
    out = ("--store", folder / f"{store}.duckdb", "--out", folder / "none", "--unsigned")
    found, output = run("build", "next_event", *out, "--proof", folder / proof)
    assert found == code, output
    assert said in output
    assert not list((folder / "none").glob("next_event/*/manifest.json"))


def test_a_run_that_is_not_there_is_said(folder: Path) -> None:
    code, output = run("prove", folder / "made.duckdb", "--run", "shop-nowhere")
    assert code == 8 and "has no run shop-nowhere" in output


def test_personas_alone_have_skill_on_day_zero_although_the_real_product_has_other_rates(
    folder: Path, tmp_path: Path
) -> None:
    truth = shutil.copytree(Path(personas.__file__).parent / "packs" / "shop", tmp_path / "shop")
    factors = cycle((0.5, 2.0, 1.0))
    product = truth / "product.yaml"
    product.write_text(
        re.sub(r"(?m)^    weight: ([\d.]+)$", lambda found: f"    weight: {float(found[1]) * next(factors)}",
               product.read_text("utf-8")), "utf-8",
    )  # fmt: skip
    assert pack_of(str(truth)).fingerprint != pack_of("shop").fingerprint
    played(tmp_path / "truth.duckdb", str(truth), 9)
    run("export", "--store", tmp_path / "truth.duckdb", "--out", tmp_path / "truth.parquet")
    core, holdout = split(read_log(str(tmp_path / "truth.parquet"), CoreMap(), ""))
    made = read_synthetic(str(folder / "made.duckdb"), CoreMap(), place_of(MEMORY))
    evidence = evidence_of({"synthetic": made, "core": core, "holdout": holdout}, Wish(replicates=50))
    skills = Judge(evidence, ("next_event_accuracy", "next_event_log_loss")).skills(evidence.synthetic)
    assert skills.keys() == {"next event", "next event, log-loss"}
    for found in skills.values():
        skill = summarised(float(found[0]), found[1:])
        assert 0.1 < skill.low < skill.high < 1.05
