"""The contract of every Form; a test class inherits it, and says which form. The rows are the nastiest that fit."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sinks.database import Database, open_file
from sinks.place import MEMORY
from sinks.training.form import DATA, Form, Part, Rows
from sinks.training.task import KEYS, TRAIL, Column

MOMENT = datetime(2026, 1, 1, 12, 30, 15, 123456, tzinfo=UTC)
TEXTS = ["plain", "", "tab\tand, comma", 'a "quote"', "two\nlines\r\n", "ünï 🎁", "null", "[1]", " spaces ", "'", "\\N"]
COUNT = len(TEXTS)
NUMBERS = [0.0, -1.5, 0.1 + 0.2, 1e300, 5e-324, None, 3.0, 123456789.125, -0.0, 2.0**53 + 2, 1 / 3]

#: Scalars alone: what a tabular form holds as well.
TABULAR = (
    *KEYS,
    Column("session_id", "key", "VARCHAR", "The session"),
    Column("time", "time", "TIMESTAMPTZ", "When"),
    Column("amount", "feature", "DOUBLE", "A number, or null"),
    Column("steps", "feature", "INTEGER", "A whole number, or null"),
    Column("total", "feature", "BIGINT", "A large whole number"),
    Column("first", "feature", "BOOLEAN", "Yes, no or null"),
    Column("words", "feature", "VARCHAR", "A text, or null"),
    Column("last_seen", "feature", "TIMESTAMPTZ", "A moment, or null"),
    Column("reached", "label", "BOOLEAN", "Whether"),
    Column("goal", "label", "VARCHAR", "What, or null"),
    *TRAIL,
)
#: And what only some hold.
NESTED = (
    *TABULAR[:6],
    Column("trail", "feature", "VARCHAR[]", "Texts, with nulls between"),
    Column("gaps", "feature", "DOUBLE[]", "Numbers"),
    Column("turns", "feature", "STRUCT(speaker VARCHAR, words VARCHAR)[]", "What was said"),
    *TABULAR[6:],
)
ITEMS = pa.table(
    {
        "item_id": ["p1", "p2"], "title": ["A mug", "Two\tmugs"], "category": ["mugs", "mugs"], "price": [1.5, None],
        "quality": [0.5, 0.25], "launch_day": pa.array([0, 3], pa.int32()), "text": ["Of\nclay", ""],
    }
)  # fmt: skip


def values(columns: tuple[Column, ...], split: str) -> pa.Table:
    """A row per nasty text."""
    texts: list[str | None] = [None if text == "null" else text for text in TEXTS]
    known = {
        "run_id": ["shop-abc"] * COUNT,
        "user_id": [f"u{split}{i % 4}" for i in range(COUNT)],
        "session_id": [f"u{split}{i % 4}-{i}" for i in range(COUNT)],
        "time": [MOMENT.replace(day=1 + i) for i in range(COUNT)],
        "amount": NUMBERS,
        "steps": [None, *range(-1, COUNT - 2)],
        "total": [2**40 + i for i in range(COUNT)],
        "first": [None if i == 2 else i % 2 == 0 for i in range(COUNT)],
        "words": texts if split != "test" else [*texts[:-1], "seen by the test alone"],
        "last_seen": [None, *[MOMENT.replace(microsecond=i) for i in range(COUNT - 1)]],
        "item_id": texts,
        "trail": [None, [], [None], *[[text, None, "x"] for text in TEXTS[: COUNT - 3]]],
        "gaps": [None, [], [0.1 + 0.2], *[[float(i), None] for i in range(COUNT - 3)]],
        "turns": [None, [], *[[{"speaker": "user", "words": text}] for text in TEXTS[: COUNT - 2]]],
        "reached": [i % 3 == 0 for i in range(COUNT)],
        "goal": [["buy", "look", None][i % 3] for i in range(COUNT)],
        "weight": [1.0 + i / 7 for i in range(COUNT)],
        "origin": ["synthetic"] * COUNT,
        "generator": ["prior"] * COUNT,
        "generation": [1] * COUNT,
    }
    types = {
        "VARCHAR": pa.string(), "DOUBLE": pa.float64(), "INTEGER": pa.int32(), "BIGINT": pa.int64(),
        "BOOLEAN": pa.bool_(), "TIMESTAMPTZ": pa.timestamp("us", "UTC"), "VARCHAR[]": pa.list_(pa.string()),
        "DOUBLE[]": pa.list_(pa.float64()),
        "STRUCT(speaker VARCHAR, words VARCHAR)[]": pa.list_(
            pa.struct([("speaker", pa.string()), ("words", pa.string())])
        ),
    }  # fmt: skip
    return pa.table({c.name: pa.array(known[c.name], types[c.type]) for c in columns})


def made(folder: Path, columns: tuple[Column, ...], splits: tuple[str, ...] = ("train", "train", "test")) -> Rows:
    """Rows as `write_parts` would make them: two files of train, one of test, none of valid."""
    (folder / DATA).mkdir(parents=True)
    parts = []
    for number, split in enumerate(splits):
        first = splits.index(split)
        part = Part(split, f"{DATA}/{split}-{number - first:05d}-of-{splits.count(split):05d}.parquet", COUNT)
        pq.write_table(values(columns, split), folder / part.path)
        parts.append(part)
    return Rows("nasty", "shop", columns, folder, tuple(parts), ITEMS)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


class FormContract:
    """Inherit, with a fixture `form`."""

    @pytest.fixture
    def database(self) -> Database:
        return open_file(MEMORY, read_only=True, memory_limit="1GB")

    def columns(self, form: Form) -> tuple[Column, ...]:
        """The most that it holds."""
        held = [columns for columns in (NESTED, TABULAR, self.interactions(TABULAR)) if not form.objection(columns)]
        assert held, f"{form.name} holds nothing"
        return held[0]

    def interactions(self, columns: tuple[Column, ...]) -> tuple[Column, ...]:
        names = {"words": Column("item_id", "feature", "VARCHAR", "The item")}
        return tuple(names.get(column.name, column) for column in columns)

    def rows(self, form: Form, folder: Path) -> Rows:
        return made(folder, self.columns(form))

    def test_it_says_what_it_is(self, form: Form) -> None:
        assert form.name.isidentifier()
        assert 10 < len(form.summary) < 90

    def test_the_same_rows_give_the_same_bytes(self, form: Form, database: Database, tmp_path: Path) -> None:
        rows = self.rows(form, tmp_path / "rows")
        for threads, place in ((1, "one"), (2, "two")):
            database.execute(f"SET threads = {threads}")
            form.write(database, rows, tmp_path / place)
        assert files_of(tmp_path / "one") == files_of(tmp_path / "two")

    def test_no_row_is_lost_and_the_rows_it_was_made_from_stay(
        self, form: Form, database: Database, tmp_path: Path
    ) -> None:
        rows = self.rows(form, tmp_path / "rows")
        before = files_of(tmp_path / "rows")
        parts = form.write(database, rows, tmp_path / "out")
        assert files_of(tmp_path / "rows") == before
        assert {part.split for part in parts} == {"train", "test"}
        for split, count in (("train", 2 * COUNT), ("test", COUNT)):
            assert sum(part.rows for part in parts if part.split == split) == count
        for part in parts:
            assert part.path.startswith(f"{DATA}/")
            assert (tmp_path / "out" / part.path).stat().st_size > 0

    def test_the_same_rows_come_back(self, form: Form, database: Database, tmp_path: Path) -> None:
        if form.suffix is None:
            pytest.skip(f"{form.name} does not keep all of a row")
        rows = self.rows(form, tmp_path / "rows")
        form.write(database, rows, tmp_path / "out")
        for split in ("train", "test"):
            found = form.read(database, sorted((tmp_path / "out" / DATA).glob(f"{split}-*{form.suffix}")), rows.columns)
            expected = pa.concat_tables([pq.read_table(path) for path in rows.paths(split)])
            for column in rows.columns:
                left, right = found.column(column.name), expected.column(column.name)
                assert left.type == right.type, column.name
                assert left.to_pylist() == right.to_pylist(), column.name
            assert found.column_names == expected.column_names
