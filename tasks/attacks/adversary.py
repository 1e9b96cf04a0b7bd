"""Who attacks: each adversary declares what it knows, and what it is after."""

from __future__ import annotations

from enum import StrEnum

from tasks.common.policy import Kind, Policy, Role
from tasks.common.values import Value


class Goal(StrEnum):
    """What an adversary is after.

    The first three are the risks of the Article 29 Working Party, Opinion 05/2014 on anonymisation techniques.
    """

    SINGLING_OUT = "singling-out"
    LINKABILITY = "linkability"
    INFERENCE = "inference"
    MEMBERSHIP = "membership"  # was this person's row in the table?
    REIDENTIFICATION = "re-identification"  # which row is this person's?
    DISCLOSURE = "disclosure"  # a secret that look-alikes share, whoever of them it is
    RECONSTRUCTION = "reconstruction"  # the value that a label of a locally recoded table stands for


class Method(StrEnum):
    """How it goes about it, where a goal has more than one way."""

    UNIVARIATE = "univariate"
    MULTIVARIATE = "multivariate"
    RANDOM = "random"  # halves of the columns
    CONFIDENT = "confident"
    LEARNED = "learned"
    DISTANCE = "distance"
    DENSITY = "density"
    SHADOW = "shadow"
    PROSECUTOR = "prosecutor"
    JOURNALIST = "journalist"
    MARKETER = "marketer"
    HOMOGENEITY = "homogeneity"
    SKEWNESS = "skewness"
    BACKGROUND = "background"
    GREEDY = "greedy"
    PARTITION = "partition"


# How a recoding that differs from row to row is taken back.
_RECODED_BY: dict[str, tuple[str, ...]] = {"mondrian": ("partition",), "mondrian-relaxed": ("partition",)}

_SENTENCES = {
    Method.UNIVARIATE: "knows nobody, and claims that one person has a value of {facts} that one released row has",
    Method.MULTIVARIATE: "knows nobody, and claims that one person has the values of one released row in some of "
    "{facts}",
    Method.RANDOM: "knows a random half of {facts} from one source and the other half from another, and joins them",
    Method.CONFIDENT: "knows {facts} from one source and {linked} from another, and joins only the people whom it "
    "finds the closest rows for",
    Method.LEARNED: "knows {facts}, and guesses {secret} by a model learned from the release",
    Method.DISTANCE: "knows {facts}, and takes whoever has a released row unusually close to have been in the table",
    Method.DENSITY: "knows {facts} and other people's rows, and takes whoever stands where the release is unusually "
    "denser than those to have been in the table",
    Method.SHADOW: "knows {facts} and how the release was made, makes more with and without the person, and tells "
    "which of them the release is like",
    Method.PROSECUTOR: "knows {facts} of a person in the table, and picks one of the rows that fit",
    Method.JOURNALIST: "knows {facts} of everyone, and names one of the people who fit a row",
    Method.MARKETER: "knows {facts} of everyone in the table, and names one for as many rows as possible",
    Method.HOMOGENEITY: "knows {facts}, and believes {secret} where all rows that fit agree on it",
    Method.SKEWNESS: "knows {facts}, and believes {secret} where it is twice as frequent among the rows that fit as "
    "among all, and likelier than not",
    Method.BACKGROUND: "knows {facts} and one value that {secret} does not have, and believes it where the rows that "
    "fit leave one other",
    Method.GREEDY: "knows the group of look-alikes that a person is in, all of {facts} but one, and that the table was "
    "recoded greedily, and guesses what the label of the missing one stands for",
    Method.PARTITION: "knows the group of look-alikes that a person is in, all of {facts} but one, and that the table "
    "was recoded by partition, and guesses what the label of the missing one stands for",
}


class Adversary(Value):
    """One declared adversary.

    knows: columns whose true value for the target it knows. linked: for linkability, the columns of the other source.
    secret, secret_kind, tolerance: for inference, what it guesses; a number is guessed right if it is within
    `tolerance` times the released range. every_fact: for singling out, whether it knows all of `knows`, or only some,
    drawn at random for each target. method: how it does it, where its goal has more than one way.
    """

    name: str
    goal: Goal
    knows: tuple[str, ...]
    linked: tuple[str, ...] = ()
    secret: str | None = None
    secret_kind: Kind = Kind.CATEGORICAL
    tolerance: float = 0.0
    every_fact: bool = True
    method: Method | None = None

    def describe(self) -> str:
        """What it knows and tries, in a sentence for people."""
        facts = ", ".join(self.knows)
        if self.method is not None:
            return _SENTENCES[self.method].format(facts=facts, secret=self.secret, linked=", ".join(self.linked))
        if self.goal is Goal.LINKABILITY:
            return f"knows {facts} from one source and {', '.join(self.linked)} from another, and joins them"
        if self.goal is Goal.INFERENCE:
            return f"knows {facts}, and guesses {self.secret}"
        amount = "" if self.every_fact else "some of "
        return f"knows {amount}{facts}, and looks for the one row that fits"


