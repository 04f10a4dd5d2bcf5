"""How real users (the core) and synthetic ones are joined: who is taken, and what each counts for.

    accumulate  all of the core, and synthetic users up to a ratio. The synthetic are a prior that fades:

                    weight of a core user       1
                    weight of a synthetic user  min(1, n0 / S)

                S synthetic users are taken, and all of them together count for at most n0 real users (`prior_users`),
                however many there are. So the synthetic share of all weight is n0 / (n0 + R) with R core users: with
                n0 = 1000, half at 1000 real users, a tenth at 9000. It is a power prior (Ibrahim and Chen, Statistical
                Science 15, 2000): the likelihood of the synthetic rows raised to a0 = n0 / S, where a0 S = n0 is its
                effective sample size; for counts it is the Dirichlet prior with n0 pseudo-counts. That the core is kept
                whole and joined, not replaced, is what keeps the error bounded over generations (Gerstgrasser et al.,
                'Is model collapse inevitable?', COLM 2024).
    augment     all of the core, and synthetic users only where it is thin: a segment (device, quarter of the day, and
                how far down the funnel) with fewer than k core sessions is filled up to k, with weight 1.
    replace     synthetic users alone in training; the core only judges. Models trained on their own output forget the
                tails and then the rest (Shumailov et al., Nature 631, 2024), so it has to be asked for in full.

Who is taken is decided by a hash of the run and the user: nested, so a higher ratio (or k) holds all of the lower, and
adding a run does not reshuffle. Users are taken whole, with all of their sessions, so that no task sees half a history.
Knows the tables of selection.py and of the core; no task, no split, no file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from personas.errors import TrainingError
from sinks.training.core.taking import GENERATOR, Core, Taken, take
from sinks.training.core.taking import RUN as CORE_RUN

if TYPE_CHECKING:
    from sinks.store import Store


class Mixing(BaseModel):
    """What joins a core to synthetic users. See the module for what each is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strategy: Literal["accumulate", "augment", "replace"] = "accumulate"
    ratio: float = Field(10.0, gt=0, le=1e6, description="synthetic users per core user, at most")
    prior_users: float = Field(1000.0, gt=0, description="real users that all synthetic ones together count for")
    thin: int = Field(30, ge=1, description="core sessions below which a segment is filled up")


def mixing_of(*, knows_it_collapses: bool = False, **given: Any) -> Mixing:
    """A mixing from what a user gave; TrainingError says what is wrong, or that `replace` was not meant."""
    try:
        mixing = Mixing.model_validate(given)
    except ValidationError as error:
        fault = error.errors()[0]
        option = {"strategy": "mix", "prior_users": "prior-users"}.get(name := str(fault["loc"][0]), name)
        raise TrainingError(
            f"--{option}: {fault['msg']} (found {fault['input']!r}).", hint="--mix is accumulate, augment or replace."
        ) from error
    if mixing.strategy == "replace" and not knows_it_collapses:
        raise TrainingError(
            "--mix replace trains on synthetic rows alone although there are real ones: models that learn from such "
            "sets over and over lose the rare first, and then the rest.",
            hint="Use --mix accumulate; or, to measure just that, add --i-know-this-collapses.",
        )
    return mixing


#: Of each user: the segment (`augment` fills thin ones) and the number of sessions.
_SEGMENTS = """
    SELECT run_id, user_id, origin, mode(device ORDER BY device) AS device, mode(quarter ORDER BY quarter) AS quarter,
           max(step) AS step, count(*) AS sessions
    FROM (SELECT person.run_id, person.user_id, person.origin, session.session_id, session.device,
                 hour(session.started) // 6 AS quarter, coalesce(reached.step, -1) AS step
          FROM chosen_users_all AS person
          JOIN (SELECT run_id, user_id, session_id, device, started FROM sessions
                UNION ALL SELECT run_id, user_id, session_id, device, started FROM core_sessions) AS session
          USING (run_id, user_id)
          LEFT JOIN (SELECT run_id, session_id, max(step) AS step
                     FROM (SELECT run_id, session_id, type FROM events
                           UNION ALL SELECT run_id, session_id, type FROM core_events)
                     JOIN (FROM funnel_steps SEMI JOIN chosen_products USING (product)) USING (type)
                     GROUP BY ALL) AS reached
          USING (run_id, session_id))
    GROUP BY ALL"""
_HASH = "md5_number_lower('mix/' || run_id || '/' || user_id)"


