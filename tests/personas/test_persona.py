"""What a persona may declare."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from personas.persona import HOURS_OF_WEEK, Activity, Distribution
from tests.personas.small_pack import PERSONA_FILE, SmallPack

DAY = tuple(float(hour) for hour in range(24))


@pytest.mark.parametrize(
    "declared",
    [
        {"mean": 0.5, "sd": 0.1},
        {"shape": "beta", "mean": 0.9, "sd": 0.05},
        {"shape": "uniform", "low": 0, "high": 1},
        {"shape": "constant", "mean": 0},
    ],
)
def test_distributions(declared: dict[str, object]) -> None:
    assert Distribution.model_validate(declared).shape == declared.get("shape", "normal")


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"mean": 0.5}, r"a normal distribution takes \['mean', 'sd'\], found \['mean'\]"),
        ({"shape": "uniform", "mean": 0.5, "sd": 0.1}, r"takes \['high', 'low'\], found \['mean', 'sd'\]"),
        ({"shape": "constant", "mean": 0.5, "sd": 0.1}, r"takes \['mean'\]"),
        ({"shape": "uniform", "low": 0.6, "high": 0.6}, "low must be below high"),
        ({"shape": "beta", "mean": 0.5, "sd": 0.5}, r"sd\*\*2 < mean \* \(1 - mean\)"),
        ({"shape": "beta", "mean": 1, "sd": 0.1}, "0 < mean < 1"),
        ({"mean": 1.5, "sd": 0.1}, "less than or equal to 1"),
        ({"mean": 0.5, "sd": 0}, "greater than 0"),
    ],
)
def test_distributions_that_make_no_sense(declared: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Distribution.model_validate(declared)


def test_a_week_from_two_days() -> None:
    weekend = tuple(reversed(DAY))
    hours = Activity(weekday=DAY, weekend=weekend).hours()
    assert len(hours) == HOURS_OF_WEEK
    assert hours[:24] == hours[4 * 24 : 5 * 24] == DAY, "Monday to Friday"
    assert hours[5 * 24 : 6 * 24] == hours[6 * 24 :] == weekend, "Saturday and Sunday"
    assert Activity(week=hours).hours() == hours


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({}, "give either week"),
        ({"weekday": DAY}, "give either week"),
        ({"week": DAY * 7, "weekday": DAY}, "give either week"),
        ({"week": DAY}, "week needs 168 numbers, found 24"),
        ({"weekday": DAY, "weekend": DAY[1:]}, "need 24 numbers each"),
        ({"weekday": (0.0,) * 24, "weekend": (0.0,) * 24}, "at least one hour"),
    ],
)
def test_activities_that_make_no_sense(declared: dict[str, tuple[float, ...]], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Activity.model_validate(declared)


TRAIT = "  curiosity: {mean: 0.5, sd: 0.1}\n"
TWO_MORE = TRAIT + "  calm: {mean: 0.5, sd: 0.1}\n  haste: {mean: 0.5, sd: 0.1}\n"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("intents: {join: 1}", "intents: {join: 0.9}", "the probabilities of intents must add up to 1, found 0.9"),
        ("{mobile: 1}", "{mobile: 0.5, desktop: 0.6}", "the probabilities of devices must add up to 1, found 1.1"),
        (TRAIT, f"{TRAIT}correlations: [{{between: [curiosity, luck], rho: 0.1}}]\n",
         "correlations name 'luck'; known: curiosity, patience, sessions_per_week"),
        (TRAIT, f"{TRAIT}  patience: {{mean: 0.5, sd: 0.1}}\n", "a trait may not be called patience"),
        (TRAIT, f"{TRAIT}correlations: [{{between: [curiosity, curiosity], rho: 0.1}}]\n",
         "each correlation is between two different names, once: ('curiosity', 'curiosity')"),
        (TRAIT, f"{TRAIT}correlations:\n  - {{between: [curiosity, patience], rho: 0.1}}\n"
         "  - {between: [patience, curiosity], rho: 0.2}\n",
         "each correlation is between two different names, once: ('patience', 'curiosity')"),
        (TRAIT, f"{TWO_MORE}correlations:\n  - {{between: [curiosity, calm], rho: 0.9}}\n"
         "  - {between: [calm, haste], rho: 0.9}\n  - {between: [curiosity, haste], rho: -0.9}\n",
         "correlations that can hold at the same time (weaken one of them)"),
    ],
)  # fmt: skip
def test_what_contradicts_itself(small: SmallPack, old: str, new: str, expected: str) -> None:
    small.change(PERSONA_FILE, old, new)
    fault = small.only_fault()
    assert (fault.file, fault.line, fault.field, fault.expected) == (str(small.folder / PERSONA_FILE), 1, "", expected)


def test_correlations_that_hold_together(small: SmallPack) -> None:
    strong = "\n".join(f"  - {{between: {pair}, rho: 0.9}}" for pair in ("[curiosity, calm]", "[calm, haste]"))
    small.change(
        PERSONA_FILE, TRAIT, f"{TWO_MORE}correlations:\n{strong}\n  - {{between: [curiosity, haste], rho: 0.9}}\n"
    )
    assert len(small.load().personas[0].correlations) == 3
