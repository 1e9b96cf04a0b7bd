"""`secured he model`: a fitted model becomes a job under encryption, with a certificate that it says the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from flows.commands.terminal import JsonOption, QuietOption, bar, console, write_json
from tasks.common.errors import InputError
from tasks.common.store import write_text

if TYPE_CHECKING:
    from tasks.encryption.inference.certificate import Certificate


def model(
    file: Annotated[
        Path,
        typer.Argument(
            help="The fitted model: .skops (scikit-learn), or .safetensors (a network's tensors).", show_default=False
        ),
    ],
    data: Annotated[
        Path,
        typer.Argument(
            help="People that the model will see the like of: a table (CSV, Parquet) or an array (.npy).",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to write the job (JSON).", show_default=False)],
    certificate: Annotated[
        Path | None, typer.Option(help="A folder for the certificate, JSON and text.", show_default=False)
    ] = None,
    description: Annotated[
        Path | None,
        typer.Option(help="What a .safetensors file is a network of (JSON, as above).", show_default=False),
    ] = None,
    target: Annotated[
        str, typer.Option(help="A column with two values that the model predicts, for its AUC.", show_default=False)
    ] = "",
    layout: Annotated[str, typer.Option(help="columns: many people at once. rows: one, or a few.")] = "columns",
    precision: Annotated[float, typer.Option(help="How much encryption may add to a predictor's error.")] = 1e-4,
    tolerance: Annotated[float, typer.Option(help="How far off polynomials for activations may be.")] = 1e-3,
    margin: Annotated[float, typer.Option(help="How much wider than in the data ranges may be, as a share.")] = 0.1,
    people: Annotated[int, typer.Option(min=1, help="How many the certificate is measured on, at most.")] = 2_000,
    json: JsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Make a job of a fitted model: others then predict with it on data that they cannot read.

    Linear and logistic models, perceptrons and networks of tensors become sums, products and polynomials.
    The ranges of features and activations are taken from the data; whoever encrypts later is refused beyond them. The
    job is then tried with keys that are thrown away: errors, decisions and AUC beside the model's own are the
    certificate. Pickles are refused, since reading one runs whatever is in it: save with [bold]skops.io.dump(model,
    "model.skops")[/].

    A description names the Linear layers in order and what follows each but the last, for example
    [bold]{"layers": ["0", "2"], "functions": ["tanh"], "link": "logistic"}[/].

    Exit code 10 or 11 if a file does not fit, 14 if the model cannot be evaluated under encryption, or not as exactly.

    Example: [bold]secured he model model.skops patients.csv --target died --out job.json --certificate certificate[/]
    """
    from tasks.encryption.inference import job_of_model
    from tasks.encryption.inference.evaluation import Layout

    if layout not in list(Layout):
        raise InputError(f"--layout {layout}: it is one of {', '.join(Layout)}")
    if not out.absolute().parent.is_dir():
        raise InputError(f"--out {out}: there is no folder {out.absolute().parent}")
    asked = job_of_model.Asked(
        model=file, description=description, data=data, target=target, layout=Layout(layout), precision=precision,
        tolerance=tolerance, margin=margin,
    )  # fmt: skip
    with bar(quiet) as progress:
        progress.say("reading the model")
        job, rows = job_of_model.made(asked)
        truth = job_of_model.labels(asked)
        progress.say("trying it under encryption")
        found = job_of_model.certified(job, rows, truth, people)
    write_text(out, job.model_dump_json(indent=2) + "\n")
    if certificate is not None:
        found.write(certificate)
    write_json(json, {"job": str(out), **found.model_dump(mode="json")})
    if not quiet:
        _tell(found, out)


def _tell(found: Certificate, out: Path) -> None:
    path = escape(str(out))
    console.print(escape(found.text()), end="", soft_wrap=True)
    console.print(f"wrote {path}; next: secured he keys make keys --job {path}", soft_wrap=True)
