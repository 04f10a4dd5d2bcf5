"""ranking: the items that were shown, in which place and with which chance, and what the user made of them.

One row per shown item. The place decides whether an item is looked at, and the policy what is shown at all, so a model
that learns from clicks alone learns the policy. With `propensity` (the chance that the item was put there) and
`examination` (the chance that a user looks there), both true values, a row can be weighed: Joachims, Swaminathan and
Schnabel 2017, "Unbiased learning-to-rank with biased feedback" (WSDM). With `view=ratings` the same task is the plain
table of users, items and ratings that recommenders begin with.

Two ways were weighed to say what a click belongs to: by the page it names (products do not all name one), or by order:
what is opened comes from the last slate before it. Order won; it holds for every product, by the rules of the packs.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from sinks.training.task import KEYS, TRAIL, Column, Options

_ITEM = (
    Column("category", "feature", "VARCHAR", "Category of the item"),
    Column("price", "feature", "DOUBLE", "Its price, in the product's currency"),
    Column("quality", "feature", "DOUBLE", "Its quality, 0 to 1"),
)


class RankingOptions(Options):
    """See Ranking."""

    view: Literal["slates", "ratings"] = Field(
        "slates", description="slates: a row per shown item; ratings: a row per user and item that was opened"
    )


class Ranking:
    """Implements Task."""

    name: ClassVar[str] = "ranking"
    summary: ClassVar[str] = "Which of the items shown to a user are opened and converted on; or a table of ratings"
    grain: ClassVar[str] = "one row per item of a slate that was shown (view=ratings: per user and opened item)"
    kind: ClassVar[Literal["ranking"]] = "ranking"
    options: ClassVar[type[Options]] = RankingOptions

    def columns(self, options: Options) -> tuple[Column, ...]:
        """See Task."""
        assert isinstance(options, RankingOptions)
        return (*KEYS, *(_RATINGS if options.view == "ratings" else _SLATES), *TRAIL)

    def query(self, options: Options) -> str:
        """See Task."""
        assert isinstance(options, RankingOptions)
        return f"WITH {_MOVES}, {_RATINGS_QUERY if options.view == 'ratings' else _SLATES_QUERY}"


_SLATES = (
    Column("session_id", "key", "VARCHAR", "The session"),
    Column("sequence", "key", "INTEGER", "Place in the session of the event that showed the slate, from 0"),
    Column("position", "key", "INTEGER", "Place in the slate, from 1"),
    Column("slate", "key", "VARCHAR", "Which slate of the product it was"),
    Column("time", "time", "TIMESTAMPTZ", "When it was shown (UTC)"),
    Column("item_id", "feature", "VARCHAR", "The item"),
    *_ITEM,
    Column("shown_before", "feature", "INTEGER", "How often this user was shown the item before"),
    Column("opened_before", "feature", "INTEGER", "How often this user opened the item before"),
    Column("category_share", "feature", "DOUBLE", "Share of its category in what the user opened; null: nothing yet"),
    Column("opens_before", "feature", "INTEGER", "How many items this user opened before"),
    Column("session_number", "feature", "INTEGER", "How many sessions the user had before"),
    Column("device", "feature", "VARCHAR", "Device of the session"),
    Column("propensity", "propensity", "DOUBLE", "True chance that the item was put here; null where nobody knows"),
    Column("examination", "propensity", "DOUBLE", "True chance that a user looks at this place; null: unknown"),
    Column("clicked", "label", "BOOLEAN", "Whether it was opened from here before the next slate"),
    Column("converted", "label", "BOOLEAN",
           "Whether it was converted on later in the session; null: conversions of this product are about no item"),
)  # fmt: skip

_RATINGS = (
    Column("item_id", "key", "VARCHAR", "The item"),
    Column("time", "time", "TIMESTAMPTZ", "When the user first opened it (UTC)"),
    *_ITEM,
    Column("opens_before", "feature", "INTEGER", "How many items this user opened before"),
    Column("rating", "label", "DOUBLE", "1: opened, 2: more was done with it, 3: converted on"),
    Column("interactions", "label", "INTEGER", "Events of this user about it, its opening among them"),
)

# Every event with what its type means; `from_slate` is the slate on the screen when it happened.
_MOVES = """
    paths AS (
        SELECT type, min('$."' || property || '"') FILTER (source = 'slate.items') AS shown_path,
               min('$."' || property || '"') FILTER (source = 'bag.items') AS bag_path
        FROM chosen_event_properties GROUP BY type),
    moves AS (
        SELECT event.*, declared.item AS about, declared.slate, coalesce(declared.conversion, false) AS conversion,
               number, device, weight, origin, generator, generation,
               CASE WHEN shown_path IS NOT NULL
                    THEN TRY_CAST(json_extract(properties, shown_path) AS VARCHAR[]) END AS shown,
               CASE WHEN declared.conversion AND bag_path IS NOT NULL
                    THEN TRY_CAST(json_extract(properties, bag_path) AS VARCHAR[]) END AS bought,
               max(CASE WHEN shown_path IS NOT NULL THEN sequence END) OVER (
                   PARTITION BY run_id, user_id, session_id ORDER BY sequence
                   ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS from_slate
        FROM chosen_events AS event JOIN chosen_sessions USING (run_id, user_id, session_id)
        LEFT JOIN chosen_event_types AS declared USING (type) LEFT JOIN paths USING (type)),
    conversions AS (
        SELECT run_id, user_id, session_id, item_id, max(sequence) AS sequence, max(time) AS time
        FROM (SELECT run_id, user_id, session_id, sequence, time, unnest(coalesce(bought, [item_id])) AS item_id
              FROM moves WHERE conversion)
        WHERE item_id IS NOT NULL GROUP BY ALL),
    about_items AS (
        SELECT coalesce(bool_or(item IS NOT NULL OR bag_path IS NOT NULL), false) AS known
        FROM chosen_event_types LEFT JOIN paths USING (type) WHERE conversion)"""

_SLATES_QUERY = """
    opens AS (SELECT * FROM moves WHERE about = 'slate' AND item_id IS NOT NULL),
    rows AS (
        SELECT * EXCLUDE (item_id), generate_subscripts(shown, 1) AS position, unnest(shown) AS item_id
        FROM moves WHERE len(shown) > 0),
    -- What the user was shown and opened, in one stream: a window up to a row's own event knows nothing later.
    stream AS (
        SELECT run_id, user_id, number, session_id, sequence, position, item_id, 1 AS seen, 0 AS opened
        FROM rows UNION ALL
        SELECT run_id, user_id, number, session_id, sequence, NULL, item_id, 0, 1 FROM opens),
    past AS (
        SELECT stream.*, item.category, item.price, item.quality,
               sum(seen) OVER (PARTITION BY run_id, user_id, item_id ORDER BY number, session_id, sequence, position
                               ROWS UNBOUNDED PRECEDING) - seen AS shown_before,
               sum(opened) OVER (PARTITION BY run_id, user_id, item_id ORDER BY number, session_id, sequence)
                   AS opened_before,
               sum(opened) OVER (PARTITION BY run_id, user_id, category ORDER BY number, session_id, sequence)
                   AS category_before,
               sum(opened) OVER (PARTITION BY run_id, user_id ORDER BY number, session_id, sequence) AS opens_before
        FROM stream LEFT JOIN chosen_items AS item USING (item_id)),
    clicks AS (
        SELECT DISTINCT run_id, user_id, session_id, from_slate AS sequence, item_id FROM opens
        WHERE from_slate IS NOT NULL),
    logged AS (
        SELECT run_id, session_id, unnest(TRY_CAST(slates::JSON AS
            STRUCT(sequence INTEGER, slate VARCHAR, propensities DOUBLE[])[]), recursive := true)
        FROM chosen_labels WHERE kind = 'session')
    SELECT run_id, user_id, session_id, sequence, position::INTEGER AS position, rows.slate, rows.time,
           rows.item_id, past.category, past.price, past.quality, past.shown_before::INTEGER AS shown_before,
           past.opened_before::INTEGER AS opened_before,
           past.category_before / nullif(past.opens_before, 0) AS category_share,
           past.opens_before::INTEGER AS opens_before, rows.number AS session_number, rows.device,
           logged.propensities[position] AS propensity, examination, clicks.item_id IS NOT NULL AS clicked,
           CASE WHEN about_items.known THEN coalesce(conversions.sequence > rows.sequence, false) END AS converted,
           rows.weight, rows.origin, rows.generator, rows.generation
    FROM rows JOIN past USING (run_id, user_id, session_id, sequence, position) CROSS JOIN about_items
    LEFT JOIN logged USING (run_id, session_id, sequence)
    LEFT JOIN chosen_slate_positions AS place ON place.slate = rows.slate AND place.position = rows.position
    LEFT JOIN clicks ON clicks.run_id = rows.run_id AND clicks.session_id = rows.session_id
                     AND clicks.sequence = rows.sequence AND clicks.item_id = rows.item_id
    LEFT JOIN conversions ON conversions.run_id = rows.run_id AND conversions.session_id = rows.session_id
                          AND conversions.item_id = rows.item_id
    ORDER BY run_id, user_id, rows.number, session_id, sequence, position"""

_RATINGS_QUERY = """
    firsts AS (
        SELECT run_id, user_id, item_id, number, session_id, sequence, time, weight, origin, generator, generation
        FROM moves WHERE about = 'slate' AND item_id IS NOT NULL
        QUALIFY row_number() OVER (PARTITION BY run_id, user_id, item_id ORDER BY number, session_id, sequence) = 1),
    deeds AS (
        SELECT run_id, user_id, item_id, time, CASE WHEN about = 'slate' THEN 1.0 ELSE 2.0 END AS worth, 1 AS event
        FROM moves WHERE item_id IS NOT NULL UNION ALL
        SELECT run_id, user_id, item_id, time, 3.0, 0 FROM conversions),
    rated AS (
        SELECT deeds.run_id, deeds.user_id, deeds.item_id, max(worth)::DOUBLE AS rating,
               sum(event)::INTEGER AS interactions
        FROM deeds JOIN firsts
        ON deeds.run_id = firsts.run_id AND deeds.user_id = firsts.user_id AND deeds.item_id = firsts.item_id
           AND deeds.time >= firsts.time
        GROUP BY ALL)
    SELECT run_id, user_id, item_id, time, category, price, quality,
           (row_number() OVER (PARTITION BY run_id, user_id ORDER BY number, session_id, sequence) - 1)::INTEGER
               AS opens_before,
           rating, interactions, weight, origin, generator, generation
    FROM firsts JOIN rated USING (run_id, user_id, item_id) LEFT JOIN chosen_items USING (item_id)
    ORDER BY run_id, user_id, opens_before"""
