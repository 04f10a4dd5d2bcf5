"""What every pack that ships must contain: enough people and items, nothing unused, nothing real.

The packs are found by themselves, so a new one is held to the same. That a pack loads at all (names that exist,
shares that add up, no dead ends) is checked by the loader; here is what the loader leaves to taste.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterator

import pytest

from personas.pack import Pack, load_pack, shipped_packs
from personas.product import Problem

#: Words that would mean that somebody's product has slipped in. A net, not a register, and without those names that
#: are words of every day as well (apple, slack, visa).
REAL_NAMES = re.compile(
    r"\b(?:"
    r"adidas|airbnb|aldi|asana|atlassian|audible|bosch|carhartt|datev|disney|docusign|dropbox|dyson|ebay|"
    r"etsy|facebook|fjallraven|garmin|github|gitlab|gmail|google|hbo|hilti|hubspot|hulu|ikea|instagram|"
    r"jira|lego|lidl|linkedin|makita|mastercard|microsoft|miele|mailchimp|nespresso|netflix|nike|office365|"
    r"okta|paypal|pixar|playstation|pokemon|powerpoint|quickbooks|reddit|rolex|salesforce|samsung|shopify|"
    r"siemens|skype|spotify|tefal|tesla|tiktok|trello|tupperware|twitter|vimeo|walmart|whatsapp|xbox|xero|"
    r"youtube|zalando|zapier|zendesk"
    r")\b",
    re.IGNORECASE,
)
MAIL = re.compile(r"[\w.+-]+@[\w-]+\.\w+")
LINK = re.compile(r"(?:https?://|www\.)\S+|\b[\w-]+\.(?:com|org|net|io|eu|de|co\.uk)\b", re.IGNORECASE)
PHONE = re.compile(r"(?:\+|\b00)\d[\d ()/.-]{6,}\d|\b\d{3,}[ /-]\d{3,}[ /-]?\d*\b")
PLACEHOLDER = re.compile(r"\{([^{}]*)\}")

load = functools.lru_cache(maxsize=None)(load_pack)


@pytest.fixture(params=shipped_packs())
def pack(request: pytest.FixtureRequest) -> Pack:
    """Each pack that ships, read once."""
    return load(request.param)


def sentences(pack: Pack) -> Iterator[tuple[str, str]]:
    """Every text that a person could read, with the place where it stands."""
    product = pack.product
    yield "title", product.title
    yield "summary", product.summary
    for kind in ("events", "intents", "problems"):
        for name, spec in getattr(product, kind).items():
            yield f"{kind}.{name}", spec.summary
    for name, screen in product.screens.items():
        yield f"screens.{name}", screen.title
    for event, spec in product.events.items():
        for field, value in spec.properties.items():
            yield f"events.{event}.{field}", f"{value.summary} {' '.join(value.values or ())} {value.constant or ''}"
    for name, lines in product.phrases.items():
        for number, line in enumerate(lines, 1):
            yield f"phrases.{name}.{number}", line
    for id_, text in pack.help.texts.items() if pack.help else ():
        yield f"help.{id_}", " ".join((text.title, *text.text, *text.questions))
    for persona in pack.personas:
        yield f"personas.{persona.name}", f"{persona.title} {persona.story} {persona.voice}"
    for item in pack.catalog.items:
        yield f"catalog.{item.id}", f"{item.title} {item.text}"


def found_in(pack: Pack, pattern: re.Pattern[str]) -> list[str]:
    """`place: match` for every match of the pattern in the texts of the pack."""
    return [f"{place}: {match.group()}" for place, line in sentences(pack) for match in pattern.finditer(line)]


def repeated(values: list[str]) -> set[str]:
    """The values that occur more than once, whatever their case."""
    folded = [value.casefold().strip() for value in values]
    return {value for value in folded if folded.count(value) > 1}


def effects(problem: Problem) -> list[str]:
    """What a problem does to a session besides annoying the user."""
    return [name for name, there in (
        ("emits", problem.emits is not None),
        ("empties_slate", problem.empties_slate),
        ("delay", problem.delay > 1),
        ("ends_session", problem.ends_session),
    ) if there]  # fmt: skip


def test_the_three_products_ship() -> None:
    assert {"shop", "stream", "desk"} <= set(shipped_packs())


def test_pack_is_named_after_its_folder(pack: Pack) -> None:
    assert pack.product.name == pack.folder.name
    files = sorted(path.stem for path in (pack.folder / "personas").glob("*.yaml"))
    assert [persona.name for persona in pack.personas] == files


def test_pack_is_large_enough(pack: Pack) -> None:
    assert len(pack.personas) >= 5
    assert len(pack.catalog.items) >= 500
    assert len(pack.product.intents) >= 5
    assert len(pack.product.problems) >= 6
    assert len(pack.catalog.categories) >= 8


def test_titles_are_unique(pack: Pack) -> None:
    assert not repeated([item.title for item in pack.catalog.items])


def test_items_differ(pack: Pack) -> None:
    items = pack.catalog.items
    assert all(item.text for item in items), "every item has a text"
    assert len({item.quality for item in items}) >= 30
    launched_later = sum(item.launch_day > 0 for item in items) / len(items)
    assert 0.05 <= launched_later <= 0.3
    for category in pack.catalog.categories:
        from_the_start = [item for item in items if item.category == category and item.launch_day == 0]
        assert len(from_the_start) >= 10, category


def test_every_problem_has_an_effect(pack: Pack) -> None:
    problems = pack.product.problems
    assert not [name for name, problem in problems.items() if not effects(problem)]
    assert not [name for name, problem in problems.items() if problem.rate == 0 or problem.satisfaction == 0]
    assert {"emits", "empties_slate", "delay", "ends_session"} == {e for p in problems.values() for e in effects(p)}


def test_delayed_events_show_their_loading_time(pack: Pack) -> None:
    """A delay that no property records would be a problem without a trace in the data."""
    events = pack.product.events
    for name, problem in pack.product.problems.items():
        for event in problem.at if problem.delay > 1 else ():
            sources = {spec.source for spec in events[event].properties.values()}
            assert "load_seconds" in sources, f"problems.{name}: {event} has no property with source load_seconds"


def test_events_without_weight_are_caused_by_a_problem(pack: Pack) -> None:
    caused = {problem.emits for problem in pack.product.problems.values()}
    silent = {name for name, event in pack.product.events.items() if event.weight == 0}
    assert silent <= caused


def test_every_category_is_to_somebodys_taste(pack: Pack) -> None:
    loved = {category for persona in pack.personas for category, weight in persona.tastes.items() if weight > 0}
    assert loved == set(pack.catalog.categories)


def test_every_intent_is_somebodys(pack: Pack) -> None:
    used = {intent for persona in pack.personas for intent, chance in persona.intents.items() if chance > 0}
    assert used == set(pack.product.intents)


def test_every_slate_and_phrase_is_used(pack: Pack) -> None:
    events = pack.product.events.values()
    assert {event.slate for event in events if event.slate} == set(pack.product.slates)
    sources = {spec.source or "" for event in events for spec in event.properties.values()}
    assert {s.removeprefix("phrase.") for s in sources if s.startswith("phrase.")} == set(pack.product.phrases)


@pytest.mark.parametrize("kind", ["events", "intents", "problems"])
def test_everything_has_a_summary(pack: Pack, kind: str) -> None:
    assert not [name for name, spec in getattr(pack.product, kind).items() if not spec.summary.strip()]


def test_funnel_ends_in_the_conversion(pack: Pack) -> None:
    assert len(pack.product.funnel) >= 3
    assert pack.product.funnel[-1] == pack.product.conversion
    assert pack.product.conversion_value is not None


def test_phrases_use_known_placeholders_and_differ(pack: Pack) -> None:
    for name, lines in pack.product.phrases.items():
        for line in lines:
            rest = PLACEHOLDER.sub("", line)
            assert set(PLACEHOLDER.findall(line)) <= {"title", "category"}, f"{name}: {line}"
            assert "{" not in rest and "}" not in rest, f"{name}: {line}"
        # A line may be listed twice to be twice as likely, but not more than a few are.
        assert len(set(lines)) >= 0.8 * len(lines), name


def test_desk_has_enough_to_say() -> None:
    phrases = load("desk").product.phrases
    assert len(set(phrases["ticket"])) >= 25
    assert len(set(phrases["help"])) >= 15


def test_personas_are_distinct(pack: Pack) -> None:
    def repeats(what: Callable[..., object]) -> list[str]:
        seen = [repr(what(persona)) for persona in pack.personas]
        return [persona.name for persona, value in zip(pack.personas, seen, strict=True) if seen.count(value) > 1]

    assert not repeats(lambda p: p.story)
    assert not repeats(lambda p: p.voice)
    assert not repeats(lambda p: sorted(p.traits.items()))
    assert not repeats(lambda p: sorted(p.tastes.items()))
    assert not repeats(lambda p: sorted(p.intents.items()))
    assert not repeats(lambda p: p.activity.hours())
    assert not repeats(lambda p: sorted(p.devices.items()))
    assert not repeats(lambda p: (p.sessions_per_week, p.patience, p.churn))


def test_personas_are_people(pack: Pack) -> None:
    for persona in pack.personas:
        assert 2 <= len(re.findall(r"[.!?](?:\s|$)", persona.story)) <= 5, persona.name
        assert len(persona.voice) >= 20, persona.name
        assert persona.correlations, persona.name
        assert 0 < persona.churn < 0.2, persona.name
        assert 5 <= persona.patience.median <= 40, persona.name
        hours = persona.activity.hours()
        assert max(hours) > 4 * min(hours), f"{persona.name} never sleeps"
        assert unevenness(hours) > 0.2, f"{persona.name} does the same all day"


def unevenness(hours: tuple[float, ...]) -> float:
    """How uneven a week is: 0 when every hour is alike (relative standard deviation of its 168 intensities)."""
    mean = sum(hours) / len(hours)
    return math.sqrt(sum((hour - mean) ** 2 for hour in hours) / len(hours)) / mean


def test_office_software_is_used_in_office_hours() -> None:
    total_weekday = total_weekend = 0.0
    for persona in load("desk").personas:
        hours = persona.activity.hours()
        sessions = persona.share * persona.sessions_per_week.median / sum(hours)
        weekday, weekend = sum(hours[:120]) / 5, sum(hours[120:]) / 2
        assert weekday > 1.5 * weekend, persona.name
        total_weekday += sessions * weekday
        total_weekend += sessions * weekend
    assert total_weekday > 8 * total_weekend


def test_nothing_real(pack: Pack) -> None:
    assert not found_in(pack, REAL_NAMES)


@pytest.mark.parametrize("pattern", [MAIL, LINK, PHONE], ids=["mail", "link", "phone"])
def test_no_addresses_and_numbers(pack: Pack, pattern: re.Pattern[str]) -> None:
    assert not found_in(pack, pattern)


@pytest.mark.parametrize(
    ("pattern", "line"),
    [(REAL_NAMES, "Ikea shelf"), (MAIL, "write to a.b@example.org"), (LINK, "see www.example.org"),
     (LINK, "see example.com"), (PHONE, "call +49 30 1234567"), (PHONE, "call 555-0199 234")],
)  # fmt: skip
def test_the_net_has_no_holes(pattern: re.Pattern[str], line: str) -> None:
    assert pattern.search(line)


@pytest.mark.parametrize("line", ["Harrowmere, 1348", "at two, in 2 to 4 weeks", "24 x 36 cm", "12 l, 1.5 kg"])
def test_the_net_lets_plain_text_through(line: str) -> None:
    assert not any(pattern.search(line) for pattern in (REAL_NAMES, MAIL, LINK, PHONE))
