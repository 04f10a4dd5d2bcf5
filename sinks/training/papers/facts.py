"""What the papers of a training set tell, as plain data: gathered once, while the store is open and the rows are there.

Everything here is a function of the store's snapshot and of what was asked for. The time of day, the machine and the
user who builds are not among it: they would make the same build give other bytes. (They are in the audit log.)
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from personas.provenance import fingerprint
from sinks.audit_log import ENTRIES, anchor_of, entries_of
from sinks.settings import NO_LICENSE
from sinks.training.recipe import Recipe
from sinks.training.selection import Snapshot
from sinks.training.task import Column, Task

if TYPE_CHECKING:
    from sinks.store import Store


@dataclass(frozen=True)
class Publisher:
    """Who gives a set out and under which terms: an SPDX identifier or a text; how long it may be kept. Signed."""

    name: str = "unnamed"
    license: str = NO_LICENSE
    retention: str = "Not stated"


@dataclass(frozen=True)
class Facts:
    """`runs` are described by their manifests, `shares` count rows and weight by origin, generator and generation,
    `until` and `since` bound the events (virtual time, ISO, UTC), `anchor` is the place of the audit log."""

    recipe: Recipe
    snapshot: Snapshot
    summary: str
    grain: str
    kind: str
    columns: tuple[Column, ...]
    query: str
    runs: tuple[dict[str, Any], ...]
    shares: tuple[dict[str, Any], ...]
    since: str
    until: str
    anchor: str
    gates: tuple[dict[str, Any], ...]
    command: str
    publisher: Publisher


def gather(
    store: Store, *, recipe: Recipe, snapshot: Snapshot, task: Task, columns: tuple[Column, ...], query: str,
    paths: Sequence[str], gates: Sequence[Mapping[str, Any]], command: str, publisher: Publisher,
) -> Facts:  # fmt: skip
    """Look at the store and at the rows (`paths`: Parquet files of all splits)."""
    shares = store.query(
        "SELECT origin, generator, generation, count(*) AS rows, round(sum(weight), 6) AS weight "
        "FROM read_parquet(?) GROUP BY ALL ORDER BY ALL",
        [list(paths)],
    ).to_pylist()
    span = store.query(
        "SELECT strftime(min(first_seen), '%Y-%m-%dT%H:%M:%SZ') AS since, "
        "strftime(max(last_seen), '%Y-%m-%dT%H:%M:%SZ') AS until FROM chosen_users_all"
    ).to_pylist()[0]
    log = entries_of([tuple(row.values()) for row in store.query(ENTRIES).to_pylist()])
    return Facts(
        recipe=recipe, snapshot=snapshot, summary=task.summary, grain=task.grain, kind=task.kind, columns=columns,
        query=query, runs=tuple(_run(store, run_id) for run_id in recipe.runs), shares=tuple(shares),
        since=span["since"], until=span["until"], anchor=anchor_of(log), gates=tuple(dict(gate) for gate in gates),
        command=command, publisher=publisher,
    )  # fmt: skip


def _run(store: Store, run_id: str) -> dict[str, Any]:
    """A run as its manifests tell: what decided its events, which models and prompts it used, and the fingerprint of
    the manifest of each of its shards. Only the id where the store has no manifest of it."""
    rows = store.query(
        "SELECT shard, state, days, manifest FROM runs WHERE run_id = ? ORDER BY shard", [run_id]
    ).to_pylist()
    if not rows:
        return {"run_id": run_id}
    manifests = [json.loads(row["manifest"]) for row in rows]
    lineages = [told.get("lineage", {}) for told in manifests]
    return {
        "run_id": run_id,
        "identity": manifests[0]["identity"],
        "models": sorted({str(model) for line in lineages for model in line.get("models", ())}),
        "prompts": {name: sha for line in lineages for name, sha in sorted(dict(line.get("prompts", {})).items())},
        "ancestors": list(dict.fromkeys(str(name) for line in lineages for name in line.get("ancestors", ()))),
        "core": next((line["core"] for line in lineages if line.get("core")), None),
        "dayone_versions": sorted({told["dayone_version"] for told in manifests}),
        "shards": [
            {"shard": row["shard"], "state": row["state"], "days": row["days"], "manifest_sha256": fingerprint(told)}
            for row, told in zip(rows, manifests, strict=True)
        ],
    }
