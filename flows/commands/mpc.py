"""`secured mpc`: secure computations among several parties, tried on one machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table as Grid

from flows.commands.encryption_keys import read_description
from flows.commands.terminal import JsonOption, QuietOption, bar, console, write_json
from tasks.common import settings
from tasks.common.errors import InputError, MissingPart

if TYPE_CHECKING:
    from tasks.mpc.engine import Engine
    from tasks.mpc.protocols import Protocol

app = typer.Typer(
    no_args_is_help=True,
    help=(
        "Compute on what several parties have, of which none sees another's (secure multi-party computation).\n\n"
        "[bold]programs[/] says what can be computed, [bold]engines[/] with what and who is protected from whom, "
        "[bold]try[/] runs a program with all parties on this machine."
    ),
)


@app.command("programs")
def programs(json: JsonOption = None) -> None:
    """List what can be computed, and the fields of each description.

    Example: [bold]secured mpc programs[/]
    """
    from mpc_programs.kinds import KINDS

    grid = Grid.grid(padding=(0, 2))
    told = {}
    for name, kind in sorted(KINDS.items()):
        fields = [field for field in kind.model_fields if field != "kind"]
        first = (__import__(kind.__module__, fromlist=["_"]).__doc__ or "").strip().splitlines()[0]
        told[name] = {"what": first, "fields": fields}
        grid.add_row(f"[bold]{name}[/]", escape(first))
        grid.add_row("", f"[dim]{', '.join(fields)}[/]")
    write_json(json, told)
    console.print(grid)


@app.command("engines")
def engines(json: JsonOption = None) -> None:
    """List the engines on this machine, their protocols, and what each protects from.

    Example: [bold]secured mpc engines[/]
    """
    grid, told = Grid.grid(padding=(0, 2)), {}
    for name in ("MP-SPDZ", "embedded"):
        try:
            engine = _engine(name)
        except MissingPart as missing:
            grid.add_row(f"[bold]{name}[/]", f"[dim]{escape(str(missing))}[/]")
            continue
        told[name] = sorted(engine.protocols())
        for protocol in engine.protocols().values():
            grid.add_row(f"[bold]{name}[/]", f"{protocol.name}: {protocol.guarantee}")
    write_json(json, told)
    console.print(grid)


@app.command("try")
def try_(
    job: Annotated[Path, typer.Argument(help="The program's description (JSON).", show_default=False)],
    inputs: Annotated[
        list[Path],
        typer.Argument(help="What each party brings, in their order: .npz by name, or .npy.", show_default=False),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Where to write the result: .json or .npz.", show_default=False)
    ],
    dishonest: Annotated[bool, typer.Option(help="All parties but one may work together.")] = False,
    malicious: Annotated[bool, typer.Option(help="Parties may not follow the protocol.")] = False,
    protocol: Annotated[str, typer.Option(help="Take this one, whatever is asked for.", show_default=False)] = "",
    deadline: Annotated[float, typer.Option(min=1.0, help="Seconds after which all parties are ended.")] = 600.0,
    json: JsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Run a program with all parties on this machine, to see what it gives, what it costs, and how exact it is.

    Each party is a process that gets its own input alone; this command reads all of them, so it is for trying and not
    for data that must not meet. The cheapest protocol that protects as asked is taken.

    Exit code 10 if inputs do not fit the program, 14 if numbers do not fit the format, 25 if a party failed, 40 if no
    engine has such a protocol.

    Example: [bold]secured mpc try sum.json north.npz south.npz west.npz --out total.json[/]
    """
    from mpc_programs.kinds import read
    from tasks.encryption import plaintexts
    from tasks.mpc.advisor import Trust
    from tasks.mpc.protocols import Conduct, Majority

    plaintexts.require_output(out, Path("/nonexistent"))
    program = read(read_description(job))
    trust = Trust(
        program.parties, Majority.DISHONEST if dishonest else Majority.HONEST,
        Conduct.MALICIOUS if malicious else Conduct.SEMI_HONEST,
    )  # fmt: skip
    engine, chosen, why = _chosen(trust, protocol)
    given = {party: _arrays(path, list(program.inputs(party))) for party, path in enumerate(inputs)}
    program.checked(given)
    with bar(quiet) as progress:
        progress.say("compiling")
        compiled = engine.compile(program, chosen)
        progress.say("computing")
        result = engine.run(program, compiled, given, deadline)
    plaintexts.write(result.outputs, out)
    cost = result.cost
    write_json(json, {"engine": engine.name, "protocol": chosen.name, "error": program.error(), **cost.model_dump()})
    if not quiet:
        rounds = f", {cost.rounds:,} rounds" if cost.rounds else ""
        console.print(f"{engine.name}, {escape(why)}", soft_wrap=True)
        console.print(
            f"{cost.online:.2f} s of computing, {cost.seconds:.2f} s in all{rounds}, {sum(cost.sent) / 1e6:,.2f} MB; "
            f"results within {program.error():.2g}",
            soft_wrap=True,
        )
        console.print(f"wrote {escape(str(out))}", soft_wrap=True)


def _engine(name: str) -> Engine:
    """An engine by its name.

    Raises:
        MissingPart: it is not installed.
    """
    if name == "MP-SPDZ":
        from tasks.mpc.mp_spdz import MpSpdz

        return MpSpdz(settings.load().home / "mpc")
    from tasks.mpc.embedded import Embedded

    return Embedded()


def _chosen(trust: object, wanted: str) -> tuple[Engine, Protocol, str]:
    """The engine and protocol to take, and why: MP-SPDZ's before the embedded one's, which take longer."""
    from tasks.mpc.advisor import Trust, choose
    from tasks.mpc.protocols import named

    assert isinstance(trust, Trust)
    found: list[Engine] = []
    for name in ("MP-SPDZ", "embedded"):
        try:
            found.append(_engine(name))
        except MissingPart as missing:
            if name == "embedded" and not found:
                raise missing from None
    names = [wanted] if wanted else [protocol for engine in found for protocol in engine.protocols()]
    if wanted:
        protocol, why = named(wanted), f"{wanted}: {named(wanted).guarantee}"
    else:
        choice = choose(trust, names)
        protocol, why = choice.protocol, choice.why
    for engine in found:
        if protocol.name in engine.protocols():
            return engine, protocol, why
    raise MissingPart(f"no engine here has {protocol.name}; `secured mpc engines` lists what is here")


def _arrays(path: Path, names: list[str]) -> dict[str, object]:
    """One party's arrays by name; that of an .npy file is the program's only input."""
    from tasks.encryption import plaintexts

    if path.suffix not in {".npy", ".npz"}:
        raise InputError(f"{path}: inputs are .npz files with arrays by name, or .npy")
    found = plaintexts.read(path, ())
    if isinstance(found, dict):
        return dict(found)
    if len(names) != 1:
        raise InputError(f"{path} has one array, and the program reads {', '.join(names)}; write an .npz")
    return {names[0]: found}
