"""Synthesis as steps. Heavy libraries are imported by the step that needs them, in its worker."""

from __future__ import annotations

from tasks.anonymization.handles import Parts, Release
from tasks.common.policy import Policy
from tasks.common.seeds import derive, generator
from tasks.common.steps import step, store
from tasks.common.synthesis_forms import AnyEngine
from tasks.synthesis.handles import Copying, Synthetic
from tasks.utility.volume import VolumeNeed

_POOL_FACTOR = 3


@step("synthesize")
def synthesize(release: Release, need: VolumeNeed | None, policy: Policy, engine: AnyEngine) -> Synthetic | None:
    """Learn a release and draw as many rows as the policy or the learning curve asks for; None for none."""
    from tasks.synthesis import drawing, learning  # torch takes seconds to import

    rows = policy.synthesis.rows if policy.synthesis.rows is not None else need.add if need else 0
    if rows == 0:
        return None
    learned, seed = release.table.read(), policy.seed
    made = learning.learn(learned, policy, engine, derive(seed, "fit", engine), account=release.account)
    found, account = drawing.draw(made, rows, derive(seed, "rows", engine), policy, learned)
    spare = _POOL_FACTOR * (release.table.rows + rows) if policy.fairness else 0
    pool, _ = drawing.draw(made, spare, derive(seed, "pool", engine), policy, learned, conditioned=False)
    keep = store()
    return Synthetic(
        engine=engine,
        rows=keep.put_table(found),
        pool=keep.put_table(pool),
        epochs=made.epochs,
        account=account,
    )


@step("copying")
def copying(release: Release, synthetic: Synthetic, parts: Parts, policy: Policy) -> Copying:
    """Whether synthetic rows repeat those they were learned from, beside the working control."""
    from tasks.synthesis import copies

    control = release.in_vocabulary(parts.working, policy)
    rng = generator(policy.seed, "copying", synthetic.engine)
    return copies.look(synthetic.rows.read(), release.table.read(), control, policy, rng)
