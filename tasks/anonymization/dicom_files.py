"""De-identifying a folder of DICOM files: each is written whole under a new name, or refused with a reason.

Old names of files and folders often are names of patients, so none is kept: a file is called by its new UIDs. Refused
files are told by the SHA-256 of their content in what is written, and by their place only to who runs it.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileDataset
from pydicom.errors import InvalidDicomError
from pydicom.pixels.utils import get_expected_length
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from tasks.anonymization import dicom
from tasks.anonymization import dicom_profile as profile
from tasks.anonymization.dicom import Method
from tasks.anonymization.dicom_profile import Action
from tasks.common.errors import InputError, StorageError
from tasks.common.folders import require_new, staged_folder
from tasks.common.table import file_hash
from tasks.common.values import Value

# Where devices write names into pixels: PS3.15 E.3.1 names ultrasound and screen captures; DICOM's own attribute for it
# is Burned In Annotation. Projection X-ray, endoscopy, photographs and scans of documents are as likely.
_TEXT_IN_PIXELS = frozenset({"US", "IVUS", "SC", "XA", "RF", "ES", "XC", "OT", "DOC", "SMR", "HC"})
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_DIRECTORY = "1.2.840.10008.1.3.10"
_UNDEFINED_LENGTH = 0xFFFFFFFF
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


class Refusal(Value):
    """A file that was not de-identified, by the SHA-256 of its content, and why."""

    sha256: str
    reason: str


class Account(Value):
    """What was done to a folder.

    attributes: how many met with which action, by Action. method: codes of CID 7050. key: fingerprint of the key.
    pixels_reviewed: why no file was refused for its pixels.
    """

    files: int
    written: int
    refused: tuple[Refusal, ...]
    patients: int
    studies: int
    series: int
    standard: str
    method: tuple[str, ...]
    key: str
    project: str
    attributes: dict[str, int]
    pixels_reviewed: str | None


@dataclass
class _Tally:
    patients: set[str] = field(default_factory=set)
    studies: set[str] = field(default_factory=set)
    series: set[str] = field(default_factory=set)
    attributes: Counter[Action] = field(default_factory=Counter)
    written: int = 0


def deidentify_folder(
    folder: Path,
    out: Path,
    method: Method,
    pixels_reviewed: str | None = None,
    tell: Callable[[int, int], None] | None = None,
) -> tuple[Account, dict[Path, str]]:
    """De-identify all files below `folder` into `out`, which appears when all are done.

    pixels_reviewed: why files that may have text in their pixels are taken all the same.
    Returns the account, and the reason by place of each refused file.

    Raises:
        InputError: no folder, no files, `out` exists or lies in `folder`.
        StorageError: `out` cannot be written.
    """
    places = _files(folder, out)
    refused: dict[Path, str] = {}
    tally = _Tally()
    with staged_folder(out) as staging:
        for number, place in enumerate(places):
            if tell is not None:
                tell(number, len(places))
            reason = _deidentify_file(place, staging, method, pixels_reviewed, tally)
            if reason is not None:
                refused[place] = reason
        if tally.written:
            staging.rename(out)
    return _account(len(places), refused, tally, method, pixels_reviewed), refused


def _account(
    files: int, refused: dict[Path, str], tally: _Tally, method: Method, pixels_reviewed: str | None
) -> Account:
    return Account(
        files=files,
        written=tally.written,
        refused=tuple(Refusal(sha256=file_hash(place), reason=reason) for place, reason in refused.items()),
        patients=len(tally.patients),
        studies=len(tally.studies),
        series=len(tally.series),
        standard=f"DICOM PS3.15 {profile.EDITION}, Annex E",
        method=tuple(f"{code.value} {code.meaning}" for code in method.codes),
        key=method.key.fingerprint,
        project=method.project,
        attributes={action.value: tally.attributes[action] for action in Action},
        pixels_reviewed=pixels_reviewed,
    )


def _files(folder: Path, out: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}")
    require_new(out)
    if out.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"--out {out}: it lies in {folder}; originals and releases are kept apart")
    places = sorted(place for place in folder.rglob("*") if place.is_file() and not place.is_symlink())
    if not places:
        raise InputError(f"{folder} holds no files")
    return places


def _deidentify_file(
    place: Path, staging: Path, method: Method, pixels_reviewed: str | None, tally: _Tally
) -> str | None:
    """Write the file de-identified, or say why not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they show values
        try:
            file = pydicom.dcmread(place)
        except InvalidDicomError:
            return "it is no DICOM file: it lacks the preamble and prefix of PS3.10"
        except OSError as error:
            return f"it cannot be read ({error.strerror or 'damaged or cut off'})"
        except Exception as error:
            return _broken(error)
        try:
            reason = _cut_off(file, place.stat().st_size) or _reason_against(file, pixels_reviewed)
            return reason or _write(file, staging, tally, dicom.deidentify(file, method))
        except InputError as error:
            return str(error)
        except OSError as error:
            raise StorageError(f"{staging.parent} cannot be written ({error.strerror})") from error
        except Exception as error:
            return _broken(error)


