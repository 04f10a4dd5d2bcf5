"""The expectation against what the engine plays, for every pack that ships; and each warning shown to be able to come.

Tolerances (3,000 users, 20 days, seed 7): users within 3 %, sessions and events a session within 10 %, each step of the
funnel within 15 % where at least 100 sessions reached it, each frequent event type within 25 %.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from personas.errors import PackError
from personas.pack import Pack
from personas.persona import Persona
from personas.product import Product
from simulator.cli import app
from simulator.explain import Explanation, amount_of_bytes, explain, render
from simulator.forecast import _sessions
from tests.runs import LONG, START, course, pack_of

USERS, DAYS = 3000, 20


@pytest.fixture(scope="module", params=LONG)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def told(name: str) -> Explanation:
    return explain(pack_of(name), USERS, DAYS, START)


def test_users_and_sessions_by_day(name: str, told: Explanation) -> None:
    run = course(name, users=USERS, days=DAYS)
    signed_up = run.simulation.population.signed_up
    sessions = np.bincount(run.played.sessions["started"] // 86_400_000, minlength=DAYS)
    assert told.users == pytest.approx((signed_up < DAYS * 86_400_000).sum(), rel=0.03)
    assert told.sessions == pytest.approx(sessions.sum(), rel=0.10)
    for day in range(DAYS):
        expected = told.days[day].sessions
        assert abs(sessions[day] - expected) < 0.1 * expected + 5 * expected**0.5
    assert [day.date for day in told.days[:2]] == ["2026-01-01", "2026-01-02"]


def test_events_a_session_of_each_persona(name: str, told: Explanation) -> None:
    run = course(name, users=USERS, days=DAYS)
    sessions = run.played.sessions
    assert told.events_per_session == pytest.approx(sessions["events"].mean(), rel=0.10)
    persona = run.simulation.population.persona[sessions["user"]]
    for number, part in enumerate(told.personas):
        assert part.events_per_session == pytest.approx(sessions["events"][persona == number].mean(), rel=0.12)


def test_funnel_and_event_types(name: str, told: Explanation) -> None:
    run = course(name, users=USERS, days=DAYS)
    events, total = run.played.events, len(run.played.sessions["user"])
    session = events["user"].astype(np.int64) * 1_000_000 + events["session"]
    names = list(pack_of(name).product.events)
    for step, share in told.funnel.items():
        reached = len(np.unique(session[events["event"] == names.index(step)]))
        assert reached < 100 or share == pytest.approx(reached / total, rel=0.15), step
    counts = np.bincount(events["event"], minlength=len(names))
    for event, count in zip(names, counts.tolist(), strict=True):
        assert count < 500 or told.events_by_type[event] == pytest.approx(count, rel=0.25), event


def test_goals_and_problems(name: str, told: Explanation) -> None:
    run = course(name, users=USERS, days=DAYS)
    product, sessions = pack_of(name).product, run.played.sessions
    for number, intent in enumerate(product.intents):
        mine = sessions["intent"] == number
        if intent in told.goals and sessions["reached"][mine].sum() >= 100:
            assert told.goals[intent] == pytest.approx(sessions["reached"][mine].mean(), rel=0.2), intent
    problem = run.played.events["problem"]
    counts = np.bincount(problem[problem >= 0], minlength=len(product.problems))
    for trouble, count in zip(product.problems, counts.tolist(), strict=True):
        assert abs(told.problems[trouble] - count) < 0.2 * count + 5 * count**0.5 + 5, trouble


def test_a_shipped_pack_has_no_warnings_and_is_explained_as_text(told: Explanation) -> None:
    assert told.warnings == ()
    text = render(told)
    assert "computed without playing" in text and "no warnings" in text
    assert all(part.persona in text for part in told.personas)
    assert told.kafka_bytes > 0 and told.duckdb_bytes > 0 and told.hints == ()


def test_expected_sessions_of_a_user_by_hand() -> None:
    """Signing up at once, coming back at rate 2 a week without churn: one session, and two more each week."""
    clock = np.array([0.0, 1e-9, 1.0, 2.0])
    assert _sessions(clock, 2.0, 0.0)[0] == pytest.approx([1.0, 2.0, 2.0], abs=1e-6)
    first = _sessions(clock, 2.0, 0.25)[0]
    assert first[1] == pytest.approx(0.75 / 0.25 * (1 - np.exp(-0.5)), abs=1e-6)
    assert _sessions(clock, 2.0, 1.0)[0] == pytest.approx([1.0, 0.0, 0.0])


def test_a_very_long_run_is_told_in_periods_and_hints_at_kafka() -> None:
    told = explain(pack_of("shop"), 5_000_000, 3000, START)
    assert len(told.days) == 1000 and told.days[1].date == "2026-01-04"
    assert any("Apache Kafka" in hint for hint in told.hints)
    assert len(render(told).splitlines()) < 60


def test_no_days_give_nothing() -> None:
    told = explain(pack_of("shop"), 100, 0.0, START)
    assert (told.users, told.sessions, told.events, told.days) == (0.0, 0.0, 0.0, ())
    assert "shop" in render(told)


def test_the_command_prints_text_or_json() -> None:
    plain = CliRunner().invoke(app, ["explain", "shop", "--users", "100", "--days", "3"])
    assert plain.exit_code == 0 and "no warnings" in plain.stdout
    as_json = json.loads(CliRunner().invoke(app, ["explain", "shop", "--users", "100", "--days", "3", "--json"]).stdout)
    assert as_json["pack"] == "shop" and len(as_json["days"]) == 3
    wrong = CliRunner().invoke(app, ["explain", "no-such-pack"])
    assert isinstance(wrong.exception, PackError)


@pytest.mark.parametrize(
    ("count", "text"), [(5, "5 B"), (1234, "1.2 kB"), (2.5e6, "2.5 MB"), (3e9, "3.0 GB"), (4e12, "4.0 TB")]
)
def test_bytes_for_people(count: float, text: str) -> None:
    assert amount_of_bytes(count) == text


def changed(product: dict[str, Any] | None = None, personas: dict[str, Any] | None = None) -> Pack:
    """The shop with some fields replaced: {("events", "coupon_entered", "weight"): 0.0}. No checks across files."""
    shop = pack_of("shop")
    raw = shop.product.model_dump()
    for path, value in (product or {}).items():
        place = raw
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value
    people = [Persona.model_validate({**persona.model_dump(), **(personas or {})}) for persona in shop.personas]
    return Pack(Product.model_validate(raw), tuple(people), shop.catalog, shop.folder)


ODD: list[tuple[str, dict[Any, Any], dict[str, Any]]] = [
    ("the event coupon_entered is not expected", {("events", "coupon_entered", "weight"): 0.0}, {}),
    ("no persona has the intent gift", {}, {"intents": {"browse": 1.0}}),
    ("goal of the intent gift, order_completed, cannot be reached", {("events", "order_completed", "weight"): 0.0}, {}),
    ("of the sessions with the intent gift reach its goal", {("events", "order_completed", "weight"): 1e-5}, {}),
    ("the problem wrong_login strikes 45%", {("problems", "wrong_login", "rate"): 0.45}, {}),
    ("nobody has a taste for the category tents", {}, {"tastes": {"lamps": 1.0}}),
    (
        "nobody leaves the screen login easily",
        {
            ("events", "signed_in", "weight"): 0.02,
            ("events", "sign_in_failed", "weight"): 9.0,
            ("screens", "login", "leave"): 1e-3,
        },
        {},
    ),
    ("events on average", {("screens", s, "leave"): 1e-5 for s in pack_of("shop").product.screens}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("words", "product", "personas"), ODD)
def test_each_warning_can_come(words: str, product: dict[Any, Any], personas: dict[str, Any]) -> None:
    assert any(words in warning for warning in explain(changed(product, personas), 1000, 10, START).warnings)
