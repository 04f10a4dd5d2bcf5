"""DuckDB's signed extensions, found in the wheels that carry them: nothing is downloaded, nothing is copied.

Knows packages and files; not DuckDB, which loads what is named here with `LOAD '<path>'` and checks its signature.
"""

from __future__ import annotations

from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from personas.errors import StoreError
from personas.sql import literal


def extension_file(name: str) -> Path:
    """The binary of the extension `name` for the DuckDB that is installed. StoreError where there is none."""
    version = metadata.version("duckdb")
    package = find_spec(f"duckdb_extension_{name}")
    for folder in (package.submodule_search_locations or []) if package else []:
        file = Path(folder) / "extensions" / f"v{version}" / f"{name}.duckdb_extension"
        if file.is_file():
            return file
    raise StoreError(
        f"DuckDB's extension {name!r} is not installed for DuckDB {version}.",
        hint=f"pip install duckdb-extension-{name}=={version}",
    )


def loading(name: str) -> str:
    """The statement that loads the extension `name`. StoreError where it is not installed."""
    return f"LOAD {literal(str(extension_file(name)))}"


#: DuckDB finds an extension's entry point by the name of its file; the wheels name these two differently.
_ENTRY_POINTS = {"sqlite": "sqlite_scanner", "postgres": "postgres_scanner"}


def loading_by_link(name: str, folder: str) -> str:
    """Like `loading`, through a link in `folder` that has the name which DuckDB expects."""
    link = Path(folder) / f"{_ENTRY_POINTS.get(name, name)}.duckdb_extension"
    link.symlink_to(extension_file(name))
    return f"LOAD {literal(str(link))}"
