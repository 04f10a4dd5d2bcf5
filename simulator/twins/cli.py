"""The commands about twins: fit a model on real users, draw sessions from it, say what it learnt.

Everything heavy is imported when a command runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
Model = Annotated[Path, typer.Argument(help="A folder made by dayone fit.")]
Seed = Annotated[int, typer.Option(min=0, help="Another seed draws other users.")]


@app.command()
def fit(
    core: Annotated[str, typer.Argument(help="Real events: .parquet, .csv, .jsonl, a directory, FILE.duckdb::TABLE.")],
    pack: Annotated[str | None, typer.Option(help="The pack whose events and items these are.")] = None,
    new_pack: Annotated[Path | None, typer.Option(help="Make a pack of the core, in this new folder.")] = None,
    out: Annotated[Path | None, typer.Option(help="The folder of the model.  [default: <core>.twin]")] = None,
    map: Annotated[Path | None, typer.Option(help="A file that says how the core calls things.")] = None,  # noqa: A002
    columns: Annotated[str | None, typer.Option(help="Further columns to learn, with commas; none: ''.")] = None,
    k: Annotated[int, typer.Option(min=1, max=1000, help="Keep nothing that fewer users did.")] = 5,
    epsilon: Annotated[float | None, typer.Option(help="Differential privacy: noise for this epsilon.")] = None,
    delta: Annotated[float | None, typer.Option(help="Its delta.  [default: a tenth of 1 / users]")] = None,
    seed: Annotated[int, typer.Option(min=0, help="For what is drawn while fitting.")] = 1,
    bad_rows: Annotated[Path | None, typer.Option(help="Write rows that were set aside to this .parquet.")] = None,
    memory: Annotated[str, typer.Option(help="What reading may take; more goes to disk.")] = "2GB",
    student: Annotated[Path | None, typer.Option(help="Weigh this student (dayone teach) as well.")] = None,
    item_names: Annotated[int, typer.Option(min=1, help="Names of items that fewer users had are replaced.")] = 2,
    allow_near_copies: Annotated[bool, typer.Option(help="Keep no hashes by which near copies are refused.")] = False,
    json_output: Json = False,
) -> None:
    """Learn from real users: a model of what they do, of which fictional twins are drawn. Keeps no row of theirs."""
    from simulator.twins.commands import Wish, fit_command

    fit_command(
        Wish(
            core,
            pack,
            new_pack,
            out,
            map,
            columns,
            k,
            epsilon,
            delta,
            seed,
            bad_rows,
            memory,
            student,
            item_names,
            allow_near_copies,
        ),
        json_output=json_output,
    )


@app.command()
def sample(
    model: Model,
    sessions: Annotated[int, typer.Option(min=1, max=100_000_000, help="How many sessions.")] = 1000,
    out: Annotated[Path, typer.Option(help="The .parquet file to write.")] = Path("synthetic.parquet"),
    seed: Seed = 1,
    json_output: Json = False,
) -> None:
    """Draw sessions of fictional users into a file, as an event log in the words of the core."""
    from simulator.twins.commands import sample_command

    sample_command(model, sessions, out, seed, json_output=json_output)
