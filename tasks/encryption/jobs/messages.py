"""Ciphertexts of one job on their way: which they are, whether they are all there, and who has to send them.

The layout of each says its job (kind and a hash of the description) and its name, so that one of another job, of other
shapes, or under another name is refused where it arrives. Sums over messages also say which messages are in them: by
the sum of the hashes of their names, so that a message that is missing or there twice is found out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from tasks.common.errors import CiphertextError, InputError, KeyRefused, ParametersError
from tasks.encryption.ciphertext import Encrypted
from tasks.encryption.job import Job, Messages
from tasks.encryption.session import Role, Session


class Tagged(Protocol):
    """A job, or data that several jobs take."""

    @property
    def tag(self) -> str:
        """By which ciphertexts say whose they are."""


def require_keys(job: Job, session: Session) -> None:
    """Refuse keys that were not made for the job.

    Raises:
        ParametersError: they have other parameters.
        KeyRefused: an evaluator's lack rotations or products.
    """
    needs = job.needs()
    if session.parameters != needs.parameters:
        raise ParametersError(
            f"the keys {session.fingerprint} have other parameters than this job needs; make keys for it from its "
            "description"
        )
    if session.role is not Role.EVALUATOR:
        return
    if missing := sorted(set(needs.rotations) - session.rotations):
        raise KeyRefused(f"the keys {session.fingerprint} lack rotations that this job needs: {missing}")
    if needs.products and not session.products:
        raise KeyRefused(f"the keys {session.fingerprint} lack the key for products that this job needs")


def labelled(job: Tagged, name: str, ciphertext: Encrypted) -> Any:
    """The same ciphertext, which says that it is this message of the job."""
    return _with_layout(ciphertext, f"{job.tag} {name}")


def taken(job: Tagged, messages: Messages, names: Iterable[str]) -> list[Any]:
    """The messages of these names, in their order.

    Raises:
        InputError: one is missing.
        CiphertextError: one is of another job, or is another message.
    """
    wanted = list(names)
    if missing := [name for name in wanted if name not in messages]:
        raise InputError(f"{len(missing)} of {len(wanted)} messages are missing, the first is {missing[0]}")
    return [take(job, messages, name) for name in wanted]


def take(job: Tagged, messages: Messages, name: str) -> Any:
    """One message. Raises as `taken`."""
    if name not in messages:
        raise InputError(f"the message {name} is missing")
    found = messages[name]
    if found.layout != f"{job.tag} {name}":
        raise CiphertextError(f"{name} is not the message of that name of this job; its layout says {found.layout}")
    return found


def require_known(messages: Messages, known: Iterable[str]) -> list[str]:
    """The names of some messages, in order, of which all have to be known and one has to be there.

    Raises:
        InputError: a message is not one of the job, or there is none.
    """
    names, job_names = sorted(messages), set(known)
    if foreign := [name for name in names if name not in job_names]:
        raise InputError(f"{len(foreign)} messages are none of this job's, the first is {foreign[0]}")
    if not names:
        raise InputError("there is no message to work on")
    return names


def partial(job: Tagged, what: str, names: Iterable[str], ciphertext: Encrypted) -> Any:
    """The same ciphertext, which says that it is a sum, and of which messages."""
    return _with_layout(ciphertext, f"{job.tag} {what} of {_together(names):016x}")


def summed(job: Tagged, what: str, parts: Sequence[Messages], names: Iterable[str]) -> Any:
    """The sum of all parts of that name.

    Raises:
        InputError: together they are not the sum of these messages: some are missing or there twice.
        CiphertextError: one is no such sum of this job.
    """
    start = f"{job.tag} {what} of "
    found: list[Any] = [part[what] for part in parts if what in part]
    if strange := [each.layout for each in found if not each.layout.startswith(start)]:
        raise CiphertextError(f"what is given as {what} is no such sum of this job; its layout says {strange[0]}")
    if sum(int(each.layout[len(start) :], 16) for each in found) % 2**64 != _together(names):
        raise InputError(f"the parts of {what} are not the whole: messages are missing, or were counted twice")
    total = found[0]
    for each in found[1:]:
        total = total + each
    return total


def _with_layout(ciphertext: Encrypted, layout: str) -> Encrypted:
    made: Encrypted = ciphertext.like(ciphertext.native, bound=ciphertext.bound, error=ciphertext.error)
    made.layout = layout
    return made


def _together(names: Iterable[str]) -> int:
    return sum(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") for name in names) % 2**64
