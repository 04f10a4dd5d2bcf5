"""Where one row of a training set comes from: its split and file, the run, what made it, and the events behind it.

The papers in the directory tell run, generator, models, prompts and versions; persona, session and events are in the
store, and are left out where none is given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from personas.errors import TrainingError
from sinks.database import open_file
from sinks.place import MEMORY
from sinks.training.form import read_columns
from sinks.training.papers.reading import Published
from sinks.training.registry import form_of

#: Asks a store: rows of the answer to a statement with parameters, as dictionaries.
Ask = Callable[[str, Sequence[Any]], list[dict[str, Any]]]


def row_at(found: Published, row: int, split: str | None = None) -> dict[str, Any]:
    """The row with that number, from 0, counted through train, valid and test or within one split; with `split` and
    `file`. TrainingError where there is none, or the form cannot be read back."""
    parts = [part for part in found.parts if split in (None, part[0])]
    left = row
    for name, path, rows in parts:
        if left < rows:
            [told] = _read(found, path).slice(left, 1).to_pylist()
            return {"split": name, "file": path, "row": told}
        left -= rows
    total = sum(rows for *_, rows in parts)
    raise TrainingError(
        f"{found.directory} has no row {row}{f' in {split}' if split else ''}: there are {total:,}, from 0.",
        hint="dayone audit show DIR ROW, or --key NAME=VALUE for a row by its key columns.",
    )


def rows_with(found: Published, keys: Mapping[str, str], most: int = 1) -> list[dict[str, Any]]:
    """The first rows whose key columns have these values. TrainingError on a column that is no key, or no such row."""
    known = [column["name"] for column in found.manifest["dayone:columns"] if column["role"] in ("key", "time")]
    if odd := [name for name in keys if name not in known]:
        raise TrainingError(f"{odd[0]!r} is no key of these rows.", hint=f"Keys: {', '.join(known)}.")
    answer: list[dict[str, Any]] = []
    for split, path, _ in found.parts:
        for told in _read(found, path).to_pylist():
            if all(str(told[name]) == value for name, value in keys.items()):
                answer.append({"split": split, "file": path, "row": told})
                if len(answer) == most:
                    return answer
    if not answer:
        said = ", ".join(f"{name}={value}" for name, value in keys.items())
        raise TrainingError(f"{found.directory} has no row with {said}.")
    return answer


def trace(found: Published, told: Mapping[str, Any], ask: Ask | None = None) -> dict[str, Any]:
    """Everything that is known of the origin of a row that `row_at` or `rows_with` gave."""
    row = told["row"]
    run: dict[str, Any] = next((run for run in found.manifest["dayone:runs"] if run["run_id"] == row["run_id"]), {})
    identity = run.get("identity", {})
    columns = found.manifest["dayone:columns"]
    answer: dict[str, Any] = {
        "set": found.subject,
        "split": told["split"],
        "file": told["file"],
        "key": {column["name"]: row[column["name"]] for column in columns if column["role"] in ("key", "time")},
        "origin": {name: row[name] for name in ("origin", "generator", "generation", "weight")},
        "run": row["run_id"],
        "product": found.manifest["dayone:recipe"]["product"],
        "product_version": identity.get("product_version"),
        "pack_fingerprint": identity.get("pack_fingerprint"),
        "seed": identity.get("seed"),
        "models": run.get("models", []),
        "prompts": run.get("prompts", {}),
        "simulated_by": [f"dayone {version}" for version in run.get("dayone_versions", [])],
        "built_by": f"dayone {found.manifest['dayone:recipe']['dayone_version']}",
    }
    if ask is not None:
        answer |= _of_store(row, ask)
    return answer


def _of_store(row: Mapping[str, Any], ask: Ask) -> dict[str, Any]:
    run_id, user_id, session_id = row["run_id"], row["user_id"], row.get("session_id")
    labels = ask(
        "SELECT kind, persona, intent, intent_reached FROM labels WHERE run_id = ? AND user_id = ? "
        "AND (kind = 'user' OR session_id = ?) ORDER BY kind",
        [run_id, user_id, session_id or ""],
    )
    answer: dict[str, Any] = {"persona": next((label["persona"] for label in labels), None)}
    where, given = "run_id = ? AND user_id = ?", [run_id, user_id]
    if session_id is not None:
        of_session = next((label for label in labels if label["kind"] == "session"), {})
        answer["session"] = {
            "session_id": session_id, "intent": of_session.get("intent"),
            "intent_reached": of_session.get("intent_reached"),
        }  # fmt: skip
        where, given = f"{where} AND session_id = ?", [*given, session_id]
    if row.get("time") is not None:
        where, given = f"{where} AND time <= ?::TIMESTAMPTZ", [*given, str(row["time"])]
    answer["events"] = ask(
        f"SELECT event_id, type, item_id, strftime(time, '%Y-%m-%dT%H:%M:%S.%gZ') AS time, "  # noqa: S608 - ours
        f"generator, topic_partition, topic_offset FROM events WHERE {where} ORDER BY events.time, sequence",
        given,
    )
    return answer


def _read(found: Published, path: str) -> pa.Table:
    form = form_of(found.manifest["dayone:recipe"]["form"])
    if form.suffix is None:
        raise TrainingError(
            f"{found.directory}: sets in the form {form.name} cannot be read back row by row.",
            hint="Build the same set with --form parquet and ask that one: the rows are the same.",
        )
    database = open_file(MEMORY, read_only=True, memory_limit="1GB")
    try:
        return form.read(database, [found.directory / path], read_columns(found.directory))
    finally:
        database.close()
