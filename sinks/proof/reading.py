"""Reads the logs of a proof: files and tables as cores come, a store's runs, or what a training set was made of.

A log comes in the words of its source; `--map` renames columns, events and items, as for a core. Synthetic logs that
`dayone sample` and `dayone export` write need no map. Knows files and stores, no measure.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from personas.core.columns import columns_of, moment_of
from personas.core.mapping import CoreMap
from personas.core.source import DATABASES, open_source
from personas.errors import LockedStoreError, ProofError
from personas.sql import identifier, literal
from sinks.database import Database, open_file
from sinks.place import MEMORY, Place, place_of
from sinks.proof.sampling import is_core
from sinks.training.opening import opened_at_one_moment

if TYPE_CHECKING:
    from sinks.store import Store

_MEMORY = "2GB"


@dataclass(frozen=True, eq=False)
class Read:
    """A log that was read: its table, how the user called it, its files with their SHA-256, and the runs that it is
    made of, where it comes from a store; `place` is that store. `taught_by`: the SHA-256 of the files that taught the
    model of a synthetic log, where it tells them."""

    table: pa.Table
    said: str
    files: tuple[dict[str, Any], ...] = ()
    runs: tuple[str, ...] = ()
    place: Place | None = None
    taught_by: frozenset[str] = frozenset()


def read_log(given: str, mapping: CoreMap, option: str) -> Read:
    """A log of real users: a file, a directory of files, or DB.duckdb::TABLE. CoreError says what is wrong."""
    database = open_file(MEMORY, read_only=True, memory_limit=_MEMORY)
    try:
        source = open_source(_Asking(database), given, option)
        roles = columns_of(source, mapping, ("time", "event"))
        if "user_id" not in roles and "session_id" not in roles:
            columns_of(source, mapping)  # says what is missing
        moment = moment_of(_Asking(database), source, roles["time"], mapping.time)
        table = database.query(_query(source.relation, source.columns, roles, moment, mapping))
    finally:
        database.close()
    if not table.num_rows:
        raise ProofError(f"{option}{given}: no row has a user, a time and an event.", hint="Look at the map.")
    return Read(table, given, source.files)


def read_halves(given: str, mapping: CoreMap) -> tuple[pa.Table, pa.Table]:
    """A log of real users as it is, all columns, in two: core and hold-out. By users; by sessions where each user has
    one. CoreError as of `read_log`, ProofError where one half would be empty."""
    database = open_file(MEMORY, read_only=True, memory_limit=_MEMORY)
    try:
        source = open_source(_Asking(database), given, "")
        roles = columns_of(source, mapping, ("time", "event"))
        table = database.query(f"SELECT * FROM {source.relation}")  # noqa: S608 - quoted names
    finally:
        database.close()
    known = [roles[role] for role in ("user_id", "session_id") if role in roles]
    if not known:
        columns_of(source, mapping)  # says what is missing
    people = table.select(known).group_by(known).aggregate([])
    returning = len(known) == 2 and people.num_rows > pc.count_distinct(people[known[0]]).as_py()
    column = table[known[0] if returning or len(known) == 1 else known[1]].cast(pa.string())
    names = pc.unique(column).drop_null()
    core = pc.is_in(column, value_set=names.filter(pa.array(is_core(np.asarray(names.to_pylist(), dtype=object)))))
    halves = table.filter(core), table.filter(pc.invert(core))
    if not all(half.num_rows for half in halves):
        raise ProofError(f"{given}: {len(names)} users cannot be halved.", hint="Give a log of more users.")
    return halves


def read_synthetic(given: str, mapping: CoreMap, store: Place, runs: Sequence[str] = ()) -> Read:
    """The synthetic log: a file as above, a store (a DuckDB file that a sink wrote, or a lake), or a training set,
    whose runs are taken from `store`."""
    path = Path(given)
    manifest = path / "manifest.json"
    if path.is_dir() and manifest.is_file():
        return _runs_of(store, given, _cited(manifest))
    if given.startswith("ducklake:") or (path.suffix in DATABASES and path.is_file() and _is_store(path)):
        return _runs_of(place_of(given), given, runs)
    return replace(read_log(given, mapping, ""), taught_by=_taught_by(path))


def _taught_by(path: Path) -> frozenset[str]:
    """What Parquet files of `dayone sample` tell in their metadata of the files that taught the model."""
    found: set[str] = set()
    for file in sorted(path.rglob("*.parquet")) if path.is_dir() else [path]:
        if file.suffix == ".parquet" and file.is_file():
            try:
                told = json.loads((pq.read_schema(file).metadata or {}).get(b"dayone", b"{}"))
            except ValueError:  # the metadata of somebody else
                continue
            sums = told.get("taught_by", []) if isinstance(told, dict) else []
            found.update(each for each in sums if isinstance(each, str))
    return frozenset(found)


class _Asking:
    """A database as personas.core asks it."""

    def __init__(self, database: Database) -> None:
        self.path = ""
        self._database = database

    def query(self, sql: str, parameters: list[Any] | None = None) -> pa.Table:
        return self._database.query(sql, parameters or ())


def _query(
    relation: str, columns: dict[str, str], roles: dict[str, str], moment: str, mapping: CoreMap
) -> str:  # fmt: skip
    def text(role: str, otherwise: str = "CAST(NULL AS VARCHAR)") -> str:
        return f"CAST({identifier(roles[role])} AS VARCHAR)" if role in roles else otherwise

    event = _renamed(text("event"), {name: new for name, new in mapping.events.items() if new is not None})
    gone = [name for name, new in mapping.events.items() if new is None]
    without = f"AND type NOT IN ({', '.join(map(literal, gone))})" if gone else ""
    persona = 'CAST("persona" AS VARCHAR)' if "persona" in columns else "CAST(NULL AS VARCHAR)"
    order = identifier(roles["order"]) if "order" in roles else "0"
    rows = (
        f"SELECT {text('user_id', text('session_id'))} AS person, {text('session_id')} AS visit, {moment} AS moment, "  # noqa: S608 - quoted names
        f"{text('event')} AS type, {event} AS event, {_renamed(text('item_id'), mapping.items.ids)} AS item_id, "
        f"{persona} AS persona, {order} AS tie, row_number() OVER () AS row FROM {relation}"
    )
    kept = f"SELECT * FROM ({rows}) WHERE person IS NOT NULL AND moment IS NOT NULL AND type IS NOT NULL {without}"  # noqa: S608
    if "session_id" not in roles:
        gap = f"INTERVAL {round(mapping.session_gap_minutes * 60_000)} MILLISECONDS"
        window = "(PARTITION BY person ORDER BY moment, tie, row)"
        kept = (
            f"SELECT * REPLACE (person || '/' || CAST(sum(opens) OVER {window} AS VARCHAR) AS visit) FROM (SELECT *, "  # noqa: S608
            f"CASE WHEN moment - lag(moment) OVER {window} <= {gap} THEN 0 ELSE 1 END AS opens FROM ({kept}))"
        )
    return (
        "SELECT person AS user_id, visit AS session_id, moment AS ts, event, item_id, persona, "  # noqa: S608
        f"row_number() OVER (ORDER BY tie, row) AS step FROM ({kept}) WHERE visit IS NOT NULL ORDER BY row"
    )


def _renamed(text: str, names: dict[str, str]) -> str:
    if not names:
        return text
    cases = " ".join(f"WHEN {literal(old)} THEN {literal(new)}" for old, new in names.items())
    return f"CASE {text} {cases} ELSE {text} END"


def _is_store(path: Path) -> bool:
    """Whether a DuckDB file is the store of a sink; one that is being written is."""
    try:
        database = open_file(str(path), read_only=True, memory_limit=_MEMORY)
    except LockedStoreError:
        return True
    try:
        rows = database.execute(
            "SELECT count(*) FROM duckdb_tables() WHERE table_name IN ('events', 'runs', 'offsets')"
        )
    finally:
        database.close()
    return bool(rows[0][0] == 3)


def _cited(manifest: Path) -> list[str]:
    try:
        told = json.loads(manifest.read_text("utf-8"))
        return [str(run["run_id"]) for run in told["dayone:runs"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ProofError(
            f"{manifest}: not the manifest of a training set ({error}).", hint="Give <out>/<task>/<version>."
        ) from error


def _runs_of(place: Place, given: str, runs: Sequence[str]) -> Read:
    with opened_at_one_moment(place, memory_limit=_MEMORY) as store:
        known = [row["run_id"] for row in store.query("SELECT DISTINCT run_id FROM runs ORDER BY run_id").to_pylist()]
        wanted = list(runs) or known
        if missing := [run for run in wanted if run not in known]:
            raise ProofError(
                f"{place.name} has no run {', '.join(missing)}.", hint=f"Its runs: {', '.join(known) or 'none'}."
            )
        table = _events(store, wanted)
    if not table.num_rows:
        raise ProofError(f"{place.name} has no synthetic events of these runs.", hint="Wait until they are stored.")
    return Read(table, given, runs=tuple(sorted(set(wanted))), place=place)


def _events(store: Store, runs: list[str]) -> pa.Table:
    return store.query(
        "SELECT events.run_id || '/' || events.user_id AS user_id, events.run_id || '/' || events.session_id AS "
        "session_id, time AS ts, type AS event, item_id, persona, sequence AS step FROM events LEFT JOIN (SELECT "
        "run_id, user_id, any_value(persona) AS persona FROM labels GROUP BY ALL) AS people USING (run_id, user_id) "
        "WHERE synthetic AND list_contains(?, run_id) ORDER BY events.run_id, events.user_id, session_id, sequence",
        [runs],
    )
