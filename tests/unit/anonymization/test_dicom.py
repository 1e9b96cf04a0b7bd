"""No identifying byte of a DICOM file is left, its pixels are the same, and it stays a file that opens.

The files are pydicom's own test files (MIT): MR, CT, an overlay, ultrasound, ECG. Every attribute of PS3.15 Table E.1-1
is planted in them, nested and private ones too.
"""

from __future__ import annotations

import datetime as dt
import warnings
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import UID

from tasks.anonymization import date_shift, dicom_files, dicom_profile, pseudonyms
from tasks.anonymization.dicom import Method, deidentify, moved_day, new_uid
from tasks.anonymization.dicom_profile import Action, Option, action
from tasks.common.errors import InputError
from tasks.common.key_file import Key
from tasks.common.transformation_forms import Shift

KEY = Key(bytes(range(32)))
FILES = ["CT_small.dcm", "MR_small.dcm", "examples_overlay.dcm", "examples_ybr_color.dcm", "waveform_ecg.dcm"]
WORD, DAY, TIME, ROOT = "QCANARYQ", "19470613", "134759", "1.2.826.0.77.4711"
NAME, NUMBER = f"{WORD}^Maria", "QC-4711-8"
CANARIES = [WORD, DAY, TIME, ROOT, NUMBER, "Maria"]
PLANTED = {
    "AE": WORD, "CS": WORD, "LO": WORD, "LT": WORD, "PN": NAME, "SH": WORD, "ST": WORD, "UC": WORD, "UT": WORD,
    "DA": DAY, "TM": TIME, "DT": DAY + TIME, "UI": ROOT, "UR": f"http://{WORD}", "OB": WORD.encode(),
    "UN": WORD.encode(), "AS": "047Y", "DS": "47.11", "IS": "4711", "US": 4711, "AT": 0x47114711,
    "FD": 4711.0, "FL": 4711.0, "UL": 4711, "SL": 4711, "SS": 4711, "SV": 4711, "UV": 4711,
    "OW": WORD.encode(), "OD": WORD.encode(), "OF": WORD.encode(), "OL": WORD.encode(), "OV": WORD.encode(),
}  # fmt: skip
TABLE = [tag for tag in dicom_profile.rules() if 8 <= Tag(tag).group < 0xFFFA and dictionary_has_tag(tag)]
ORIGINAL = {name: pydicom.dcmread(get_testdata_file(name)) for name in FILES}


def item(depth=2):
    """An item that names the patient in listed and unlisted attributes, deeper and deeper."""
    made = Dataset()
    made.PatientName, made.PatientID, made.StudyDate, made.ReferencedSOPInstanceUID = NAME, NUMBER, DAY, f"{ROOT}.1"
    made.CodeMeaning = f"seen by {WORD}"
    made.add_new(0x00090010, "LO", "MAKER")
    made.add_new(0x00091001, "LO", WORD)
    if depth:
        made.PurposeOfReferenceCodeSequence = Sequence([item(depth - 1)])
        made.SharedFunctionalGroupsSequence = Sequence([item(depth - 1)])
    return made


def planted(name):
    """One of the files with a canary in every attribute of the table, and around it."""
    file = pydicom.dcmread(get_testdata_file(name))
    kept = {tag: file[tag].value for tag in ("SOPClassUID", "Modality")}
    for tag in TABLE:
        vr = dictionary_VR(tag)
        file.add_new(tag, vr, Sequence([item()]) if vr == "SQ" else PLANTED[vr])
    for keyword, value in kept.items():
        setattr(file, keyword, value)
    file.SpecificCharacterSet = "ISO_IR 100"
    file.PatientName, file.PatientID, file.BurnedInAnnotation = NAME, NUMBER, "NO"
    file.BodyPartExamined = f"{WORD}"  # kept by the table, but not if it names the patient
    file.SharedFunctionalGroupsSequence = Sequence([item()])
    file.DeidentificationMethod = WORD
    file.add_new(0x00091010, "LO", WORD)
    file.add_new(0x00090010, "LO", "MAKER")
    file.add_new(0x00091002, "SQ", Sequence([item()]))
    file.add_new(0x60004000, "LT", WORD)
    file.add_new(0x60020022, "LO", WORD)
    file.add_new(0x50000022, "LO", WORD)
    file.add_new(0x0008FFF0, "LO", WORD)  # nobody knows what it is
    file.preamble = (WORD * 20).encode()[:128]
    file.file_meta.SourceApplicationEntityTitle = WORD
    file.file_meta.PrivateInformationCreatorUID = ROOT
    file.file_meta.PrivateInformation = WORD.encode()
    file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID = f"{ROOT}.9"
    return file


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, name in enumerate(FILES):
            file = planted(name)
            file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID = f"{ROOT}.9.{number}"
            (folder / NAME).mkdir(exist_ok=True)
            file.save_as(folder / NAME / f"{WORD}-{number}.dcm", enforce_file_format=True)
    return folder


