"""Guesses at what a foreign log calls things: by the names of its columns, and by where in a session events stand."""

from __future__ import annotations

from personas.core.suggest import Habit, suggested_columns, suggested_events


def test_guesses_match_names_and_places() -> None:
    assert suggested_columns(["visitor_id", "when", "timestamp", "sku"]) == {
        "user_id": "visitor_id", "time": "timestamp", "item_id": "sku"
    }  # fmt: skip
    ours = {"home_viewed": Habit(0.2, 0.0), "order_completed": Habit(0.01, 1.0)}
    theirs = {"purchase": Habit(0.02, 0.95), "landing": Habit(0.3, 0.05)}
    assert suggested_events(theirs, ours) == {"purchase": "order_completed", "landing": "home_viewed"}
