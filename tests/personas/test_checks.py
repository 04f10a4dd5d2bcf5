"""A pack as a whole: names that exist, shares that add up, screens with a way in and a way out."""

from __future__ import annotations

import pytest

from tests.personas.small_pack import CATALOG_FILE, PERSONA, PERSONA_FILE, PRODUCT_FILE, SmallPack

EVENTS = "item_opened, join_failed, joined, list_searched, list_viewed"


def test_the_small_pack_is_valid(small: SmallPack) -> None:
    assert len(small.load().product.events) == 5


@pytest.mark.parametrize(
    ("old", "new", "marker", "field", "found", "expected"),
    [
        ("start: entry", "start: begin", "start:", "start", "'begin'", "a screen, one of: detail, entry, list"),
        ("counters: {member: 1}", "counters: {member: 1, bag: 2}", "counters:", "counters.bag", "'bag'",
         "a name that is not built in"),
        ("    on: [entry, list, detail]", "    on: [entry, lst, detail]", "lst", "events.list_viewed.on", "'lst'",
         "a screen, one of: detail, entry, list"),
        ("    to: detail", "    to: details", "to: details", "events.item_opened.to", "'details'",
         "a screen, one of: detail, entry, list"),
        ("{member: [0, 0]}", "{visits: 1}", "visits", "events.joined.requires", "'visits'",
         "a counter, one of: bag, focus, member, page, shown"),
        ("effects: {member: 1}", "effects: {bag: 1}", "effects", "events.joined.effects", "'bag'",
         "a declared counter, one of: member"),
        ("clear: [focus]", "clear: [shown]", "clear", "events.list_viewed.clear", "'shown'",
         "a counter, one of: focus, member"),
        ("    slate: things\n    category", "    slate: items\n    category", "slate: items",
         "events.list_viewed.slate", "'items'", "a slate, one of: things"),
        ("after: {list_viewed: 1.5}", "after: {list_seen: 1.5}", "after", "events.item_opened.after", "'list_seen'",
         f"an event, one of: {EVENTS}"),
        ("    category: draw\n", "    category: draw\n    bag: add\n", "bag: add", "events.list_viewed.bag", "add",
         "an item to put in"),
        ("    weight: 0\n", "    weight: 0\n    page: next\n", "page: next", "events.join_failed.page", "next",
         "a slate beside it"),
        ("source: phrase.search", "source: phrase.queries", "phrase.queries", "events.list_searched.properties.query",
         "'queries'", "phrases, one of: search"),
        ("query: {type: string, source: phrase.search}", "query: {type: string, source: item.id}", "query:",
         "events.list_searched.properties.query", "source item.id", "an event with an item"),
        ("{type: number, amount: {median: 5}}", "{type: integer, source: slate.size}", "slate.size",
         "events.joined.properties.price", "source slate.size", "an event with a slate"),
        ("    item: slate\n", "    item: focus\n", "position:", "events.item_opened.properties.position",
         "source position", "an event with item: slate"),
        ("    goal: joined", "    goal: left", "goal:", "intents.join.goal", "'left'", f"an event, one of: {EVENTS}"),
        ("    weights: {joined: 2}", "    weights: {join: 2}", "weights:", "intents.join.weights", "'join'",
         f"an event, one of: {EVENTS}"),
        ("    at: [joined]", "    at: [join]", "at: [join]", "problems.declined.at", "'join'",
         f"an event, one of: {EVENTS}"),
        ("    emits: join_failed", "    emits: failed", "emits:", "problems.declined.emits", "'failed'",
         f"an event, one of: {EVENTS}"),
        ("    at: [joined]", "    at: [list_viewed]", "emits:", "problems.declined.emits",
         "join_failed is not legal on entry, list", "legal wherever list_viewed is"),
        ("    reaction: {leave: 2}", "    reaction: {exit: 2}", "reaction:", "problems.declined.reaction", "'exit'",
         "an event, or leave, one of: item_opened, join_failed, joined, leave, list_searched, list_viewed"),
        ("    at: [list_searched]", "    at: [joined]", "empties_slate", "problems.nothing_found.empties_slate",
         "joined shows no slate", "events with a slate"),
        ('["{category}"]', '["{category}", "{colour} things"]', "{colour}", "phrases.search[1]", "{colour}",
         "{category} or {title}"),
        ("funnel: [item_opened, joined]", "funnel: [item_seen]", "funnel", "funnel", "'item_seen'",
         f"an event, one of: {EVENTS}"),
        ("conversion: joined", "conversion: bought", "conversion:", "conversion", "'bought'",
         f"an event, one of: {EVENTS}"),
        ("conversion_value: price", "conversion_value: worth", "conversion_value", "conversion_value", "'worth'",
         "a property of it, one of: price"),
        ("      price: {type: number, amount: {median: 5}}", "      price: {type: string, constant: much}",
         "conversion_value", "conversion_value", "a property of type string", "a number or an integer"),
        ("      item_id: {type: string, source: item.id}\n", "", "position:", "events.item_opened.properties",
         "no item_id", "item_id (the item_property)"),
    ],
)  # fmt: skip
def test_names_that_do_not_exist(
    small: SmallPack, old: str, new: str, marker: str, field: str, found: str, expected: str
) -> None:
    small.change(PRODUCT_FILE, old, new)
    faults = small.faults()
    wanted = small.fault(PRODUCT_FILE, marker, field, found, expected)
    if field == "events.item_opened.properties":  # the fault is about the block, which begins a line above
        wanted = type(wanted)(wanted.file, field, found, expected, (wanted.line or 0) - 1)
    assert wanted in faults


