"""Dead letters in the database: read from the table `dead_letters`, marked as replayed beside it.

Knows the two tables and the store; no Kafka client. A table row has the first 64 KiB of key and value.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from personas.errors import StoreError
from personas.letters import Headers
from sinks import place as stores
from sinks.batch import KEPT_BYTES
from sinks.dead_letters.letter import Letter, Place
from sinks.store import Store

#: The later of two rows for the same place counts: a sink that was killed, or a new database beside an old topic.
_LETTERS = """
SELECT letter.topic, letter.topic_partition, letter.topic_offset, reason, detail, key, value, value_bytes,
       epoch_us(received) AS received, headers, epoch_us(replays.replayed) AS replayed, letter.cluster_id
FROM dead_letters AS letter LEFT JOIN (
    SELECT cluster_id, topic, topic_partition, topic_offset, max(replayed) AS replayed FROM dead_letter_replays
    GROUP BY ALL) AS replays USING (cluster_id, topic, topic_partition, topic_offset)
ORDER BY received
"""


def open_for_letters(path: str | stores.Place, *, read_only: bool) -> Store:
    """The store; where a sink has it open, StoreError says how to do without."""
    try:
        return Store.open(path, read_only=read_only)
    except StoreError as error:
        if "another process" not in error.message:
            raise
        raise StoreError(
            error.message,
            hint="While a sink runs, the letters are on their topics: "
            + ("give --bootstrap-servers." if read_only else "leave --store out."),
        ) from error


def stored_letters(store: Store, cluster_id: str | None = None) -> list[Letter]:
    """All letters of the database (or those of one Kafka cluster), one per place, in the order of the places."""
    letters = {
        (place := Place(row["topic"], row["topic_partition"], row["topic_offset"])): _letter(place, row)
        for row in store.query(_LETTERS).to_pylist()
        if cluster_id in (None, row["cluster_id"])
    }
    return [letters[place] for place in sorted(letters)]


def _letter(place: Place, row: dict[str, Any]) -> Letter:
    value_bytes: int | None = row["value_bytes"]
    key: bytes | None = row["key"]
    cut = [
        *(["value"] if value_bytes is not None and value_bytes > len(row["value"]) else []),
        *(["key"] if key is not None and len(key) >= KEPT_BYTES else []),  # it may have been just as long
    ]
    return Letter(
        place, row["reason"], row["detail"], _moment(row["received"]), key, row["value"], _headers(row["headers"]), "",
        value_bytes, tuple(cut), _moment(row["replayed"]),
    )  # fmt: skip


def _headers(text: str | None) -> Headers:
    found = json.loads(text) if text else []
    return tuple((name, None if value is None else base64.b64decode(value)) for name, value in found)


def _moment(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else datetime.fromtimestamp(microseconds / 1e6, UTC)


def mark_stored(store: Store, cluster_id: str, places: Sequence[Place], when: datetime) -> int:
    """Note that letters of this cluster were replayed; how many of them the database has. All or none."""
    store.query(
        "INSERT INTO dead_letter_replays SELECT DISTINCT cluster_id, topic, topic_partition, topic_offset, "
        "?::TIMESTAMPTZ FROM dead_letters WHERE cluster_id = ? AND (topic, topic_partition, topic_offset) IN "
        "(SELECT (unnest(?::VARCHAR[]), unnest(?::INTEGER[]), unnest(?::BIGINT[])))",
        [when.isoformat(), cluster_id, *map(list, zip(*places, strict=True))],
    )
    counted = "SELECT count(*) AS n FROM dead_letter_replays WHERE replayed = ?::TIMESTAMPTZ"
    return int(store.query(counted, [when.isoformat()]).to_pylist()[0]["n"])
