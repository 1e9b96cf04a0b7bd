"""`secured he advise`: which scheme and parameters for a problem, at what price, or which other tool."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table as Grid

from flows.commands.terminal import JsonOption, QuietOption, bar, console, write_json
from tasks.common.errors import InputError

if TYPE_CHECKING:
    from tasks.encryption.advising.advice import Advice, DryRun, Plan


def advise(
    problem: Annotated[Path | None, typer.Argument(help="The problem (YAML).", show_default=False)] = None,
    example: Annotated[
        str | None, typer.Option(help="Print a commented problem of this operation, and end.", show_default=False)
    ] = None,
    dry_run: Annotated[
        bool, typer.Option(help="Carry the recommendation out on random data before it is given.")
    ] = True,
    require: Annotated[bool, typer.Option(help="Exit with 14 if homomorphic encryption is not the tool.")] = False,
    json: JsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Choose scheme, library and parameters for a computation on encrypted data, or say which other tool is right.

    Error, time, memory and traffic are predicted; the first use on a machine measures it for some seconds. The
    recommendation is then carried out with throw-away keys and known answers, and refused if it does not hold.

    Example: [bold]secured he advise --example logistic > problem.yaml[/], then
    [bold]secured he advise problem.yaml[/]
    """
    from tasks.encryption.advising import advisor, examples
    from tasks.encryption.advising import problem as problems

    if example is not None:
        typer.echo(examples.example(example), nl=False)
        return
    if problem is None:
        raise InputError("name a problem, or let `secured he advise --example logistic` print one")
    asked = problems.read(problem)
    with bar(quiet) as progress:
        progress.say("planning and rehearsing" if not dry_run else "planning, then a dry run")
        advice = advisor.advise(asked, verify=dry_run)
    write_json(json, advice.model_dump(mode="json"))
    if not quiet:
        _show(advice)
    if require:
        advice.require_plan()


def _show(advice: Advice) -> None:
    color = "green" if advice.plan is not None else "yellow"
    console.print(f"[bold {color}]{escape(_headline(advice))}[/]", soft_wrap=True)
    for sentence in advice.why:
        console.print(escape(sentence[0].upper() + sentence[1:]), soft_wrap=True)
    if advice.plan is not None:
        console.print()
        console.print(_figures(advice.plan))
    if advice.dry_run is not None:
        console.print(f"\n{escape(_checked(advice.dry_run))}", soft_wrap=True)
    console.print()
    console.print(_others(advice))


def _headline(advice: Advice) -> str:
    if advice.plan is None:
        return f"Not homomorphic encryption: {advice.verdict}"
    return f"{advice.plan.scheme.upper()}, {advice.plan.library}"


def _figures(plan: Plan) -> Grid:
    grid = Grid(box=None, show_header=False)
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    rows = [("layout", plan.layout)]
    if plan.parameters is not None:
        own = plan.parameters
        moduli = ", ".join(map(str, own.moduli_bits))
        rows.append(("degree", f"{own.degree:,} ({own.slots:,} slots)"))
        rows.append(("modulus", f"{sum(own.moduli_bits)} bits in primes of {moduli}; the last switches keys"))
        rows.append(
            ("scale", f"{own.scale_bits} bits") if own.scale_bits else ("plain modulus", f"{own.plain_bits} bits")
        )
        steps = ", ".join(map(str, plan.rotations))
        rotations = f"rotations by {steps}" if plan.rotations else "no rotations"
        rows.append(("keys", f"{'products; ' if plan.products else ''}{rotations}"))
    seconds, traffic = plan.seconds, plan.traffic
    rows += [
        ("expected error", f"{plan.error:.2g}" if plan.error else "none: exact"),
        ("evaluator", f"{_time(seconds.evaluate)} of one core, {_size(plan.memory)} of memory"),
        ("owner", f"encrypts {_time(seconds.encrypt)}, decrypts {_time(seconds.decrypt)}"),
        ("traffic", f"{_size(traffic.sent)} there, {_size(traffic.returned)} back; keys {_size(traffic.keys)}, once"),
    ]
    for name, value in rows:
        grid.add_row(name, escape(value))
    return grid


def _checked(run: DryRun) -> str:
    done = [f"{a:,} of {b:,} {what}" for what, (a, b) in (("groups", run.groups), ("terms", run.terms)) if b > 1]
    of = f" ({', '.join(done)})" if done else ""
    off = f"off by {run.error:.2g}, {run.expected:.2g} expected" if run.expected else "exact"
    return (
        f"Dry run with throw-away keys{of}: results are {off}; the evaluator took {_time(run.seconds.evaluate)}, "
        f"{_time(run.predicted.evaluate)} predicted."
    )


def _others(advice: Advice) -> Grid:
    grid = Grid(box=None, header_style="dim")
    for title in ("instead", "here", "loses, or needs"):
        grid.add_column(title)
    for other in advice.alternatives:
        needs = other.loses if other.here else f"{other.loses}. To get it: {other.get}"
        grid.add_row(escape(other.name), "yes" if other.here else "no", escape(needs))
    return grid


def _time(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 600 else f"{seconds / 3600:.3g} h"


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} GB"