@pytest.mark.parametrize("name", ["leave", "dayone_event"])
def test_names_of_our_own(small: SmallPack, name: str) -> None:
    small.change(PRODUCT_FILE, "  list_searched:\n", f"  {name}:\n")
    small.change(PRODUCT_FILE, "    at: [list_searched]", f"    at: [{name}]")
    expected = "a name that Dayone does not use itself"
    assert small.only_fault() == small.fault(PRODUCT_FILE, f"  {name}:", f"events.{name}", repr(name), expected)


def test_everything_that_is_wrong_is_told_at_once(small: SmallPack) -> None:
    small.change(PRODUCT_FILE, "start: entry", "start: begin")
    small.change(PRODUCT_FILE, "conversion: joined", "conversion: bought")
    small.change(PERSONA_FILE, "share: 1", "share: 0.5")
    assert [fault.field for fault in small.faults()] == ["start", "conversion", "share"]


def test_a_dead_end(small: SmallPack) -> None:
    small.change(PRODUCT_FILE, "  detail: {leave: 0.5}", "  detail: {leave: 0}")
    small.change(PRODUCT_FILE, "    on: [entry, list, detail]", "    on: [entry, list]")
    small.change(PRODUCT_FILE, "    on: [detail]\n    requires", "    on: [list]\n    requires")
    small.change(PRODUCT_FILE, "    on: [detail]\n    weight: 0", "    on: [list]\n    weight: 0")
    found, expected = "a dead end: nothing is legal here and nobody leaves", "leave above 0, or an event that leads on"
    assert small.only_fault() == small.fault(PRODUCT_FILE, "  detail: {", "screens.detail", found, expected)


def test_a_circle_that_nobody_can_leave(small: SmallPack) -> None:
    for screen, leave in (("list", "0.5"), ("detail", "0.5")):
        small.change(PRODUCT_FILE, f"  {screen}: {{leave: {leave}}}", f"  {screen}: {{leave: 0}}")
    found, expected = "a circle that nobody can leave", "leave above 0, or an event that leads on"
    assert set(small.faults()) == {
        small.fault(PRODUCT_FILE, f"  {screen}: {{", f"screens.{screen}", found, expected)
        for screen in ("list", "detail")
    }


def test_a_circle_with_a_way_out_is_fine(small: SmallPack) -> None:
    small.change(PRODUCT_FILE, "  detail: {leave: 0.5}", "  detail: {leave: 0}")
    assert small.load().product.screens["detail"].leave == 0


def test_a_dead_end_that_only_some_come_to(small: SmallPack) -> None:
    """Members cannot go back to the list, and nobody leaves from the detail page."""
    small.change(PRODUCT_FILE, "  detail: {leave: 0.5}", "  detail: {leave: 0}")
    small.change(PRODUCT_FILE, "    clear: [focus]\n", "    clear: [focus]\n    requires: {member: [0, 0]}\n")
    assert small.only_fault().field == "screens.detail"


