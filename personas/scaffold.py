"""Make a new pack: a copy of the template, named after its folder, with JSON Schemas for editors beside it.

The template is itself a valid pack, so it cannot rot unseen. Two ways were weighed: templates with placeholders, or a
pack that is copied and has one line of it replaced; the copy won, because what is tested is what is handed out.
"""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path

from personas.errors import SettingsError
from personas.pack import Pack, load_pack
from personas.schema import KINDS, json_schema

TEMPLATE = Path(__file__).parent / "template"
SAMPLE_NAME = "cookingcourses"
FALLBACK_NAME = "product"
LONGEST_NAME = 24


def product_name(text: str) -> str:
    """A product name (a lower-case letter, then letters and digits, 24 at most) out of any text.

    Accents are dropped, everything else that does not belong is left out: `2. Café Königin` gives `cafekonigin`.
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]", "", plain).lstrip("0123456789")[:LONGEST_NAME] or FALLBACK_NAME


def create_pack(folder: Path) -> Pack:
    """Write a small working pack into `folder`, which must be empty or not exist yet, and load it.

    Raises SettingsError when the folder has something in it or cannot be written; nothing that exists is touched.
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise SettingsError(f"{folder} is a file, expected a folder", hint="Name a folder that does not exist yet.")
        if folder.is_dir() and (there := sorted(path.name for path in folder.iterdir())):
            shown = ", ".join(there[:3]) + (", ..." if len(there) > 3 else "")
            raise SettingsError(
                f"{folder} is not empty (found {shown}), expected an empty or a new folder",
                hint="Name another folder; nothing was changed.",
            )
        name = product_name(folder.resolve().name)
        for source in sorted(path for path in TEMPLATE.rglob("*") if path.suffix in (".yaml", ".csv")):
            text = source.read_text(encoding="utf-8")
            if source.name == "product.yaml":
                text = re.sub(
                    rf"^name: {SAMPLE_NAME}\b *", f"name: {name}".ljust(30) + " ", text, count=1, flags=re.MULTILINE
                )
            target = folder / source.relative_to(TEMPLATE)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        (folder / "schema").mkdir()
        for kind in KINDS:
            schema = json.dumps(json_schema(kind), indent=2, ensure_ascii=False)
            (folder / "schema" / f"{kind}.schema.json").write_text(schema + "\n", encoding="utf-8")
    except OSError as error:
        reason = error.strerror or str(error)
        raise SettingsError(f"{folder} cannot be written: {reason}", hint="Choose a folder that is yours.") from None
    return load_pack(folder)
