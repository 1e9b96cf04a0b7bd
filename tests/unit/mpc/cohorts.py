"""Generated patients, split unevenly: hospital 0 has one row, hospital 1 none, and the others have the rest."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mpc_programs.association import Association
from mpc_programs.joint_auc import JointAuc
from mpc_programs.quantile import Quantile
from mpc_programs.survival import Survival
from tasks.mpc.program import Given

# Cases above controls, by genotype; with a minimum of 5 the third and fourth are shown, and the sixth says nothing.
ODD_TABLES = (
    [[9, 8, 4], [9, 9, 0]],  # 4 in a column
    [[9, 8, 1], [9, 9, 0]],  # a single carrier
    [[9, 8, 5], [9, 9, 0]],
    [[9, 8, 0], [9, 9, 0]],  # none
    [[2, 2, 0], [9, 9, 9]],  # 4 cases
    [[9, 0, 0], [9, 0, 0]],  # one genotype
    [[0, 0, 0], [0, 0, 0]],  # nobody
)


class Patients(NamedTuple):
    """Rows that are pooled. hospital: of each."""

    hospital: np.ndarray
    group: np.ndarray
    time: np.ndarray
    is_event: np.ndarray
    score: np.ndarray
    genotypes: np.ndarray  # (variants, patients)


def patients(rows: int, *, parties: int = 3, times: int = 5, variants: int = 4, seed: int = 0) -> Patients:
    """Group 1 has later events, more events have higher scores, and the first variant goes with events."""
    rng = np.random.default_rng(seed)
    hospital = rng.integers(2, parties, rows)
    hospital[0] = 0
    group = rng.integers(0, 2, rows)
    time = np.minimum(rng.geometric(np.where(group == 1, 0.15, 0.3)), times) - 1
    is_event = rng.random(rows) < 0.6
    frequency = np.linspace(0.02, 0.5, variants)[:, None] + 0.2 * is_event * (np.arange(variants) == 0)[:, None]
    score = np.clip(rng.normal(np.where(is_event, 0.6, 0.4), 0.2), 0, 1)
    return Patients(hospital, group, time, is_event, score, rng.binomial(2, frequency))


def of_survival(pooled: Patients, *, parties: int = 3, times: int = 5, **options: int) -> tuple[Survival, Given]:
    program = Survival(parties=parties, times=times, most_people=len(pooled.time), **options)

    def counted(of: np.ndarray) -> np.ndarray:
        groups = [np.bincount(pooled.time[of & (pooled.group == g)], minlength=times) for g in range(program.groups)]
        return np.stack(groups)

    own = {party: pooled.hospital == party for party in range(parties)}
    return program, {
        party: {"events": counted(of & pooled.is_event), "left": counted(of & ~pooled.is_event)}
        for party, of in own.items()
    }


def of_groups(
    events: list[list[int]], left: list[list[int]], *, parties: int = 3, **options: int
) -> tuple[Survival, Given]:
    """Counts by group and time that one hospital has alone."""
    own = {"events": np.array(events), "left": np.array(left)}
    groups, times = own["events"].shape
    program = Survival(parties=parties, groups=groups, times=times, most_people=1000, **options)
    return program, {party: {name: each * (party == 1) for name, each in own.items()} for party in range(parties)}


def of_tables(*tables: list[list[int]], parties: int = 3, **options: int | str) -> tuple[Association, Given]:
    """Variants whose tables, cases above controls, one hospital has alone."""
    cases, controls = np.stack(tables, axis=-1)
    program = Association(parties=parties, variants=len(tables), most_people=1000, **options)
    own = {"cases": cases, "controls": controls}
    return program, {party: {name: each * (party == 1) for name, each in own.items()} for party in range(parties)}


def of_association(pooled: Patients, *, parties: int = 3, **options: int | str) -> tuple[Association, Given]:
    variants, people = pooled.genotypes.shape
    program = Association(parties=parties, variants=variants, most_people=people, **options)
    if program.linked_people:
        given = {0: {"copies": pooled.genotypes}, 1: {"is_case": pooled.is_event}}
        return program, {party: given.get(party, {}) for party in range(parties)}
    own = {party: pooled.hospital == party for party in range(parties)}
    return program, {party: program.counted(pooled.genotypes[:, of], pooled.is_event[of]) for party, of in own.items()}


def of_auc(pooled: Patients, *, parties: int = 3, **options: int) -> tuple[JointAuc, Given]:
    program = JointAuc(parties=parties, most_people=len(pooled.score), **options)
    own = {party: pooled.hospital == party for party in range(parties)}
    return program, {
        party: program.binned(pooled.score[of], pooled.is_event[of], low=0, high=1) for party, of in own.items()
    }


def of_quantile(pooled: Patients, *, parties: int = 3, bins: int, **options: int) -> tuple[Quantile, Given]:
    program = Quantile(parties=parties, bins=bins, most_rows=len(pooled.score), **options)
    cells = np.minimum((pooled.score * bins).astype(np.int64), bins - 1)
    return program, {
        party: {"counts": np.bincount(cells[pooled.hospital == party], minlength=bins)} for party in range(parties)
    }
