"""What `dayone teach` does, once its options are read. Speaks to the terminal.

Progress goes to standard error, results to standard output; both are plain where there is no terminal.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import typer

from personas.errors import SettingsError, StudentError
from personas.logs import setup_logging
from personas.pack import load_pack
from personas.provenance import TutorReport
from simulator.agents.prices import price_table
from simulator.agents.spending import FILE as SPENDING
from simulator.agents.spending import Payer
from simulator.behaviour.artefact import save_student
from simulator.interruption import signals_to
from simulator.options import RunOptions
from simulator.order import tutor_of
from simulator.settings import SimulatorSettings
from simulator.teach.course import Course, Lesson, Plan
from simulator.teach.fidelity import Fidelity, Score
from simulator.teach.notebook import FILE, Notebook, open_notebook
from simulator.teach.oracle import oracle_of
from simulator.teach.teachers import OracleTeacher, TeacherOfCourse, TutorTeacher
from simulator.teach.walks import Room, room_of
from simulator.tutoring import Tutoring

INTERRUPTED = 130
#: Users to choose from, at least; and for each visit that may be asked for.
USERS, USERS_PER_VISIT = 20_000, 4
#: Without a limit of sessions there is no telling how many users are needed: as many as for so many visits.
MOST_VISITS = 20_000


@dataclass(frozen=True)
class Wish:
    """The options of `dayone teach`."""

    pack: str
    budget: float
    sessions: int | None
    out: Path | None
    tutor: Literal["model", "oracle"]
    tutor_mode: Literal["walk", "plan"]
    seed: int
    traces: str | None = None
    map_file: Path | None = None


def teach_command(wish: Wish, settings: SimulatorSettings, *, json_output: bool = False) -> None:
    """`dayone teach`: exit code 130 when it was interrupted; what was learnt until then is kept."""
    setup_logging(settings.log_format, "warning" if settings.log_level == "info" else settings.log_level)
    if wish.map_file is not None and wish.traces is None:
        raise SettingsError("--map goes with --traces", hint="Add it, or leave the map out.")
    pack = load_pack(wish.pack)
    out = wish.out or Path(f"{pack.product.name}.student")
    room = room_of(pack, wish.seed, max(USERS, USERS_PER_VISIT * min(wish.sessions or 0, MOST_VISITS)))
    stop = threading.Event()
    with ExitStack() as stack:
        stack.enter_context(signals_to(stop))
        if wish.traces is not None:
            lesson = _learnt(wish, room, stop)
            return _kept(lesson, out, json_output=json_output)
        teacher, identity = _teacher_of(wish, settings, room, out)
        notebook = open_notebook(out, identity, pack, len(room.population))
        if isinstance(teacher, Tutoring):
            teacher = _opened(stack.enter_context(teacher), wish, settings, room, notebook, stop)
        plan = Plan(wish.budget, wish.sessions, wish.seed)
        with _progress(wish) as tell:
            course = Course(
                room, teacher, notebook, plan, keep=lambda notes: notes.save(out), tell=tell, stopping=stop.is_set
            )
            complete = course.teach()
            if not notebook.taught.sessions:
                raise StudentError(
                    f"no visit was played to its end ({notebook.lost} were begun): there is nothing to learn from",
                    hint="Was the budget enough for one? The log tells what went wrong with answers.",
                )
            lesson = course.learn(complete=complete)
    _kept(lesson, out, json_output=json_output)


def _learnt(wish: Wish, room: Room, stop: threading.Event) -> Lesson:
    """The student of somebody else's sessions."""
    from simulator.teach.learning import learn_from

    assert wish.traces is not None
    if wish.tutor == "oracle" or wish.tutor_mode == "plan" or wish.sessions is not None:
        raise SettingsError("--traces asks nobody, so it goes with no --tutor, --tutor-mode and --sessions.")
    with _progress(wish) as show:

        def tell(what: str, notebook: Notebook) -> None:
            if stop.is_set():
                raise typer.Exit(INTERRUPTED)
            show(what, notebook)

        return learn_from(room, wish.traces, wish.map_file, wish.seed, tell)


def _kept(lesson: Lesson, out: Path, *, json_output: bool) -> None:
    """Put the student where it belongs, and tell of it."""
    save_student(out, lesson.student)
    if json_output:
        typer.echo(json.dumps({"student": str(out), "stopped": lesson.stopped} | _told(lesson) | _quality(lesson)))
    else:
        _print(lesson, out)
    if lesson.stopped:
        raise typer.Exit(INTERRUPTED)


def _teacher_of(
    wish: Wish, settings: SimulatorSettings, room: Room, out: Path
) -> tuple[TeacherOfCourse | Tutoring, dict[str, str | int]]:
    """Who teaches (a language model is not asked yet), and what a course must keep the same to go on."""
    common: dict[str, str | int] = {"pack_fingerprint": room.pack.fingerprint, "seed": wish.seed, "tutor": wish.tutor}
    common["users"] = len(room.population)
    if wish.tutor == "oracle":
        return OracleTeacher(oracle_of(room.prior, seed=wish.seed)), common
    options = RunOptions(teacher="tutor", tutor_share=1.0, tutor_mode=wish.tutor_mode)
    identity = tutor_of(options, settings)
    assert identity is not None
    payer = Payer(f"course {out.resolve()}" if settings.tutor_spending else "course", "all", wish.budget)
    settings = settings.model_copy(update={"tutor_spending": settings.tutor_spending or out / SPENDING})
    return Tutoring(identity, settings, wish.budget, payer=payer), common | {
        "model": identity.model, "prompts": identity.prompts, "mode": identity.mode,
    }  # fmt: skip


