"""Synthesis as a step."""

from __future__ import annotations

from tasks.anonymization.handles import Release
from tasks.common.policy import Policy
from tasks.common.seeds import derive
from tasks.common.steps import step, store
from tasks.synthesis.handles import Synthetic
from tasks.utility.volume import VolumeNeed

_POOL_FACTOR = 3


@step("synthesize")
def synthesize(release: Release, need: VolumeNeed | None, policy: Policy) -> Synthetic | None:
    """Train CTGAN on a release and draw as many rows as the policy or the learning curve asks for; None for none."""
    from tasks.synthesis import gan  # torch takes seconds to import

    rows = policy.synthesis.rows if policy.synthesis.rows is not None else need.add if need else 0
    if rows == 0:
        return None
    generator = gan.fit(release.table.read(), policy.synthesis, derive(policy.seed, "fit"))
    keep, pool = store(), _POOL_FACTOR * (release.table.rows + rows)
    return Synthetic(
        rows=keep.put_table(gan.sample(generator, rows, derive(policy.seed, "rows"))),
        pool=keep.put_table(gan.sample(generator, pool, derive(policy.seed, "pool"))),
        epochs=generator.epochs,
    )
