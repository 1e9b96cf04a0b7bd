"""De-identifying the headers of DICOM files; tasks.anonymization.dicom_profile says what happens to which attribute.

Pixels are not looked at. Files that may have text in them are refused unless somebody reviewed them, and faces that can
be rendered from a head scan stay: both are the standard's Clean Pixel Data and Clean Recognizable Visual Features
options, which are not claimed.

A patient's ID becomes the keyed pseudonym that a table of the same project gives it, dates move by the offset that the
table's move by, and UIDs are derived from the key, so files of one study stay together whenever they are de-identified.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydicom.dataelem import DataElement, empty_value_for_VR
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

from tasks.anonymization import date_shift, pseudonyms
from tasks.anonymization import dicom_profile as profile
from tasks.anonymization.dicom_profile import Action, Option
from tasks.common.errors import InputError
from tasks.common.key_file import Key
from tasks.common.transformation_forms import Shift

WEEKS = Shift(days=364, keep_weekday=True)
_PATIENT_ID, _PATIENT_AGE = 0x00100020, 0x00101010
_WORD, _DATE, _TIME = "ANONYMIZED", "19000101", "000000"
_DUMMIES: dict[str, Any] = {
    "AE": _WORD, "CS": _WORD, "LO": _WORD, "LT": _WORD, "PN": _WORD, "SH": _WORD, "ST": _WORD, "UC": _WORD, "UT": _WORD,
    "AS": "000Y", "DA": _DATE, "TM": _TIME, "DT": _DATE + _TIME, "DS": "0", "IS": "0", "UR": "urn:anonymized",
    "AT": 0, "FD": 0.0, "FL": 0.0, "SL": 0, "SS": 0, "SV": 0, "UL": 0, "US": 0, "UV": 0,
}  # fmt: skip
_NOTHING = b"\0" * 8  # for binary values of any word size
_DAY = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})(.*)", re.DOTALL)
_TEXT = {"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT", "UR"}
_LEAST_NAME = 4  # shorter parts of a name occur in words by chance
_OVER = re.compile(r"(09[1-9]|[1-9]\d\d)Y")


@dataclass(frozen=True)
class Method:
    """How files are de-identified. within: what pseudonyms are told apart by, the column of a table they join with.

    shift: needed by, and only used for, the option `shift-dates`.
    """

    key: Key
    project: str = "dicom"
    within: str = "PatientID"
    options: frozenset[Option] = frozenset()
    shift: Shift = WEEKS

    @property
    def codes(self) -> list[profile.Code]:
        """What the method is called in CID 7050."""
        return [profile.BASIC, *(profile.CODES[option] for option in Option if option in self.options)]


def deidentify(file: FileDataset, method: Method) -> Counter[Action]:
    """De-identify a file's data set in place, and give it a fresh preamble and file meta information.

    Returns how many attributes met with each action, those in sequences included.

    Raises:
        InputError: dates are to be shifted, but no patient is named.
    """
    names = _names(file)
    cleaning = _Cleaning(method, str(file.get("PatientID") or ""))
    cleaning.clean(file)
    _blank(file, names, cleaning.counts)
    _state(file, method)
    _renew_meta(file)
    return cleaning.counts


class _Cleaning:
    """One file under way."""

    def __init__(self, method: Method, patient: str) -> None:
        self.method = method
        self.counts: Counter[Action] = Counter()
        self._days = 0
        if Option.DATES in method.options:
            if not patient:
                raise InputError("it names no patient, so its dates cannot be shifted along with the patient's others")
            self._days = date_shift.offset(patient, method.key, method.project, method.shift)

    def clean(self, dataset: Dataset) -> None:
        for tag in list(dataset.keys()):
            if tag in profile.STATEMENTS or profile.certainly_removed(tag):
                del dataset[tag]
                self.counts[Action.REMOVE] += 1
            else:
                self._treat(dataset, dataset[tag])

    def _treat(self, dataset: Dataset, element: DataElement) -> None:
        what = profile.action(element.tag, element.VR, self.method.options)
        if what is Action.SHIFT and not self._shift(element):
            what = profile.action(element.tag, element.VR, self.method.options - {Option.DATES})
        if what is Action.UID and not self._is_object(element):
            what = Action.KEEP
        self.counts[what] += 1
        if what is Action.REMOVE:
            del dataset[element.tag]
        elif what is Action.EMPTY:
            element.value = empty_value_for_VR(element.VR)
        elif what is Action.DUMMY:
            element.value = self._dummy(element)
        elif what is Action.UID:
            element.value = _each(element.value, self._uid)
        elif what is Action.KEEP:
            self._keep(element)

    def _keep(self, element: DataElement) -> None:
        if element.VR == "SQ":
            for item in element.value:
                self.clean(item)
        elif element.tag == _PATIENT_AGE:  # as for tables, ages over 90 are told apart no more
            element.value = _each(element.value, lambda age: "090Y" if _OVER.fullmatch(age) else age)

    def _is_object(self, element: DataElement) -> bool:
        return any(not profile.names_a_kind(element.tag, uid) for uid in values_of(element.value))

    def _uid(self, uid: str) -> str:
        return new_uid(uid, self.method.key, self.method.project) if uid else uid

    def _dummy(self, element: DataElement) -> Any:
        vr = element.VR.split(" or ")[0]
        if element.tag == _PATIENT_ID:
            identifier = str(element.value or "")
            return self._pseudonym(identifier) if identifier else ""
        if vr == "UI":
            return _each(element.value, self._uid)
        if vr == "SQ":
            return Sequence([self._dummy_item(item) for item in element.value[:1]])
        return _DUMMIES.get(vr, _NOTHING)

    def _dummy_item(self, item: Dataset) -> Dataset:
        """An item of the same attributes, none of which says anything."""
        dummy = Dataset()
        for tag in list(item.keys()):
            if not profile.certainly_removed(tag):
                dummy.add(DataElement(tag, item[tag].VR, self._dummy(item[tag])))
        return dummy

    def _pseudonym(self, identifier: str) -> str:
        return pseudonyms.pseudonym(identifier, self.method.key, self.method.project, self.method.within)

    def _shift(self, element: DataElement) -> bool:
        """Move dates, keep times of day; False where a date is not complete, so that it cannot be moved."""
        if element.VR == "TM":
            return True
        moved = [moved_day(str(value), self._days) if value else "" for value in values_of(element.value)]
        if any(value is None for value in moved):
            return False
        element.value = moved if len(moved) != 1 else moved[0]
        return True


def new_uid(uid: str, key: Key, project: str) -> str:
    """The UID that takes a UID's place: 2.25 and a UUID (PS3.5, B.2) of version 8 (RFC 9562, 5.8), 122 bits of HMAC."""
    number = int.from_bytes(key.derive("uid", project, uid)[:16], "big")
    number = number & ~(0xF << 76) | (0x8 << 76)
    return f"2.25.{number & ~(0x3 << 62) | (0x2 << 62)}"