def mix(store: Store, core: Core, mixing: Mixing, product: str) -> dict[str, Any]:
    """Put the core's users beside the synthetic ones in `chosen_users_all`, keep those of the synthetic that are
    wanted, and weigh them. Tells what was done, for the recipe and the papers."""
    taken = take(store, core, product)
    offered = _count(store, "synthetic")
    store.query(
        "INSERT INTO chosen_users_all SELECT run_id, user_id, min(time), max(time), count(*), 'core', ?, 0, 1.0 "
        "FROM core_events GROUP BY run_id, user_id ORDER BY user_id", [GENERATOR]
    )  # fmt: skip
    if mixing.strategy == "augment":
        _keep_where_thin(store, mixing.thin)
    else:
        most = int(mixing.ratio * taken.users)
        store.query(
            "DELETE FROM chosen_users_all AS person USING (SELECT run_id, user_id, row_number() OVER "  # noqa: S608
            f"(ORDER BY {_HASH}, run_id, user_id) AS place FROM chosen_users_all WHERE origin = 'synthetic') AS ranked "
            "WHERE person.run_id = ranked.run_id AND person.user_id = ranked.user_id AND ranked.place > ?", [most]
        )  # fmt: skip
    kept = _count(store, "synthetic")
    each = min(1.0, mixing.prior_users / kept) if mixing.strategy == "accumulate" and kept else 1.0
    store.query("UPDATE chosen_users_all SET mixing_weight = ? WHERE origin = 'synthetic'", [each])
    return _told(mixing, taken, offered, kept, each)


def _keep_where_thin(store: Store, thin: int) -> None:
    """Of each segment, synthetic users in the order of their hash until it has `thin` sessions with the core's."""
    store.query(
        f"CREATE OR REPLACE TEMP TABLE filled AS WITH segments AS ({_SEGMENTS}), "  # noqa: S608 - text of ours
        "real AS (SELECT device, quarter, step, sum(sessions) AS had FROM segments WHERE origin = 'core' "
        "GROUP BY ALL), "
        "ranked AS (SELECT *, coalesce(sum(sessions) OVER (PARTITION BY device, quarter, step "
        f"ORDER BY {_HASH}, run_id, user_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before "
        "FROM segments WHERE origin = 'synthetic') "
        "SELECT run_id, user_id FROM ranked LEFT JOIN real USING (device, quarter, step) "
        "WHERE coalesce(had, 0) + before < ?", [thin]
    )  # fmt: skip
    store.query(
        "DELETE FROM chosen_users_all AS person WHERE origin = 'synthetic' AND NOT EXISTS "
        "(SELECT 1 FROM filled WHERE filled.run_id = person.run_id AND filled.user_id = person.user_id)"
    )


def _count(store: Store, origin: str) -> int:
    answer = store.query("SELECT count(*) AS n FROM chosen_users_all WHERE origin = ?", [origin])
    return int(answer.column(0)[0].as_py())


def _told(mixing: Mixing, taken: Taken, offered: int, kept: int, each: float) -> dict[str, Any]:
    total = taken.users + kept * each
    return {
        **mixing.model_dump(mode="json"),
        "core": {"run_id": CORE_RUN, **vars(taken), "files": list(taken.files)},
        "synthetic": {"users_offered": offered, "users": kept, "weight_each": each},
        "share_of_weight": {"core": taken.users / total, "synthetic": kept * each / total},
    }


def check_ancestors(store: Store) -> None:
    """Refuse a set in which nothing descends from real data after the first generation: rows made by a model that was
    fitted on synthetic rows (generation 2 or more: a student's are), where the run's manifest names no core. To
    be asked where no core is mixed in. TrainingError names the runs."""
    orphans = store.query(
        "SELECT DISTINCT run_id, generation FROM chosen_users_all WHERE generation >= 2 AND run_id NOT IN "
        "(SELECT run_id FROM runs WHERE manifest ->> '$.lineage.core' IS NOT NULL) "
        "ORDER BY ALL"
    ).to_pylist()
    if orphans:
        listed = ", ".join(f"{row['run_id']} (generation {row['generation']})" for row in orphans)
        raise TrainingError(
            f"{listed}: made by models that were fitted on synthetic rows, with no real data among the ancestors. A "
            "set of these would be a copy of a copy.",
            hint="Mix real rows in with --core, or leave these runs out with --run. There is nothing real yet? Then "
            "--i-know-this-collapses takes them as they are.",
        )
