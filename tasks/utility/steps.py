"""Volume and usefulness as steps. Heavy libraries are imported by the step that needs them, in its worker."""

from __future__ import annotations

from tasks.anonymization.handles import Parts, Release
from tasks.attacks.handles import Shared
from tasks.common.policy import Policy
from tasks.common.steps import step
from tasks.utility.distributions import Distribution
from tasks.utility.fidelity import Fidelity
from tasks.utility.volume import VolumeNeed


@step("volume")
def volume(release: Release, parts: Parts, policy: Policy) -> VolumeNeed | None:
    """How many rows are enough, by learning curve; None where the policy has no downstream question."""
    from tasks.utility import volume as measuring

    if policy.downstream is None:
        return None
    return measuring.need(release.table.read(), release.in_vocabulary(parts.working, policy), policy, policy.seed)


@step("usefulness")
def usefulness(release: Release, synthetic: Shared, parts: Parts, policy: Policy) -> Fidelity:
    """Compare synthetic rows with the release, and with the floor of shuffled columns."""
    from tasks.utility import fidelity

    test = release.in_vocabulary(parts.working, policy)
    return fidelity.compare(release.table.read(), synthetic.attacked.read(), test, policy, policy.seed)


@step("distributions")
def distributions(release: Release, parts: Parts, synthetic: Shared | None, policy: Policy) -> list[Distribution]:
    """Distributions of each released column before, after, and in the synthetic rows."""
    from tasks.utility import distributions as counting

    before = release.in_vocabulary(parts.train, policy)
    return counting.distributions(
        before, release.table.read(), synthetic.attacked.read() if synthetic else None, release.account.k
    )
