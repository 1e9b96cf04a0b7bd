"""Errors for people: what was wrong, where, and what to do about it.

Each class has an exit code of its own, so that a batch script can tell a missing file from a threshold that was not
reached. Messages never contain a value from a table: they name columns, rows and counts.
"""

from __future__ import annotations

from typing import ClassVar


class SecuredError(Exception):
    """Something a person can put right. Printed without a traceback."""

    exit_code: ClassVar[int] = 1


class InputError(SecuredError):
    """A file is missing, unreadable, or not what its name promises."""

    exit_code = 10


class TableError(SecuredError):
    """A table was read, but its content does not allow the work."""

    exit_code = 11


class PolicyError(SecuredError):
    """A policy says something impossible, or something that does not fit the table."""

    exit_code = 12


class HierarchyError(SecuredError):
    """A generalization hierarchy is broken, or a value stands outside it."""

    exit_code = 13


class ParametersError(SecuredError):
    """Parameters of an encryption are insecure, impossible, or not enough for the work."""

    exit_code = 14


class KeyRefused(SecuredError):
    """A key is missing, expired, locked by another passphrase, or not its holder's to use."""

    exit_code = 15


class CiphertextError(SecuredError):
    """A ciphertext is damaged, cut off, or made under other keys."""

    exit_code = 16


class ThresholdNotReached(SecuredError):
    """No permitted adjustment protects the release as far as its sharing context asks."""

    exit_code = 20


class Inconclusive(SecuredError):
    """Too few attacks to tell whether a release is protected."""

    exit_code = 21


class ConditionsNotReached(SecuredError):
    """Synthetic rows cannot be drawn as the policy's conditions and constraints want them."""

    exit_code = 22


class BudgetExhausted(SecuredError):
    """A privacy budget has less left than the work would spend."""

    exit_code = 23


class WouldBeWrong(SecuredError):
    """An operation on ciphertexts is refused, since its result would decrypt to something else than it says."""

    exit_code = 24


class StorageError(SecuredError):
    """The home or output folder cannot be written, is full, or has lost a file."""

    exit_code = 30


class MissingPart(SecuredError):
    """An engine, a package or a server is not there."""

    exit_code = 40


class Interrupted(SecuredError):
    """Somebody, or a scheduler, ended the run."""

    exit_code = 130


class RunFailed(SecuredError):
    """A run ended for a reason that is a fault of the software, not of its input."""

    exit_code = 50
