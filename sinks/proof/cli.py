"""The commands `prove` and `halve`. Options in, files out, errors of ours on standard error."""

from __future__ import annotations

from typing import Annotated

import typer

from personas.console import told_errors
from personas.errors import SettingsError

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def prove(
    synthetic: Annotated[
        str | None, typer.Argument(help="The synthetic log: a file of events, a store, or a training set.")
    ] = None,
    core: Annotated[str | None, typer.Option(metavar="LOG", help="Real events that the model may have seen.")] = None,
    holdout: Annotated[str | None, typer.Option(metavar="LOG", help="Real events that no model has seen.")] = None,
    real: Annotated[
        str | None, typer.Option(metavar="LOG", help="Real events, split by a hash of the user into both.")
    ] = None,
    out: Annotated[str, typer.Option(metavar="DIR", help="Where proof.html and proof.json go.")] = "proof",
    gate: Annotated[
        str | None, typer.Option(metavar="FILE", help="YAML: bounds; exit code 9 if one is missed.")
    ] = None,
    map_file: Annotated[
        str | None, typer.Option("--map", metavar="FILE", help="YAML: how real logs call things.")
    ] = None,
    conversion: Annotated[
        str | None, typer.Option(metavar="EVENT", help="The event that the product lives on.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option("--only", metavar="MEASURE", help="Only this measure.")] = None,
    run: Annotated[list[str] | None, typer.Option(metavar="RUN", help="Only this run of a store.")] = None,
    store: Annotated[str | None, typer.Option(metavar="FILE", help="The store of a training set's runs.")] = None,
    generations: Annotated[
        int, typer.Option(min=0, max=20, help="Fit so many generations, each on the last: does it collapse?")
    ] = 0,
    day_n: Annotated[
        bool, typer.Option("--day-n", help="Measure from day zero to day N: fits shares of the core.")
    ] = False,
    day_zero: Annotated[
        str | None, typer.Option(metavar="LOG", help="For --day-n: a synthetic log that knew no core.")
    ] = None,
    pack: Annotated[str | None, typer.Option(help="For --day-n: its personas join small shares.")] = None,
    maker: Annotated[str, typer.Option(help="For both: twins (dayone fit), or markov, a plain chain.")] = "twins",
    seed: Annotated[int, typer.Option(min=0, help="For samples and bootstrap.")] = 0,
    replicates: Annotated[int, typer.Option(min=20, max=10_000, help="Bootstrap replicates.")] = 200,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of proof.json, and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the proof as JSON.")] = False,
) -> None:
    """Prove what a synthetic log is worth, on real users that no model has seen: proof.html and proof.json."""
    with told_errors():
        import json
        from pathlib import Path

        from personas.console import progress_of
        from personas.core.mapping import CoreMap, load_map
        from sinks.proof.extra import needed

        needed()
        if schema:
            from sinks.proof.record import Proof

            typer.echo(json.dumps(Proof.model_json_schema(), indent=1))
            return
        if synthetic is None:
            raise SettingsError("SYNTHETIC is missing.", hint="dayone prove synthetic.parquet --real events.parquet")
        if (real is not None and (core or holdout)) or (core is None) != (holdout is None):
            raise SettingsError(
                "Real logs come as --core and --holdout, both of them, or as one with --real.",
                hint="Without any, a proof says 'synthetic only'.",
            )
        if (generations or day_n) and real is None and core is None:
            raise SettingsError(
                "--generations and --day-n fit models on a real core.", hint="Add --real, or --core and --holdout."
            )
        if pack is not None and not day_n:
            raise SettingsError("--pack goes with --day-n: its models are fitted with it.", hint="Add --day-n.")
        from sinks.proof.auditing import noted
        from sinks.proof.curves import collapse, growth
        from sinks.proof.gates import load_rules, require
        from sinks.proof.log import encode_with
        from sinks.proof.maker import maker_of
        from sinks.proof.proving import Wish, split
        from sinks.proof.proving import prove as prove_logs
        from sinks.proof.reading import read_log, read_synthetic
        from sinks.proof.record import PAGE
        from sinks.proof.registry import named_metrics
        from sinks.proof.telling import told
        from sinks.proof.writing import write_proof
        from sinks.settings import load_settings

        place = load_settings(store=store).place
        rules = load_rules(Path(gate)) if gate else ()
        mapping = load_map(Path(map_file)) if map_file else CoreMap()
        wish = Wish(seed, replicates, conversion or mapping.conversion, named_metrics(only or ()), rules)
        reads = {"synthetic": read_synthetic(synthetic, CoreMap(), place, run or ())}
        if real is not None:
            reads["core"], reads["holdout"] = split(read_log(real, mapping, "--real "))
        elif core is not None and holdout is not None:
            reads["core"] = read_log(core, mapping, "--core ")
            reads["holdout"] = read_log(holdout, mapping, "--holdout ")
        with progress_of("Proving", quiet=as_json) as progress:
            proof, evidence = prove_logs(reads, wish, progress)
        if generations:
            with progress_of("Generations", quiet=as_json) as progress:
                fallen = collapse(evidence, maker_of(maker), generations, progress, wish.metrics)
            names = ("collapse", "collapse_gains", "collapse_said")
            found = (fallen.lines, fallen.gains, fallen.said)
            proof = proof.model_copy(update=dict(zip(names, found, strict=True)))
        if day_n:
            zero = None
            if day_zero is not None:
                read = read_synthetic(day_zero, CoreMap(), place)
                zero = encode_with(evidence.synthetic.words, "day zero", read.table)
            with progress_of("Day zero to day N", quiet=as_json) as progress:
                grown = growth(evidence, maker_of(maker, pack), zero, progress, wanted=wish.metrics)
            names, found = ("growth", "growth_gains", "growth_said"), (grown.lines, grown.gains, grown.said)
            proof = proof.model_copy(update=dict(zip(names, found, strict=True)))
        write_proof(proof, Path(out))
        if reads["synthetic"].place is not None:
            noted(reads["synthetic"].place, proof, Path(out))
        if as_json:
            typer.echo(proof.model_dump_json())
        else:
            for line in told(proof, Path(out) / PAGE):
                typer.echo(line)
        require(proof.gates, Path(out) / PAGE)


@app.command()
def halve(
    real: Annotated[str, typer.Argument(help="Real events: a file, a directory of files, or FILE.duckdb::TABLE.")],
    out: Annotated[str, typer.Option(metavar="DIR", help="Where core.parquet and holdout.parquet go.")] = ".",
    map_file: Annotated[
        str | None, typer.Option("--map", metavar="FILE", help="YAML: how the log calls things.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object for machines.")] = False,
) -> None:
    """Split real events by a hash of the user: core.parquet to fit on, holdout.parquet that no model may see."""
    with told_errors():
        import json
        from pathlib import Path

        from personas.core.mapping import CoreMap, load_map
        from sinks.proof.halves import write_halves
        from sinks.proof.reading import read_halves

        core, holdout = read_halves(real, load_map(Path(map_file)) if map_file else CoreMap())
        paths = write_halves(core, holdout, Path(out))
        if as_json:
            typer.echo(json.dumps({"core": str(paths[0]), "holdout": str(paths[1])}))
        else:
            typer.echo(f"{paths[0]}: {core.num_rows:,} events. {paths[1]}: {holdout.num_rows:,} events, for no model.")
