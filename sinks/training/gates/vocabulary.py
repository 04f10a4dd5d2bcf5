"""Gate: the events that go in are events of the product, and are about items that there are."""

from __future__ import annotations

from typing import ClassVar

from sinks.training.gates.gate import Evidence, Found, Stage, worst


class VocabularyGate:
    """Implements Gate."""

    name: ClassVar[str] = "vocabulary"
    stage: ClassVar[Stage] = "runs"
    checks: ClassVar[str] = "event types that the product has, items of its catalogue, times that make sense"
    unit: ClassVar[str] = "of the events are something else"
    threshold: ClassVar[float] = 0.0

    def judge(self, evidence: Evidence, threshold: float) -> tuple[float, tuple[Found, ...], str]:
        """See Gate."""
        store, product = evidence.store, evidence.product
        types = store.query("SELECT count(*) AS n FROM event_types WHERE product = ?", [product]).column(0)[0].as_py()
        if not types:
            return 0.0, (), "the store holds no declarations of the product: start `dayone sink` on it once"
        total = store.query("SELECT sum(events)::BIGINT AS n FROM chosen_users_all").column(0)[0].as_py() or 1
        odd = store.query(
            "SELECT run_id, CASE WHEN declared.type IS NULL THEN 'type ' || event.type WHEN item.item_id IS NULL AND "
            "event.item_id IS NOT NULL THEN 'item ' || event.item_id ELSE 'year ' || year(event.time) END AS what, "
            "count(*) AS n FROM (SELECT run_id, user_id, type, item_id, time FROM events WHERE product = ?) AS event "
            "SEMI JOIN chosen_users_all USING (run_id, user_id) "
            "LEFT JOIN event_types AS declared ON declared.product = ? AND declared.type = event.type "
            "LEFT JOIN items AS item ON item.product = ? AND item.item_id = event.item_id "
            "WHERE declared.type IS NULL OR (event.item_id IS NOT NULL AND item.item_id IS NULL) "
            "OR year(event.time) NOT BETWEEN 1970 AND 2200 GROUP BY ALL ORDER BY n DESC, run_id, what",
            [product, product, product],
        ).to_pylist()
        found = [Found(row["run_id"], row["n"] / total, f"{row['n']:,} events: {row['what']}") for row in odd]
        return sum(each.figure for each in found), worst(found), ""
