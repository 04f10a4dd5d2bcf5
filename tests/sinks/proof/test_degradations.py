"""What measures notice: a copied core, shuffled events, a majority guess, and every goal in its direction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

from sinks.proof.evidence import Evidence
from sinks.proof.log import Log
from sinks.proof.metric import Figure
from sinks.proof.registry import all_metrics
from tests.sinks.proof import degrading
from tests.sinks.proof.good import good

#: See test_metrics.py.
pytestmark = pytest.mark.xdist_group("measures")


@cache
def worse(how: Callable[[Evidence], Log]) -> Evidence:
    return replace(good(), synthetic=how(good()), _once={})


@cache
def figure(name: str, how: Callable[[Evidence], Log] | None = None) -> Figure:
    found = all_metrics()[name].compute(good() if how is None else worse(how))
    assert isinstance(found, Figure), found
    return found


#: What each measure has to notice.
NOTICED: dict[str, Callable[[Evidence], Log]] = {
    **dict.fromkeys(("next_event_accuracy", "next_event_accuracy_logistic"), degrading.shuffled),
    **dict.fromkeys(("next_event_log_loss", "next_event_log_loss_logistic"), degrading.shuffled),
    **dict.fromkeys(("next_item_hits", "next_item_rank", "new_item_hits", "new_item_rank"), degrading.aimless),
    **{name: degrading.majority for name in all_metrics() if name.startswith("outcome_")},
    "outcome_return": degrading.unloved, "outcome_return_logistic": degrading.unloved,
    "two_sample": degrading.shuffled, "session_length": degrading.shortened, "gaps": degrading.hurried,
    "session_length_by_persona": degrading.shortened, "hour_of_week": degrading.hurried,
    "event_pairs": degrading.shuffled, "event_triples": degrading.shuffled, "item_popularity": degrading.aimless,
    "popularity_unevenness": degrading.aimless, "funnel": degrading.shortened, "return_curve": degrading.unloved,
    "catalogue_coverage": degrading.narrow, "tail_coverage": degrading.narrow, "trigrams": degrading.narrow,
    "different_sessions": degrading.narrow, "between_personas": degrading.exaggerated,
    "between_users": degrading.exaggerated, "exact_copies": degrading.copied, "rare_copies": degrading.copied,
    "near_copies": degrading.copied, "closest_record": degrading.copied, "nearest_ratio": degrading.copied,
    "membership": degrading.copied, "singling_out": degrading.copied, "linkability": degrading.copied,
}  # fmt: skip


def test_for_every_measure_it_is_said_what_it_has_to_notice() -> None:
    assert NOTICED.keys() == all_metrics().keys()


@pytest.mark.parametrize("name", NOTICED)
def test_a_measure_gets_worse_in_its_direction(name: str) -> None:
    goal, before, after = all_metrics()[name].goal, figure(name), figure(name, NOTICED[name])
    if goal == "close":
        assert before.real is not None
        assert abs(after.value.value - before.real) > abs(before.value.value - before.real) + 0.02
    elif goal == "higher":
        assert after.value.value < before.value.value - 0.02
    else:
        assert after.value.value > before.value.value + 0.005


def test_a_copied_core_is_useful_and_faithful_and_gives_everybody_away() -> None:
    assert figure("next_event_log_loss_logistic", degrading.copied).value.value == pytest.approx(1, abs=0.02)
    assert figure("session_length", degrading.copied).value.value < 0.05
    assert figure("two_sample", degrading.copied).value.value < 0.58
    assert figure("membership", degrading.copied).value.low > 0.6
    assert figure("exact_copies", degrading.copied).value.low > 0.1


def test_a_fresh_sample_is_at_the_floor() -> None:
    for name in ("next_event_log_loss_logistic", "next_item_hits"):
        assert figure(name).value.value > 0.85
        assert abs(figure(name).value.value - figure(name).floor.value) < 0.15  # type: ignore[union-attr]
    assert figure("two_sample").value.value < 0.58
    assert figure("membership").value.low < 0.53
    assert figure("exact_copies").value.low <= 0


def test_a_majority_guess_has_no_skill() -> None:
    for name in ("next_event_accuracy_logistic", "next_event_log_loss_logistic"):
        assert abs(figure(name, degrading.majority).value.value) < 0.15
    assert figure("next_item_hits", degrading.majority).value.value < 0.1


def test_without_a_holdout_only_what_needs_none_speaks() -> None:
    alone = Evidence(good().synthetic, replicates=20)
    assert alone.checked == "synthetic only"
    speaking = [metric for metric in all_metrics().values() if not metric.needs_holdout]
    assert len(speaking) >= 3
    assert all(isinstance(metric.compute(alone), Figure) for metric in speaking)
