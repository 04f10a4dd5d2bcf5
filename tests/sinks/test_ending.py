"""When a sink has read enough: a goal is sure once its ends were seen after earlier ones were reached."""

from __future__ import annotations

from sinks.ending import Goal

FIRST, SECOND, THIRD = {("a", 0): 10}, {("a", 0): 17}, {("a", 0): 40}


def test_no_goal_is_passed_by_nothing() -> None:
    goal = Goal()
    assert not goal.passed({("a", 0): 99}) and not goal.sure


def test_told_to_stop_the_goal_moves_once_when_it_is_reached() -> None:
    goal = Goal()
    goal.set(FIRST, reached=False, stopping=True)
    goal.set(SECOND, reached=False, stopping=True)
    assert (goal.ends, goal.sure) == (FIRST, False)
    goal.set(SECOND, reached=True, stopping=True)
    goal.set(THIRD, reached=True, stopping=True)
    assert (goal.ends, goal.sure) == (SECOND, True)
    assert goal.passed({("a", 0): 17}) and not goal.passed({("a", 0): 16})


def test_when_runs_are_completed_the_goal_follows_what_comes() -> None:
    goal = Goal()
    goal.set(FIRST, reached=False, stopping=False)
    goal.set(SECOND, reached=True, stopping=False)
    assert (goal.ends, goal.sure) == (SECOND, True)
    goal.set(THIRD, reached=False, stopping=False)
    assert (goal.ends, goal.sure) == (THIRD, False)


def test_a_goal_that_is_forgotten_begins_anew() -> None:
    goal = Goal()
    goal.set(FIRST, reached=True, stopping=True)
    goal.forget()
    assert goal.ends is None and not goal.sure and not goal.passed({("a", 0): 10})
