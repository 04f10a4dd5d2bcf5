"""`dayone local-llm`: a language model on this machine, until it is told to stop."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import typer

from simulator.commands import print_note
from simulator.interruption import signals_to
from simulator.local_llm.llama import Llama
from simulator.local_llm.server import MessagesServer


def local_llm_command(
    port: int, model: Path | None, slots: int, context: int, threads: int | None, longest_text: int | None
) -> None:
    """Load the model, serve, and print what to export."""
    stop = threading.Event()
    with signals_to(stop):
        llama = Llama(model, slots=slots, context=context, threads=threads or os.cpu_count() or 1)
        serving = MessagesServer(llama.complete, llama.name, slots=slots, port=port, longest_text=longest_text)
        with serving as server:
            typer.echo(f"export ANTHROPIC_BASE_URL={server.url}")
            typer.echo(f"export DAYONE_TUTOR_MODEL=local/{llama.name}")
            print_note("Ctrl-C ends it. It costs nothing and wants no key; a model of this size answers near chance.")
            stop.wait()
