"""Everything that is known about one run of the data flow: what the report shows and the knowledge base keeps."""

from __future__ import annotations

from importlib import metadata

from pydantic import Field

from tasks.anonymization.handles import Parts, Release
from tasks.anonymization.ladder import Step
from tasks.attacks.score import Gate, Scorecard
from tasks.common.policy import Policy
from tasks.common.table import Table
from tasks.common.values import Value
from tasks.fairness.unbias import Fairness
from tasks.synthesis.handles import Candidate
from tasks.utility.distributions import Distribution
from tasks.utility.fidelity import Fidelity
from tasks.utility.volume import VolumeNeed
from tasks.validation.expectations import Validation

_NAMED_PACKAGES = (
    "secured",
    "numpy",
    "pyarrow",
    "scikit-learn",
    "torch",
    "ctgan",
    "sdmetrics",
    "prefect",
    "mlflow",
)


class Attempt(Value):
    """One turn of the loop: the release that was attacked and what the working control showed."""

    release: Release
    card: Scorecard


class Verdict(Value):
    """The final score, on the sealed control: of the anonymized rows, and of the synthetic ones that go with them.

    The two cards share the policy's confidence.
    """

    released: Scorecard
    synthetic: Scorecard | None

    @property
    def gate(self) -> Gate:
        """Whether the anonymized rows may be shared in the policy's context."""
        return self.released.gate

    @property
    def synthetic_may_go(self) -> bool:
        """Whether the synthetic rows may be shared with them."""
        return self.synthetic is not None and self.synthetic.gate is Gate.PASSES


class Dossier(Value):
    """The whole evidence of a run. Parts that the policy does not ask for, or that were not reached, are None.

    products: the tables that may be shared, by name.
    """

    policy: Policy
    source: Table
    validation: Validation
    parts: Parts
    attempts: tuple[Attempt, ...]
    steps: tuple[Step, ...]
    verdict: Verdict | None = None
    volume: VolumeNeed | None = None
    candidates: tuple[Candidate, ...] = ()
    fairness: Fairness | None = None
    distributions: tuple[Distribution, ...] = ()
    products: dict[str, Table] = Field(default_factory=dict)
    code_version: str

    @property
    def release(self) -> Release:
        """The release that is best protected."""
        return self.best.release

    @property
    def candidate(self) -> Candidate | None:
        """The synthetic rows that were chosen, or the most useful ones if none passed the gate."""
        made = [candidate for candidate in self.candidates if candidate.fidelity]
        return next((c for c in made if c.chosen), max(made, key=lambda c: c.worth, default=None))

    @property
    def fidelity(self) -> Fidelity | None:
        """How useful these rows are."""
        return self.candidate.fidelity if self.candidate else None

    @property
    def worth_completing(self) -> bool:
        """Whether the sealed control may be asked: the working control sees no risk above the threshold.

        The reserve that adjusting aims for is no condition, it only makes the sealed control's consent likely.
        """
        return self.best.card.worst_finding.high <= self.policy.threshold

    @property
    def card(self) -> Scorecard:
        """The score that counts: the verdict's, or the best attempt's where it did not come to one."""
        return self.verdict.released if self.verdict else self.best.card

    @property
    def best(self) -> Attempt:
        """The attempt with the highest score."""
        return max(self.attempts, key=lambda attempt: attempt.card.score)


def versions() -> dict[str, str]:
    """Versions of the packages that a result depends on."""
    return {name: metadata.version(name) for name in _NAMED_PACKAGES}
