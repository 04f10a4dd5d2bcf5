"""What the rows of each task say, against the same counted in another way."""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache
from typing import Any

import pytest

from personas.errors import TrainingError
from sinks.store import Store
from sinks.training.loading import load_sets
from sinks.training.registry import options_of, task_of
from sinks.training.split import Split
from tests.runs import filled_store

Rows = list[dict[str, Any]]


@lru_cache
def store() -> Store:
    return filled_store("shop", users=300, days=16)


@lru_cache
def _rows(task: str, options: tuple[tuple[str, str], ...]) -> Rows:
    chosen = options_of(task_of(task), dict(options))
    return load_sets(store(), task_of(task), chosen, None, (), Split(valid=0, test=0))[0].to_pylist()


def rows_of(task: str, **options: str) -> Rows:
    return _rows(task, tuple(options.items()))


@lru_cache
def troubled() -> Store:
    """A store in which much goes wrong, so that many write to support."""
    return filled_store("shop", users=300, days=16, problem_rate=10.0)


def talks(**options: str) -> Rows:
    chosen = options_of(task_of("support"), options)
    return load_sets(troubled(), task_of("support"), chosen, None, (), Split(valid=0, test=0))[0].to_pylist()


def asked(sql: str) -> Rows:
    return store().query(sql).to_pylist()


def test_each_item_that_was_opened_is_one_click() -> None:
    rows = rows_of("ranking")
    opened = asked("SELECT session_id, item_id FROM events WHERE type = 'product_viewed'")
    shown_twice = len(rows) - len({(r["session_id"], r["sequence"], r["item_id"]) for r in rows})
    again = len(opened) - sum(row["clicked"] for row in rows)
    assert {(r["session_id"], r["item_id"]) for r in rows if r["clicked"]} == {
        (r["session_id"], r["item_id"]) for r in opened
    }
    assert -shown_twice <= again < 0.1 * len(opened), "what is opened again from the same slate is one click"


def test_what_was_shown_has_its_true_chances() -> None:
    rows = rows_of("ranking")
    assert all(0 < row["propensity"] <= 1 and 0 < row["examination"] <= 1 for row in rows)
    (shown,) = asked("SELECT sum(len(CAST(properties -> '$.products' AS VARCHAR[])))::INTEGER AS n FROM events "
                     "WHERE type IN (SELECT type FROM event_types WHERE slate IS NOT NULL)")  # fmt: skip
    assert len(rows) == shown["n"]
    assert all(row["examination"] == 1 for row in rows if row["position"] == 1)


def test_what_was_bought_is_converted_and_rated_highest() -> None:
    bought = {
        (row["user_id"], item)
        for row in asked("SELECT user_id, CAST(properties -> '$.products' AS VARCHAR[]) AS items "
                         "FROM events WHERE type = 'order_completed'")
        for item in row["items"]
    }  # fmt: skip
    assert bought
    assert {(r["user_id"], r["item_id"]) for r in rows_of("ranking") if r["converted"]} == bought
    ratings = rows_of("ranking", view="ratings")
    assert {(r["user_id"], r["item_id"]) for r in ratings if r["rating"] == 3} == bought
    assert {r["rating"] for r in ratings} == {1.0, 2.0, 3.0}


def test_who_is_gone_has_no_session_in_these_days() -> None:
    rows = rows_of("churn", days="3")
    begun: dict[str, list[Any]] = {}
    for row in asked("SELECT user_id, started FROM sessions"):
        begun.setdefault(row["user_id"], []).append(row["started"])
    for row in rows:
        later = [at for at in begun[row["user_id"]] if row["time"] <= at <= row["time"] + timedelta(days=3)]
        assert row["gone"] == (not later)
        assert row["sessions"] == sum(at < row["time"] for at in begun[row["user_id"]])
    (end,) = asked("SELECT max(time) AS at FROM events")
    assert max(row["time"] for row in rows) + timedelta(days=3) <= end["at"] + timedelta(milliseconds=1)
    assert 0 < sum(row["gone"] for row in rows) < len(rows)


def test_who_has_left_by_the_truth_is_gone() -> None:
    left = {row["user_id"]: row["time"] for row in asked("SELECT user_id, time FROM labels WHERE churned")}
    rows = rows_of("churn", days="3", decided_by="truth", rows="every")
    for row in rows:
        assert row["gone"] == (row["user_id"] in left and left[row["user_id"]] <= row["time"] + timedelta(days=3))
    assert len(rows) > len(rows_of("churn", days="3"))
    assert any(row["gone"] for row in rows)


