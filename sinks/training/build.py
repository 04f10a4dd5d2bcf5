"""`dayone build`: from a store to a version of a training set, whole or not at all.

    1. choose what goes in: runs, users, splits (selection.py, split.py), and the core that is mixed in (mixing)
    2. judge the runs (gates)
    3. write the rows as Parquet into a hidden directory beside the target (writing.py)
    4. judge the rows (gates)
    5. translate them into the form asked for (forms), and write the papers: manifest, card, signature (papers)
    6. rename the directory to its version: from here on it exists, and is never changed

How a version appears whole or not at all, whatever happens, is `publishing.py`'s.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from personas.errors import GateError, StoreError, TrainingError
from personas.provenance import dayone_version, fingerprint
from sinks.audit_log import note
from sinks.training.core.taking import RUN as CORE
from sinks.training.core.taking import Core
from sinks.training.form import Form, Part, Rows
from sinks.training.forms.parquet import ParquetForm
from sinks.training.gates.cited_proof import Citing
from sinks.training.gates.gate import Evidence, Verdict
from sinks.training.gates.judging import judge, require, rows_of
from sinks.training.mixing import Mixing
from sinks.training.papers.command import command_of
from sinks.training.papers.facts import gather
from sinks.training.papers.papers import UNSIGNED, Papers, write_papers
from sinks.training.publishing import publishing
from sinks.training.recipe import Recipe
from sinks.training.selection import Snapshot, choose
from sinks.training.split import Split
from sinks.training.task import Options, Task
from sinks.training.writing import Progress, translate_parts, write_parts

if TYPE_CHECKING:
    from sinks.store import Store

log = logging.getLogger("dayone.training")


@dataclass(frozen=True)
class Order:
    """What was asked for: a task with its options, from which product and runs, split how, in which form; whether
    copies of copies are wanted although nothing real is among their ancestors; a proof that it depends on."""

    task: Task
    options: Options
    product: str | None = None
    runs: tuple[str, ...] = ()
    split: Split = field(default_factory=Split)
    form: Form = field(default_factory=ParquetForm)
    core: Core | None = None
    mixing: Mixing | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)
    copies: bool = False
    proof: Citing | None = None


@dataclass(frozen=True)
class Built:
    """A version of a training set that exists: where, what it follows from, and its files."""

    directory: Path
    recipe: Recipe
    snapshot: Snapshot
    parts: tuple[Part, ...]
    verdicts: tuple[Verdict, ...] = ()

    @property
    def rows(self) -> dict[str, int]:
        """Rows by split."""
        totals: dict[str, int] = {}
        for part in self.parts:
            totals[part.split] = totals.get(part.split, 0) + part.rows
        return totals


def build(
    store: Store,
    order: Order,
    out: Path,
    progress: Progress = lambda done, of, rows: None,
    papers: Papers = UNSIGNED,
) -> Built:
    """Build `<out>/<task>/<version>`. TrainingError where there is nothing to build from or the version exists."""
    columns = order.task.columns(order.options)
    if objection := order.form.objection(columns):
        raise TrainingError(
            f"{order.task.name} cannot be written as {order.form.name}: {objection}.",
            hint="Leave --form out for Parquet; `dayone forms` tells what each form holds.",
        )
    snapshot = choose(
        store, product=order.product, runs=order.runs, split=order.split, core=order.core, mixing=order.mixing,
        copies=order.copies,
    )  # fmt: skip
    allowed: dict[str, str] = getattr(order.task, "shortcuts", {})
    evidence = Evidence(store, snapshot.product, columns, allowed=allowed)
    verdicts = judge(evidence, "runs", order.thresholds)
    if order.proof is not None:
        verdicts += (order.proof(run["run_id"] for run in snapshot.runs if run["run_id"] != CORE),)
    _require(verdicts, order, papers)
    query = order.task.query(order.options)
    recipe = Recipe(
        task=order.task.name,
        options=order.options.model_dump(mode="json"),
        product=snapshot.product,
        runs=tuple(run["run_id"] for run in snapshot.runs),
        snapshot=snapshot.fingerprint,
        query=fingerprint(query),
        split=order.split,
        form=order.form.name,
        mixing=snapshot.mixed,
        dayone_version=dayone_version(),
    )
    with publishing(out / recipe.task / recipe.version) as directory:
        parts = write_parts(store, query, directory, progress)
        if not sum(part.rows for part in parts):
            raise TrainingError(
                f"{store.path} has events of {snapshot.product}, but none that make a row of {recipe.task}.",
                hint=f"{order.task.grain[0].upper()}{order.task.grain[1:]}: does the product have such events?",
            )
        items = store.query("FROM chosen_items ORDER BY item_id")
        rows = Rows(recipe.task, snapshot.product, columns, directory, parts, items)
        with rows_of(rows) as made:
            verdicts += judge(replace(evidence, rows=made), "rows", order.thresholds)
        _require(verdicts, order, papers)
        facts = gather(
            store, recipe=recipe, snapshot=snapshot, task=order.task, columns=columns, query=query, paths=rows.paths(),
            gates=tuple(verdict.told() for verdict in verdicts), publisher=papers.publisher,
            command=command_of(recipe, bool(order.thresholds), order.copies),
        )  # fmt: skip
        parts = translate_parts(order.form, rows, directory)
        write_papers(directory, facts, parts, papers)
    return Built(out / recipe.task / recipe.version, recipe, snapshot, parts, verdicts)


def _require(verdicts: tuple[Verdict, ...], order: Order, papers: Papers) -> None:
    """GateError where a gate was not passed; the audit log has it then."""
    try:
        require(verdicts)
    except GateError:
        told = {"verdict": "held back", "gates": [verdict.told() for verdict in verdicts]}
        try:
            papers.keep([note("gate", order.task.name, told)])
        except StoreError as error:
            log.warning("the audit log does not know that a gate held this set back: %s", error.message)
        raise