def declare(policy: Policy, columns: list[str], *, controlled: bool = True, imitable: bool = False) -> list[Adversary]:
    """The adversaries that a policy asks for, against a release with these columns.

    Whoever knows a name finds it: direct identifiers that are still in a release are attacked too.

    controlled: whether there are people whom the release never saw, which membership attacks need. imitable: whether
    more releases can be made in the same way, which shadow models need.
    """
    released = [name for name in columns if name in policy.released]
    named = [name for name in columns if name in policy.named(Role.DIRECT)]
    adversaries = [_isolator(by, released) for by in policy.attacks.singling_out]
    if named:
        adversaries.append(Adversary(name="direct-identifiers", goal=Goal.SINGLING_OUT, knows=tuple(named)))
    adversaries += _linkers(policy, released)
    secrets = [secret for secret in policy.secrets if secret in released]
    adversaries += [
        _inference(policy, released, secret, by) for secret in secrets for by in policy.attacks.inference.by
    ]
    adversaries += [found for secret in secrets for found in _disclosure(policy, released, secret)]
    adversaries += _by_quasi_identifiers(policy, released)
    return adversaries + (_membership(policy, released, imitable=imitable) if controlled else [])


def _isolator(by: str, released: list[str]) -> Adversary:
    predicates = {"univariate": Method.UNIVARIATE, "multivariate": Method.MULTIVARIATE}
    return Adversary(
        name=f"singling-out-{by}",
        goal=Goal.SINGLING_OUT,
        knows=tuple(released),
        every_fact=by != "some",
        method=predicates.get(by),
    )


def _linkers(policy: Policy, released: list[str]) -> list[Adversary]:
    left, right = _sources(policy, released)
    if not (left and right):
        return []
    declared = {
        "chosen": Adversary(name="linkability", goal=Goal.LINKABILITY, knows=left, linked=right),
        "random": Adversary(
            name="linkability-random", goal=Goal.LINKABILITY, knows=tuple(released), method=Method.RANDOM
        ),
        "confident": Adversary(
            name="linkability-confident", goal=Goal.LINKABILITY, knows=left, linked=right, method=Method.CONFIDENT
        ),
    }
    return [declared[by] for by in policy.attacks.linkability.by]


def _sources(policy: Policy, released: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns of the two sources: as the policy says, or every other one."""
    link = policy.attacks.linkability
    left = link.left if link.left is not None else tuple(released[0::2])
    right = link.right if link.right is not None else tuple(released[1::2])
    return tuple(n for n in left if n in released), tuple(n for n in right if n in released)


def _inference(policy: Policy, released: list[str], secret: str, by: str) -> Adversary:
    # Other secrets are not public either, and one may give away another (a cycle threshold its test result).
    knows = [n for n in released if n != secret and policy.columns[n].role is not Role.SENSITIVE]
    return Adversary(
        name=f"inference-{secret}" + ("-learned" if by == "learned" else ""),
        goal=Goal.INFERENCE,
        knows=tuple(knows),
        secret=secret,
        secret_kind=policy.columns[secret].kind,
        tolerance=policy.attacks.inference.tolerance,
        method=Method.LEARNED if by == "learned" else None,
    )


def _disclosure(policy: Policy, released: list[str], secret: str) -> list[Adversary]:
    knows = tuple(name for name in policy.quasi if name in released and name != secret)
    return [
        Adversary(
            name=f"{method}-{secret}",
            goal=Goal.DISCLOSURE,
            knows=knows,
            secret=secret,
            secret_kind=policy.columns[secret].kind,
            tolerance=policy.attacks.inference.tolerance,
            method=Method(method),
        )
        for method in (policy.attacks.disclosure if knows else ())
    ]


def _by_quasi_identifiers(policy: Policy, released: list[str]) -> list[Adversary]:
    """Re-identification, and reconstruction of what local recoding made of the quasi-identifiers."""
    knows = tuple(name for name in policy.quasi if name in released)
    if not knows:
        return []
    found = [
        Adversary(name=method, goal=Goal.REIDENTIFICATION, knows=knows, method=Method(method))
        for method in policy.attacks.reidentification
    ]
    return found + [
        Adversary(name=f"reconstruction-{method}", goal=Goal.RECONSTRUCTION, knows=knows, method=Method(method))
        for method in policy.attacks.reconstruction or _RECODED_BY.get(policy.recoding.method, ())
    ]


def _membership(policy: Policy, released: list[str], *, imitable: bool) -> list[Adversary]:
    wanted = policy.attacks.membership
    methods = [*wanted.by, *(["shadow"] if wanted.shadow and imitable else [])]
    return [
        Adversary(name=f"membership-{method}", goal=Goal.MEMBERSHIP, knows=tuple(released), method=Method(method))
        for method in methods
    ]