def _broken(error: Exception) -> str:
    """What is broken inside a file may fail anywhere in the parser, with a message that holds values."""
    return f"it cannot be parsed or written as DICOM ({type(error).__name__})"


def _write(file: FileDataset, staging: Path, tally: _Tally, counts: Counter[Action]) -> str | None:
    study, series = (str(file.get(name) or "none") for name in ("StudyInstanceUID", "SeriesInstanceUID"))
    place = staging / study / series / f"{file.SOPInstanceUID}.dcm"
    if place.exists():
        return "another file has the same SOP Instance UID"
    place.parent.mkdir(parents=True, exist_ok=True)
    unfinished = place.with_suffix(".unfinished")
    try:
        file.save_as(unfinished, enforce_file_format=True)
        pydicom.dcmread(unfinished)
        unfinished.rename(place)
    finally:
        unfinished.unlink(missing_ok=True)
    tally.written += 1
    tally.attributes += counts
    tally.studies.add(study)
    tally.series.add(series)
    tally.patients.add(str(file.get("PatientID") or study))
    return None


def _reason_against(file: FileDataset, pixels_reviewed: str | None) -> str | None:
    """Why a file is not taken, or None."""
    for complaint in _unfit(file):
        return complaint
    if pixels_reviewed is None:
        for complaint in _text_in_pixels(file):
            return f"{complaint}; have somebody look at the pixels, then say so with --pixels-reviewed"
    return None


def _cut_off(file: FileDataset, size: int) -> str | None:
    """The parser takes a file that ends too early, or goes on behind its last element, for a whole one."""
    items: list[Any] = [file.get_item(tag) for tag in sorted(file.keys())]
    raw = [item for item in items if isinstance(item, RawDataElement) and item.length != _UNDEFINED_LENGTH]
    short = any(len(item.value or b"") < item.length for item in raw)
    deflated = file.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian
    whole_to_the_end = deflated or items[-1:] != raw[-1:] or not raw or raw[-1].value_tell + raw[-1].length == size
    return None if whole_to_the_end and not short else "it is cut off, or goes on behind its end"


def _unfit(file: FileDataset) -> Iterator[str]:
    if "TransferSyntaxUID" not in file.file_meta:
        yield "its file meta information names no transfer syntax"
    if file.file_meta.get("MediaStorageSOPClassUID") == _DIRECTORY or "DirectoryRecordSequence" in file:
        yield "it is a DICOMDIR, which lists files by names that are not kept; make a new one from the result"
    for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        if not file.get(keyword):
            yield f"it has no {keyword}, so what it is or belongs to cannot be told"
    plain = "PixelData" in file and not UID(file.file_meta.TransferSyntaxUID).is_compressed
    if plain and len(file.PixelData) < get_expected_length(file):
        yield "its pixel data is cut off"


def _text_in_pixels(file: FileDataset) -> Iterator[str]:
    stated = str(file.get("BurnedInAnnotation") or "").upper()
    if stated == "YES":
        yield "it says that its pixels have burned-in annotation"
    positions = [tag for tag in list(file.keys()) if tag.group & 0xFF00 == 0x6000 and tag.element == 0x0102]
    if any(file[tag].value for tag in positions):
        yield "it has an overlay in unused bits of its pixels"
    if stated == "NO" or not any(name in file for name in _PIXELS):
        return
    if str(file.get("Modality") or "") in _TEXT_IN_PIXELS or str(file.SOPClassUID).startswith(_SECONDARY_CAPTURE):
        yield "images of its modality often have names in their pixels, and it does not say that it has none"
    if any("SCREEN" in str(value).upper() for value in dicom.values_of(file.get("ImageType"))):
        yield "it is a picture of a screen"
