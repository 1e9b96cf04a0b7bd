"""Single steps of the data flow as commands, for people who use parts."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pyarrow as pa
import typer
from rich.markup import escape
from rich.table import Table as Grid

from flows.commands.terminal import (
    JsonOption,
    PolicyOption,
    QuietOption,
    TableArgument,
    bar,
    console,
    require_output,
    write_json,
    write_table,
)
from tasks.common import key_file, policy_file, reading
from tasks.common.errors import Inconclusive, InputError, SecuredError, StorageError, ThresholdNotReached
from tasks.common.seeds import derive, generator
from tasks.common.streaming import InFile
from tasks.common.table import file_hash, open_table

if TYPE_CHECKING:
    import numpy as np

    from tasks.anonymization.account import Anonymization
    from tasks.attacks.assess import People
    from tasks.attacks.score import Scorecard
    from tasks.common.policy import Policy
    from tasks.common.table import Table

OutOption = Annotated[
    Path, typer.Option("--out", "-o", help="Where to write it, .parquet or .csv.", show_default=False)
]


def anonymize(
    table: TableArgument,
    policy: PolicyOption,
    out: OutOption,
    key: Annotated[
        Path | None,
        typer.Option(
            "--key",
            "-k",
            help="The owner's key file, where the policy has pseudonyms or shifted dates.",
            show_default=False,
        ),
    ] = None,
    json: JsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Anonymize a table by the policy's criteria. Says nothing about risk: attack the result with [bold]assess[/].

    Direct identifiers are removed, quasi-identifiers generalized as little as the criteria allow, rows that still stand
    out suppressed within the policy's limit.

    Example: [bold]secured anonymize patients.csv -p patients.yaml -o release.parquet[/]
    """
    from tasks.anonymization import anonymizer, holdout
    from tasks.anonymization.plan import first_plan
    from tasks.validation import expectations

    require_output(out)
    with bar(quiet) as progress:
        rules, source = policy_file.read(policy), open_table(table)
        progress.say("checking the table")
        expectations.validate(source, rules).require()
        progress.say("counting")
        original, persons = holdout.limited(InFile(source, rules), rules)
        rows = anonymizer.source(original, rules, key_file.read(key) if key else None)
        counted = anonymizer.count(rows, persons, rules.criteria.secrets, parts=len(os.sched_getaffinity(0)))
        progress.say("searching for the best generalization, and writing")
        rng = generator(rules.seed, "anonymize")
        account = anonymizer.write(rows, counted, first_plan(rules), rng, out)
    write_json(json, {"out": str(out), "sha256": file_hash(out), **account.model_dump(mode="json")})
    if not quiet:
        _show_account(account, rules, out)


