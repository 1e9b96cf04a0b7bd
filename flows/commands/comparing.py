"""Comparing synthetic rows with the rows they stand for, whoever made them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table as Grid

from flows.commands.terminal import JsonOption, PolicyOption, QuietOption, bar, console, write_json
from tasks.common import policy_file
from tasks.common.errors import InputError, ThresholdNotReached
from tasks.common.store import write_text
from tasks.common.table import open_table

if TYPE_CHECKING:
    from tasks.common.policy import Policy
    from tasks.utility.comparing import Comparison
    from tasks.utility.downstream import Estimate
    from tasks.utility.fidelity import Fidelity


def compare(
    real: Annotated[
        Path, typer.Argument(help="The rows that the synthetic ones stand for: anonymized or real.", show_default=False)
    ],
    synthetic: Annotated[Path, typer.Argument(help="The synthetic rows, whoever made them.", show_default=False)],
    policy: PolicyOption,
    test: Annotated[
        Path | None,
        typer.Option(
            help="Rows of the same kind that the synthetic rows were not made from; without them a fifth of the real "
            "rows is held out.",
            show_default=False,
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write a page with pictures into this file.", show_default=False)
    ] = None,
    require_useful: Annotated[bool, typer.Option(help="Exit with 20 if the rows are not useful.")] = False,
    json: JsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Compare synthetic rows with real ones: are they as good to learn from, and would a clinician read the same?

    Three families of models are trained on either and tested on the same real people; then odds ratios, survival, and
    how well the rows can be told apart. Useful means above shuffled columns, and within the policy's gap of the real
    rows. It says nothing about protection: [bold]assess[/] the rows as well.

    Example: [bold]secured compare release.parquet synthetic.parquet -p patients.yaml --test heldout.parquet[/]
    """
    from tasks.utility import comparing

    if html is not None and not html.absolute().parent.is_dir():
        raise InputError(f"--html {html}: there is no folder {html.absolute().parent}")
    with bar(quiet) as progress:
        rules = policy_file.read(policy)
        people = open_table(test) if test else None
        progress.say("loading libraries")
        found = comparing.compare(open_table(real), open_table(synthetic), people, rules, progress.say)
    from tasks.hub import usefulness

    useful, figures = found.fidelity.useful, usefulness.figures(found.fidelity)
    write_json(json, {"useful": useful, "figures": figures, **found.model_dump(mode="json")})
    if html is not None:
        write_text(html, usefulness.page(found, rules, (real.name, synthetic.name)))
    _show(found, rules)
    if html is not None and not quiet:
        console.print(f"wrote {escape(str(html))}", soft_wrap=True)
    if require_useful and not useful:
        raise ThresholdNotReached("the synthetic rows are not useful; the first sentence above says why")


def _show(found: Comparison, policy: Policy) -> None:
    from tasks.hub import usefulness

    fidelity, clinical = found.fidelity, found.fidelity.clinical
    said = usefulness.verdict(fidelity)
    console.print(f"[bold {'green' if fidelity.useful else 'red'}]{escape(said)}[/]", soft_wrap=True)
    if fidelity.answers:
        console.print(_models(fidelity))
    console.print(_shares(fidelity))
    sentences = [usefulness.telling(fidelity.propensity), usefulness.odds(clinical.odds, "odds ratios")]
    if clinical.survival:
        sentences += [
            usefulness.survived(clinical.survival, policy),
            usefulness.odds(clinical.survival.hazards, "hazard ratios"),
        ]
    for sentence in filter(None, sentences):
        console.print(escape(sentence), soft_wrap=True)
    for note in (usefulness.tested_on(found), *usefulness.notes(found)):
        console.print(f"[dim]{escape(note)}[/]", soft_wrap=True)


def _models(fidelity: Fidelity) -> Grid:
    """AUC on real people by family of models and what these learned from."""
    grid = Grid(box=None, header_style="dim")
    for title in ("AUC", "synthetic", "real", "shuffled", "lost"):
        grid.add_column(title, justify="right" if grid.columns else "left", no_wrap=True)
    for answer in fidelity.answers:
        cells = (_bounds(e) for e in (answer.synthetic, answer.real, answer.floor, answer.gap))
        grid.add_row(str(answer.family), *cells)
    return grid


def _shares(fidelity: Fidelity) -> Grid:
    """What sdmetrics says, and shuffled columns beside it."""
    grid = Grid(box=None, header_style="dim")
    for title in ("", "synthetic", "shuffled"):
        grid.add_column(title, justify="right" if grid.columns else "left")
    grid.add_row("pairs of columns", f"{fidelity.trends:.3f}", f"{fidelity.trends_floor:.3f}")
    grid.add_row("single columns", f"{fidelity.shapes:.3f}", "1.000")
    grid.add_row("valid values", f"{fidelity.validity:.3f}", "1.000")
    return grid


def _bounds(estimate: Estimate) -> str:
    return f"{estimate.value:.3f}\n[dim]{estimate.low:.3f} – {estimate.high:.3f}[/]"