def test_a_screen_out_of_reach(small: SmallPack) -> None:
    small.change(PRODUCT_FILE, "  detail: {leave: 0.5}", "  detail: {leave: 0.5}\n  attic: {}")
    found, expected = "a screen that no event leads to", "a way to it"
    assert small.only_fault() == small.fault(PRODUCT_FILE, "attic", "screens.attic", found, expected)


def test_an_event_and_a_goal_out_of_reach(small: SmallPack) -> None:
    small.change(PRODUCT_FILE, "{member: [0, 0]}", "{member: 2}")
    never = "an event that can never happen"
    assert set(small.faults()) == {
        small.fault(PRODUCT_FILE, "  joined:", "events.joined", never, "a screen where it is legal"),
        small.fault(PRODUCT_FILE, "  join_failed:", "events.join_failed", never, "a screen where it is legal"),
        small.fault(
            PRODUCT_FILE, "goal: joined", "intents.join.goal", "joined can never happen", "a goal within reach"
        ),
    }


def test_an_event_that_only_a_problem_causes_is_within_reach(small: SmallPack) -> None:
    small.change(PRODUCT_FILE, "    emits: join_failed\n", "")
    found, expected = "an event that can never happen", "a screen where it is legal"
    assert small.only_fault() == small.fault(PRODUCT_FILE, "  join_failed:", "events.join_failed", found, expected)


def test_more_situations_than_can_be_tabled(small: SmallPack) -> None:
    counters = {f"c{n}": 1 for n in range(12)}
    declared = ", ".join(f"{name}: 1" for name in counters)
    small.change(PRODUCT_FILE, "{member: 1}\nscreens", f"{{member: 1, {declared}}}\nscreens")
    small.change(PRODUCT_FILE, "{member: [0, 0]}", f"{{member: [0, 0], {declared}}}")
    fault = small.only_fault()
    assert (fault.field, fault.expected) == ("counters", "at most 4096")
    assert fault.found == f"{3 * 2**14} situations"


def test_shares_that_do_not_add_up(small: SmallPack) -> None:
    small.change(PERSONA_FILE, "share: 1", "share: 0.7")
    small.write("personas/b.yaml", PERSONA.replace("name: visitor", "name: guest").replace("share: 1", "share: 0.2"))
    found = "shares that add up to 0.9 (guest 0.2, visitor 0.7)"
    assert small.only_fault() == small.fault("personas/b.yaml", "share", "share", found, "shares that add up to 1")


@pytest.mark.parametrize(
    ("old", "new", "marker", "field", "found", "expected"),
    [
        ("intents: {join: 1}", "intents: {buy: 1}", "intents", "intents", "'buy'", "an intent, one of: join"),
        ("tastes: {red: 2}", "tastes: {green: 2}", "tastes", "tastes", "'green'", "a category, one of: blue, red"),
        ("tastes: {red: 2}", "tastes: {red: 0, blue: 0}", "tastes", "tastes", "no category with a weight above 0",
         "at least one"),
        ("  curiosity: {", "  luck: {", "traits:", "traits", "no trait curiosity",
         "every trait that product.yaml names"),
    ],
)  # fmt: skip
def test_personas_that_do_not_fit_the_product(
    small: SmallPack, old: str, new: str, marker: str, field: str, found: str, expected: str
) -> None:
    small.change(PERSONA_FILE, old, new)
    assert small.only_fault() == small.fault(PERSONA_FILE, marker, field, found, expected)


def test_the_trait_that_minds_the_price_is_needed_too(small: SmallPack) -> None:
    small.change(PRODUCT_FILE, "funnel: [", "choice: {price_trait: thrift}\nfunnel: [")
    assert small.only_fault().found == "no trait thrift"


def test_a_category_that_is_empty_on_the_first_day(small: SmallPack) -> None:
    small.change(CATALOG_FILE, "blue,3,0.9,0", "blue,3,0.9,5")
    found = "no item of blue on day 0 in catalog.csv"
    expected = "at least one with launch_day 0 in each category, for this slate to show"
    assert small.only_fault() == small.fault(PRODUCT_FILE, "  things:", "slates.things", found, expected)
    small.change(PRODUCT_FILE, "ranking: category", "ranking: newest")
    assert small.load().catalog.categories == ("blue", "red")
