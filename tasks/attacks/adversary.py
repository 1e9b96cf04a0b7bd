"""Who attacks: each adversary declares what it knows, and what it is after."""

from __future__ import annotations

from enum import StrEnum

from tasks.common.policy import Kind, Policy, Role
from tasks.common.values import Value


class Goal(StrEnum):
    """The three risks of the Article 29 Working Party, Opinion 05/2014 on anonymisation techniques."""

    SINGLING_OUT = "singling-out"
    LINKABILITY = "linkability"
    INFERENCE = "inference"


class Adversary(Value):
    """One declared adversary.

    knows: columns whose true value for the target it knows. linked: for linkability, the columns of the other source.
    secret, secret_kind, tolerance: for inference, what it guesses; a number is guessed right if it is within
    `tolerance` times the released range. every_fact: for singling out, whether it knows all of `knows`, or only some,
    drawn at random for each target.
    """

    name: str
    goal: Goal
    knows: tuple[str, ...]
    linked: tuple[str, ...] = ()
    secret: str | None = None
    secret_kind: Kind = Kind.CATEGORICAL
    tolerance: float = 0.0
    every_fact: bool = True

    def describe(self) -> str:
        """What it knows and tries, in a sentence for people."""
        facts = ", ".join(self.knows)
        if self.goal is Goal.LINKABILITY:
            return f"knows {facts} from one source and {', '.join(self.linked)} from another, and joins them"
        if self.goal is Goal.INFERENCE:
            return f"knows {facts}, and guesses {self.secret}"
        amount = "" if self.every_fact else "some of "
        return f"knows {amount}{facts}, and looks for the one row that fits"


def declare(policy: Policy, columns: list[str]) -> list[Adversary]:
    """The adversaries that a policy asks for, against a release with these columns.

    Whoever knows a name finds it: direct identifiers that are still in a release are attacked too.
    """
    released = [name for name in columns if name in policy.released]
    named = [name for name in columns if name in policy.named(Role.DIRECT)]
    adversaries = [
        Adversary(name="singling-out-all", goal=Goal.SINGLING_OUT, knows=tuple(released)),
        Adversary(name="singling-out-some", goal=Goal.SINGLING_OUT, knows=tuple(released), every_fact=False),
    ]
    if named:
        adversaries.append(Adversary(name="direct-identifiers", goal=Goal.SINGLING_OUT, knows=tuple(named)))
    left, right = _sources(policy, released)
    if left and right:
        adversaries.append(Adversary(name="linkability", goal=Goal.LINKABILITY, knows=left, linked=right))
    return adversaries + [_inference(policy, released, secret) for secret in policy.secrets if secret in released]


def _sources(policy: Policy, released: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns of the two sources: as the policy says, or every other one."""
    link = policy.attacks.linkability
    left = link.left if link.left is not None else tuple(released[0::2])
    right = link.right if link.right is not None else tuple(released[1::2])
    return tuple(n for n in left if n in released), tuple(n for n in right if n in released)


def _inference(policy: Policy, released: list[str], secret: str) -> Adversary:
    # Other secrets are not public either, and one may give away another (a cycle threshold its test result).
    knows = [n for n in released if n != secret and policy.columns[n].role is not Role.SENSITIVE]
    return Adversary(
        name=f"inference-{secret}",
        goal=Goal.INFERENCE,
        knows=tuple(knows),
        secret=secret,
        secret_kind=policy.columns[secret].kind,
        tolerance=policy.attacks.inference.tolerance,
    )