def assess(
    original: Annotated[Path, typer.Argument(help="The table that the release was made from.", show_default=False)],
    release: Annotated[Path, typer.Argument(help="The anonymized or synthetic rows to attack.", show_default=False)],
    policy: PolicyOption,
    control: Annotated[
        Path | None,
        typer.Option(help="Rows of the same kind that the release was not made from; without them risk is overstated."),
    ] = None,
    inside: Annotated[
        Path | None,
        typer.Option(
            help="Write into this file whom the worst attack gains from, by group and by person, for your eyes only: "
            "publishing it tells attackers whom to go for, and leaks by itself (arXiv 2312.05114). Needs --control.",
            show_default=False,
        ),
    ] = None,
    require_pass: Annotated[bool, typer.Option(help="Exit with 20 or 21 if the gate does not pass.")] = False,
    json: JsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Attack a release, whoever made it, and score its protection from 0 to 100.

    Labels of the release are understood through the policy's hierarchies, so releases of other tools work too. Best
    with --control: people who are not in the release show what an attack learns about anyone.

    Example: [bold]secured assess patients.csv release.csv -p patients.yaml --control heldout.csv --json score.json[/]
    """
    from tasks.attacks import assess as assessing

    if inside is not None:
        _require_private(inside, control, (original, release, policy, control, json))
    cores = len(os.sched_getaffinity(0))
    with bar(quiet) as progress:
        rules = policy_file.read(policy)
        attacked = open_table(release)
        rows = reading.read_release(attacked, rules)
        source = open_table(original)
        people = _people(source, rules, rows.column_names)
        untouched = _people(open_table(control), rules, rows.column_names) if control else None
        progress.say("choosing whom to attack")
        card = assessing.assess(people, untouched, rows, rules, lambda name: progress.say(f"attack: {name}"), cores)
        if inside is not None and untouched is not None:
            progress.say("looking at each person")
            _write_inside(inside, people, untouched, rows, rules, card, reading.included_rows(source, rules), cores)
    ignored = [name for name in attacked.columns if name not in rows.column_names]
    write_json(json, {**card.model_dump(mode="json"), "controlled": control is not None, "ignored": ignored})
    _show_card(card, controlled=control is not None, ignored=ignored)
    if inside is not None:
        console.print(f"wrote {escape(str(inside))}: whom it gains from. Never publish it", soft_wrap=True)
    if require_pass and card.gate != "passes":
        raise _refusal(card)


def synthesize(
    table: TableArgument,
    policy: PolicyOption,
    rows: Annotated[int, typer.Option("--rows", "-n", min=1, help="How many rows to make.", show_default=False)],
    out: OutOption,
    json: JsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Make synthetic rows that look like a table's, with CTGAN. Train it on an anonymized release, to keep what
    protects that.

    Only columns that the policy releases are learned. CTGAN alone guarantees nothing: [bold]assess[/] its rows.

    Example: [bold]secured synthesize release.parquet -p patients.yaml -n 5000 -o synthetic.parquet[/]
    """
    require_output(out)
    with bar(quiet) as progress:
        rules = policy_file.read(policy)
        source = reading.read_release(open_table(table), rules)
        progress.say("loading CTGAN")
        from tasks.synthesis import gan

        epochs = rules.synthesis.epochs or gan.epochs_for(source.num_rows, rules.synthesis.batch)
        progress.say("training CTGAN")
        fitted = gan.fit(source, rules.synthesis, derive(rules.seed, "fit"), lambda epoch: progress.at(epoch, epochs))
        progress.say("drawing rows")
        made = gan.sample(fitted, rows, derive(rules.seed, "rows"))
        write_table(made, out)
    write_json(
        json,
        {
            "out": str(out),
            "sha256": file_hash(out),
            "rows": made.num_rows,
            "columns": made.column_names,
            "epochs": epochs,
        },
    )
    if not quiet:
        console.print(f"wrote {made.num_rows:,} synthetic rows to {escape(str(out))}", soft_wrap=True)


def _people(table: Table, policy: Policy, columns: list[str]) -> People:
    from tasks.anonymization import holdout

    rows = reading.included_rows(table, policy)
    known = policy.person in table.columns
    persons = holdout.persons(table, policy) if known else None
    return reading.read(table, policy, columns).take(pa.array(rows)), None if persons is None else persons[rows]


def _refusal(card: Scorecard) -> SecuredError:
    missing = f"; {card.shortage}" if card.shortage else ""
    kind = ThresholdNotReached if card.gate == "fails" else Inconclusive
    return kind(
        f"the gate {card.gate}: {card.worst} may gain {card.worst_finding.high:.3f}, more than {card.threshold}"
        f"{missing}"
    )


def _require_private(path: Path, control: Path | None, others: Sequence[Path | None]) -> None:
    """Raises: InputError: a private file cannot be written there without showing, or losing, something."""
    if control is None:
        raise InputError("--inside needs --control: what an attack gains from a group is measured against others of it")
    if path.resolve() in {other.resolve() for other in others if other is not None}:
        raise InputError(f"--inside {path}: this file has another part in the same command")
    if not path.absolute().parent.is_dir():
        raise InputError(f"--inside {path}: there is no folder {path.absolute().parent}")
    if not path.is_symlink() and not path.exists():
        return
    found = path.lstat().st_mode
    if not stat.S_ISREG(found) or found & (stat.S_IRWXG | stat.S_IRWXO):
        raise InputError(
            f"--inside {path}: it exists and is no file that only you can read; remove it, or chmod 600 it"
        )


def _write_inside(
    path: Path,
    people: People,
    control: People,
    rows: pa.Table,
    policy: Policy,
    card: Scorecard,
    row_numbers: np.ndarray,
    cores: int,
) -> None:
    """Raises: InputError: no attack goes for one person after the other. StorageError: the file cannot be written."""
    from tasks.attacks import inside

    seen = inside.look_at_worst(people, control, rows, policy, card, row_numbers, cores)
    if seen is None:
        raise InputError("--inside has nothing to tell: the policy asks for no attack on one person after the other")
    try:
        seen.write(path)
    except OSError as error:
        raise StorageError(f"--inside {path} cannot be written ({error.strerror})") from error


def _show_account(account: Anonymization, policy: Policy, out: Path) -> None:
    from tasks.hub import wording

    cells = f", {account.cells:.1%} of the cells suppressed" if account.cells else ""
    console.print(
        f"wrote {account.rows_after:,} rows to {escape(str(out))}: {', '.join(account.criteria)}, "
        f"{account.suppressed:.1%} of the rows suppressed{cells}, {account.loss:.1%} of the detail lost "
        f"({wording.optimality(account)})",
        soft_wrap=True,
    )
    grid = Grid(box=None, header_style="dim")
    for title in ("column", "what happened", "detail lost"):
        grid.add_column(title, justify="right" if title == "detail lost" else "left")
    changes = {name: wording.change(policy, account, name) for name in account.column_loss}
    for name, change in changes.items():
        if change != wording.UNCHANGED or name in policy.quasi:
            grid.add_row(escape(name), escape(change), f"{account.column_loss[name]:.1%}")
    console.print(grid)
    if note := wording.pseudonymity(account):
        console.print(f"[yellow]{escape(note)}[/]")


def _show_card(card: Scorecard, *, controlled: bool, ignored: list[str]) -> None:
    colour = {"passes": "green", "fails": "red"}.get(str(card.gate), "yellow")
    console.print(
        f"score [bold]{card.score:.1f}[/] of 100, gate [bold {colour}]{card.gate}[/], threshold {card.threshold}"
    )
    if card.shortage:
        console.print(f"for want of people: {escape(card.shortage)}", soft_wrap=True)
    console.print(_grid(card))
    for note in _notes(card):
        console.print(f"[dim]{escape(note)}[/]", soft_wrap=True)
    if not controlled:
        console.print("[dim]without --control the naive guess stood in for it, so the risk is overstated[/]")
    if ignored:
        console.print(f"[dim]not attacked, since the policy does not release them: {escape(', '.join(ignored))}[/]")


def _grid(card: Scorecard) -> Grid:
    """Attacks by goal, the one that sets the score in bold."""
    from tasks.hub import wording

    grid = Grid(box=None, header_style="dim")
    grid.add_column("attack", overflow="fold")
    for title in ("success", "control", "naive", "risk", "bounds"):
        grid.add_column(title, justify="right", no_wrap=True)
    for goal, findings in wording.by_goal(card):
        grid.add_row(f"[dim]{wording.GOALS[goal][0]}[/]")
        for f in findings:
            grid.add_row(
                f"  {escape(f.name)}",
                *(f"{rate:.3f}" for rate in (f.success, f.control, f.baseline, f.risk)),
                f"{f.low:.3f} – {f.high:.3f}",
                style="bold" if f.name == card.worst else None,
            )
    return grid


def _notes(card: Scorecard) -> list[str]:
    """What the table has no column for."""
    from tasks.hub import wording

    notes = [f"{finding.name} {figure}" for finding in card.attacks for figure in wording.figures(finding)]
    if any(finding.goal == "reconstruction" for finding in card.attacks):
        notes.append("for reconstruction, the control is the guess by the label alone, on the same people")
    return notes
