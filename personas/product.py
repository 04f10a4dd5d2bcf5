"""WHAT product the users meet: screens, events, intents, slates, problems, as declared in `product.yaml`.

A product is a small state machine. A *screen* is where the user is; an *event* is what can be done there, with
preconditions on *counters* (how many items are in the bag, whether the user is logged in), effects on them, and
typed properties. Everything here is plain frozen data; what it means is played by the simulator's world, and the
same declaration is what the sink validates messages against. Knows no pack, no persona, no catalogue.

Two ways were weighed for preconditions: expressions in a small language (`cart > 0 and logged_in`), or bounds on
named counters. Bounds won: they can be compiled into tables ahead of time (so that legality costs nothing per
event), turned into SQL, and checked for dead ends without running anything.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

#: Counters that every product has: is an item in focus, how many items are on the slate, how many in the bag,
#: and which page of the slate is shown (0 is the first).
BUILT_IN_COUNTERS = ("focus", "shown", "bag", "page")
NO_LIMIT = 1_000_000

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")]
Text = Annotated[str, Field(max_length=4000)]
Weight = Annotated[float, Field(ge=0, le=1e6)]
PositiveWeight = Annotated[float, Field(gt=0, le=1e6)]
Probability = Annotated[float, Field(ge=0, le=1)]
Limit = Annotated[int, Field(ge=1, le=1000)]


class Declared(BaseModel):
    """Base of everything that is read from a file: frozen, unknown fields refused, no silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _bounds(value: Any) -> Any:
    """`2` means at least 2; `[0, 3]` means from 0 to 3, both included."""
    return (value, NO_LIMIT) if isinstance(value, int) and not isinstance(value, bool) else value


def _ordered(value: tuple[int, int]) -> tuple[int, int]:
    if not 0 <= value[0] <= value[1]:
        raise ValueError("bounds must be [low, high] with 0 <= low <= high")
    return value


_COUNT = {"type": "integer", "minimum": 0}
_BOUNDS_SCHEMA = {"anyOf": [_COUNT, {"type": "array", "items": _COUNT, "minItems": 2, "maxItems": 2}]}
Bounds = Annotated[tuple[int, int], BeforeValidator(_bounds), AfterValidator(_ordered), WithJsonSchema(_BOUNDS_SCHEMA)]


class Amount(Declared):
    """A positive quantity with a log-normal distribution: its median, and the standard deviation of its logarithm."""

    median: Annotated[float, Field(gt=0, le=1e9)]
    spread: Annotated[float, Field(ge=0, le=3)] = 0.0


SOURCES = (
    "item.id", "item.title", "item.category", "item.price", "item.quality", "position", "category",
    "slate.items", "slate.name", "slate.page", "slate.size", "bag.count", "bag.value", "bag.items",
    "session.order", "session.number", "user.device", "load_seconds",
)  # fmt: skip

#: The JSON type that each source has; a property that names the source must have this type.
SOURCE_TYPES = {
    "item.price": "number", "item.quality": "number", "position": "integer", "slate.items": "strings",
    "slate.page": "integer", "slate.size": "integer", "bag.count": "integer", "bag.value": "number",
    "bag.items": "strings", "session.number": "integer", "load_seconds": "number",
}  # fmt: skip


