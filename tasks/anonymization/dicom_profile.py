"""DICOM's Basic Application Level Confidentiality Profile: what has to happen to which attribute.

The table `dicom_profile.csv` is Table E.1-1 of PS3.15, Annex E: by attribute its action in the Basic Profile as of
edition 2026c, and in the options as of 2024e; no option keeps what was added since, but for one UID. D: a dummy value,
Z: no value, X: removed, K: kept, C: cleaned, U: a new UID, the same for the same. Which action of a compound one
applies depends on the type that the attribute has in the object's definition. The one that leaves a valid object
whatever that type is is taken: X/Z no value, all others with D a dummy, and X/Z/U* the sequence with new UIDs in it.
No dummy tells anything, so nothing is protected less.

What the table does not name is more than it asks for: unknown attributes, dates and names of people do not stay.
"""

from __future__ import annotations

import csv
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

from pydicom.datadict import dictionary_has_tag, keyword_for_tag
from pydicom.tag import BaseTag, Tag

EDITION = "2026c"
_TABLE = Path(__file__).with_name("dicom_profile.csv")


class Action(StrEnum):
    """What happens to an attribute."""

    REMOVE = "removed"
    EMPTY = "emptied"
    DUMMY = "replaced by a dummy"
    UID = "replaced by a new UID"
    SHIFT = "date shifted"
    KEEP = "kept"  # a sequence: its items are looked at in turn


class Option(StrEnum):
    """Options of the profile that are offered; each needs what the Basic Profile needs, and has a code in CID 7050."""

    DESCRIPTORS = "clean-descriptors"  # cleaned by removal: free text that the table does not name goes too
    DATES = "shift-dates"
    PATIENT = "retain-patient"
    DEVICE = "retain-device"
    UIDS = "retain-uids"
    INSTITUTION = "retain-institution"


@dataclass(frozen=True)
class Code:
    """A code of PS3.16, CID 7050 De-identification Method."""

    value: str
    meaning: str
    column: str | None = None  # of the table


BASIC = Code("113100", "Basic Application Confidentiality Profile")
CODES = {
    Option.DESCRIPTORS: Code("113105", "Clean Descriptors Option", "descriptors"),
    Option.DATES: Code("113107", "Retain Longitudinal Temporal Information Modified Dates Option", "modified_dates"),
    Option.PATIENT: Code("113108", "Retain Patient Characteristics Option", "patient"),
    Option.DEVICE: Code("113109", "Retain Device Identity Option", "device"),
    Option.UIDS: Code("113110", "Retain UIDs Option", "uids"),
    Option.INSTITUTION: Code("113112", "Retain Institution Identity Option", "institution"),
}
_BASIC_ACTIONS = {
    "X": Action.REMOVE,
    "Z": Action.EMPTY,
    "D": Action.DUMMY,
    "U": Action.UID,
    "X/Z": Action.EMPTY,
    "X/D": Action.DUMMY,
    "Z/D": Action.DUMMY,
    "X/Z/D": Action.DUMMY,
    "X/Z/U*": Action.KEEP,
}
_TEMPORAL = {"DA", "DT", "TM"}
_FREE_TEXT = {"LT", "ST", "UT"}
# UIDs of these say what kind of object something is, not which; they may be private to a maker.
_KINDS = ("SOPClassUID", "SOPClassesInStudy", "TransferSyntaxUID", "SOPClassesSupported")
_STANDARD_UIDS = "1.2.840.10008."


@dataclass(frozen=True)
class Rule:
    """A row of Table E.1-1: the action of the Basic Profile, and `K` or `C` by column of the options."""

    name: str
    basic: str
    options: dict[str, str]


@cache
def rules() -> dict[int, Rule]:
    """Table E.1-1 by tag, without its rows for repeating groups and private attributes."""
    with _TABLE.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if "x" not in row["tag"]]
    columns = {code.column for code in CODES.values()}
    return {
        int(row["tag"], 16): Rule(
            row["name"], row["basic"], {name: row[name] for name in columns if name is not None and row[name]}
        )
        for row in rows
    }


def action(tag: BaseTag, vr: str, options: Collection[Option]) -> Action:
    """What happens to an attribute of this tag and value representation under the Basic Profile with options."""
    if certainly_removed(tag):
        return Action.REMOVE
    rule = rules().get(int(tag))
    if rule is None:
        return _unlisted(vr, options)
    for option in options:
        letter = rule.options.get(CODES[option].column or "")
        if letter == "K":
            return Action.KEEP
        if letter == "C" and option is Option.DATES and vr in _TEMPORAL:
            return Action.SHIFT
    return _BASIC_ACTIONS[rule.basic]


def certainly_removed(tag: BaseTag) -> bool:
    """Whether an attribute goes whatever it holds: private, curve, overlay, group length, unknown, not of data sets."""
    if tag.is_private or tag.group < 0x0008 or tag.element == 0:
        return True
    repeating = tag.group & 0xFF00
    return repeating in {0x5000, 0x6000} or not dictionary_has_tag(tag)


def names_a_kind(tag: BaseTag, uid: str) -> bool:
    """Whether a UID names a kind of object, a code or a syntax, and not one object."""
    return uid.startswith(_STANDARD_UIDS) or keyword_for_tag(tag).endswith(_KINDS)


def _unlisted(vr: str, options: Collection[Option]) -> Action:
    if vr == "UN":
        return Action.REMOVE
    if vr == "PN" or vr in _TEMPORAL:
        return Action.EMPTY
    if vr == "UI":
        return Action.KEEP if Option.UIDS in options else Action.UID
    if vr in _FREE_TEXT and Option.DESCRIPTORS in options:
        return Action.REMOVE
    return Action.KEEP


# Set by whoever de-identifies, so never taken over: PatientIdentityRemoved, the method and its codes, and
# LongitudinalTemporalInformationModified.
STATEMENTS = frozenset(Tag(tag) for tag in (0x00120062, 0x00120063, 0x00120064, 0x00280303))
