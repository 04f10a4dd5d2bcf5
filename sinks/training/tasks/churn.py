"""churn: whether a user is gone, given what the user did up to the end of a day.

One row per user and day. Gone is decided by what is `seen` (no session begins in the next n days: all that a product
ever knows of its users) or by the `truth` of the simulation (the user has left for good by then, said on the labels
topic; real users are then left out, for nobody knows). The two differ in those who pause, and that difference is worth
measuring: a model learnt on what is seen can be judged on the truth. A day whose n days reach over the end of what may
be used is left out, so that nobody counts as gone because the data ends; with `--split time` the n days must fit
between the arrivals of two splits.

Two sets of days were weighed: those on which the user was there (default: rows mean something, and a user who has left
long ago makes none) or every day since the first (what a nightly job scores).
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from sinks.training.task import KEYS, TRAIL, Column, Options


class ChurnOptions(Options):
    """See Churn."""

    days: int = Field(7, ge=1, le=365, description="how many days without a session make a user gone")
    decided_by: Literal["seen", "truth"] = Field(
        "seen", description="seen: no session in these days; truth: has left for good by their end"
    )
    rows: Literal["active", "every"] = Field(
        "active", description="active: days on which the user was there; every: all days since the first"
    )


class Churn:
    """Implements Task."""

    name: ClassVar[str] = "churn"
    summary: ClassVar[str] = "Whether a user is gone, from what the user did up to the end of a day"
    grain: ClassVar[str] = "one row per user and day, where the days in which the user may come back are all known"
    kind: ClassVar[Literal["classification"]] = "classification"
    options: ClassVar[type[Options]] = ChurnOptions

    def columns(self, options: Options) -> tuple[Column, ...]:
        """See Task."""
        return (
            *KEYS,
            Column("day", "key", "DATE", "The day (UTC)"),
            Column("time", "time", "TIMESTAMPTZ", "The end of the day (UTC): what happened before it is known"),
            Column("days_since_first", "feature", "DOUBLE", "Days since the user's first event"),
            Column("days_since_last", "feature", "DOUBLE", "Days since the user's last event"),
            Column("sessions", "feature", "INTEGER", "Sessions begun so far"),
            Column("sessions_7_days", "feature", "INTEGER", "Sessions begun in the last 7 days"),
            Column("active_days_28_days", "feature", "INTEGER", "Days with an event among the last 28"),
            Column("events_7_days", "feature", "INTEGER", "Events in the last 7 days"),
            Column("events_28_days", "feature", "INTEGER", "Events in the last 28 days"),
            Column("events_per_session", "feature", "DOUBLE", "Events for each session so far"),
            Column("mean_days_between", "feature", "DOUBLE", "Mean days from session to session; null: only one"),
            Column("item_events_28_days", "feature", "INTEGER", "Events about an item in the last 28 days"),
            Column("conversions", "feature", "INTEGER", "Conversions so far"),
            Column("conversions_28_days", "feature", "INTEGER", "Conversions in the last 28 days"),
            Column("weekday", "feature", "INTEGER", "Day of the week, 1 is Monday (UTC)"),
            Column("device", "feature", "VARCHAR", "Device of the last session"),
            Column("gone", "label", "BOOLEAN", "Whether the user is gone, as `decided_by` says"),
            Column("days_to_return", "label", "DOUBLE", "Days until the next session; null: none in these days"),
            *TRAIL,
        )

    def query(self, options: Options) -> str:
        """See Task."""
        assert isinstance(options, ChurnOptions)
        end = f"dated.time + INTERVAL {options.days} DAY"
        returns = f"coalesce(coming.started <= {end}, false)"
        known = {"seen": "true", "truth": "person.origin <> 'core'"}[options.decided_by]
        gone = {"seen": f"NOT {returns}", "truth": f"coalesce(left_at <= {end}, false)"}[options.decided_by]
        return f"""
            WITH active AS (
                SELECT run_id, user_id, (time AT TIME ZONE 'UTC')::DATE AS day, count(*) AS events,
                       count(DISTINCT session_id) FILTER (sequence = first_sequence) AS begun,
                       count(item_id) AS item_events, count(*) FILTER (conversion) AS converted,
                       min(time) FILTER (sequence = first_sequence) AS first_begun,
                       max(time) FILTER (sequence = first_sequence) AS last_begun, min(time) AS first_event,
                       max(time) AS last_event, arg_max(device, time) AS device
                FROM (SELECT *, min(sequence) OVER (PARTITION BY run_id, user_id, session_id) AS first_sequence
                      FROM chosen_events)
                JOIN chosen_sessions USING (run_id, user_id, session_id)
                LEFT JOIN chosen_event_types USING (type) GROUP BY ALL),
            calendar AS ({_CALENDARS[options.rows]}),
            dated AS (
                SELECT run_id, user_id, day, (day + INTERVAL 1 DAY) AT TIME ZONE 'UTC' AS time,
                       min(first_event) OVER so_far AS first_event, max(last_event) OVER so_far AS last_event,
                       sum(coalesce(begun, 0)) OVER so_far AS sessions,
                       sum(coalesce(begun, 0)) OVER week AS sessions_7_days,
                       count(events) OVER month AS active_days_28_days,
                       sum(coalesce(events, 0)) OVER so_far AS events_so_far,
                       sum(coalesce(events, 0)) OVER week AS events_7_days,
                       sum(coalesce(events, 0)) OVER month AS events_28_days,
                       min(first_begun) OVER so_far AS first_begun, max(last_begun) OVER so_far AS last_begun,
                       sum(coalesce(item_events, 0)) OVER month AS item_events_28_days,
                       sum(coalesce(converted, 0)) OVER so_far AS conversions,
                       sum(coalesce(converted, 0)) OVER month AS conversions_28_days,
                       last_value(device IGNORE NULLS) OVER so_far AS device
                FROM calendar LEFT JOIN active USING (run_id, user_id, day)
                WINDOW so_far AS (PARTITION BY run_id, user_id ORDER BY day ROWS UNBOUNDED PRECEDING),
                       week AS (PARTITION BY run_id, user_id ORDER BY day RANGE INTERVAL 6 DAY PRECEDING),
                       month AS (PARTITION BY run_id, user_id ORDER BY day RANGE INTERVAL 27 DAY PRECEDING)),
            truth AS (
                SELECT run_id, user_id, time AS label_time, coalesce(history_weight, 1) AS history_weight
                FROM chosen_labels WHERE kind = 'session'),
            lefts AS (
                SELECT run_id, user_id, min(time) AS left_at FROM chosen_labels
                WHERE kind = 'session' AND churned GROUP BY ALL),
            returns AS (
                SELECT dated.*, person.weight * coalesce(truth.history_weight, 1) AS weight, person.origin,
                       person.generator, person.generation, {gone} AS gone,
                       CASE WHEN {returns} THEN coming.started END AS returned
                FROM dated JOIN chosen_users AS person USING (run_id, user_id)
                LEFT JOIN lefts USING (run_id, user_id)
                ASOF LEFT JOIN chosen_sessions AS coming
                    ON dated.run_id = coming.run_id AND dated.user_id = coming.user_id AND dated.time <= coming.started
                ASOF LEFT JOIN truth
                    ON dated.run_id = truth.run_id AND dated.user_id = truth.user_id AND dated.time >= truth.label_time
                WHERE {end} <= person.until AND {known})
            SELECT run_id, user_id, day, time,
                   (epoch_ms(time) - epoch_ms(first_event)) / 86400000.0 AS days_since_first,
                   (epoch_ms(time) - epoch_ms(last_event)) / 86400000.0 AS days_since_last,
                   sessions::INTEGER AS sessions, sessions_7_days::INTEGER AS sessions_7_days,
                   active_days_28_days::INTEGER AS active_days_28_days, events_7_days::INTEGER AS events_7_days,
                   events_28_days::INTEGER AS events_28_days, events_so_far / sessions AS events_per_session,
                   CASE WHEN sessions > 1 THEN
                        (epoch_ms(last_begun) - epoch_ms(first_begun)) / 86400000.0 / (sessions - 1) END
                       AS mean_days_between,
                   item_events_28_days::INTEGER AS item_events_28_days, conversions::INTEGER AS conversions,
                   conversions_28_days::INTEGER AS conversions_28_days, isodow(day)::INTEGER AS weekday, device,
                   gone, (epoch_ms(returned) - epoch_ms(time)) / 86400000.0 AS days_to_return,
                   weight, origin, generator, generation
            FROM returns ORDER BY run_id, user_id, day"""  # noqa: S608 - numbers and choices of ours


_CALENDARS = {
    "active": "SELECT run_id, user_id, day FROM active",
    "every": "SELECT run_id, user_id, unnest(range(min(day), (max(until) AT TIME ZONE 'UTC')::DATE, INTERVAL 1 DAY))"
    "::DATE AS day FROM active JOIN chosen_users USING (run_id, user_id) GROUP BY run_id, user_id",
}
