"""A plan: what one visitor is about to do, as a language model writes it down, and when two plans are the same.

A plan is structured, so that it can be played without asking again: the intended path by names of events, how an item
is picked, when enough is enough, what a problem does, in which mood, which words are searched for, and how likely such
a visit is. Plans of one batch are to differ: asking for a distribution with probabilities instead of one instance keeps
most of a model's variety (verbalised sampling; Zhang et al. 2025, arXiv:2510.01171), and what is still nearly the same
as another is refused. Knows products, no world.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from personas.product import Product
from simulator.agents.prompt import plain
from simulator.agents.screen import LEAVE, LONGEST_WORDS

LONGEST_PATH = 24
#: From this similarity on two plans are the same.
SAME = 0.8
Mood = Literal["hurried", "calm", "curious", "annoyed", "cheerful"]
Picks = Literal["first", "cheapest", "best_rated", "any"]
Reaction = Literal["retry", "look_elsewhere", "leave"]
_MOODS, _PICKS, _REACTIONS = Mood.__args__, Picks.__args__, Reaction.__args__  # type: ignore[attr-defined]


class Plan(BaseModel):
    """One plan. `picks`: how an item is taken from those shown, among those up to `price_limit` (0: no limit); the
    visit ends after `steps` at the latest, and once the goal is reached where `leaves_once_done`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    mood: Mood
    path: tuple[str, ...] = Field(min_length=1, max_length=LONGEST_PATH)
    categories: tuple[str, ...] = ()
    queries: tuple[str, ...] = ()
    picks: Picks
    price_limit: float = Field(ge=0, allow_inf_nan=False)
    steps: int = Field(ge=1, le=100)
    leaves_once_done: bool
    on_problem: Reaction
    probability: float = Field(ge=0, le=1)

    @property
    def traits(self) -> frozenset[str]:
        """What makes the plan what it is: its steps, which follows which, and its rules. Words do not count."""
        pairs = {f"{one}>{other}" for one, other in zip(("", *self.path), (*self.path, ""), strict=True)}
        rules = {f"mood {self.mood}", f"picks {self.picks}", f"problem {self.on_problem}"}
        return frozenset(pairs | set(self.path) | rules | {f"in {name}" for name in self.categories})


def plans_schema(product: Product, categories: tuple[str, ...], count: int) -> dict[str, Any]:
    """The JSON schema of an answer with `count` plans."""
    events = [name for name, spec in product.events.items() if spec.weight > 0]
    words = {"type": "array", "items": {"type": "string", "maxLength": 80}, "maxItems": 3}
    fields: dict[str, Any] = {
        "mood": {"type": "string", "enum": list(_MOODS)},
        "path": {
            "type": "array", "items": {"type": "string", "enum": [*events, LEAVE]}, "minItems": 1,
            "maxItems": LONGEST_PATH,
        },
        "categories": {"type": "array", "items": {"type": "string", "enum": list(categories)}, "maxItems": 3},
        "queries": words,
        "picks": {"type": "string", "enum": list(_PICKS)},
        "price_limit": {"type": "number", "minimum": 0, "maximum": 1e6},
        "steps": {"type": "integer", "minimum": 1, "maximum": 100},
        "leaves_once_done": {"type": "boolean"},
        "on_problem": {"type": "string", "enum": list(_REACTIONS)},
        "probability": {"type": "number", "minimum": 0, "maximum": 1},
    }  # fmt: skip
    plan = {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}
    plans = {"type": "array", "items": plan, "minItems": 1, "maxItems": count}
    return {"type": "object", "properties": {"plans": plans}, "required": ["plans"], "additionalProperties": False}


def read_plans(content: Any, product: Product) -> tuple[list[Plan], int]:
    """The plans in an answer, and how many of its entries are none. Names that the product does not have are left
    out of a plan; nothing here raises."""
    entries = content.get("plans") if isinstance(content, dict) else None
    found: list[Plan] = []
    for entry in entries if isinstance(entries, list) else ():
        try:
            found.append(_known(Plan.model_validate(entry), product))
        except ValidationError:
            continue
    total = len(entries) if isinstance(entries, list) else 1
    return found, total - len(found)


def _known(plan: Plan, product: Product) -> Plan:
    path = tuple(name for name in plan.path if name == LEAVE or _can_be_chosen(name, product))
    words = tuple(text for text in (plain(query, LONGEST_WORDS) for query in plan.queries) if text)
    return Plan.model_validate(plan.model_dump() | {"path": path, "queries": words})


def _can_be_chosen(name: str, product: Product) -> bool:
    return name in product.events and product.events[name].weight > 0


def similarity(one: Plan, other: Plan) -> float:
    """From 0 (nothing in common) to 1: the Jaccard index of their traits (Jaccard 1901)."""
    ours, theirs = one.traits, other.traits
    return len(ours & theirs) / len(ours | theirs)


def different(plans: list[Plan], among: list[Plan]) -> list[Plan]:
    """Those of the plans that are not the same as one of `among`, or as one before them."""
    kept: list[Plan] = []
    for plan in plans:
        if all(similarity(plan, known) < SAME for known in (*among, *kept)):
            kept.append(plan)
    return kept