class PropertySpec(Declared):
    """A typed property of an event, and where its value comes from (exactly one of the four ways).

    `source` names something of the situation (see `SOURCES`, or `phrase.<name>` for a sentence of the product's
    phrases); `values` draws one of the given strings by weight; `amount` draws a number; `constant` is fixed.
    `writer` says who writes a phrase: an agent is asked for the words of the user alone. (It stands in no fingerprint
    where it is the default: packs from before it are what they were.)
    """

    type: Literal["string", "number", "integer", "boolean", "strings"]
    summary: Text = ""
    required: bool = True
    source: str | None = None
    values: dict[str, Weight] | None = None
    amount: Amount | None = None
    constant: str | float | int | bool | None = None
    writer: Literal["user", "product"] = Field("user", exclude_if=lambda writer: writer == "user")

    @model_validator(mode="after")
    def _one_origin(self) -> PropertySpec:
        given = [n for n in ("source", "values", "amount", "constant") if getattr(self, n) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of source, values, amount, constant (found {given or 'none'})")
        if self.source is not None and not self.source.startswith("phrase."):
            if self.source not in SOURCES:
                raise ValueError(f"unknown source {self.source!r}; known: {', '.join(SOURCES)}, phrase.<name>")
            if SOURCE_TYPES.get(self.source, "string") != self.type:
                raise ValueError(f"source {self.source} has type {SOURCE_TYPES.get(self.source, 'string')}")
        if self.values is not None and (self.type != "string" or sum(self.values.values()) <= 0):
            raise ValueError("values needs type string and weights that are not all zero")
        if self.amount is not None and self.type not in ("number", "integer"):
            raise ValueError("amount needs type number or integer")
        kinds: dict[str, tuple[type, ...]] = {"string": (str,), "number": (int, float), "integer": (int,)}
        if self.constant is not None:
            right = kinds.get(self.type, (bool,))
            if not isinstance(self.constant, right) or (isinstance(self.constant, bool) != (self.type == "boolean")):
                raise ValueError(f"constant is not of type {self.type}")
        return self


class EventSpec(Declared):
    """Something a user can do.

    `on` lists the screens where it is legal, `to` the screen it leads to (absent: stays). `weight` is how likely it
    is against the other legal events of the screen, before intents and traits have their say; events that only a
    problem causes have weight 0. `requires` bounds counters, `effects` adds to them, `clear` sets them to 0. `item`
    says which item it is about: one chosen from the `slate` on the screen, the one in `focus`, the newest in the
    `bag`, or any of the `catalog` (where a product does not log what it showed). `bag` puts the item in, takes it
    out, or empties the bag. `slate` names the slate that it shows, `page: next` shows the next page of it. `category`
    draws another category from the user's tastes (`draw`), takes the item's (`item`) or keeps the present one.
    `dwell` is the time in seconds until the user's next event. `traits` multiplies the weight by exp(coefficient x (2
    x trait - 1)); `after` multiplies it when the event before was the named one.
    """

    summary: Text = ""
    on: tuple[Name, ...] = Field(min_length=1)
    to: Name | None = None
    weight: Weight = 1.0
    requires: dict[Name, Bounds] = Field(default_factory=dict)
    effects: dict[Name, Annotated[int, Field(ge=-100, le=100)]] = Field(default_factory=dict)
    clear: tuple[Name, ...] = ()
    item: Literal["slate", "focus", "bag", "catalog"] | None = None
    bag: Literal["add", "remove", "empty"] | None = None
    slate: Name | None = None
    page: Literal["first", "next"] = "first"
    category: Literal["keep", "draw", "item"] = "keep"
    dwell: Amount = Amount(median=12.0, spread=0.8)
    traits: dict[Name, Annotated[float, Field(ge=-4, le=4)]] = Field(default_factory=dict)
    after: dict[Name, Weight] = Field(default_factory=dict)
    properties: dict[Name, PropertySpec] = Field(default_factory=dict)


class Screen(Declared):
    """Where a user is. `leave` is the weight of ending the session here; 0 means that nobody leaves from here."""

    title: Text = ""
    leave: Weight = 1.0


class Intent(Declared):
    """What a user came for. `goal` is the event that fulfils it (none: just looking around). `weights` multiplies
    event weights, `leave` the weight of leaving, `leave_after_goal` the same once the goal is reached."""

    summary: Text = ""
    goal: Name | None = None
    weights: dict[Name, Weight] = Field(default_factory=dict)
    leave: PositiveWeight = 1.0
    leave_after_goal: PositiveWeight = 5.0


class Slate(Declared):
    """Items shown together, in positions.

    `ranking` is the rule: `popular`, `newest`, `personal` (by persona taste), `category` (the session's category)
    or `related` (the category of the item in focus). Each position keeps its ranked item with probability
    1 - `exploration`, and shows a random item of the ranking otherwise; both are recorded as propensities.
    `examination` is the probability that a user looks at a position: 1 at the top, times this factor each step down.
    """

    ranking: Literal["popular", "newest", "personal", "category", "related"]
    size: Annotated[int, Field(ge=1, le=24)]
    pages: Annotated[int, Field(ge=1, le=50)] = 5
    exploration: Annotated[float, Field(gt=0, lt=1)] = 0.2
    examination: Annotated[float, Field(gt=0, le=1)] = 0.85


class Problem(Declared):
    """Something that goes wrong when one of the events `at` is attempted, with probability `rate`.

    `emits` replaces the attempted event by another (a failure that the product logs); `empties_slate` shows no items;
    `delay` multiplies the loading time; `ends_session` closes the session. The user's satisfaction falls by
    `satisfaction`, and `reaction` multiplies event weights (`leave` included) at the next step.
    """

    summary: Text = ""
    at: tuple[Name, ...] = Field(min_length=1)
    rate: Annotated[float, Field(ge=0, le=0.5)]
    emits: Name | None = None
    empties_slate: bool = False
    delay: Annotated[float, Field(ge=1, le=100)] = 1.0
    ends_session: bool = False
    satisfaction: Probability = 0.1
    reaction: dict[Name, Weight] = Field(default_factory=dict)


class Choice(Declared):
    """How an item is chosen from a slate: exponents on taste, quality and price fit, a factor for items seen before,
    and the trait that makes a user mind the price."""

    taste: Annotated[float, Field(ge=0, le=4)] = 1.0
    quality: Annotated[float, Field(ge=0, le=8)] = 1.5
    price: Annotated[float, Field(ge=0, le=4)] = 1.0
    seen: Annotated[float, Field(ge=0, le=10)] = 0.5
    price_trait: Name | None = None


class Adoption(Declared):
    """The Bass model: `innovation` (p) and `imitation` (q), both per day.

    Source: Bass 1969, Management Science 15(5)."""

    innovation: Annotated[float, Field(gt=0, le=1)] = 0.03
    imitation: Annotated[float, Field(ge=0, le=2)] = 0.25


class Loyalty(Declared):
    """How satisfaction moves and what it does. After a session without problems it closes `recovery` of the gap to
    the persona's level; a reached goal adds `reward` of what is missing to 1. Below the persona's level the rate of
    return falls in proportion, to no less than `least_return`, and the churn hazard rises, up to `churn_factor`
    times."""

    recovery: Probability = 0.3
    reward: Probability = 0.05
    least_return: Annotated[float, Field(gt=0, le=1)] = 0.2
    churn_factor: Annotated[float, Field(ge=1, le=50)] = 6.0


def _by_name(declared: dict[str, Any]) -> dict[str, Any]:
    """In alphabetical order: tables are numbered by it, so the order in a file must not decide what happens."""
    return dict(sorted(declared.items()))


class Product(Declared):
    """A whole product. `funnel` lists event types in the order of the way to `conversion`; `conversion_value` is the
    property of the conversion event that holds its worth; `item_property` the property that holds an item's id."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{0,23}$")]
    version: Annotated[int, Field(ge=1)] = 1
    title: Text
    summary: Text = ""
    item_property: Name | None = None
    start: Name
    load: Amount = Amount(median=0.6, spread=0.5)
    counters: Annotated[dict[Name, Limit], AfterValidator(_by_name)] = Field(default_factory=dict)
    bag_size: Annotated[int, Field(ge=1, le=12)] = 8
    screens: Annotated[dict[Name, Screen], AfterValidator(_by_name)] = Field(min_length=1)
    events: Annotated[dict[Name, EventSpec], AfterValidator(_by_name)] = Field(min_length=1, max_length=120)
    intents: Annotated[dict[Name, Intent], AfterValidator(_by_name)] = Field(min_length=1, max_length=60)
    slates: Annotated[dict[Name, Slate], AfterValidator(_by_name)] = Field(default_factory=dict)
    problems: Annotated[dict[Name, Problem], AfterValidator(_by_name)] = Field(default_factory=dict, max_length=30)
    phrases: dict[Name, Annotated[tuple[Text, ...], Field(min_length=1)]] = Field(default_factory=dict)
    choice: Choice = Choice()
    adoption: Adoption = Adoption()
    loyalty: Loyalty = Loyalty()
    catalog: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+\.csv$")] = "catalog.csv"
    funnel: tuple[Name, ...] = ()
    conversion: Name | None = None
    conversion_value: Name | None = None

    def bounds(self, event: str) -> dict[str, tuple[int, int]]:
        """The bounds on counters under which an event is legal: what it `requires`, and what `item`, `bag` and
        `page` imply (an item of a slate needs a slate with items, a full bag takes no more, the last page has no next).
        Bounds that cannot be met (at most -1, for the next page of a slate with one) mean: never.
        """
        spec = self.events[event]
        low: dict[str, int] = {}
        high: dict[str, int] = {}
        if spec.item is not None and spec.item != "catalog":
            low["shown" if spec.item == "slate" else spec.item] = 1
        if spec.bag in ("remove", "empty"):
            low["bag"] = 1
        if spec.bag == "add":
            high["bag"] = self.bag_size - 1
        if spec.page == "next" and spec.slate in self.slates:
            low["shown"] = 1
            high["page"] = self.slates[spec.slate].pages - 2
        for name, (least, most) in spec.requires.items():
            low[name] = max(least, low.get(name, 0))
            high[name] = min(most, high.get(name, NO_LIMIT))
        return {name: (low.get(name, 0), high.get(name, NO_LIMIT)) for name in {**low, **high}}
