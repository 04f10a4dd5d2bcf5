"""WHEN users come: the time of a user's next session, and whether there is one.

A user's sessions are a Poisson process whose intensity follows the persona's hours of the week: exponential gaps in
*activity time* (which runs fast in busy hours and stands still in dead ones), mapped back to the calendar. Below the
persona's level of satisfaction the rate falls and the churn hazard rises, as the product's `loyalty` says. Times are
milliseconds after the start of the run.
"""

from __future__ import annotations

from datetime import datetime

import numpy as np

from personas.pack import Pack
from personas.population import Population, hours_of_week
from personas.product import Loyalty
from personas.randomness import F64, U64, exponential
from simulator.world import I64

HOUR_MS = 3_600_000
WEEK_HOURS = 168
NEVER = np.int64(2**62)
BREAK_MS = 60_000
_SPACING = 1024.0


class Arrivals:
    """The calendar of a pack: maps instants to activity time and back, for all personas at once."""

    def __init__(self, pack: Pack, start: datetime) -> None:
        self.hours = hours_of_week(pack)
        count = len(self.hours)
        self._before = np.concatenate([np.zeros((count, 1)), np.cumsum(self.hours, axis=1)], axis=1)
        self._before[:, -1] = WEEK_HOURS
        self._flat = (self._before + _SPACING * np.arange(count)[:, None]).ravel()
        midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
        self._offset_ms = start.weekday() * 24 * HOUR_MS + int((start - midnight).total_seconds() * 1000)

    def activity(self, instant: I64, persona: I64) -> F64:
        """Activity hours that have passed, since Monday 00:00 before the start, for each persona at each instant."""
        week, within = np.divmod(instant + self._offset_ms, WEEK_HOURS * HOUR_MS)
        hour, rest = np.divmod(within, HOUR_MS)
        passed: F64 = (
            week * float(WEEK_HOURS) + self._before[persona, hour] + self.hours[persona, hour] * (rest / HOUR_MS)
        )
        return passed

    def instant(self, activity: F64, persona: I64) -> I64:
        """The inverse of `activity`."""
        week = np.floor(activity / WEEK_HOURS)
        within = activity - week * WEEK_HOURS
        place = np.searchsorted(self._flat, within + _SPACING * persona, side="right") - 1
        hour = np.clip(place - persona * (WEEK_HOURS + 1), 0, WEEK_HOURS - 1)
        speed = self.hours[persona, hour]
        rest = np.where(speed > 0, (within - self._before[persona, hour]) / np.where(speed > 0, speed, 1.0), 0.0)
        hours = week * WEEK_HOURS + hour + np.clip(rest, 0.0, 1.0)
        return np.asarray((hours * HOUR_MS).astype(np.int64) - self._offset_ms)

    def next_start(self, started: I64, ended: I64, persona: I64, sessions_per_week: F64, bits: U64) -> I64:
        """When the user's next session starts, given when this one did; at least a minute after it ended."""
        gap = exponential(bits) * (WEEK_HOURS / sessions_per_week)
        instant = self.instant(self.activity(started, persona) + gap, persona)
        return np.maximum(instant, ended + BREAK_MS)


def settle(level: F64, base: F64, drop: F64, reached: F64, loyalty: Loyalty) -> F64:
    """Satisfaction after a session: problems take from it, a reached goal gives, and otherwise it recovers."""
    hurt = np.maximum(level - drop, 0.0)
    healed = np.where(drop > 0, hurt, level + loyalty.recovery * np.maximum(base - level, 0.0))
    after: F64 = healed + reached * loyalty.reward * (1.0 - healed)
    return after


def return_factor(level: F64, base: F64, loyalty: Loyalty) -> F64:
    """What is left of the rate of return: 1 at the persona's level of satisfaction or above."""
    factor: F64 = np.clip(level / base, loyalty.least_return, 1.0)
    return factor


def churn_hazard(churn: F64, level: F64, base: F64, loyalty: Loyalty) -> F64:
    """The probability of never coming back: the declared one at the persona's level of satisfaction or above."""
    short = 1.0 - np.clip(level / base, 0.0, 1.0)
    hazard: F64 = np.minimum(churn * (1.0 + (loyalty.churn_factor - 1.0) * short), 1.0)
    return hazard


def users_at_start(population: Population) -> I64:
    """The first session of each user starts when the user signs up."""
    return population.signed_up.copy()
