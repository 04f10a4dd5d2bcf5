"""Pieces of SQL that several tasks begin with: sessions as lists, in the order in which things happened.

Knows the relations of task.py and no task. A list is cut at a position and what comes behind it is never looked at,
so a task that takes its features from `list[1:position]` and its labels from `list[position + 1:]` cannot mix the two.
"""

from __future__ import annotations

from sinks.training.task import Column

#: One row per session. The lists run side by side, one place per event: `types`, `items`, `moments` (milliseconds
#: since 1970), `steps` (how far down the funnel the event is, from 1; 0: not in it), `shows` (1 where it shows a
#: slate), `conversions` (1 where the product lives on it). Then the session's own columns, in the order of the rows.
WALKS = """
    steps_of_types AS (SELECT type, max(step) + 1 AS step FROM chosen_funnel_steps GROUP BY type),
    lists AS (
        SELECT run_id, user_id, session_id, list(type ORDER BY sequence) AS types,
               list(item_id ORDER BY sequence) AS items, list(epoch_ms(time) ORDER BY sequence) AS moments,
               list(coalesce(step, 0) ORDER BY sequence) AS steps,
               list((slate IS NOT NULL)::INTEGER ORDER BY sequence) AS shows,
               list(coalesce(conversion, false)::INTEGER ORDER BY sequence) AS conversions
        FROM chosen_events LEFT JOIN chosen_event_types USING (type) LEFT JOIN steps_of_types USING (type)
        GROUP BY ALL),
    walks AS (
        SELECT * FROM lists JOIN chosen_sessions USING (run_id, user_id, session_id)
        ORDER BY run_id, user_id, number, session_id)"""

#: What is known of a session after `position` events, as columns of a SELECT over `walks`; see KNOWN_COLUMNS.
KNOWN = """
    number AS session_number, (moments[position] - moments[1]) / 1000.0 AS seconds_in_session,
    CASE WHEN position > 1 THEN (moments[position] - moments[1]) / 1000.0 / (position - 1) END AS mean_gap_seconds,
    len(list_distinct(items[1:position]))::INTEGER AS distinct_items,
    list_sum(shows[1:position])::INTEGER AS slates_shown, list_max(steps[1:position])::INTEGER AS funnel_step,
    (moments[position] // 3600000 % 24)::INTEGER AS hour,
    ((moments[position] // 86400000 + 3) % 7 + 1)::INTEGER AS weekday, device"""

#: The row's moment, as a column.
TIME = "make_timestamptz(moments[position] * 1000) AS time"

#: The columns that KNOWN makes, in order.
KNOWN_COLUMNS = (
    Column("session_number", "feature", "INTEGER", "How many sessions the user had before"),
    Column("seconds_in_session", "feature", "DOUBLE", "Seconds since the session began"),
    Column("mean_gap_seconds", "feature", "DOUBLE", "Mean seconds between its events so far; null after the first"),
    Column("distinct_items", "feature", "INTEGER", "Different items that its events were about so far"),
    Column("slates_shown", "feature", "INTEGER", "How often items were shown in it so far"),
    Column("funnel_step", "feature", "INTEGER", "Furthest step of the product's funnel so far, from 1; 0: none"),
    Column("hour", "feature", "INTEGER", "Hour of the day of the last known event, 0 to 23 (UTC)"),
    Column("weekday", "feature", "INTEGER", "Day of the week of the last known event, 1 is Monday (UTC)"),
    Column("device", "feature", "VARCHAR", "Device of the session"),
)
