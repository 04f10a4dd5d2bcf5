"""Gates: no row twice, no session twice, and nobody on both sides of a split.

A row's content is all that a model could learn from or be judged on: user, time, features and labels, without the other
keys. Rows of different users may well be the same (a day without a visit); sessions may not: synthetic times have
milliseconds, so two sessions that begin and end in the same ones are one session under two names, such as a run that
was stored twice. Real logs often have whole days for times: for the core, only sessions of the same user count.
"""

from __future__ import annotations

from typing import ClassVar

from personas.sql import identifier
from sinks.training.gates.gate import Evidence, Found, Stage, worst
from sinks.training.task import names


class DuplicatesGate:
    """Implements Gate."""

    name: ClassVar[str] = "duplicates"
    stage: ClassVar[Stage] = "rows"
    checks: ClassVar[str] = "rows that repeat another one of the same user in time, features and labels"
    unit: ClassVar[str] = "of the rows are copies"
    threshold: ClassVar[float] = 0.01

    def judge(self, evidence: Evidence, threshold: float) -> tuple[float, tuple[Found, ...], str]:
        """See Gate."""
        assert evidence.rows is not None
        told = [identifier(name) for role in ("time", "feature", "label") for name in names(evidence.columns, role)]
        rows, copies = next(iter(evidence.rows.execute(
            f"SELECT count(*), count(*) - count(DISTINCT hash(run_id, user_id, {', '.join(told)})) FROM made"  # noqa: S608
        )))  # fmt: skip
        share = copies / rows if rows else 0.0
        if share <= threshold:
            return share, (), ""
        repeated = evidence.rows.query(
            f"SELECT run_id, user_id, count(*) - count(DISTINCT hash({', '.join(told)})) AS n FROM made "  # noqa: S608
            "GROUP BY run_id, user_id HAVING n > 0 ORDER BY n DESC, run_id, user_id LIMIT 5"
        ).to_pylist()
        found = [Found(f"{row['run_id']}/{row['user_id']}", row["n"], f"{row['n']:,} rows are copies")
                 for row in repeated]  # fmt: skip
        return share, worst(found), ""


class RepeatedSessionsGate:
    """Implements Gate."""

    name: ClassVar[str] = "repeated_sessions"
    stage: ClassVar[Stage] = "runs"
    checks: ClassVar[str] = "sessions that are there under several names, such as a run that was stored twice"
    unit: ClassVar[str] = "of the sessions are copies"
    threshold: ClassVar[float] = 0.001

    def judge(self, evidence: Evidence, threshold: float) -> tuple[float, tuple[Found, ...], str]:
        """See Gate."""
        sessions = (
            "SELECT run_id, user_id, origin, hash(started, ended, device, events, CASE WHEN origin = 'core' "
            "THEN user_id END) AS content FROM (SELECT run_id, user_id, started, ended, device, events FROM sessions "
            "UNION ALL "
            "SELECT run_id, user_id, started, ended, device, count(*) FROM core_sessions JOIN "
            "(SELECT run_id, user_id, session_id FROM core_events) USING (run_id, user_id, session_id) "
            "GROUP BY run_id, user_id, session_id, started, ended, device) "
            "JOIN (SELECT run_id, user_id, origin FROM chosen_users_all) USING (run_id, user_id)"
        )
        total, copies = next(iter(evidence.store.database.execute(
            f"SELECT count(*), count(*) - count(DISTINCT content) FROM ({sessions})"  # noqa: S608 - text of ours
        )))  # fmt: skip
        share = copies / total if total else 0.0
        if share <= threshold:
            return share, (), ""
        runs = evidence.store.query(
            f"SELECT run_id, count(*) AS n FROM (SELECT run_id, content FROM ({sessions}) QUALIFY "  # noqa: S608
            "count(*) OVER (PARTITION BY content) > 1) GROUP BY run_id ORDER BY n DESC, run_id"
        ).to_pylist()
        found = [Found(row["run_id"], row["n"] / total, f"{row['n']:,} sessions are there more than once")
                 for row in runs]  # fmt: skip
        return share, worst(found), ""


class SplitOverlapGate:
    """Implements Gate."""

    name: ClassVar[str] = "split_overlap"
    stage: ClassVar[Stage] = "rows"
    checks: ClassVar[str] = "users and sessions with rows in more than one split"
    unit: ClassVar[str] = "users or sessions"
    threshold: ClassVar[float] = 0.0

    def judge(self, evidence: Evidence, threshold: float) -> tuple[float, tuple[Found, ...], str]:
        """See Gate."""
        assert evidence.rows is not None
        found = []
        for key in [key for key in ("user_id", "session_id") if key in names(evidence.columns, "key")]:
            shared = evidence.rows.query(
                f"SELECT run_id, {key} AS key, list(DISTINCT split_of_row ORDER BY split_of_row) AS splits FROM made "  # noqa: S608
                f"WHERE {key} IS NOT NULL GROUP BY ALL HAVING len(splits) > 1 ORDER BY ALL"
            ).to_pylist()
            found += [
                Found(f"{row['run_id']}/{row['key']}", 1.0, f"is in {' and '.join(row['splits'])}") for row in shared
            ]
        return float(len(found)), worst(found), ""
