"""Problems in YAML to begin with, one for each operation."""

from __future__ import annotations

import difflib

from tasks.common.errors import ParametersError
from tasks.encryption.advising.problem import Operation

_ENDING = """\
key: owner              # who can decrypt: owner, third-party (sees results only), nobody (alone), evaluator
security: 128           # bits, by HomomorphicEncryption.org: 128, 192 or 256
per_day: 1              # how often it runs
deadline: 60            # seconds of one run at the evaluator; leave it out if there is none
"""
_MODEL = "model: evaluator        # who knows it: evaluator (in plaintext), encrypted (nobody else), public\n"
_RANGE = "range: {}              # the largest absolute value in the data\n"
_WEIGHTS = "weights: {}            # the largest absolute value in the model\n"
_PRECISION = "precision: {}     # the largest absolute error of a result; or `exact: true` for integers\n"

_OWN: dict[Operation, tuple[str, str]] = {
    Operation.SUM: (
        "Totals of every column of a table.",
        "rows: 20000             # of the table\nfeatures: 5             # columns\nrange: 1000\nexact: true\n",
    ),
    Operation.MEAN: (
        "Means of every column of a table.",
        "rows: 20000             # of the table\nfeatures: 5             # columns\n"
        + _RANGE.format("200")
        + _PRECISION.format("0.01 "),
    ),
    Operation.VARIANCE: (
        "Means and variances of every column of a table.",
        "rows: 20000\nfeatures: 5\nrange: 120              # whole numbers, as years of age\nexact: true\n",
    ),
    Operation.HISTOGRAM: (
        "Counts by bin; owners send a column of 0 and 1 for each bin.",
        "rows: 20000             # of all parties together\nparties: 3\nbins: 12\n",
    ),
    Operation.LINEAR: (
        "A linear model on many rows.",
        "rows: 10000\nfeatures: 30\n"
        + _RANGE.format("8  ")
        + _WEIGHTS.format("1  ")
        + _PRECISION.format("0.001")
        + _MODEL,
    ),
    Operation.LOGISTIC: (
        "A logistic model: the logit comes back, the owner applies the link. Sizes of the International Stroke Trial.",
        "rows: 19285             # patients\nfeatures: 30            # after coding categories\n"
        + _RANGE.format("8  ")
        + _WEIGHTS.format("1  ")
        + _PRECISION.format("0.001")
        + _MODEL,
    ),
    Operation.COX: (
        "Linear predictors of a Cox model.",
        "rows: 5000\nfeatures: 12\n"
        + _RANGE.format("5  ")
        + _WEIGHTS.format("2  ")
        + _PRECISION.format("0.001")
        + _MODEL,
    ),
    Operation.POLYGENIC_SCORE: (
        "Polygenic scores: genotypes 0, 1, 2 times effects.",
        "rows: 4000              # people\nfeatures: 5000          # variants\n"
        + _WEIGHTS.format("0.5")
        + _PRECISION.format("0.01 ")
        + _MODEL,
    ),
    Operation.POLYNOMIAL: (
        "A polynomial of every value.",
        "rows: 8000              # values\ndegree: 7\n"
        + _RANGE.format("1  ")
        + "weights: 1              # the largest absolute coefficient\n"
        + _PRECISION.format("0.001")
        + _MODEL,
    ),
    Operation.NETWORK: (
        "A small network; activations are squares, or polynomials of a degree.",
        "rows: 4000\nfeatures: 20\nlayers: [8, 1]          # units of the layers after the input\n"
        "activation: 2           # degree; 2 is the square\n"
        + _RANGE.format("3  ")
        + _WEIGHTS.format("0.3")
        + _PRECISION.format("0.01 ")
        + _MODEL,
    ),
    Operation.MATRIX_VECTOR: (
        "A matrix of the evaluator times encrypted vectors.",
        "rows: 4                 # vectors\nfeatures: 256           # their length\n"
        "outputs: 128            # rows of the matrix\n"
        + _RANGE.format("1  ")
        + _WEIGHTS.format("1  ")
        + _PRECISION.format("0.001")
        + _MODEL,
    ),
    Operation.KMEANS_STEP: (
        "One step of k-means: distances, and new sums by encrypted assignment.",
        "rows: 8000\nfeatures: 4\nclusters: 3\n" + _RANGE.format("3  ") + _PRECISION.format("0.01 ") + _MODEL,
    ),
    Operation.TRAINING: (
        "Gradient steps of logistic regression on encrypted rows.",
        "rows: 4000\nfeatures: 5\niterations: 2           # more than a few are too deep\nrate: 1.0\n"
        + _RANGE.format("3  ")
        + _PRECISION.format("0.01 "),
    ),
    Operation.AGGREGATION: (
        "The sum of model updates of several parties.",
        "parties: 10\nfeatures: 50000         # parameters of the model\n"
        + _RANGE.format("1  ")
        + _PRECISION.format("0.001"),
    ),
    Operation.LOOKUP: (
        "An entry of the evaluator's table, asked for by an encrypted column of 0 and a single 1.",
        "rows: 1                 # queries\nentries: 1000           # of the table\n" + _WEIGHTS.format("999") + _MODEL,
    ),
    Operation.REGRIDDING: (
        "A volume made finer by linear interpolation.",
        "shape: [16, 64, 64]     # slices, rows, columns\nfactor: 2\n"
        + _RANGE.format("255")
        + _PRECISION.format("0.5  "),
    ),
    Operation.COMPARISON: (
        "Is a value above a threshold?",
        "rows: 100               # values\n" + _RANGE.format("100") + "precision: 1            # steps of the values\n",
    ),
    Operation.TREE: (
        "Decision trees.",
        "rows: 10\nfeatures: 4             # that the tree asks of\nnodes: 15               # comparisons of one row\n"
        + _RANGE.format("100")
        + "precision: 1            # steps of the values\n"
        + _MODEL,
    ),
}


def example(kind: str) -> str:
    """A commented problem, ready for `secured he advise`.

    Raises:
        ParametersError: there is no such operation.
    """
    names = [operation.value for operation in Operation]
    if kind not in names:
        close = difflib.get_close_matches(kind, names, n=1, cutoff=0.5)
        hint = f"did you mean `{close[0]}`?" if close else f"there are {', '.join(names)}"
        raise ParametersError(f"there is no operation `{kind}`; {hint}")
    says, own = _OWN[Operation(kind)]
    return f"# {says}\nname: {kind}-example\noperation: {kind}\n{own}{_ENDING}"
