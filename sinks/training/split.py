"""Who is in which split, and until when: train, valid and test, by user or by time.

A user is in one split alone, and so are the user's sessions. `user`: by a hash of (seed, user). `time`: by the moment
of the user's first event; the users who came first train, and nothing that they did after the valid users began to
come is used, so a model is judged on newcomers of a later time, as it will be on the day it is used. A session that
reaches over the end of its split is left out whole.

Where there is real data, it alone judges unless `judge` says otherwise: users of another origin are all in train.
Time is told apart by origin, because the calendar of a simulation is not that of the real users.

The hash is MD5's lower 64 bits (RFC 1321): the same in every version of DuckDB, which its own `hash()` is not.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from personas.errors import TrainingError

SPLITS = ("train", "valid", "test")


class Split(BaseModel):
    """How users are divided. Shares are of users; train gets what is left."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: Literal["user", "time"] = "user"
    valid: float = Field(0.1, ge=0, lt=1)
    test: float = Field(0.1, ge=0, lt=1)
    seed: int = Field(0, ge=0)
    judge: Literal["core", "all", "synthetic"] = "all"

    @model_validator(mode="after")
    def _leaves_something(self) -> Split:
        if self.valid + self.test >= 1:
            raise ValueError("valid and test together leave nothing to train on")
        return self


def split_of(**given: Any) -> Split:
    """A split from what a user gave; TrainingError says what is wrong."""
    try:
        return Split.model_validate(given)
    except ValidationError as error:
        fault = error.errors()[0]
        where = {"by": "--split: "}.get(name := str((fault["loc"] or ("",))[0]), f"--{name}: " if name else "")
        raise TrainingError(
            f"{where}{fault['msg']} (found {fault['input']!r}).",
            hint="--split is user or time; --valid and --test are shares that leave something to train on; --judge is "
            "core, all or synthetic.",
        ) from error


def assignment(split: Split) -> str:
    """SQL that gives `chosen_users_all` (run_id, user_id, first_seen, last_seen, origin, …) the columns split,
    until and bucket.

    Bound parameters: none. `bucket` is a hash of the user from 0 to 999,999, for cutting a split into shards."""
    if split.by == "user":
        place = f"md5_number_lower('{split.seed}/split/' || user_id) % 1000000 / 1000000.0"
        until = "last"
    else:
        alike = "OVER (PARTITION BY origin)"
        place = f"(row_number() OVER (PARTITION BY origin ORDER BY first_seen, user_id) - 1) / count(*) {alike}"
        until = (
            f"CASE split WHEN 'train' THEN least(min(first_seen) FILTER (split <> 'train') {alike}, last) "
            f"WHEN 'valid' THEN least(min(first_seen) FILTER (split = 'test') {alike}, last) ELSE last END"
        )
    judges = {"all": "true"}.get(split.judge, f"origin = '{split.judge}'")
    train, valid = 1 - split.valid - split.test, 1 - split.test
    return f"""
        WITH placed AS (SELECT *, {place} AS place FROM chosen_users_all),
        named AS (
            SELECT * EXCLUDE (place),
                   max(last_seen) OVER (PARTITION BY origin, run_id) + INTERVAL 1 MILLISECOND AS last,
                   CASE WHEN place < {train!r} OR NOT {judges} THEN 'train'
                        WHEN place < {valid!r} THEN 'valid' ELSE 'test' END AS split
            FROM placed)
        SELECT * EXCLUDE (last), {until} AS until,
               md5_number_lower('{split.seed}/bucket/' || user_id) % 1000000 AS bucket
        FROM named"""  # noqa: S608 - numbers of ours