def run(folder, out, options=(), **how):
    method = Method(KEY, options=frozenset(options), shift=Shift(days=364, keep_weekday=True))
    account, refused = dicom_files.deidentify_folder(folder, out, method, **how)
    return account, refused, sorted(out.rglob("*.dcm"))


@pytest.mark.parametrize("options", [(), (Option.DESCRIPTORS,)])
def test_no_canary_is_left_in_any_byte_of_any_file_or_name(scans, tmp_path, options):
    before = b"".join(place.read_bytes() for place in scans.rglob("*.dcm"))
    assert all(canary.encode() in before for canary in CANARIES)
    account, refused, made = run(scans, tmp_path / "out", options)
    assert not refused
    assert account.written == len(made) == len(FILES)
    for place in made:
        data = place.read_bytes()
        for canary in CANARIES:
            assert canary.encode() not in data, f"{canary} in {pydicom.dcmread(place).Modality}"
            assert canary.encode("utf-16-le") not in data
        assert not any(canary in str(place.relative_to(tmp_path)) for canary in CANARIES)
    assert not any(canary in account.model_dump_json() for canary in CANARIES)


def test_pixels_and_waveforms_are_unchanged_and_files_open(scans, tmp_path):
    _, _, made = run(scans, tmp_path / "out")
    found = {}
    for place in made:
        file = pydicom.dcmread(place)
        found[file.SOPClassUID, file.get("Rows")] = file
        assert file.file_meta.MediaStorageSOPInstanceUID == file.SOPInstanceUID == place.stem
        assert file.file_meta.MediaStorageSOPClassUID == file.SOPClassUID
        assert place.parent.name == file.SeriesInstanceUID
        assert place.parent.parent.name == file.StudyInstanceUID
    assert len(found) == len(FILES)
    for original in ORIGINAL.values():
        file = found[original.SOPClassUID, original.get("Rows")]
        if "PixelData" in original:
            assert file.PixelData == original.PixelData
            assert file.pixel_array.shape == original.pixel_array.shape
        else:
            waves = [one.WaveformData for one in original.WaveformSequence]
            assert [one.WaveformData for one in file.WaveformSequence] == waves


def test_files_say_what_was_done(scans, tmp_path):
    _, _, made = run(scans, tmp_path / "out", [Option.DATES, Option.PATIENT])
    file = pydicom.dcmread(made[0])
    assert file.PatientIdentityRemoved == "YES"
    assert file.LongitudinalTemporalInformationModified == "MODIFIED"
    codes = [(one.CodeValue, one.CodingSchemeDesignator) for one in file.DeidentificationMethodCodeSequence]
    assert codes == [("113100", "DCM"), ("113107", "DCM"), ("113108", "DCM")]
    assert file.PatientAge == "047Y"
    assert file.PatientWeight == 47.11


def test_uids_stay_together_across_files_and_apart_across_keys(scans, tmp_path):
    _, _, made = run(scans, tmp_path / "out")
    files = [pydicom.dcmread(place) for place in made]
    assert len({file.StudyInstanceUID for file in files}) == 1
    assert len({file.SOPInstanceUID for file in files}) == len(files)
    assert {file.StudyInstanceUID for file in files} == {new_uid(ROOT, KEY, "dicom")}
    assert {one.PatientID for one in files} == {pseudonyms.pseudonym(NUMBER, KEY, "dicom", "PatientID")}
    uid = UID(new_uid(ROOT, KEY, "dicom"))
    assert uid.is_valid
    assert uid.startswith("2.25.")
    number = int(uid[5:])
    assert (number >> 76 & 0xF, number >> 62 & 0x3) == (8, 2)  # RFC 9562: version 8, variant 10
    assert new_uid(ROOT, Key(bytes(range(1, 33))), "dicom") != uid != new_uid(ROOT, KEY, "other")


def test_references_between_objects_still_lead_somewhere():
    file = planted("MR_small.dcm")
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = file.SOPClassUID, f"{ROOT}.9"
    file.ReferencedImageSequence = Sequence([reference])
    sop_class = file.SOPClassUID
    deidentify(file, Method(KEY))
    assert file.ReferencedImageSequence[0].ReferencedSOPInstanceUID == file.SOPInstanceUID
    assert file.ReferencedImageSequence[0].ReferencedSOPClassUID == sop_class == file.SOPClassUID