def test_every_planted_problem_is_in_a_window() -> None:
    found = {(r["session_id"], r["first_position"] + r["problem_at"] - 2, r["problem"])
             for r in rows_of("anomaly", window="1", step="1") if r["anomalous"]}  # fmt: skip
    planted = asked("SELECT session_id, sequence, problem FROM problems")
    assert found == {(row["session_id"], row["sequence"], row["problem"]) for row in planted}
    for row in rows_of("anomaly"):
        assert row["anomalous"] == bool(row["problems"]) == (row["problem"] is not None)
    (events,) = asked("SELECT count(*)::INTEGER AS n FROM events")
    covered = {(r["session_id"], r["first_position"] + k) for r in rows_of("anomaly") for k in range(len(r["types"]))}
    assert len(covered) == events["n"]


def test_a_conversion_is_ahead_or_does_not_come() -> None:
    rows = rows_of("conversion", events="4")
    assert all(len(row["first_types"]) == 4 and "order_completed" not in row["first_types"] for row in rows)
    (converted,) = asked("SELECT count(*)::INTEGER AS n FROM sessions WHERE converted")
    assert sum(row["converted"] for row in rows) == converted["n"]
    assert all((row["seconds_to_conversion"] is not None) == row["converted"] for row in rows)


def test_an_intent_is_asked_for_after_one_two_four_events() -> None:
    rows = rows_of("intent")
    assert {row["position"] for row in rows} >= {1, 2, 4, 8, 16}
    assert all(row["position"].bit_count() == 1 == min(row["position"], 1) for row in rows)
    truth = {row["session_id"]: row["intent"] for row in asked("SELECT session_id, intent FROM labels WHERE kind = 'session'")}  # fmt: skip  # noqa: E501
    assert all(row["intent"] == truth[row["session_id"]] for row in rows)
    (events,) = asked("SELECT count(*)::INTEGER AS n FROM events")
    assert len(rows_of("intent", beginnings="every")) == events["n"]
    assert len(rows_of("intent", beginnings="whole")) == len(truth)


def test_every_answer_that_passed_is_a_chat() -> None:
    told = troubled().query(
        "SELECT conversation_id, turn, role, text, cited, time FROM messages "
        "SEMI JOIN (FROM conversations WHERE passed) USING (conversation_id) ORDER BY conversation_id, turn"
    ).to_pylist()
    said = {(row["conversation_id"], row["turn"]): row for row in told}
    rows = talks()
    answers = [key for key, row in said.items() if row["role"] == "assistant"]
    (late,) = troubled().query("SELECT max(time) AS at FROM events").to_pylist()
    assert 50 < len(rows) <= len(answers)
    for row in rows:
        key, before = (row["conversation_id"], row["turn"]), said[row["conversation_id"], row["turn"] - 1]
        assert row["answer"] == said[key]["text"] and row["help_ids"] == said[key]["cited"]
        assert row["time"] == before["time"] < late["at"] and row["passed"]
        system, *spoken = row["prompt"]
        assert system["role"] == "system" and spoken[-1] == {"role": "user", "content": before["text"]}
        assert [turn["role"] for turn in spoken] == ["user", "assistant"] * (len(spoken) // 2) + ["user"]
        assert row["user_messages"] == (len(spoken) + 1) // 2
        assert row["messages"] == [*row["prompt"], {"role": "assistant", "content": row["answer"]}]
        for id_ in row["help_ids"]:
            assert f"\n[{id_}] " in system["content"] and f"[{id_}]" in row["answer"]
    alone = talks(system="none")
    assert [row["prompt"] for row in alone] == [row["prompt"][1:] for row in rows]
    everything = talks(conversations="all")
    assert {row["outcome"] for row in everything if not row["passed"]} == {"given_up"}


def test_every_worse_twin_is_a_preference() -> None:
    rows = talks(view="preferences", conversations="all")
    told = troubled().query("SELECT conversation_id, turn, flaw, text FROM rejected_answers").to_pylist()
    worse = {(row["conversation_id"], row["turn"]): row for row in told}
    chats = {(row["conversation_id"], row["turn"]): row for row in talks(conversations="all")}
    assert 50 < len(rows) <= len(worse)
    for row in rows:
        key = row["conversation_id"], row["turn"]
        assert row["rejected"] == [{"role": "assistant", "content": worse[key]["text"]}]
        assert row["chosen"] == [{"role": "assistant", "content": chats[key]["answer"]}] != row["rejected"]
        assert row["flaw"] == worse[key]["flaw"] and row["prompt"] == chats[key]["prompt"]
    assert {row["flaw"] for row in rows} == {"ungrounded", "evasive", "grovelling", "wrong_policy", "too_long"}


@pytest.mark.parametrize(
    ("task", "option", "said"),
    [("anomaly", {"step": "9"}, "leave events out"), ("churn", {"decided_by": "luck"}, "--option decided_by"),
     ("ranking", {"view": "x"}, "view"), ("conversion", {"events": "0"}, "--option events"),
     ("support", {"view": "pairs"}, "view")],
)  # fmt: skip
def test_an_option_out_of_bounds_is_refused(task: str, option: dict[str, str], said: str) -> None:
    with pytest.raises(TrainingError, match=said):
        options_of(task_of(task), option)
