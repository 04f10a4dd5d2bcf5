"""The commands of training sets: `tasks`, `forms`, `build`. Options in, errors of ours out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from personas.console import told_errors
from personas.errors import TrainingError
from sinks.training.gates.cli import app as gates_app
from sinks.training.papers.cli import audit as audit_app
from sinks.training.papers.cli import keys as keys_app

if TYPE_CHECKING:
    from pathlib import Path

    from sinks.training.build import Built

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)
app.add_typer(audit_app, name="audit", help="Is a set what it says it is, and where does it come from?")
app.add_typer(gates_app)
app.add_typer(keys_app, name="keys", help="The key that signs training sets: make it, show its public half.")

STORE = Annotated[str | None, typer.Option("--store", metavar="FILE", help="The DuckDB file. [./dayone.duckdb]")]
KEYS = Annotated[str | None, typer.Option("--keys", metavar="DIR", help="Where the key is. [~/.config/dayone]")]
OUT = Annotated[str, typer.Option("--out", metavar="DIR", help="Where the training sets are.")]


@app.command()
def tasks(as_json: Annotated[bool, typer.Option("--json", help="One JSON list for machines.")] = False) -> None:
    """List the kinds of training sets, what one row of each is, and their options."""
    from sinks.training.registry import all_tasks

    described = [
        {
            "task": task.name,
            "summary": task.summary,
            "row": task.grain,
            "options": {
                name: {"default": field.default, "description": field.description}
                for name, field in task.options.model_fields.items()
            },
        }
        for task in all_tasks().values()
    ]
    if as_json:
        import json

        typer.echo(json.dumps(described, indent=2))
        return
    for each in described:
        typer.echo(f"{each['task']}: {each['summary']}\n  {each['row']}")
        for name, option in each["options"].items():  # type: ignore[attr-defined]
            typer.echo(f"  --option {name}={option['default']}  {option['description']}")


@app.command()
def forms(as_json: Annotated[bool, typer.Option("--json", help="One JSON list for machines.")] = False) -> None:
    """List the forms in which a training set can be written down."""
    from sinks.training.registry import all_forms

    described = [{"form": form.name, "summary": form.summary} for form in all_forms().values()]
    if as_json:
        import json

        typer.echo(json.dumps(described, indent=2))
        return
    for each in described:
        typer.echo(f"{each['form']}: {each['summary']}")


@app.command()
def build(
    task: Annotated[str, typer.Argument(metavar="TASK", help="What the set is for; `dayone tasks` lists them.")],
    store: STORE = None,
    out: OUT = "datasets",
    product: Annotated[str | None, typer.Option(help="The product, where the store holds several.")] = None,
    run: Annotated[list[str] | None, typer.Option(metavar="RUN", help="Only this run; may be repeated.")] = None,
    option: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="An option of the task.")] = None,
    form: Annotated[str, typer.Option(help="How to write it down; `dayone forms` lists them.")] = "parquet",
    split: Annotated[str, typer.Option(help="user: by a hash of the user; time: later users judge.")] = "user",
    valid: Annotated[float, typer.Option(help="Share of the users to tune on.")] = 0.1,
    test: Annotated[float, typer.Option(help="Share of the users to judge on.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Seed of the split.")] = 0,
    core: Annotated[
        str | None, typer.Option(metavar="PATH", help="Real rows: Parquet, CSV, JSON-lines, a directory, DB.duckdb::T.")
    ] = None,
    map_file: Annotated[
        str | None, typer.Option("--map", metavar="FILE", help="YAML: the core's columns, events, times, items.")
    ] = None,
    core_key: Annotated[
        str | None, typer.Option(metavar="FILE", help="Key of the core's pseudonyms. [STORE.core-key]")
    ] = None,
    session_gap: Annotated[
        float | None, typer.Option(metavar="MINUTES", help="Pause that ends a session of a core without sessions. [30]")
    ] = None,
    mix: Annotated[str | None, typer.Option(help="accumulate (default), augment or replace.")] = None,
    ratio: Annotated[float | None, typer.Option(help="Synthetic users per core user at most. [10]")] = None,
    prior_users: Annotated[
        float | None, typer.Option(help="Core users that all synthetic ones together count for. [1000]")
    ] = None,
    thin: Annotated[int | None, typer.Option(help="augment: core sessions that a segment should have. [30]")] = None,
    judge: Annotated[
        str | None, typer.Option(help="Users in valid and test: core (default with a core), all or synthetic.")
    ] = None,
    knows_it_collapses: Annotated[
        bool, typer.Option("--i-know-this-collapses", help="Needed for --mix replace, and copies of copies.")
    ] = False,
    gate: Annotated[str | None, typer.Option(metavar="FILE", help="YAML: other thresholds for gates.")] = None,
    proof: Annotated[
        str | None, typer.Option(metavar="DIR", help="Only if this proof of these runs passed its gates; cites it.")
    ] = None,
    at: Annotated[
        str | None, typer.Option(metavar="SNAPSHOT|TIME", help="A lake as it was: a snapshot's number or a UTC time.")
    ] = None,
    memory_limit: Annotated[str, typer.Option(help="Memory that DuckDB may take.")] = "3GB",
    keys: KEYS = None,
    unsigned: Annotated[bool, typer.Option("--unsigned", help="Do not sign, though there is a key.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object for machines.")] = False,
) -> None:
    """Build a training set from the store: DIR/TASK/VERSION, immutable, the same bytes whenever it is repeated."""
    with told_errors():
        from pathlib import Path

        from personas.console import progress_of
        from sinks.settings import load_settings
        from sinks.training.build import Order
        from sinks.training.build import build as build_set
        from sinks.training.core.wishes import Wishes, granted
        from sinks.training.gates.cited_proof import cited
        from sinks.training.gates.judging import load_thresholds
        from sinks.training.opening import opened_at_one_moment
        from sinks.training.papers.emitting import emitter, told_build
        from sinks.training.papers.ordering import papers_of
        from sinks.training.quarantine import putting_aside
        from sinks.training.registry import form_of, options_of, task_of
        from sinks.training.split import split_of

        wanted = task_of(task)
        settings = load_settings(store=store, keys=keys)
        place = settings.place
        wishes = Wishes(
            core, _path(map_file), _path(core_key), session_gap, mix, ratio, prior_users, thin, judge,
            knows_it_collapses,
        )  # fmt: skip
        real, mixing, judged_by = granted(wishes, place)
        order = Order(
            task=wanted,
            options=options_of(wanted, _pairs(option or [])),
            product=product,
            runs=tuple(run or ()),
            split=split_of(by=split, valid=valid, test=test, seed=seed, judge=judged_by),
            form=form_of(form),
            core=real,
            mixing=mixing,
            thresholds=load_thresholds(Path(gate)) if gate else {},
            proof=cited(Path(proof)) if proof else None,
            copies=knows_it_collapses,
        )
        with (
            putting_aside(place),
            opened_at_one_moment(place, memory_limit=memory_limit, at=at or "") as database,
            progress_of(f"Building {task}", quiet=as_json) as progress,
        ):
            papers = papers_of(settings, unsigned=unsigned, done_with=database)
            built = told_build(
                lambda: build_set(database, order, Path(out), progress, papers),
                emitter(settings.openlineage, settings.connection), order=order, store=place.name, out=Path(out),
            )  # fmt: skip
        _tell(built, papers.key is not None, as_json)


@app.command()
def export(
    out: Annotated[str, typer.Option("--out", metavar="FILE", help="The file to write: .parquet or .csv.")],
    store: STORE = None,
    product: Annotated[str | None, typer.Option(help="The product, where the store holds several.")] = None,
    run: Annotated[list[str] | None, typer.Option(metavar="RUN", help="Only this run; may be repeated.")] = None,
    at: Annotated[
        str | None, typer.Option(metavar="SNAPSHOT|TIME", help="A lake as it was: a snapshot's number or a UTC time.")
    ] = None,
    memory_limit: Annotated[str, typer.Option(help="Memory that DuckDB may take.")] = "3GB",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object for machines.")] = False,
) -> None:
    """Write the events of runs to one flat file, in the columns in which logs of real users come."""
    with told_errors():
        from pathlib import Path

        from personas.console import progress_of
        from sinks.settings import load_settings
        from sinks.training.export import export as export_log
        from sinks.training.opening import opened_at_one_moment
        from sinks.training.papers.ordering import papers_of
        from sinks.training.quarantine import putting_aside

        settings = load_settings(store=store)
        place = settings.place
        with (
            putting_aside(place),
            opened_at_one_moment(place, memory_limit=memory_limit, at=at or "") as database,
            progress_of("Exporting", quiet=as_json) as progress,
        ):
            papers = papers_of(settings, unsigned=True, done_with=database)
            written = export_log(database, Path(out), product=product, runs=run or (), progress=progress)
            papers.keep([written.note])
        if as_json:
            import json

            told = {"file": str(written.path), "events": written.events, "runs": written.runs, "sha256": written.sha256}
            typer.echo(json.dumps(told))
            return
        typer.echo(f"{written.path}: {written.events:,} events of {', '.join(written.runs)}.")


def _tell(built: Built, signed: bool, as_json: bool) -> None:
    if as_json:
        import json

        where = {"directory": str(built.directory), "version": built.recipe.version}
        answer = {**where, "rows": built.rows, "signed": signed}
        typer.echo(json.dumps(answer))
        return
    rows = ", ".join(f"{count:,} {split}" for split, count in built.rows.items())
    typer.echo(f"{built.directory}: {rows} rows, {'signed' if signed else 'unsigned (dayone keys new makes a key)'}.")
    typer.echo(f'Next: python -c "from sinks.training import read; print(read({str(built.directory)!r}).train.schema)"')


def _path(given: str | None) -> Path | None:
    from pathlib import Path

    return None if given is None else Path(given)


def _pairs(given: list[str]) -> dict[str, str]:
    """`["a=1"]` as a mapping; TrainingError where there is no equals sign."""
    for each in given:
        if "=" not in each:
            raise TrainingError(f"--option {each!r} is not of the form NAME=VALUE.", hint="E.g. --option history=20")
    return dict(each.split("=", 1) for each in given)
