"""The card of a training set: one page of Markdown for whoever finds the directory and asks what it is.

Made from facts alone, so that the same build writes the same page.
"""

from __future__ import annotations

from collections.abc import Sequence

from sinks.training.form import Part
from sinks.training.papers import words
from sinks.training.papers.facts import Facts

#: Where the card is; where a form has put a page of its own there, in the second place.
CARD, SECOND = "README.md", "CARD.md"


def card_of(facts: Facts, parts: Sequence[Part]) -> str:
    """The whole page."""
    recipe, shares, gates = facts.recipe, list(facts.shares), list(facts.gates)
    rows = {split: sum(part.rows for part in parts if part.split == split) for split in ("train", "valid", "test")}
    pages = [
        f"# {recipe.task} for {recipe.product}",
        f"{facts.summary}: {facts.grain}. Version `{recipe.version}`, by Dayone {recipe.dayone_version}. "
        f"Licence: {facts.publisher.license}.",
        f"{words.origin(shares)}",
        "## Splits\n\n" + table(("split", "rows"), [(split, f"{count:,}") for split, count in rows.items()]),
        f"By {recipe.split.by}, seed {recipe.split.seed}: no user and no session is in two of them. "
        f"Events from {facts.since} to {facts.until} (virtual time).",
        "## Columns\n\n"
        + table(
            ("column", "role", "type", "what it is"),
            [(f"`{column.name}`", column.role, column.type, column.description) for column in facts.columns],
        ),
        "Features know nothing that happened after the row's `time`. Key columns name the row and are no features.",
        "## How it was made\n\n"
        + table(
            ("run", "product version", "seed", "users", "generator", "models", "pack"),
            [_run_row(run) for run in facts.runs],
        ),
        f"```bash\n{facts.command}\n```",
        "The query and all fingerprints are in `manifest.json` (Croissant 1.1).",
    ]
    if recipe.mixing:
        pages.append(f"Mixing: {', '.join(f'{name} {value}' for name, value in recipe.mixing.items())}.")
    pages += [
        "## Gates\n\n" + (table(tuple(gates[0]), [tuple(gate.values()) for gate in gates]) if gates else "None ran."),
        f"## Use\n\n{words.purpose(recipe.task, facts.kind, recipe.product)}",
        f"## Limits\n\n{words.gaps(shares)} {words.biases(shares)}",
        f"## Personal data\n\n{words.personal_data(shares, gates)} Retention: {facts.publisher.retention}.",
        "## Load and check it\n\n"
        "```python\nfrom sinks.training import read\n\ntrain, valid, test = read(\"this/directory\")\n```\n\n"
        "```bash\ndayone audit verify this/directory\ndayone audit show this/directory 0\n"
        "dayone audit report this/directory\n```",
    ]  # fmt: skip
    return "\n\n".join(pages) + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _run_row(run: dict[str, object]) -> tuple[object, ...]:
    told = run.get("identity")
    if not isinstance(told, dict):
        return (f"`{run['run_id']}`", "no manifest in the store", "", "", "", "", "")
    models = run["models"] if isinstance(run["models"], list) else []
    return (
        f"`{run['run_id']}`", told["product_version"], told["seed"], f"{told['users']:,}", told["generator"],
        ", ".join(map(str, models)) or "none", f"`{told['pack_fingerprint'][:12]}`",
    )  # fmt: skip