def test_dates_move_with_the_patients_offset_and_weekdays_stay(scans, tmp_path):
    _, _, made = run(scans, tmp_path / "out", [Option.DATES])
    days = date_shift.offset(NUMBER, KEY, "dicom", Shift(days=364, keep_weekday=True))
    moved = dt.date(1947, 6, 13) + dt.timedelta(days=days)
    for place in made:
        file = pydicom.dcmread(place)
        assert file.StudyDate == f"{moved:%Y%m%d}"
        assert file.StudyTime == TIME
        assert file.AcquisitionDateTime == f"{moved:%Y%m%d}{TIME}"
        assert file.PatientBirthDate == ""
        assert DAY.encode() not in place.read_bytes()
        assert moved.weekday() == dt.date(1947, 6, 13).weekday()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("20240228", "20240302"), ("2024.02.28", "20240302"), ("20240228123456.789+0100", "20240302123456.789+0100"),
        ("2024", None), ("202402", None), ("20241301", None), ("yesterday", None),
    ],
)  # fmt: skip
def test_complete_days_move_and_others_do_not(value, expected):
    assert moved_day(value, 3) == expected


def test_without_a_patient_dates_are_not_shifted(tmp_path):
    file = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    file.PatientID = ""
    (tmp_path / "in").mkdir()
    file.save_as(tmp_path / "in" / "a.dcm")
    _, refused, made = run(tmp_path / "in", tmp_path / "out", [Option.DATES])
    assert "names no patient" in next(iter(refused.values()))
    assert made == []


# Rows of PS3.15 Table E.1-1, read there: tag, VR, what the Basic Profile does, and what an option makes of it.
@pytest.mark.parametrize(
    ("tag", "basic", "option", "then"),
    [
        (0x00100010, Action.EMPTY, Option.PATIENT, Action.EMPTY),  # Patient's Name: Z
        (0x00100020, Action.DUMMY, Option.UIDS, Action.DUMMY),  # Patient ID: Z/D
        (0x00100040, Action.EMPTY, Option.PATIENT, Action.KEEP),  # Patient's Sex: Z, K
        (0x00101010, Action.REMOVE, Option.PATIENT, Action.KEEP),  # Patient's Age: X, K
        (0x00102110, Action.REMOVE, Option.PATIENT, Action.REMOVE),  # Allergies: X, C: cleaned by removal
        (0x00080018, Action.UID, Option.UIDS, Action.KEEP),  # SOP Instance UID: U, K
        (0x00080020, Action.EMPTY, Option.DATES, Action.SHIFT),  # Study Date: Z, C
        (0x00080080, Action.DUMMY, Option.INSTITUTION, Action.KEEP),  # Institution Name: X/Z/D, K
        (0x00181000, Action.DUMMY, Option.DEVICE, Action.KEEP),  # Device Serial Number: X/Z/D, K
        (0x0008103E, Action.REMOVE, Option.DESCRIPTORS, Action.REMOVE),  # Series Description: X, C
        (0x00081140, Action.KEEP, Option.DEVICE, Action.KEEP),  # Referenced Image Sequence: X/Z/U*
        (0x00080060, Action.KEEP, Option.DEVICE, Action.KEEP),  # Modality: not in the table
        (0x0040B020, Action.DUMMY, Option.DESCRIPTORS, Action.DUMMY),  # Waveform Annotation Sequence: X/D
        (0x00091001, Action.REMOVE, Option.UIDS, Action.REMOVE),  # private
        (0x60003000, Action.REMOVE, Option.UIDS, Action.REMOVE),  # Overlay Data
        (0x00880200, Action.REMOVE, Option.UIDS, Action.REMOVE),  # Icon Image Sequence
    ],
)
def test_the_table_is_followed(tag, basic, option, then):
    vr = dictionary_VR(tag) if dictionary_has_tag(tag) else "LO"
    assert action(Tag(tag), vr, ()) is basic
    assert action(Tag(tag), vr, (option,)) is then


def test_the_table_is_whole():
    # As many single attributes has the table of edition 2026c in the package dicom-anonymizer 2.1.0.
    assert len(dicom_profile.rules()) == 652
    assert {rule.basic for rule in dicom_profile.rules().values()} == {
        "X", "Z", "D", "U", "X/Z", "X/D", "Z/D", "X/Z/D", "X/Z/U*",
    }  # fmt: skip


