"""Polygenic scores: encrypted genotypes of many people times the evaluator's weights.

Genotypes count effect alleles: 0, 1, 2. People lie in slots, one variant a ciphertext, so that a score is a sum of
ciphertexts times numbers, without rotations and with one product (Choi, Mak, O'Reilly, Nature Protocols 2020, for the
score). A missing genotype is imputed by twice the allele's frequency in the reference, as PLINK does by default.

BFV: weights and imputed genotypes are rounded to powers of two, and what is rounded is summed exactly. CKKS: nothing is
rounded first, and the sum has the stated error.

Who learns what. The evaluator: how many people, and the variants, which are in the description with their weights. The
owner, who decrypts: the scores. Variants with a weight of zero are not sent.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from tasks.common.errors import InputError, ParametersError
from tasks.encryption import approximate, exact
from tasks.encryption.ciphertext import Encoded, Encrypted
from tasks.encryption.job import Job, Messages, Needs
from tasks.encryption.jobs import fitting
from tasks.encryption.jobs.messages import labelled, partial, require_keys, require_known, summed, take, taken
from tasks.encryption.parameters import Parameters, Scheme
from tasks.encryption.session import Session

Finite = Annotated[float, Field(allow_inf_nan=False)]
_MOST_ALLELES = 2
# Messages that one worker gets.
_PART = 256


class Polygenic(Job):
    """Scores of people by weights of variants.

    columns: the variants' names in a table, where data come from one. frequencies: of the effect alleles, for those
    who lack a genotype; without them nobody may. weight_bits and dosage_bits: weights and genotypes are rounded to
    multiples of 2**-bits (BFV; genotypes that are not imputed have to be such multiples). Data are (people, variants),
    NaN where a genotype is missing. Results by name:

        scores   float64 (people,)
        units    int64 (people,), the same in units of 2**-(weight_bits + dosage_bits); BFV only
    """

    kind: Literal["polygenic"] = "polygenic"
    people: Annotated[int, Field(ge=1)]
    weights: Annotated[tuple[Finite, ...], Field(min_length=1)]
    columns: tuple[str, ...] = ()
    frequencies: tuple[Annotated[float, Field(ge=0, le=1)], ...] = ()
    scheme: Literal[Scheme.BFV, Scheme.CKKS] = Scheme.BFV
    weight_bits: Annotated[int, Field(ge=0, le=30)] = 16
    dosage_bits: Annotated[int, Field(ge=0, le=12)] = 6

    @model_validator(mode="after")
    def _possible(self) -> Polygenic:
        if self.frequencies and len(self.frequencies) != len(self.weights):
            raise ParametersError(f"there are {len(self.weights):,} weights and {len(self.frequencies):,} frequencies")
        if self.columns and len(self.columns) != len(self.weights):
            raise ParametersError(f"there are {len(self.weights):,} weights and {len(self.columns):,} columns")
        if not self._variants:
            raise ParametersError("all weights are zero, or are rounded to it; there is nothing to compute")
        return self

    @property
    def takes_missing(self) -> bool:
        """Where there is something to impute."""
        return bool(self.frequencies)

    @property
    def rounding(self) -> float:
        """How far a BFV score may be from that of unrounded weights and imputed genotypes."""
        weights = len(self.weights) * _MOST_ALLELES * 0.5 * 0.5**self.weight_bits
        imputed = sum(map(abs, self._units)) * 0.5**self.weight_bits * 0.5 * 0.5**self.dosage_bits
        return weights + (imputed if self.frequencies else 0.0)

    def needs(self) -> Needs:
        return Needs(parameters=self._parameters)

    def encrypt(self, owner: Session, data: np.ndarray) -> dict[str, Encrypted]:
        return dict(self.stream(owner, data))

    def stream(self, owner: Session, data: np.ndarray) -> Iterator[tuple[str, Encrypted]]:
        """The messages by name, one after the other, for more people and variants than memory holds."""
        require_keys(self, owner)
        dosages = self._dosages(data)
        most = _MOST_ALLELES * (1 << self.dosage_bits if self._exact else 1)
        scheme: Any = exact if self._exact else approximate
        slots = owner.slots
        for block in range(self._blocks):
            chosen = dosages[block * slots : (block + 1) * slots]
            for variant in self._variants:
                values = np.zeros(slots, dtype=dosages.dtype)
                values[: len(chosen)] = chosen[:, variant]
                name = _name(block, variant)
                yield name, labelled(self, name, scheme.encrypt(owner, values, bound=most))

    def evaluate(self, evaluator: Session, messages: Messages) -> dict[str, Encrypted]:
        require_keys(self, evaluator)
        require_known(messages, self._names())
        sums: dict[int, Any] = {}
        of: dict[int, list[str]] = {}
        for variant in self._variants:
            there = [block for block in range(self._blocks) if _name(block, variant) in messages]
            factor = self._factor(evaluator, variant) if there else None
            for block in there:
                name = _name(block, variant)
                ciphertext = take(self, messages, name)
                product = ciphertext * factor if self._exact else ciphertext.times(factor)
                product = product if self.weights[variant] > 0 else -product
                sums[block] = sums[block] + product if block in sums else product
                of.setdefault(block, []).append(name)
        return {_scores(block): partial(self, _scores(block), of[block], total) for block, total in sums.items()}

    def combine(self, evaluator: Session, made: list[dict[str, Encrypted]]) -> dict[str, Encrypted]:
        require_keys(self, evaluator)
        combined: dict[str, Encrypted] = {}
        for block in range(self._blocks):
            name = _scores(block)
            total = summed(self, name, made, [_name(block, variant) for variant in self._variants])
            combined[name] = labelled(self, name, total if self._exact else total.rescaled())
        return combined

    def decrypt(self, owner: Session, messages: Messages) -> dict[str, Any]:
        require_keys(self, owner)
        answers = taken(self, messages, [_scores(block) for block in range(self._blocks)])
        scheme: Any = exact if self._exact else approximate
        return self._results(np.concatenate([scheme.decrypt(each) for each in answers])[: self.people])

    def plainly(self, data: np.ndarray) -> dict[str, Any]:
        dosages = self._dosages(data)
        return self._results(dosages @ (np.array(self._units) if self._exact else np.array(self.weights)))

    def parts(self, names: list[str]) -> list[list[str]]:
        variants = sorted({name.split(".")[1] for name in names})
        together = max(1, _PART // self._blocks)
        groups = [set(variants[start : start + together]) for start in range(0, len(variants), together)]
        return [[name for name in names if name.split(".")[1] in group] for group in groups]

    @property
    def _exact(self) -> bool:
        return self.scheme is Scheme.BFV

    @property
    def _units(self) -> tuple[int, ...]:
        return _units(self.weights, self.weight_bits)

    @property
    def _variants(self) -> list[int]:
        """Those with a weight."""
        weights = self._units if self._exact else self.weights
        return [variant for variant, weight in enumerate(weights) if weight != 0]

    @property
    def _blocks(self) -> int:
        return math.ceil(self.people / self._parameters.slots)

    @property
    def _parameters(self) -> Parameters:
        return _parameters(self)

    def _factor(self, evaluator: Session, variant: int) -> Encoded:
        """The size of a weight; its sign is left out, since SEAL multiplies noise with -1 modulo the plain modulus."""
        if self._exact:
            return exact.encode(evaluator, abs(self._units[variant]))
        return approximate.encode(evaluator, abs(self.weights[variant]), 0, float(evaluator.noise.dropped[0]))

    def _names(self) -> list[str]:
        return [_name(block, variant) for block in range(self._blocks) for variant in self._variants]

    def _dosages(self, data: np.ndarray) -> np.ndarray:
        """Genotypes with missing ones imputed; in BFV integers in units of 2**-dosage_bits."""
        data = np.asarray(data)
        if data.shape != (self.people, len(self.weights)) or data.dtype.kind not in "iuf":
            raise InputError(
                f"genotypes have to be numbers of {self.people:,} people by {len(self.weights):,} variants"
            )
        missing = np.isnan(data) if data.dtype.kind == "f" else np.zeros(data.shape, dtype=bool)
        if missing.any() and not self.frequencies:
            raise InputError(
                f"{int(missing.sum()):,} genotypes are missing; state the alleles' frequencies to impute them"
            )
        if outside := int(((data < 0) | (data > _MOST_ALLELES)).sum()):
            raise InputError(f"{outside:,} genotypes are not between 0 and {_MOST_ALLELES}")
        expected = _MOST_ALLELES * np.array(self.frequencies or [0.0] * len(self.weights))
        if not self._exact:
            return np.where(missing, expected, data)
        unit = 1 << self.dosage_bits
        scaled = np.where(missing, np.rint(expected * unit), data * float(unit))
        if fractions := int((scaled != np.rint(scaled)).sum()):
            raise InputError(f"{fractions:,} genotypes are no multiples of 1/{unit}; round them, or use CKKS")
        return scaled.astype(np.int64)

    def _results(self, sums: np.ndarray) -> dict[str, Any]:
        if not self._exact:
            return {"scores": sums}
        return {"scores": sums * 0.5 ** (self.weight_bits + self.dosage_bits), "units": sums}


def _name(block: int, variant: int) -> str:
    return f"people{block:05d}.variant{variant:07d}"


def _scores(block: int) -> str:
    return f"scores{block:05d}"


@functools.lru_cache(maxsize=16)
def _units(weights: tuple[float, ...], bits: int) -> tuple[int, ...]:
    return tuple(round(weight * 2**bits) for weight in weights)


@functools.lru_cache(maxsize=16)
def _parameters(job: Polygenic) -> Parameters:
    if job.scheme is Scheme.CKKS:
        most = _MOST_ALLELES * sum(map(abs, job.weights))
        return fitting.approximate(levels=1, scale_bits=fitting.widest_scale(most), bound=most)
    together = sum(map(abs, _units(job.weights, job.weight_bits)))
    most_units = (_MOST_ALLELES << job.dosage_bits) * together
    return fitting.exact(Scheme.BFV, lambda _: most_units, lambda noise: noise.encryption() * together)
