"""`dayone prove` as a whole: files, stores, words, the page, the record and its schema, exit codes."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from dayone import front_door
from simulator.twins.commands import Wish as Fit
from simulator.twins.commands import fit_command, sample_command
from sinks.proof.record import read_proof
from tests.sinks.proof.making import shop_log

FEW = ["session_length", "exact_copies", "different_sessions", "next_item_hits"]
ONLY = [part for name in FEW for part in ("--only", name)]


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logs")
    for seed, name in enumerate(("synthetic", "core", "holdout"), start=20):
        pq.write_table(shop_log(seed, 200), folder / f"{name}.parquet")
    pq.write_table(shop_log(23, 400), folder / "real.parquet")
    return folder


def prove(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(front_door(), ["prove", *map(str, arguments), "--replicates", "20"])
    return result.exit_code, result.output


def test_a_proof_against_a_holdout(logs: Path, tmp_path: Path) -> None:
    arguments = (
        logs / "synthetic.parquet",
        "--core",
        logs / "core.parquet",
        "--holdout",
        logs / "holdout.parquet",
        *ONLY,
    )
    code, output = prove(*arguments, "--out", tmp_path / "one")
    assert code == 0, output
    assert "checked on real hold-out" in output
    proof = read_proof(tmp_path / "one")
    assert {figure.metric for figure in proof.figures} == set(FEW)
    assert all(figure.value.low is not None and figure.sizes for figure in proof.figures)
    assert proof.logs["core"].files[0]["sha256"]
    prove(*arguments, "--out", tmp_path / "two")
    for name in ("proof.json", "proof.html"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_one_real_log_is_split_by_the_hash_of_its_users(logs: Path, tmp_path: Path) -> None:
    code, output = prove(
        logs / "synthetic.parquet", "--real", logs / "real.parquet", *ONLY, "--out", tmp_path, "--json"
    )
    assert code == 0, output
    told = json.loads(output)
    assert told["logs"]["core"]["users"] + told["logs"]["holdout"]["users"] == 400
    assert told["checked"] == "checked on real hold-out"


@pytest.fixture(scope="module")
def twins(logs: Path) -> Path:
    """Sessions of a model that learned from the real log, which they tell."""
    fit_command(Fit(core=str(logs / "real.parquet"), out=logs / "model"))
    sample_command(logs / "model", 200, logs / "twins.parquet", 1)
    return logs / "twins.parquet"


@pytest.mark.parametrize("option", ["real", "holdout"])
def test_a_holdout_that_taught_the_model_is_not_called_independent(
    logs: Path, twins: Path, tmp_path: Path, option: str
) -> None:
    few = ("--only", "session_length", "--only", "membership", "--out", tmp_path)
    told = logs / "real.parquet"
    real = ("--real", told) if option == "real" else ("--core", logs / "core.parquet", "--holdout", told)
    code, output = prove(twins, *real, *few)
    words = "hold-out not independent: it taught the model"
    assert code == 0 and words in output and "checked on real hold-out" not in output, output
    proof = read_proof(tmp_path)
    assert proof.checked == words and [figure.checked for figure in proof.figures] == [words]
    assert [(each.metric, each.reason) for each in proof.absent] == [("membership", words)]
    page = (tmp_path / "proof.html").read_text("utf-8")
    assert words.capitalize() in page and "hecked on real hold-out" not in page
    other = ("--core", told, "--holdout", logs / "holdout.parquet")
    assert "checked on real hold-out" in prove(twins, *other, *few)[1]


def test_without_real_logs_a_proof_says_so(logs: Path, tmp_path: Path) -> None:
    code, output = prove(logs / "synthetic.parquet", "--out", tmp_path)
    assert code == 0, output
    assert "synthetic only" in output
    proof = read_proof(tmp_path)
    assert {figure.metric for figure in proof.figures} >= {"different_sessions", "between_personas"}
    assert any(each.metric == "membership" and "hold-out" in each.reason for each in proof.absent)
    assert "Synthetic only" in (tmp_path / "proof.html").read_text("utf-8")


def test_a_missed_gate_ends_with_9_and_is_on_the_page(logs: Path, tmp_path: Path) -> None:
    gates = tmp_path / "gates.yaml"
    gates.write_text("session_length: {at_most: floor + 0.9}\nexact_copies: {at_most: -0.5}\n")
    real = ("--core", logs / "core.parquet", "--holdout", logs / "holdout.parquet")
    code, output = prove(logs / "synthetic.parquet", *real, *ONLY, "--gate", gates, "--out", tmp_path)
    assert code == 9
    assert "exact_copies" in output and "expected at most -0.5" in output
    assert read_proof(tmp_path).passed is False
    assert "FAILED" in (tmp_path / "proof.html").read_text("utf-8")


def test_the_record_fits_its_schema(logs: Path, tmp_path: Path) -> None:
    schema = json.loads(CliRunner().invoke(front_door(), ["prove", "--schema"]).output)
    jsonschema.Draft202012Validator.check_schema(schema)
    prove(logs / "synthetic.parquet", "--out", tmp_path)
    told = json.loads((tmp_path / "proof.json").read_text())
    jsonschema.validate(told, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**told, "checked": "trust me"}, schema)


def test_a_map_says_how_real_logs_call_things(logs: Path, tmp_path: Path) -> None:
    table = pq.read_table(logs / "core.parquet")
    names = {"user_id": "visitor", "ts": "at", "event": "what", "item_id": "sku", "session_id": "visit"}
    renamed = table.rename_columns([names.get(name, name) for name in table.column_names])
    pq.write_table(renamed, tmp_path / "odd.parquet")
    (tmp_path / "map.yaml").write_text(
        "columns: {user_id: visitor, time: at, event: what, item_id: sku, session_id: visit}\nevents: {search: null}\n"
    )
    real = ("--real", tmp_path / "odd.parquet", "--map", tmp_path / "map.yaml")
    code, output = prove(logs / "synthetic.parquet", *real, *ONLY, "--out", tmp_path, "--json")
    assert code == 0, output
    told = json.loads(output)["logs"]
    kept = table.filter(pa.compute.not_equal(table["event"], "search")).num_rows
    assert told["core"]["events"] + told["holdout"]["events"] == kept
    code, output = prove(logs / "synthetic.parquet", "--real", tmp_path / "odd.parquet", *ONLY)
    assert code == 8 and "no column for time" in output


class Page(HTMLParser):
    """Every tag that is opened is closed, but for those that need not be."""

    VOID = ("meta", "tr", "th", "td", "line", "path", "circle", "rect", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_the_page_is_whole_accessible_escaped_and_needs_no_network(logs: Path, tmp_path: Path) -> None:
    evil = tmp_path / "<script>alert(1)</script>.parquet".replace("/", "")
    table = pq.read_table(logs / "synthetic.parquet")
    odd = pa.array([f"<b>{event}</b>" for event in table["event"].to_pylist()])
    pq.write_table(table.set_column(table.column_names.index("event"), "event", odd), evil)
    real = ("--core", logs / "core.parquet", "--holdout", logs / "holdout.parquet")
    code, output = prove(evil, *real, *ONLY, "--only", "funnel", "--only", "return_curve", "--out", tmp_path)
    assert code == 0, output
    text = (tmp_path / "proof.html").read_text("utf-8")
    assert "<script" not in text and "<b>" not in text
    assert "http://" not in text and "https://" not in text and "url(" not in text
    page = Page()
    page.feed(text)
    assert page.open == []
    drawn = [attributes for tag, attributes in page.seen if tag == "svg" and attributes.get("aria-hidden") != "true"]
    assert len(drawn) >= 3 and all(attributes.get("role") == "img" for attributes in drawn)
    assert text.count("<desc>") == len(drawn)
    assert ("html", {"lang": "en"}) in page.seen


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--core", "core.parquet"], 2, "both of them"),
        (["--real", "real.parquet", "--core", "core.parquet"], 2, "both of them"),
        (["--real", "nowhere.pq"], 8, "no such file"),
        (["--only", "sesion_length"], 8, "Did you mean session_length"),
    ],
)
def test_what_makes_no_sense_is_refused(logs: Path, arguments: list[str], code: int, said: str) -> None:
    placed = [
        str(logs / part) if part.endswith("core.parquet") or part.endswith("real.parquet") else part
        for part in arguments
    ]
    found, output = prove(logs / "synthetic.parquet", *placed)
    assert found == code, output
    assert said in output


def test_a_log_of_few_sessions_says_nothing(logs: Path, tmp_path: Path) -> None:
    pq.write_table(shop_log(1, 10), tmp_path / "few.parquet")
    code, output = prove(tmp_path / "few.parquet")
    assert code == 8 and "too few" in output


def test_a_log_is_halved_for_whoever_fits_a_model(logs: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(front_door(), ["halve", str(logs / "real.parquet"), "--out", str(tmp_path), "--json"])
    assert result.exit_code == 0, result.output
    core, holdout = (pq.read_table(path) for path in json.loads(result.output).values())
    whole = pq.read_table(logs / "real.parquet")
    assert core.num_rows + holdout.num_rows == whole.num_rows and core.column_names == whole.column_names
    real = ("--real", logs / "real.parquet", "--out", tmp_path / "proof", "--json")
    told = prove(logs / "synthetic.parquet", *real, *ONLY)
    assert json.loads(told[1])["logs"]["core"]["events"] == core.num_rows
    again = CliRunner().invoke(front_door(), ["halve", str(logs / "real.parquet"), "--out", str(tmp_path)])
    assert again.exit_code == 8 and "exists already" in again.output
