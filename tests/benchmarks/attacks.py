"""Attacks: the three of anonymeter beside it, on the same targets; and a full assessment that certifies 0.09.

The tables are drawn from the hospital stays of UCI's diabetes data (15 columns), each value replaced with a
probability of 10 %. In the comparison a fifth of the attacked people are in the release word for word. Both sides run
on one thread; ours has compiled its code before the clock starts, anonymeter's compiles in a first attack on few rows.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.attacks import inference, linkability, predicates
from tasks.attacks.adversary import Adversary, Goal, Method
from tasks.attacks.assess import assess
from tasks.attacks.risk import Interval, Stratum, Trials, success_rate
from tasks.attacks.score import Gate, Scorecard
from tasks.common import reading
from tasks.common.policy import Policy
from tasks.common.table import open_table
from tests.benchmarks import peers, results
from tests.conftest import ROOT, make_policy

PACKAGES = ("numpy", "numba", "pyarrow", "scikit-learn")
ROWS = (10_000, 100_000)
TRIALS = 500
# Claims that single people out are drawn by lot; a rate is that of so many draws together.
SEEDS = {10_000: 5, 100_000: 2}
REPLACED = 0.1
LEAKED = 0.2
GUESSED = "readmitted"
QUASI = ("race", "gender", "age", "payer_code", "medical_specialty")
OTHER = ("admission_type_id", "discharge_disposition_id", "insulin")
NUMBERS = ("time_in_hospital", "num_lab_procedures", "num_medications", "number_inpatient", "number_diagnoses")
SENSITIVE = ("diag_1", GUESSED)
_PEER_SECONDS = 900
_PEER = """
import json, sys, time, warnings
import pandas as pd
from anonymeter.evaluators import InferenceEvaluator, LinkabilityEvaluator, SinglingOutEvaluator
warnings.simplefilter("ignore")
folder, name, trials, seeds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
left, right, secret = map(json.loads, sys.argv[5:8])
read = lambda part: pd.read_parquet(f"{folder}/{part}.parquet")
release, known = read("release"), [c for c in left + right if c != secret]

def attack(release, ori, control, trials, seed=0):
    if name == "singling out":
        made = SinglingOutEvaluator(ori=ori, syn=release, n_attacks=trials, n_cols=3, control=control, seed=seed)
        return made.evaluate(mode="multivariate")
    if name == "linkability":
        made = LinkabilityEvaluator(ori=ori, syn=release, n_attacks=trials, aux_cols=(left, right), control=control)
    else:
        who = dict(ori=ori, syn=release, control=control, n_attacks=trials)
        made = InferenceEvaluator(aux_cols=known, secret=secret, **who)
    return made.evaluate(n_jobs=1)

