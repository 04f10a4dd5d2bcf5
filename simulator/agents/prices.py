"""What a call to a language model costs, and how each model wants to be asked: the table in models.yaml, and sums.

The provider tells tokens and no dollars, so dollars are computed here: afterwards from the usage (`dollars`), and
before a call as a bound that the bill cannot exceed (`most_dollars`), which is what a budget reserves.

The bound on input tokens is the number of UTF-8 bytes of what is sent, plus what the provider adds: a token stands for
one byte or more. Asking the provider to count beforehand was the other way: exact, but a second round trip for each
call. The bound is three to five times too high, which costs nothing: a budget gives back what was not spent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from personas.errors import SettingsError
from simulator.agents.language import Request, Usage

#: Tokens that the provider may add to a prompt: how to call tools, how to keep to a format, marks between messages.
ADDED_TOKENS = 1024
PER_MILLION = 1e-6
Dollars = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Rates(BaseModel):
    """Dollars per million tokens of each type."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: Dollars
    output: Dollars
    cache_write: Dollars
    cache_read: Dollars

    def dollars(self, usage: Usage) -> float:
        """What this usage costs at these rates."""
        return PER_MILLION * (
            usage.input_tokens * self.input
            + usage.output_tokens * self.output
            + usage.cache_write_tokens * self.cache_write
            + usage.cache_read_tokens * self.cache_read
        )


class LongRates(Rates):
    """Rates for prompts of more than `above` tokens, cached ones included."""

    above: int = Field(gt=0)


class ModelEntry(Rates):
    """One model of the table: its rates and how it is asked (see models.yaml)."""

    batch: float = Field(0.5, ge=0, le=1)
    long: LongRates | None = None
    answer: Literal["format", "tool"] = "tool"
    thinking: Literal["disabled", "between_tools", "never", "always"] = "never"
    effort: Literal["low", "medium", "high"] | None = None
    room: int = Field(0, ge=0)

    def max_tokens(self, request: Request) -> int:
        """How long an answer may be, with what is thought before it."""
        return request.max_tokens + self.room

    def cost(self, usage: Usage, *, batched: bool = False) -> float:
        """Dollars for a usage as the provider counted it."""
        prompt = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
        rates: Rates = self.long if self.long and prompt > self.long.above else self
        return rates.dollars(usage) * (self.batch if batched else 1.0)

    def most(self, request: Request, *, batched: bool = False) -> float:
        """Dollars that a request cannot exceed: all of the prompt at the dearest rate, an answer of full length."""
        tokens = most_input_tokens(request)
        rates: Rates = self.long if self.long and tokens > self.long.above else self
        dearest = max(rates.input, rates.cache_write, rates.cache_read)
        factor = self.batch if batched else 1.0
        return PER_MILLION * (tokens * dearest + self.max_tokens(request) * rates.output) * factor


class PriceTable:
    """The models that are known, by name. A dated name (`claude-haiku-4-5-20251001`) is priced as the one without; an
    entry that ends with a slash is for all names that begin with it."""

    def __init__(self, entries: Mapping[str, ModelEntry]) -> None:
        self.entries = dict(entries)

    def __getitem__(self, model: str) -> ModelEntry:
        """The entry of a model. SettingsError, with what to do, when there is none: no price, no call."""
        entry = self.find(model)
        if entry is None:
            raise SettingsError(
                f"Nothing is known of what the model {model!r} costs.",
                hint=f"Known are {', '.join(sorted(self.entries))}. Give its prices in a file (DAYONE_TUTOR_PRICES), "
                "in the form of simulator/agents/models.yaml.",
            )
        return entry

    def find(self, model: str) -> ModelEntry | None:
        """The entry of a model, where there is one."""
        names = (model, re.sub(r"-\d{8}$", "", model), model.partition("/")[0] + "/")
        return next((self.entries[name] for name in names if name in self.entries), None)

    def with_file(self, path: Path) -> PriceTable:
        """This table with the entries of a file before its own."""
        return PriceTable({**self.entries, **_entries(path)})


def most_input_tokens(request: Request) -> int:
    """A number of tokens that the prompt of a request cannot exceed."""
    schema = json.dumps(request.answer_schema, ensure_ascii=False)
    texts = [request.system, request.context, request.schema_name, schema, *(part.text for part in request.messages)]
    # The schema is counted twice: what a format or a tool makes of it for the model may say things again.
    return sum(len(text.encode()) for text in texts) + len(schema.encode()) + 16 * len(request.messages) + ADDED_TOKENS


@cache
def shipped_prices() -> PriceTable:
    """The table that comes with Dayone."""
    return PriceTable(_entries(Path(__file__).with_name("models.yaml")))


def price_table(own: Path | None = None) -> PriceTable:
    """The shipped table, with a file of the user's before it where there is one. SettingsError names what is wrong."""
    return shipped_prices().with_file(own) if own else shipped_prices()


def _entries(path: Path) -> dict[str, ModelEntry]:
    expected = "expected `models:` and under it a model's name with input, output, cache_write and cache_read"
    try:
        document: Any = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"The price table {path} cannot be read: {error}") from None
    models = document.get("models") if isinstance(document, dict) else None
    if not isinstance(models, dict):
        raise SettingsError(f"{path} is no price table: {expected}.")
    try:
        return {str(name): ModelEntry.model_validate(entry) for name, entry in models.items()}
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise SettingsError(f"{path} is no price table: {faults}; {expected}.") from None