def test_ages_over_90_are_told_apart_no_more():
    for age, released in (("089Y", "089Y"), ("090Y", "090Y"), ("091Y", "090Y"), ("104Y", "090Y"), ("011M", "011M")):
        file = pydicom.dcmread(get_testdata_file("MR_small.dcm"))
        file.PatientAge = age
        deidentify(file, Method(KEY, options=frozenset({Option.PATIENT})))
        assert file.PatientAge == released


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("examples_ybr_color.dcm", {}, "its modality often have names"),
        ("CT_small.dcm", {"BurnedInAnnotation": "YES"}, "burned-in annotation"),
        ("CT_small.dcm", {"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "picture of a screen"),
        ("CT_small.dcm", {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "its modality often have names"),
    ],
)
def test_images_that_may_have_text_in_their_pixels_need_a_reason(tmp_path, name, change, reason):
    file = pydicom.dcmread(get_testdata_file(name))
    for keyword, value in change.items():
        setattr(file, keyword, value)
    (tmp_path / "in").mkdir()
    file.save_as(tmp_path / "in" / "a.dcm")
    account, refused, made = run(tmp_path / "in", tmp_path / "out")
    assert reason in next(iter(refused.values()))
    assert made == []
    assert not (tmp_path / "out").exists()
    assert account.refused[0].reason == next(iter(refused.values()))
    account, refused, made = run(tmp_path / "in", tmp_path / "out", pixels_reviewed="looked at by two people")
    assert (len(refused), len(made)) == (0, 1)
    assert account.pixels_reviewed == "looked at by two people"


def test_text_in_unused_bits_of_pixels_is_noticed(tmp_path):
    file = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    file.add_new(0x60000102, "US", 12)
    (tmp_path / "in").mkdir()
    file.save_as(tmp_path / "in" / "a.dcm")
    assert "overlay in unused bits" in next(iter(run(tmp_path / "in", tmp_path / "out")[1].values()))


def test_what_is_broken_or_foreign_is_refused_and_the_rest_is_written(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    whole = (get_testdata_file("CT_small.dcm"), get_testdata_file("MR_truncated.dcm"), get_testdata_file("no_meta.dcm"))
    data = [Path(place).read_bytes() for place in whole]
    contents = {"a": data[0], "b": data[1], "c": data[2], "d": b"Name: Maria", "e": b"", "f": data[0][:700]}
    contents |= {"g": data[0], "h": b"\0" * 128 + b"DICM" + b"\xff" * 500, "i": data[0][:-3], "j": data[0] + b"Maria"}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    account, refused, made = run(folder, tmp_path / "out")
    assert sorted(place.name for place in refused) == list("bcdefghij")
    assert (account.files, account.written, len(made)) == (10, 1, 1)
    assert "cut off" in refused[folder / "b"]
    assert "no DICOM file" in refused[folder / "d"]
    assert "same SOP Instance UID" in refused[folder / "g"]
    assert sorted(place.name for place in tmp_path.iterdir()) == ["in", "out"]
    assert [place.suffix for place in (tmp_path / "out").rglob("*") if place.is_file()] == [".dcm"]


def test_a_dicomdir_is_refused(tmp_path):
    (tmp_path / "in").mkdir()
    source = get_testdata_file("dicomdirtests/DICOMDIR")
    (tmp_path / "in" / "DICOMDIR").write_bytes(Path(source).read_bytes())
    assert "DICOMDIR" in next(iter(run(tmp_path / "in", tmp_path / "out")[1].values()))


def test_results_do_not_come_to_lie_among_the_originals(scans, tmp_path):
    with pytest.raises(InputError, match="kept apart"):
        run(scans, scans / "out")
    with pytest.raises(InputError, match="it exists"):
        run(scans, tmp_path)
    with pytest.raises(InputError, match="no folder"):
        run(tmp_path / "none", tmp_path / "out")


def test_doing_it_twice_gives_the_same_bytes(scans, tmp_path):
    first = [place.read_bytes() for place in run(scans, tmp_path / "a")[2]]
    assert [place.read_bytes() for place in run(scans, tmp_path / "b")[2]] == first


@pytest.mark.parametrize(
    "name",
    ["reportsi.dcm", "rtplan.dcm", "rtdose.dcm", "test-SR.dcm", "MR_small_bigendian.dcm", "image_dfl.dcm",
     "JPEG2000.dcm", "liver_1frame.dcm", "MR_small_implicit.dcm", "693_J2KI.dcm", "examples_palette.dcm",
     "MR_small_RLE.dcm"],
)  # fmt: skip
def test_other_objects_and_encodings_stay_readable(tmp_path, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        original = pydicom.dcmread(get_testdata_file(name))
        identifiers = [str(original.get(keyword) or "") for keyword in ("PatientName", "PatientID", "StudyDate")]
        (tmp_path / "in").mkdir()
        original.save_as(tmp_path / "in" / "a.dcm")
        _, refused, made = run(tmp_path / "in", tmp_path / "out", pixels_reviewed="made up")
        assert not refused, refused
        file = pydicom.dcmread(made[0])
        str(file)  # every element can be read
    data = made[0].read_bytes()
    assert not any(len(one) > 4 and one.encode() in data for one in identifiers)
    assert file.file_meta.TransferSyntaxUID == original.file_meta.TransferSyntaxUID
    assert file.get("PixelData") == original.get("PixelData")