few = release.sample(60, random_state=1)
attack(few, few, few, 5)
whole = name == "singling out"
ori, control = read("original" if whole else "targets"), read("control" if whole else "untouched")
start = time.perf_counter()
runs = [attack(release, ori, control, trials, seed).results() for seed in range(seeds)]
seconds = (time.perf_counter() - start) / seeds
found = {"attack": sum(int(run.n_success) for run in runs), "control": sum(int(run.n_control) for run in runs)}
print(json.dumps({"seconds": seconds, **found}))
"""


@dataclass
class Attacked:
    """Seconds, and the rates of success on the original and on the control; seconds are None if it took too long."""

    seconds: float | None
    attack: Interval | None = None
    control: Interval | None = None


@dataclass
class Assessed:
    """Seconds, processor seconds on all cores, seconds of a first assessment that compiles, and the card.

    load: processes that ran or waited at the end, ours included, as a mean over the last minute.
    """

    seconds: float
    processor: float
    compiled: float
    card: Scorecard
    load: float


def data() -> Path | None:
    """The table of hospital stays, where it is."""
    folder = Path(os.environ.get("SECURED_SHARED_DATA", ROOT.parent / "shared" / "data"))
    path = folder / "diabetes130.parquet"
    return path if path.is_file() else None


def policy() -> Policy:
    """What the 15 columns mean."""
    columns = {name: {"role": "quasi", "hierarchy": "all-or-nothing"} for name in QUASI}
    columns |= {name: {"role": "other"} for name in OTHER}
    columns |= {name: {"role": "other", "kind": "numeric"} for name in NUMBERS}
    columns |= {name: {"role": "sensitive"} for name in SENSITIVE}
    return make_policy(columns, seed=11)


def draw(rows: pa.Table, count: int, rng: np.random.Generator) -> pa.Table:
    """Rows from the joint distribution of these."""
    chosen = rng.integers(0, rows.num_rows, count)
    columns = {}
    for name in rows.column_names:
        place = np.where(rng.random(count) < REPLACED, rng.integers(0, rows.num_rows, count), chosen)
        columns[name] = rows[name].take(pa.array(place))
    return pa.table(columns)


def main() -> None:
    """Measure and record."""
    path = data()
    if path is None:
        sys.stderr.write("attacks: skipped, the diabetes data are not there (SECURED_SHARED_DATA names their folder)\n")
        return
    rules = policy()
    source = open_table(path)
    rows = reading.read(source, rules)
    rng = np.random.default_rng(0)
    thirds = [rows.take(pa.array(part)) for part in np.array_split(rng.permutation(rows.num_rows), 3)]
    cores = len(os.sched_getaffinity(0))
    assessed = _assessment(thirds, rules, cores, rng)
    lines = [line for count in ROWS for line in _beside(thirds, rules, count, rng)]
    results.record("Attacks beside anonymeter", _text(lines, assessed, cores), PACKAGES)


def _assessment(thirds: list[pa.Table], rules: Policy, cores: int, rng: np.random.Generator) -> Assessed:
    """A release of other people, after a small one that compiles machine code."""
    few = [draw(part, 2_000, rng) for part in thirds]
    start = time.perf_counter()
    assess((few[0], None), (few[1], None), few[2], rules, cores=cores)
    compiled = time.perf_counter() - start
    original, control, release = (draw(t, n, rng) for t, n in zip(thirds, (100_000, 40_000, 100_000), strict=True))
    start, used = time.perf_counter(), time.process_time()
    card = assess((original, None), (control, None), release, rules, cores=cores)
    seconds, used = time.perf_counter() - start, time.process_time() - used
    sys.stderr.write(f"attacks: assessment {seconds:.0f} s, {used:.0f} CPU s, {card.gate}, score {card.score:.1f}\n")
    return Assessed(seconds, used, compiled, card, os.getloadavg()[0])


def _beside(thirds: list[pa.Table], rules: Policy, rows: int, rng: np.random.Generator) -> list[list[str]]:
    """One line for each attack: ours and anonymeter's."""
    original, control, others = (draw(part, rows, rng) for part in thirds)
    leaked = rng.permutation(rows)[: int(LEAKED * rows)]
    release = pa.concat_tables([others.slice(len(leaked)), original.take(pa.array(leaked))])
    picked = rng.permutation(rows)[:TRIALS]
    targets, untouched = original.take(pa.array(picked)), control.take(pa.array(picked))
    left, right = rules.released[0::2], rules.released[1::2]
    ours = _ours(original, control, release, targets, untouched, left, right, rules)
    with tempfile.TemporaryDirectory() as folder:
        tables = {"original": original, "control": control, "release": release}
        for name, table in (tables | {"targets": targets, "untouched": untouched}).items():
            pq.write_table(table, Path(folder) / f"{name}.parquet")
        lines = []
        for name, attack in ours.items():
            seeds = SEEDS[rows] if name == "singling out" else 1
            mine = _timed(attack, seeds)
            peer = _anonymeter(folder, name, seeds, left, right)
            sys.stderr.write(f"attacks: {rows} rows, {name}: {mine.seconds} s, anonymeter {peer.seconds} s\n")
            lines.append(_line(rows, name, mine, peer))
        return lines


def _ours(
    original: pa.Table,
    control: pa.Table,
    release: pa.Table,
    targets: pa.Table,
    untouched: pa.Table,
    left: list[str],
    right: list[str],
    rules: Policy,
) -> dict[str, Callable[[int], list[np.ndarray]]]:
    """The attacks, each giving its successes on the targets and on the untouched; all targets alike, no strata."""
    link = Adversary(name="link", goal=Goal.LINKABILITY, knows=tuple(left), linked=tuple(right))
    known = tuple(name for name in rules.released if name != GUESSED)
    infer = Adversary(name="infer", goal=Goal.INFERENCE, knows=known, secret=GUESSED)
    isolate = Adversary(name="isolate", goal=Goal.SINGLING_OUT, knows=tuple(rules.released), method=Method.MULTIVARIATE)

    def claims(seed: int) -> list[np.ndarray]:
        rng = np.random.default_rng(seed)
        made = predicates.attack(isolate, release, original, control, rules, {}, TRIALS, rng)
        assert made.control is not None, "there is a control"
        return [made.original, made.control]

    return {
        "singling out": claims,
        "linkability": lambda _: [linkability.succeed(link, release, t, rules, {}) for t in (targets, untouched)],
        "inference": lambda _: [inference.succeed(infer, release, t, rules, {}) for t in (targets, untouched)],
    }


