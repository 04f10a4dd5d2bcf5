"""Every share, rate and curve of the persona files is found again in the database, within sampling error.

Seeds are fixed, so a test either always passes or always fails. Shares are judged by a chi-square test and means by
their standard error, at 4.5 standard deviations each (a false alarm once in 150,000 comparisons; there are some
hundreds per pack): what fails is wrong, not unlucky. Where the arithmetic of the engine is known to differ slightly
from the declaration, the allowance is said beside the test.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from personas.pack import Pack
from personas.persona import Persona
from personas.population import DAY_MS, UNNAMED_TASTE, adopted_share, hours_of_week, quantiles
from simulator.arrivals import HOUR_MS
from simulator.slates import Rankings, propensity_codes, propensity_table
from sinks.store import Store
from tests.runs import LONG, START, course, pack_of, stored

Numbers = Sequence[float] | np.ndarray[Any, Any]
SIGMAS = 4.5
#: A run for people and slates, and a calm one, without problems, for the course of time.
USERS, DAYS = 2000, 20
_CALM, _CALM_DAYS = 3000, 30


@pytest.fixture(params=LONG)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@lru_cache
def rows(name: str, sql: str) -> dict[str, Any]:
    """The answer to a query on the stored run, as columns."""
    store, _ = stored(name, users=USERS, days=DAYS)
    return {column: np.array(values) for column, values in store.query(sql).to_pydict().items()}


def agrees(found: float, declared: float, error: float, allowance: float = 0.0) -> bool:
    return abs(found - declared) <= SIGMAS * error + allowance


def shares_agree(counts: Numbers, declared: Numbers) -> bool:
    """Chi-square against the declared shares, by Wilson and Hilferty's approximation; cells that expect less than 5 are
    put together."""
    found, expected = np.asarray(counts, dtype=float), np.asarray(declared, dtype=float)
    expected = expected / expected.sum() * found.sum()
    if found[expected == 0].any():
        return False
    small = expected < 5
    if small.any():
        found = np.append(found[~small], found[small].sum())
        expected = np.append(expected[~small], expected[small].sum())
        found, expected = found[expected > 0], expected[expected > 0]
    free = len(found) - 1
    if free < 1:
        return True
    statistic = float(((found - expected) ** 2 / expected).sum())
    z = ((statistic / free) ** (1 / 3) - (1 - 2 / (9 * free))) / math.sqrt(2 / (9 * free))
    return bool(z <= SIGMAS)


def of_persona(pack: Pack) -> list[tuple[int, Persona]]:
    return list(enumerate(pack.personas))


def test_the_judges_can_say_no() -> None:
    assert shares_agree([498, 502], [0.5, 0.5]) and not shares_agree([400, 600], [0.5, 0.5])
    assert not shares_agree([100, 1], [1.0, 0.0])
    assert agrees(1.0, 1.1, 0.03) and not agrees(1.0, 1.2, 0.03)


def test_shares_of_personas_and_devices(name: str) -> None:
    pack = pack_of(name)
    who = rows(name, "SELECT persona, device FROM labels JOIN users USING (run_id, user_id) WHERE kind = 'user'")
    # an early adopter is as likely to be of any persona, so those who have signed up are a fair sample
    counts = [(who["persona"] == persona.name).sum() for persona in pack.personas]
    assert shares_agree(counts, [persona.share for persona in pack.personas])
    for persona in pack.personas:
        devices = who["device"][who["persona"] == persona.name]
        counts = [(devices == device).sum() for device in persona.devices]
        assert shares_agree(counts, list(persona.devices.values())), persona.name
        assert set(devices) <= set(persona.devices)


def test_traits_tastes_and_rates(name: str) -> None:
    pack = pack_of(name)
    store, _ = stored(name, users=USERS, days=DAYS)
    sql = "SELECT persona, traits, tastes, sessions_per_week FROM labels WHERE kind = 'user'"
    labels = store.query(sql).to_pylist()
    for persona in pack.personas:
        mine = [label for label in labels if label["persona"] == persona.name]
        traits = {t: np.array([json.loads(label["traits"])[t] for label in mine]) for t in persona.traits}
        for trait, declared in persona.traits.items():
            values, grid = traits[trait], quantiles(declared, 4096)
            mean, sd = (grid[1:] + grid[:-1]).mean() / 2, ((grid[1:] + grid[:-1]) / 2).std()
            assert agrees(values.mean(), mean, sd / math.sqrt(len(mine)), 1e-6), (persona.name, trait)
            assert agrees(values.std(), sd, sd / math.sqrt(len(mine)), 0.002), (persona.name, trait)  # kurtosis below 4
        logs = np.log([label["sessions_per_week"] for label in mine])
        rate = persona.sessions_per_week
        assert agrees(logs.mean(), math.log(rate.median), rate.spread / math.sqrt(len(mine)), 1e-4)
        assert agrees(logs.std(), rate.spread, rate.spread / math.sqrt(2 * len(mine)), 0.005)
        columns = {**traits, "sessions_per_week": logs}
        for correlation in persona.correlations:
            a, b = correlation.between
            if a in columns and b in columns:
                found = np.corrcoef(_normal_scores(columns[a]), _normal_scores(columns[b]))[0, 1]
                error = (1 - correlation.rho**2) / math.sqrt(len(mine))
                assert agrees(found, correlation.rho, error, 0.01), (persona.name, correlation.between)
        tastes = {c: np.array([json.loads(label["tastes"])[c] for label in mine]) for c in pack.catalog.categories}
        reference = max(pack.catalog.categories, key=lambda category: persona.tastes.get(category, 0.0))
        for category, values in tastes.items():
            if category == reference:
                continue
            # ratios of two log-normals have the ratio of the declared weights as their median
            ratio = np.log(np.maximum(values, 1e-9) / tastes[reference])
            weight = persona.tastes.get(category, UNNAMED_TASTE if persona.tastes else 1.0)
            if weight > 0:
                wanted = math.log(weight / (persona.tastes.get(reference, 1.0)))
                error = 1.2533 * math.sqrt(2) * persona.taste_spread / math.sqrt(len(mine))
                assert agrees(float(np.median(ratio)), wanted, error, 0.01), (persona.name, category)


def _normal_scores(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Ranks as normal quantiles: correlations of a Gaussian copula show in these, whatever the marginals."""
    places = (np.argsort(np.argsort(values)) + 0.5) / len(values)
    normal = NormalDist()
    return np.array([normal.inv_cdf(p) for p in places.tolist()])


