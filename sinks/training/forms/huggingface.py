"""huggingface: Parquet files with a data card, as `datasets.load_dataset` and the Hugging Face hub read them.

The card is `README.md`: YAML (which files are which split, the type of each column, rows and bytes) and then what each
column means. The split `valid` is called `validation` there, as that library does. Nothing of Hugging Face's is
imported: the layout is the documented one, and the tests read it with the library.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from sinks.database import Database
from sinks.training.form import DATA, Part, Rows
from sinks.training.forms.parquet import ParquetForm
from sinks.training.forms.text import listed
from sinks.training.task import Column

_CALLED = {"valid": "validation"}
_TYPES = {"double": "float64", "float": "float32"}
#: Hugging Face's words for sizes.
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"),
          (10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"), (1_000_000_000, "100M<n<1B"))  # fmt: skip


class HuggingFace:
    """Implements Form."""

    name: ClassVar[str] = "huggingface"
    summary: ClassVar[str] = "Hugging Face datasets: Parquet and a data card, for load_dataset"
    suffix: ClassVar[str | None] = ".parquet"

    def objection(self, columns: Sequence[Column]) -> str:
        """See Form: there is nothing that it cannot hold."""
        return ""

    def write(self, database: Database, rows: Rows, target: Path) -> tuple[Part, ...]:
        """See Form."""
        parts = ParquetForm().write(database, rows, target)
        front = yaml.safe_dump(front_matter(rows), sort_keys=False, allow_unicode=True, width=1_000)
        (target / "README.md").write_text(f"---\n{front}---\n\n{_body(database, rows)}", encoding="utf-8")
        return parts

    def read(self, database: Database, paths: Sequence[Path], columns: Sequence[Column]) -> pa.Table:
        """See Form."""
        return ParquetForm().read(database, paths, columns)


def front_matter(rows: Rows) -> dict[str, Any]:
    """The YAML that a card for Hugging Face begins with."""
    found = [split for split in ("train", "valid", "test") if rows.paths(split)]
    count = sum(part.rows for part in rows.parts)
    sizes = {split: sum(map(_arrow_bytes, rows.paths(split))) for split in found}
    return {
        "pretty_name": f"{rows.task} of {rows.product}",
        "tags": ["dayone", "synthetic", rows.task],
        "size_categories": [next((name for limit, name in _SIZES if count < limit), "n>1B")],
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": _CALLED.get(split, split), "path": f"{DATA}/{split}-*.parquet"} for split in found
                ],
            }
        ],
        "dataset_info": {
            "features": [_feature(field) for field in pq.read_schema(rows.paths()[0])],
            "splits": [
                {
                    "name": _CALLED.get(split, split),
                    "num_bytes": sizes[split],
                    "num_examples": sum(part.rows for part in rows.parts if part.split == split),
                }
                for split in found
            ],
            "download_size": sum(Path(path).stat().st_size for path in rows.paths()),
            "dataset_size": sum(sizes.values()),
        },
    }


def _feature(field: pa.Field) -> dict[str, Any]:
    """A column as `datasets` writes its features in YAML."""
    kind = field.type
    if pa.types.is_list(kind):
        inner = _feature(pa.field("", kind.value_type))
        inner.pop("name")
        return {"name": field.name, "list": next(iter(inner.values()))}
    if pa.types.is_struct(kind):
        return {"name": field.name, "struct": [_feature(each) for each in kind]}
    return {"name": field.name, "dtype": _TYPES.get(str(kind), str(kind))}


def _arrow_bytes(path: str) -> int:
    """The size of a file's rows in memory, a batch at a time."""
    with pq.ParquetFile(path) as file:
        return sum(batch.nbytes for batch in file.iter_batches())


def _body(database: Database, rows: Rows) -> str:
    source = f"read_parquet({listed(rows.paths())})"
    with database.speaking():
        origins = database.execute(
            f"SELECT origin, generator, generation, count(*) FROM {source} GROUP BY ALL ORDER BY ALL"  # noqa: S608
        )
    lines = [
        f"# {rows.task} of {rows.product}",
        "",
        "```python",
        "from datasets import load_dataset",
        'train = load_dataset("path/of/this/folder", split="train")',
        "```",
        "",
        "| origin | generator | generation | rows |",
        "|---|---|---|---|",
        *(f"| {origin} | {generator} | {generation} | {count:,} |" for origin, generator, generation, count in origins),
        "",
        "| column | role | type | meaning |",
        "|---|---|---|---|",
        *(f"| {each.name} | {each.role} | {each.type} | {each.description} |" for each in rows.columns),
        "",
        "Features are what was known at the row's time, labels what came after; keys are no features.",
    ]
    return "\n".join(lines) + "\n"