def _timed(attack: Callable[[int], list[np.ndarray]], seeds: int) -> Attacked:
    """Seconds are those of one seed, the rates those of all."""
    attack(0)
    start = time.perf_counter()
    runs = [attack(seed) for seed in range(seeds)]
    seconds = (time.perf_counter() - start) / seeds
    sides = (np.concatenate([run[side] for run in runs]) for side in (0, 1))
    return Attacked(seconds, *(success_rate(_trials(side), 0.95) for side in sides))


def _trials(found: np.ndarray) -> Trials:
    one = Stratum(
        name="all", weight=1, trials=len(found), successes=float(found.sum()), squares=float((found**2).sum())
    )
    return Trials(strata=(one,))


def _anonymeter(folder: str, name: str, seeds: int, left: list[str], right: list[str]) -> Attacked:
    python = peers.environment("anonymeter", "anonymeter", "pandas<3", "pyarrow")
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    arguments = [folder, name, str(TRIALS), str(seeds), *(json.dumps(value) for value in (left, right, GUESSED))]
    try:
        run = subprocess.run(
            [python, "-c", _PEER, *arguments],
            capture_output=True,
            text=True,
            timeout=_PEER_SECONDS,
            env=os.environ | threads,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Attacked(None)
    if run.returncode:
        raise SystemExit(run.stderr)
    said = json.loads(run.stdout.splitlines()[-1])
    sides = (np.arange(seeds * TRIALS) < said[side] for side in ("attack", "control"))
    return Attacked(said["seconds"], *(success_rate(_trials(side), 0.95) for side in sides))


def _line(rows: int, name: str, mine: Attacked, peer: Attacked) -> list[str]:
    factor = f"{peer.seconds / mine.seconds:.0f}x" if peer.seconds and mine.seconds else "-"
    seconds = f"{peer.seconds:.1f}" if peer.seconds is not None else f"> {_PEER_SECONDS}"
    rates = [_words(side) for side in (mine.attack, peer.attack, mine.control, peer.control)]
    return [f"{name}, {rows:,} rows", f"{mine.seconds:.2f}", seconds, factor, *rates]


def _words(rate: Interval | None) -> str:
    return "-" if rate is None else f"{rate.value:.3f} ({rate.low:.3f}-{rate.high:.3f})"


def _text(lines: list[list[str]], assessed: Assessed, cores: int) -> str:
    card = assessed.card
    head = ("attack", "s", "anonymeter, s", "faster", "success", "anonymeter", "control", "anonymeter")
    verdict = "certified" if card.gate is Gate.PASSES else f"{card.gate}: {card.shortage or card.worst}"
    found = [
        (f.name, f"{f.trials:,}", f"{f.control_trials:,}", f"{f.success:.3f}", f"{f.control:.3f}", f"{f.high:.3f}")
        for f in card.attacks
    ]
    return f"""\
{TRIALS} trials each on the original and on the control, one thread each, no strata. Success with 95 % intervals. \
Claims that single people out are drawn by lot: their rates are of {SEEDS[ROWS[0]]} draws of {TRIALS} at {ROWS[0]:,} \
rows and of {SEEDS[ROWS[1]]} at {ROWS[1]:,}, the seconds of one.

{results.table(head, lines)}

Full assessment, all default adversaries: 100,000 rows x 15 columns released, 100,000 people in the original, 40,000 \
in the control; {cores} cores: {assessed.seconds:.0f} s wall clock, {assessed.processor:.0f} s of processor time \
at a load of {assessed.load:.1f}, after {assessed.compiled:.0f} s on 2,000 rows, which compile machine code where none \
is kept. 0.09 is {verdict}; score {card.score:.1f}.

{results.table(("adversary", "trials", "on the control", "success", "control", "upper bound of the risk"), found)}
"""
