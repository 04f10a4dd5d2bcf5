"""anomaly: stretches of a session in which a planted problem struck, or none did.

One row per window of events; windows overlap, so that a problem is seen with what led to it and what it did. Which
problem, and at which event, is the truth of the simulation. For monitors that watch what users do, and for support.

Two ways were weighed: windows by time (what operations look at; an idle user makes empty ones) or by events (each has
something to say). Events won; the gaps between them are in the row.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from sinks.training.task import KEYS, TRAIL, Column, Options


class AnomalyOptions(Options):
    """See Anomaly."""

    window: int = Field(8, ge=1, le=100, description="how many events a window has; the last of a session may be short")
    step: int = Field(4, ge=1, le=100, description="how many events further the next window begins")

    @model_validator(mode="after")
    def _leaves_no_gap(self) -> AnomalyOptions:
        if self.step > self.window:
            raise ValueError("windows would leave events out: step is at most window")
        return self


class Anomaly:
    """Implements Task."""

    name: ClassVar[str] = "anomaly"
    summary: ClassVar[str] = "Whether something went wrong in a stretch of a session, and what"
    grain: ClassVar[str] = "one row per window of events: what happened, and the problem that was planted in it"
    kind: ClassVar[Literal["classification"]] = "classification"
    options: ClassVar[type[Options]] = AnomalyOptions

    def columns(self, options: Options) -> tuple[Column, ...]:
        """See Task."""
        return (
            *KEYS,
            Column("session_id", "key", "VARCHAR", "The session"),
            Column("first_position", "key", "INTEGER", "Place in the session of the window's first event, from 1"),
            Column("time", "time", "TIMESTAMPTZ", "When the window's last event happened (UTC)"),
            Column("types", "feature", "VARCHAR[]", "Types of its events, oldest first"),
            Column("items", "feature", "VARCHAR[]", "Their items; null where an event is about none"),
            Column("gaps", "feature", "DOUBLE[]", "Seconds since the event before each; null for a session's first"),
            Column("loads", "feature", "DOUBLE[]", "Seconds that each took to load; null where that is not measured"),
            Column("shown", "feature", "INTEGER[]", "How many items each showed; null where it shows none"),
            Column("longest_gap", "feature", "DOUBLE", "The longest gap, seconds; null: there is none"),
            Column("longest_load", "feature", "DOUBLE", "The longest time to load, seconds; null: none measured"),
            Column("fewest_shown", "feature", "INTEGER", "The shortest list of items shown; null: none was shown"),
            Column("repeats", "feature", "INTEGER", "How many events are of the same type as the one before"),
            Column("device", "feature", "VARCHAR", "Device of the session"),
            Column("anomalous", "label", "BOOLEAN", "Whether a problem was planted in it"),
            Column("problem", "label", "VARCHAR", "The first problem in it; null: none"),
            Column("problem_at", "label", "INTEGER", "Place in the window of the event that it struck, from 1"),
            Column("problems", "label", "VARCHAR[]", "All problems in it, in order; empty: none"),
            *TRAIL,
        )

    def query(self, options: Options) -> str:
        """See Task."""
        assert isinstance(options, AnomalyOptions)
        window, step = options.window, options.step
        cut = f"[first_position:first_position + {window - 1}]"
        struck = f"struck{cut}"
        return f"""
            WITH paths AS (
                SELECT type, min('$."' || property || '"') FILTER (source = 'load_seconds') AS load_path,
                       min('$."' || property || '"') FILTER (source = 'slate.items') AS shown_path
                FROM chosen_event_properties GROUP BY type),
            planted AS (
                SELECT run_id, session_id, TRY_CAST(problem.value ->> '$.sequence' AS INTEGER) AS sequence,
                       min(problem.value ->> '$.problem') AS problem
                FROM chosen_labels AS label, json_each(label.problems) AS problem
                WHERE kind = 'session' GROUP BY ALL),
            events AS (
                SELECT * EXCLUDE (properties),
                       (epoch_ms(time) - lag(epoch_ms(time)) OVER (PARTITION BY run_id, user_id, session_id
                                                                   ORDER BY sequence)) / 1000.0 AS gap,
                       TRY_CAST(json_extract_string(properties, load_path) AS DOUBLE) AS load,
                       CASE WHEN shown_path IS NOT NULL
                            THEN json_array_length(json_extract(properties, shown_path)) END AS shown,
                       (type = lag(type) OVER (PARTITION BY run_id, user_id, session_id ORDER BY sequence)) AS repeat
                FROM chosen_events LEFT JOIN paths USING (type)),
            lists AS (
                SELECT run_id, user_id, session_id, list(type ORDER BY sequence) AS types,
                       list(item_id ORDER BY sequence) AS items, list(time ORDER BY sequence) AS moments,
                       list(gap ORDER BY sequence) AS gaps, list(load ORDER BY sequence) AS loads,
                       list(shown::INTEGER ORDER BY sequence) AS shown,
                       list(coalesce(repeat, false)::INTEGER ORDER BY sequence) AS repeats,
                       list(problem ORDER BY sequence) AS struck
                FROM events LEFT JOIN planted USING (run_id, session_id, sequence) GROUP BY ALL),
            windows AS (
                SELECT *, unnest(range(1, greatest(len(types) - {window - step}, 1) + 1, {step})) AS first_position
                FROM lists JOIN chosen_sessions USING (run_id, user_id, session_id)
                -- Of real sessions nobody knows whether something went wrong: they are left out.
                SEMI JOIN (SELECT run_id, session_id FROM chosen_labels WHERE kind = 'session') AS told
                     USING (run_id, session_id))
            SELECT run_id, user_id, session_id, first_position::INTEGER AS first_position,
                   moments[least(first_position + {window - 1}, len(moments))] AS time,
                   types{cut} AS types, items{cut} AS items, gaps{cut} AS gaps, loads{cut} AS loads,
                   shown{cut} AS shown, list_max(gaps{cut}) AS longest_gap, list_max(loads{cut}) AS longest_load,
                   list_min(shown{cut}) AS fewest_shown, list_sum(repeats{cut})::INTEGER AS repeats, device,
                   list_count({struck}) > 0 AS anomalous, list_any_value({struck}) AS problem,
                   CASE WHEN list_count({struck}) > 0
                        THEN list_position({struck}, list_any_value({struck}))::INTEGER END AS problem_at,
                   list_filter({struck}, lambda each: each IS NOT NULL) AS problems,
                   weight, origin, generator, generation
            FROM windows
            ORDER BY run_id, user_id, number, session_id, first_position"""  # noqa: S608 - numbers of ours