def moved_day(value: str, days: int) -> str | None:
    """A DA or DT moved by days, what follows the day unchanged; None if it has no complete date."""
    match = _DAY.fullmatch(value.strip())
    if match is None:
        return None
    try:
        day = dt.date(int(match[1]), int(match[2]), int(match[3])) + dt.timedelta(days=days)
    except (ValueError, OverflowError):
        return None
    return f"{day:%Y%m%d}{match[4]}" if day.year >= 1000 else None


def values_of(value: Any) -> list[str]:
    """The values of an attribute as text, none where it is empty."""
    if value is None:
        return []
    return [str(one) for one in value] if isinstance(value, MultiValue | list) else [str(value)]


def _each(value: Any, change: Any) -> Any:
    changed = [change(one) for one in values_of(value)]
    return changed if len(changed) != 1 else changed[0]


def _names(dataset: Dataset) -> list[str]:
    """The patient's identifiers and the parts of the patient's names, in lower case."""
    found: list[str] = []
    for keyword in ("PatientName", "PatientID", "OtherPatientNames", "OtherPatientIDs", "AccessionNumber"):
        for value in values_of(dataset.get(keyword)):
            found += [value] if keyword != "PatientName" else [value, *re.split(r"[\^=\s]+", value)]
    return [name.lower() for name in dict.fromkeys(found) if len(name) >= _LEAST_NAME and not name.isspace()]


def _blank(dataset: Dataset, names: list[str], counts: Counter[Action]) -> None:
    """Empty what was kept and has the patient's name or identifier in it, where no standard would look for it."""
    for element in _elements(dataset):
        told = " ".join(values_of(element.value)).lower() if element.VR in _TEXT and element.tag != _PATIENT_ID else ""
        if told and any(name in told for name in names):
            element.value = empty_value_for_VR(element.VR)
            counts[Action.KEEP] -= 1
            counts[Action.EMPTY] += 1


def _elements(dataset: Dataset) -> Iterator[DataElement]:
    for element in dataset:
        yield element
        if element.VR == "SQ":
            for item in element.value:
                yield from _elements(item)


def _state(dataset: Dataset, method: Method) -> None:
    """Say in the file what was done, as PS3.15 E.2 and PS3.3 C.7.1.1 ask."""
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = [f"DICOM PS3.15 {profile.EDITION}, Annex E, see codes"]
    dataset.DeidentificationMethodCodeSequence = Sequence([_coded(code) for code in method.codes])
    dataset.LongitudinalTemporalInformationModified = "MODIFIED" if Option.DATES in method.options else "REMOVED"


def _coded(code: profile.Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, "DCM", code.meaning
    return item


def _renew_meta(file: FileDataset) -> None:
    """File meta information of nothing but what a reader needs; titles, notes and the preamble may say who sent it."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = file.SOPClassUID
    meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID
    meta.TransferSyntaxUID = file.file_meta.TransferSyntaxUID
    file.file_meta = meta
    file.preamble = b"\0" * 128