def test_shares_of_intents(name: str) -> None:
    pack = pack_of(name)
    labels = rows(name, "SELECT persona, intent FROM labels WHERE kind = 'session'")
    for persona in pack.personas:
        intents = labels["intent"][labels["persona"] == persona.name]
        counts = [(intents == intent).sum() for intent in persona.intents]
        assert shares_agree(counts, list(persona.intents.values())), persona.name
        assert sum(counts) == len(intents)


def test_adoption_follows_the_bass_curve(name: str) -> None:
    signed_up = course(name, users=_CALM, days=_CALM_DAYS, problem_rate=0.0).simulation.population.signed_up
    by_day = np.bincount(np.minimum(signed_up // DAY_MS, 40), minlength=41)
    edges = adopted_share(pack_of(name), np.arange(41, dtype=float))
    assert shares_agree(by_day, np.append(np.diff(edges), 1 - edges[-1]))


def test_hours_of_the_week_churn_and_returns(name: str) -> None:
    """Without problems satisfaction never falls, so rates and hazards are those declared. Starts after the first are a
    Poisson process in activity time: counts by hour are judged against exposure times intensity."""
    run = course(name, users=_CALM, days=_CALM_DAYS, problem_rate=0.0)
    people, sessions, pack = run.simulation.population, run.played.sessions, pack_of(name)
    horizon = _CALM_DAYS * DAY_MS
    offset = START.weekday() * 24
    hours = hours_of_week(pack)
    assert (run.played.events["problem"] == -1).all()
    for number, persona in of_persona(pack):
        mine = people.persona[sessions["user"]] == number
        churned = sessions["churned"][mine]
        error = math.sqrt(persona.churn * (1 - persona.churn) / len(churned))
        assert agrees(churned.mean(), persona.churn, error, 1 / len(churned)), persona.name
        user, started, left = sessions["user"][mine], sessions["started"][mine], churned
        last = np.full(len(people), -1, dtype=np.int64)
        np.maximum.at(last, user[left], started[left])
        here = np.flatnonzero(people.persona == number)
        begin, end = people.signed_up[here], np.where(last[here] >= 0, last[here], horizon)
        seen = begin < horizon
        begin, end, rate = begin[seen], end[seen], people.sessions_per_week[here][seen]
        edges = np.arange(_CALM_DAYS * 24 + 1) * HOUR_MS
        exposure = np.zeros(168)
        for hour in range(_CALM_DAYS * 24):
            within = np.clip(end, edges[hour], edges[hour + 1]) - np.clip(begin, edges[hour], edges[hour + 1])
            exposure[(hour + offset) % 168] += (within / HOUR_MS * rate / 168).sum()
        later = sessions["session"][mine] > 0
        counts = np.bincount(((started[later] // HOUR_MS) + offset) % 168, minlength=168)
        expected = exposure * hours[number]
        # those who left did so at a session, which counts: exposure up to an event is a fair stop for a Poisson process
        assert agrees(counts.sum(), expected.sum(), math.sqrt(expected.sum()), 0.03 * expected.sum()), persona.name
        # a session lasts a while, and its user cannot start another: up to 1 % shifts to the hours after
        assert shares_agree(counts, expected), persona.name


@pytest.mark.parametrize("multiplier", [1.0, 10.0])
def test_problem_rates(name: str, multiplier: float) -> None:
    """Raw rates are the declared ones times the multiplier; weighted by importance they are the declared ones."""
    pack = pack_of(name)
    run = course(name, users=USERS, days=DAYS, problem_rate=multiplier)
    events, sessions = run.played.events, run.played.sessions
    names = list(pack.product.events)
    weight_of = dict(zip(zip(sessions["user"].tolist(), sessions["session"].tolist(), strict=True),
                         sessions["weight"].tolist(), strict=True))  # fmt: skip
    weight = np.array([weight_of[key] for key in zip(events["user"].tolist(), events["session"].tolist(), strict=True)])
    if multiplier == 1.0:
        assert (sessions["weight"] == 1.0).all()
    for number, problem in enumerate(pack.product.problems.values()):
        struck = events["problem"] == number
        others = [n for n, p in enumerate(pack.product.problems.values()) if set(p.at) & set(problem.at) and p.emits]
        attempts = np.isin(events["event"], [names.index(at) for at in problem.at])
        attempts &= ~np.isin(events["problem"], others)
        tries = attempts | np.isin(events["problem"], [*others, number])
        if tries.sum() < 2000:
            continue
        raw = struck[tries].mean()
        weighted = (weight * struck)[tries].sum() / weight[tries].sum()
        effective = weight[tries].sum() ** 2 / (weight[tries] ** 2).sum()
        error = math.sqrt(problem.rate * (1 - problem.rate) / effective)
        # an emitted event that may not happen in a situation is no problem there: rates are up to 15 % lower
        assert agrees(float(weighted), problem.rate, error, 0.15 * problem.rate), problem.summary
        if multiplier > 1 and problem.rate < 0.03:
            assert 0.7 * multiplier * problem.rate < raw < 1.15 * multiplier * problem.rate


def test_declared_property_values(name: str) -> None:
    pack = pack_of(name)
    for event, spec in pack.product.events.items():
        for key, declared in spec.properties.items():
            if declared.values is None:
                continue
            told = _property(name, event, key)
            counts = [(told == value).sum() for value in declared.values]
            assert shares_agree(counts, list(declared.values.values())), (event, key)
            assert set(told) <= set(declared.values)


def _property(name: str, event: str, key: str) -> np.ndarray[Any, Any]:
    store: Store = stored(name, users=USERS, days=DAYS)[0]
    sql = "SELECT json_extract_string(properties, ?) AS v FROM events WHERE type = ?"
    return np.array(store.query(sql, [f"$.{key}", event]).to_pydict()["v"])


def test_dwell_times(name: str) -> None:
    """The time from an event to the next of its session, less the loading time, has the declared median."""
    pack = pack_of(name)
    run = course(name, users=USERS, days=DAYS)
    events = run.played.events
    order = np.lexsort((events["sequence"], events["session"], events["user"]))
    columns = {key: events[key][order] for key in ("user", "session", "time", "event", "load_ms")}
    follows = (np.diff(columns["user"]) == 0) & (np.diff(columns["session"]) == 0)
    waited = (np.diff(columns["time"]) - columns["load_ms"][:-1])[follows] / 1000
    event = columns["event"][:-1][follows]
    for number, (kind, spec) in enumerate(pack.product.events.items()):
        times = waited[event == number]
        if len(times) < 200 or spec.dwell.spread == 0:
            continue
        error = 1.2533 * spec.dwell.spread / math.sqrt(len(times))
        assert agrees(float(np.median(np.log(np.maximum(times, 1e-3)))), math.log(spec.dwell.median), error, 0.01), kind


def propensities(rankings: Rankings, *of: Any) -> Any:
    return propensity_table(rankings)[propensity_codes(rankings, *of)]


def test_items_stand_in_positions_as_often_as_their_propensities_say(name: str) -> None:
    """For each slate of one page: in its most frequent list and epoch, which item stood in each position how often."""
    run, pack = course(name, users=USERS, days=DAYS), pack_of(name)
    slates, rankings = run.played.slates, run.simulation.encoder.rankings
    judged = 0
    for number, spec in enumerate(pack.product.slates.values()):
        if spec.pages > 1:
            continue
        epoch = np.searchsorted(rankings.first_day, slates["day"], side="right") - 1
        group = np.where(slates["slate"] == number, slates["listed"] * 1000 + epoch, -1)
        if not (group >= 0).any():
            continue
        one = np.bincount(group[group >= 0]).argmax()
        items = slates["items"][(group == one) & (slates["items"][:, 0] >= 0)]
        length = int(rankings.length[one % 1000, one // 1000])
        for position in range(min(spec.size, length)):
            candidates = rankings.ranked[one % 1000, one // 1000, position : length : spec.size]
            declared = np.full(len(candidates), spec.exploration / len(candidates))
            declared[0] += 1 - spec.exploration
            assert np.isin(items[:, position], candidates).all()
            counts = [(items[:, position] == item).sum() for item in candidates]
            assert shares_agree(counts, declared), (number, position)
            judged += len(items)
    assert judged > 1000


def test_propensities_and_position_bias(name: str) -> None:
    """Inverse propensities of what was shown sum to the number of candidates; the ranked item stands in its place as
    often as declared; and positions are opened the less, the less they are looked at."""
    run = course(name, users=USERS, days=DAYS)
    slates, rankings, pack = run.played.slates, run.simulation.encoder.rankings, pack_of(name)
    slate, listed, day = (slates[key].astype(np.int64) for key in ("slate", "listed", "day"))
    chance = propensities(rankings, slate, listed, day, slates["as_ranked"])
    there = slates["items"] >= 0
    for number, spec in enumerate(pack.product.slates.values()):
        mine = (slate == number)[:, None] & there
        ranked = (slates["as_ranked"] & mine).sum()
        # each ranked item is expected with the propensity that it has as the ranked one
        as_if = propensities(rankings, slate, listed, day, np.ones_like(slates["as_ranked"]))[mine]
        if len(as_if) > 1000:
            assert agrees(ranked, as_if.sum(), math.sqrt((as_if * (1 - as_if)).sum()) + 1e-9), number
            assert spec.exploration * 0.5 < 1 - ranked / len(as_if) <= spec.exploration * 1.2 or as_if.min() == 1.0
            # E[1/propensity] over what is shown is the number of candidates of the position
            epoch = np.searchsorted(rankings.first_day, day, side="right") - 1
            slot = np.arange(there.shape[1])[None, :]
            length = rankings.length[epoch, listed][:, None]
            candidates = np.maximum((length - slot + spec.size - 1) // spec.size, 1)[mine]
            inverse = 1 / chance[mine]
            error = inverse.std() / math.sqrt(len(inverse))
            assert agrees(inverse.mean(), candidates.mean(), error + 1e-9), number
    events = run.played.events
    opened = np.bincount(events["position"][events["position"] > 0])[1:]
    assert opened[0] > opened[3] > opened[5] * 0.9 and opened[0] > 1.3 * opened[5]
