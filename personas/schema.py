"""JSON Schema of the kinds of pack file, so that editors can complete and check them while they are written.

The schema follows from the models. It says less than they do: what needs two fields or two files at once (shares that
add up, names declared elsewhere) is told by `dayone validate` alone. Knows no pack and writes no file.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel

from personas.help import Help
from personas.persona import Persona
from personas.product import Product

Kind = Literal["help", "persona", "product"]
KINDS: dict[Kind, type[BaseModel]] = {"help": Help, "persona": Persona, "product": Product}
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(kind: Kind) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of `product.yaml`, of `help.yaml` or of a file in `personas/`."""
    generated = _closed(KINDS[kind].model_json_schema(mode="validation"))
    heading = {"$schema": DIALECT, "$id": f"urn:dayone:schema:{kind}", "title": f"Dayone {kind}"}
    return {**heading, **{name: value for name, value in generated.items() if name not in heading}}


def _closed(schema: Any) -> Any:
    """The schema with no other keys than those of the pattern, wherever keys have a pattern."""
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(part) for name, part in schema.items()}
    return {**closed, "additionalProperties": False} if "patternProperties" in closed else closed
