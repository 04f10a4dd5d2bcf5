"""The front door: one program, `dayone`, with the commands of the three rooms side by side.

It mounts each room's cli.py, and turns deliberate errors into a message and an exit code. It imports nothing heavier
than those, so that help comes at once. That is plain text, a section a room: Rich panels take longer than all the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup
from typer.main import get_group

import personas.cli
import simulator.cli
import sinks.cli
import sinks.proof.cli
import sinks.training.cli
from personas.errors import EXIT_CODES, DayoneError

if TYPE_CHECKING:
    from typer._click import Context, HelpFormatter

everywhere = typer.Typer()
ROOMS = {
    "Who comes, and what they meet": personas.cli.app,
    "When they come, and what they do": simulator.cli.app,
    "What we keep": sinks.cli.app,
    "What models learn from": sinks.training.cli.app,
    "What that is worth": sinks.proof.cli.app,
    "Everywhere": everywhere,
}


@everywhere.command()
def config(as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False) -> None:
    """Show the settings in force: variable, value (secrets as ***), where it came from, who uses it."""
    from personas.settings import told
    from simulator import settings as simulator
    from sinks import settings as sink

    typer.echo(told({"simulator": simulator.load_settings(), "sink": sink.load_settings()}, as_json))


class FrontDoor(TyperGroup):
    """Lists the commands in `--help` under the title of the room that they come from."""

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write one section per room, the commands in the order in which the room declares them."""
        for title, room in ROOMS.items():
            names = [name for name, command in get_group(room).commands.items() if not command.hidden]
            width = formatter.width - 6 - max(map(len, names))
            with formatter.section(title):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(width)) for name in names])


def front_door() -> typer.Typer:
    """The whole program: every room's commands at the top level."""
    about = "Plays out the first months of a product that has no users yet. Begin with: dayone demo"
    app = typer.Typer(
        cls=FrontDoor, help=about, epilog=EXIT_CODES, no_args_is_help=True, rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )  # fmt: skip
    app.callback()(options)
    for room in ROOMS.values():
        app.add_typer(room)
    return app


def show_version(wanted: bool) -> None:
    """Print the installed version and end, where it is wanted."""
    if wanted:
        from importlib.metadata import version

        typer.echo(version("dayone"))
        raise typer.Exit()


def options(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options of the program as a whole."""


def main() -> None:
    """Run the command in `sys.argv` and exit: with the code of a DayoneError, 130 on an interruption."""
    try:
        front_door()(prog_name="dayone")
    except DayoneError as error:
        from personas.console import fail

        fail(error)


if __name__ == "__main__":
    main()
