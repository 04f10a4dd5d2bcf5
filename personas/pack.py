"""A pack: one product, its personas and its catalogue, read from a folder and checked as a whole.

    my_pack/
      product.yaml          what can be done
      personas/*.yaml       who comes
      catalog.csv           what is shown
      help.yaml             what support knows, and who writes to it (may be left out)

`load_pack("shop")` takes a pack that ships, `load_pack("./my_pack")` a folder. A pack that loads is playable: the
checks that need more than one file (see `checks`) have passed. Its fingerprint is the SHA-256 of its content in
canonical form, so comments, order of fields and formatting do not change it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from personas.catalog import Catalog, load_catalog
from personas.checks import check_pack
from personas.errors import Fault, PackError
from personas.help import HELP_FILE, Help
from personas.help_checks import check_help
from personas.persona import Persona
from personas.product import Product
from personas.provenance import fingerprint
from personas.source import Lines, nearest, parse

SHIPPED = Path(__file__).parent / "packs"


@dataclass(frozen=True)
class Pack:
    """A checked pack. `personas` are in alphabetical order of their names; `folder` is where it was read from. `help`
    is None for a product without support."""

    product: Product
    personas: tuple[Persona, ...]
    catalog: Catalog
    folder: Path
    help: Help | None = None

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the canonical content."""
        content = {
            "product": self.product.model_dump(mode="json"),
            "personas": [persona.model_dump(mode="json") for persona in self.personas],
            "items": [item.model_dump(mode="json") for item in self.catalog.items],
        }
        return fingerprint(content | ({"help": self.help.model_dump(mode="json")} if self.help else {}))


def shipped_packs() -> tuple[str, ...]:
    """The names of the packs that ship with Dayone."""
    return tuple(sorted(folder.name for folder in SHIPPED.iterdir() if (folder / "product.yaml").is_file()))


def locate(reference: str | Path) -> Path:
    """The folder of a pack: the name of one that ships, or a path."""
    text = str(reference)
    if text in shipped_packs():
        return SHIPPED / text
    folder = Path(reference)
    try:
        if (folder / "product.yaml").is_file():
            return folder
        found = "no product.yaml in it" if folder.is_dir() else "a file" if folder.is_file() else "no such folder"
    except OSError as error:
        found = f"a folder that cannot be read ({error.strerror})"
    fault = Fault(text, "", found, f"a folder with product.yaml, or one of {', '.join(shipped_packs())}")
    raise PackError(f"there is no pack {text!r}", (fault,), hint="Make one with: dayone init DIR")


def load_pack(reference: str | Path) -> Pack:
    """Read and check a pack. Raises PackError with every fault found, file by file."""
    folder = locate(reference)
    faults: list[Fault] = []
    sources: dict[str, Lines] = {}
    product: Product | None = None
    try:
        product, lines = parse(Product, folder / "product.yaml")
        sources["product"] = Lines(str(folder / "product.yaml"), lines)
    except PackError as error:
        faults.extend(error.faults)
    personas: dict[str, Persona] = {}
    for path in sorted([*(folder / "personas").glob("*.yaml"), *(folder / "personas").glob("*.yml")]):
        try:
            persona, lines = parse(Persona, path)
        except PackError as error:
            faults.extend(error.faults)
            continue
        if persona.name in personas:
            other = sources[f"persona.{persona.name}"].file
            expected = f"a name that {other} does not have"
            faults.append(Fault(str(path), "name", repr(persona.name), expected, nearest(lines, ("name",))))
        personas[persona.name] = persona
        sources[f"persona.{persona.name}"] = Lines(str(path), lines)
    catalog: Catalog | None = None
    try:
        catalog = load_catalog(folder / (product.catalog if product else "catalog.csv"))
    except PackError as error:
        faults.extend(error.faults)
    help_: Help | None = None
    if (folder / HELP_FILE).exists():
        try:
            help_, lines = parse(Help, folder / HELP_FILE)
            sources["help"] = Lines(str(folder / HELP_FILE), lines)
        except PackError as error:
            faults.extend(error.faults)
    if not personas and not faults:
        faults.append(Fault(str(folder / "personas"), "", "no personas", "at least one .yaml file"))
    if faults or product is None or catalog is None:
        raise PackError(f"the pack {folder.name} is not valid", tuple(faults))
    pack = Pack(product, tuple(personas[name] for name in sorted(personas)), catalog, folder, help_)
    found = check_pack(pack.product, pack.personas, pack.catalog, sources)
    if help_ is not None:
        found += check_help(help_, pack.product, pack.personas, sources["help"])
    if found:
        raise PackError(f"the pack {folder.name} is not valid", found)
    return pack