def _opened(
    tutoring: Tutoring, wish: Wish, settings: SimulatorSettings, room: Room, notebook: Notebook, stop: threading.Event
) -> TutorTeacher:
    """The agents, ready to be asked. What was paid before counts towards the budget, also for a round
    that was killed in its midst."""
    entry = price_table(settings.tutor_prices)[settings.tutor_model]
    if wish.sessions is None and wish.tutor_mode == "plan":
        message = "Plans are paid for once, however many visits follow them: a budget is no end."
        raise SettingsError(message, hint="Add --sessions.")
    if wish.sessions is None and entry.input == entry.output == 0:
        raise SettingsError(
            f"The model {settings.tutor_model} costs nothing: a budget is no end.", hint="Add --sessions."
        )
    tutoring.stopping = stop.is_set
    tutoring.open(resumed=False, earlier=TutorReport(dollars=notebook.paid))
    notebook.paid = tutoring.spent_before
    return TutorTeacher(tutoring, room.prior, entry)


@contextmanager
def _progress(wish: Wish) -> Iterator[Callable[[str, Notebook], None]]:
    """A bar over the dollars (or sessions) on standard error; nothing where that is no terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda what, notebook: None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[visits]:,} visits"),
        TextColumn("${task.fields[dollars]:.2f}"), TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=1.0, visits=0, dollars=0.0)

        def tell(what: str, notebook: Notebook) -> None:
            spent = notebook.dollars / wish.budget if wish.budget > 0 else 0.0
            done = max(spent, notebook.sessions / wish.sessions if wish.sessions else 0.0)
            progress.update(
                task, description=what, completed=min(done, 1.0), visits=notebook.sessions, dollars=notebook.dollars
            )

        yield tell


def _told(lesson: Lesson) -> dict[str, object]:
    told: dict[str, object] = lesson.student.lineage.model_dump(mode="json")
    return told


def _quality(lesson: Lesson) -> dict[str, object]:
    return {"quality": [measure.told() for measure in lesson.quality]}


def _print(lesson: Lesson, out: Path) -> None:
    """The end of `dayone teach`."""
    lineage = lesson.student.lineage
    teacher = lineage.teacher
    cost = f"{teacher.calls:,} answers, {teacher.dollars:.4f} of {teacher.budget:g} dollars"
    if teacher.kind == "oracle":
        cost += " (invented: an oracle costs nothing)"
    typer.echo(f"student {lineage.fingerprint[:12]} of {lineage.product} in {out}")
    if teacher.kind == "log":
        cost = "read from a log, for nothing"
    typer.echo(f"  taught by {lineage.sessions:,} visits, {lineage.decisions:,} decisions; {cost}")
    if teacher.lost and teacher.kind == "log":
        typer.echo(f"  {teacher.lost:,} sessions were left out: they go against the product's rules, or have no label")
    elif teacher.lost:
        typer.echo(f"  {teacher.lost:,} visits taught nothing: their agents did not walk them to the end")
    learnt = sorted(lineage.weights.items(), key=lambda pair: -pair[1]["determined"])[:5]
    typer.echo("  learnt most of: " + ", ".join(f"{name} ({told['determined']:.0f})" for name, told in learnt))
    odd = [measure for measure in lesson.quality if measure.warns]
    if lesson.quality:
        typer.echo(f"  what is known to go wrong with agents: {len(odd)} of {len(lesson.quality)} measures warn")
    for measure in odd:
        typer.echo(f"  warning: {measure}")
    if not lineage.held_out_sessions:
        typer.echo("  nothing was held out to judge it by: too few visits")
        return
    typer.echo(f"{lineage.held_out_sessions:,} visits that it has not seen, predicted by (95 % intervals):")
    typer.echo(
        f"  {'':<14}{'visits':>8}{'dollars':>9}  {'log-loss':<24}{'top-1':<22}{'distance':<24}{'nats/dollar':>11}"
    )
    for one in lesson.fidelity:
        typer.echo("  " + _line(one))
    if lesson.fidelity[-1].total_variation is not None:
        typer.echo(f"  (a distance of {lesson.fidelity[-1].floor:.3f} is what chance alone would give)")
    if lesson.stopped:
        typer.echo(f"stopped: the same command goes on from {out / FILE}")
    else:
        typer.echo(f"play it: dayone simulate {lineage.product} --teacher student --student {out}")


def _line(one: Fidelity) -> str:
    far = "too few to tell" if one.total_variation is None else _score(one.total_variation, 4)
    gain = "" if one.gain_per_dollar is None else f"{one.gain_per_dollar:.4f}"
    loss, hit = _score(one.log_loss, 4), _score(one.top_1, 3)
    return f"{one.name:<14}{one.sessions:>7,}{one.dollars:>9.4f}  {loss:<23}{hit:<22}{far:<23}{gain}".rstrip()


def _score(score: Score, digits: int) -> str:
    return f"{score.value:.{digits}f} [{score.low:.3f}, {score.high:.3f}]"
