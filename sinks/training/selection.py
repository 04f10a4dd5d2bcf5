"""What of a store goes into a training set: which runs and users, in which split; and the relations that tasks read.

Everything happens in temporary tables and views of the builder's own connection; the store is not written. The users
are chosen once (`chosen_users_all`); a shard then names some of them (`shard_users`) and the views of task.py show
those users alone, so a task's SQL knows nothing of splits and shards, and the memory a build needs is bounded by a
shard. Knows the tables, no task and no file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from personas.errors import TrainingError
from personas.provenance import fingerprint
from sinks.training.core.taking import Core, make_tables
from sinks.training.mixing import Mixing, check_ancestors, mix
from sinks.training.split import Split, assignment

if TYPE_CHECKING:
    from sinks.store import Store

#: Users of the whole selection are cut into shards of about this many events.
EVENTS_PER_SHARD = 2_000_000


@dataclass(frozen=True)
class Snapshot:
    """The state of a store that a training set was made from: what was read of Kafka, and which runs. Two stores with
    the same snapshot hold the same rows, because rows and offsets are committed together."""

    product: str
    runs: tuple[dict[str, Any], ...]
    offsets: tuple[dict[str, Any], ...]
    events: int
    users: int
    committed: str
    mixing: dict[str, Any] = field(default_factory=dict)

    @property
    def mixed(self) -> dict[str, Any]:
        """What of the mixing decides the rows: all but how the core's files are called."""
        if not self.mixing:
            return {}
        return {**self.mixing, "core": {name: told for name, told in self.mixing["core"].items() if name != "files"}}

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what the rows depend on."""
        return fingerprint([self.product, [run["run_id"] for run in self.runs], self.offsets, self.events])


def choose(
    store: Store,
    *,
    product: str | None,
    runs: Sequence[str],
    split: Split,
    core: Core | None = None,
    mixing: Mixing | None = None,
    copies: bool = False,
) -> Snapshot:
    """Make the relations for these runs (all of the product's where none is named), with a core mixed in where there is
    one. TrainingError where the store has no events, several products and none named, or a run is not there, where the
    core cannot be taken, and, unless `copies` are wanted, where rows are copies of copies (see `check_ancestors`)."""
    if core is None and (mixing is not None or split.judge == "core"):
        raise TrainingError("There is no core to mix in or to judge on.", hint="Give one with --core.")
    chosen_product = _product(store, product)
    known = [
        row["run_id"]
        for row in store.query(
            "SELECT DISTINCT run_id FROM events WHERE product = ? ORDER BY ALL", [chosen_product]
        ).to_pylist()
    ]
    missing = [run for run in runs if run not in known]
    if missing:
        raise TrainingError(
            f"{store.path} has no events of run {missing[0]!r} of {chosen_product}.",
            hint=f"Runs with events: {', '.join(known)}.",
        )
    wanted = _let_in(store, sorted(set(runs)), known)
    store.query("CREATE OR REPLACE TEMP TABLE chosen_runs AS SELECT unnest(?) AS run_id", [wanted])
    store.query(
        "CREATE OR REPLACE TEMP TABLE chosen_users_all AS "
        "SELECT run_id, user_id, min(time) AS first_seen, max(time) AS last_seen, count(*) AS events, "
        "'synthetic' AS origin, min(generator) AS generator, max(generation) AS generation, "
        "1.0::DOUBLE AS mixing_weight "
        "FROM events SEMI JOIN chosen_runs USING (run_id) WHERE product = ? GROUP BY ALL ORDER BY run_id, user_id",
        [chosen_product],
    )
    make_tables(store)
    _make_views(store, chosen_product)
    mixed = mix(store, core, mixing or Mixing(), chosen_product) if core else {}
    if core is None and not copies:
        check_ancestors(store)
    store.query(f"CREATE OR REPLACE TEMP TABLE split_users AS {assignment(split)} ORDER BY run_id, user_id")
    if mixed.get("strategy") == "replace":
        store.query("DELETE FROM split_users WHERE split = 'train' AND origin = 'core'")
    return _snapshot(store, chosen_product, wanted, mixed)


def _let_in(store: Store, named: list[str], known: list[str]) -> list[str]:
    """The runs that go in: those named, or all; none that is in quarantine."""
    aside = set(store.query("SELECT run_id FROM quarantine WHERE released IS NULL").column(0).to_pylist())
    if odd := [run for run in named if run in aside]:
        raise TrainingError(
            f"Run {odd[0]} is in quarantine: it goes into no training set.",
            hint=f"`dayone quarantine list` tells why; `dayone quarantine release {odd[0]} --reason ...` lets it in.",
        )
    wanted = named or [run for run in known if run not in aside]
    if not wanted:
        raise TrainingError(
            f"All runs of {store.path} are in quarantine: {', '.join(known)}.",
            hint="`dayone quarantine list` tells why.",
        )
    return wanted


def shards(store: Store, split: str) -> int:
    """Into how many shards a split is cut; 0 where it has no users."""
    rows = store.query("SELECT coalesce(sum(events), 0)::BIGINT AS n FROM split_users WHERE split = ?", [split])
    events = int(rows.column("n")[0].as_py())
    return -(-events // EVENTS_PER_SHARD)


def use_shard(store: Store, split: str, shard: int, of: int) -> None:
    """Let the relations show the users of one shard of a split alone."""
    store.query(
        "CREATE OR REPLACE TEMP TABLE shard_users AS SELECT * FROM split_users WHERE split = ? AND bucket % ? = ?",
        [split, of, shard],
    )


def _product(store: Store, product: str | None) -> str:
    found = store.query("SELECT DISTINCT product FROM events ORDER BY ALL").column("product").to_pylist()
    if not found:
        raise TrainingError(
            f"{store.path} holds no events: there is nothing to train on.",
            hint="Fill it first: `dayone up PACK`, or `dayone sink PACK` beside a running simulator.",
        )
    if product is None and len(found) == 1:
        return str(found[0])
    if product not in found:
        raise TrainingError(
            f"{store.path} holds {len(found)} product(s): {', '.join(found)}"
            + (f"; {product!r} is not among them." if product else "."),
            hint="Name one with --product.",
        )
    return str(product)


def _make_views(store: Store, product: str) -> None:
    """The relations of task.py, over `shard_users`."""
    store.query("CREATE OR REPLACE TEMP TABLE chosen_products AS SELECT ? AS product", [product])
    store.query("CREATE OR REPLACE TEMP TABLE shard_users AS SELECT *, '' AS split, 0 AS bucket, "
                "last_seen AS until FROM chosen_users_all LIMIT 0")  # fmt: skip
    for name, query in _VIEWS.items():
        store.query(f"CREATE OR REPLACE TEMP VIEW {name} AS {query}")


_VIEWS = {
    "chosen_users": "SELECT run_id, user_id, first_seen, until, origin, generator, generation, "
    "mixing_weight AS weight FROM shard_users",
    "stored_sessions": "SELECT run_id, user_id, session_id, number, started, ended, device, converted, value, "
    "person.origin, session.generator, session.generation, "
    "person.mixing_weight * coalesce(truth.weight, 1) AS weight "
    "FROM sessions AS session JOIN shard_users AS person USING (run_id, user_id) "
    "LEFT JOIN (SELECT run_id, session_id, weight, outcome FROM labels WHERE kind = 'session') AS truth "
    "USING (run_id, session_id) WHERE session.ended < person.until AND truth.outcome IS DISTINCT FROM 'agent_error'",
    "real_sessions": "SELECT run_id, user_id, session_id, number, started, ended, device, converted, value, "
    "person.origin, session.generator, session.generation, person.mixing_weight AS weight "
    "FROM core_sessions AS session JOIN shard_users AS person USING (run_id, user_id) "
    "WHERE session.ended < person.until",
    "chosen_sessions": "FROM stored_sessions UNION ALL FROM real_sessions",
    "chosen_events": "SELECT run_id, user_id, session_id, sequence, time, type, item_id, properties "
    "FROM events SEMI JOIN stored_sessions USING (run_id, user_id, session_id) UNION ALL "
    "SELECT run_id, user_id, session_id, sequence, time, type, item_id, properties "
    "FROM core_events SEMI JOIN real_sessions USING (run_id, user_id, session_id)",
    "chosen_labels": "SELECT labels.* FROM labels SEMI JOIN shard_users USING (run_id, user_id) "
    "WHERE outcome IS DISTINCT FROM 'agent_error'",
    "chosen_conversations": "SELECT run_id, user_id, session_id, conversation_id, talk.time, talk.ended, talk.reason, "
    "talk.language, talk.outcome, talk.parameters, talk.turns, talk.audit, talk.passed, talk.rejected, "
    "session.origin, talk.generator, talk.generation, session.weight "
    "FROM conversations AS talk JOIN stored_sessions AS session USING (run_id, user_id, session_id) "
    "JOIN shard_users AS person USING (run_id, user_id) WHERE talk.ended < person.until",
    "chosen_help_texts": "SELECT help_id, title, about, text, hands_over FROM help_texts "
    "SEMI JOIN chosen_products USING (product)",
    "chosen_items": "SELECT item_id, title, category, price, quality, launch_day, text FROM items "
    "SEMI JOIN chosen_products USING (product)",
    **{
        f"chosen_{table}": f"SELECT * EXCLUDE (product) FROM {table} SEMI JOIN chosen_products USING (product)"  # noqa: S608
        for table in ("event_types", "event_properties", "funnel_steps", "slate_positions", "intents")
    },
}


def _snapshot(store: Store, product: str, runs: Sequence[str], mixed: dict[str, Any]) -> Snapshot:
    listed = store.query(
        "SELECT run_id, any_value(pack_fingerprint) AS pack_fingerprint, any_value(seed) AS seed, "
        "any_value(generator) AS generator, max(generation) AS generation, "
        "list(state ORDER BY shard) AS states, max(days) AS days "
        "FROM runs SEMI JOIN chosen_runs USING (run_id) GROUP BY run_id ORDER BY run_id"
    ).to_pylist()
    described = {run["run_id"]: run for run in listed}
    offsets = store.query("SELECT cluster_id, topic, partition, next_offset FROM offsets ORDER BY ALL").to_pylist()
    totals = store.query("SELECT sum(events)::BIGINT AS events, count(*) AS users FROM chosen_users_all").to_pylist()[0]
    committed = store.query("SELECT strftime(max(updated), '%Y-%m-%dT%H:%M:%SZ') AS at FROM ingests").column("at")
    return Snapshot(
        product=product,
        runs=tuple(described.get(run, {"run_id": run}) for run in runs),
        offsets=tuple(offsets),
        events=totals["events"],
        users=totals["users"],
        committed=committed[0].as_py() or "",
        mixing=mixed,
    )
