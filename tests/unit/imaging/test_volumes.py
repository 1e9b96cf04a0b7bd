"""DICOM and NIfTI become one kind of volume, in the same place, or are refused with a reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from tasks.common.errors import InputError
from tasks.imaging import volumes
from tasks.imaging.volumes import Volume
from tests.shared_data import shared_data

pytest.importorskip("nibabel", reason="nibabel is not installed; pip install 'secured[imaging]'")


def series(folder: Path, voxels: np.ndarray, spacing: tuple[float, float, float], name: str = "CANARY^NAME") -> Path:
    """An axial MR series in LPS+ from voxels (x, y, z) of int16, its origin at (-10, -20, 5)."""
    folder.mkdir(parents=True)
    uid = generate_uid()
    for number in range(voxels.shape[2]):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, "1.2.840.10008.5.1.4.1.1.4"
        meta.MediaStorageSOPInstanceUID = generate_uid()
        ds = FileDataset(str(number), {}, file_meta=meta, preamble=b"\0" * 128)
        ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        ds.PatientName, ds.PatientID, ds.Modality, ds.SeriesInstanceUID = name, "CANARY-4711", "MR", uid
        ds.Rows, ds.Columns, ds.SamplesPerPixel = voxels.shape[1], voxels.shape[0], 1
        ds.PhotometricInterpretation, ds.PixelRepresentation = "MONOCHROME2", 1
        ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 16, 15
        ds.PixelSpacing = [spacing[1], spacing[0]]
        ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        ds.ImagePositionPatient = [-10, -20, 5 + spacing[2] * number]
        ds.PixelData = np.ascontiguousarray(voxels[:, :, number].T, dtype="<i2").tobytes()
        ds.save_as(folder / f"{(number * 7) % 101:03d}.dcm", enforce_file_format=True)
    return folder


def voxels() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 1000, (6, 5, 4)).astype(np.int16)


def test_a_dicom_series_is_stacked_by_position_and_turned_to_ras(tmp_path: Path) -> None:
    volume = volumes.read(series(tmp_path / "mr", voxels(), (0.5, 0.7, 2.0)))
    np.testing.assert_array_equal(volume.voxels, voxels())
    assert volume.spacing == pytest.approx((0.5, 0.7, 2.0))
    # Voxel (2, 3, 1) is at LPS (-10 + 2·0.5, -20 + 3·0.7, 5 + 2), so at RAS (9, 17.9, 7).
    assert (volume.affine @ [2, 3, 1, 1])[:3] == pytest.approx([9, 17.9, 7])


def test_rescaled_values_are_those_of_the_modality(tmp_path: Path) -> None:
    folder = series(tmp_path / "ct", voxels(), (1, 1, 1))
    for place in folder.iterdir():
        ds = pydicom.dcmread(place)
        ds.RescaleSlope, ds.RescaleIntercept = 2, -1024
        ds.save_as(place)
    np.testing.assert_array_equal(volumes.read(folder).voxels, voxels() * 2.0 - 1024)


def test_nifti_is_written_and_read_back_in_the_same_place(tmp_path: Path) -> None:
    affine = np.diag([-1.5, 2.0, 1.0, 1.0])
    affine[:3, 3] = 4, 5, 6
    volumes.write(Volume(voxels().astype(np.float32), affine), tmp_path / "v.nii.gz")
    found = volumes.read(tmp_path / "v.nii.gz")
    np.testing.assert_array_equal(found.voxels, voxels())
    np.testing.assert_allclose(found.affine, affine)


def test_a_cut_stays_where_it_was() -> None:
    whole = Volume(voxels().astype(np.float32), np.diag([2.0, 1.0, 3.0, 1.0]))
    part = whole.cut((1, 2, 0), (3, 2, 4))
    assert part.voxels[0, 0, 0] == whole.voxels[1, 2, 0]
    assert (part.affine @ [0, 0, 0, 1])[:3] == pytest.approx([2, 2, 0])
    with pytest.raises(InputError, match="not inside"):
        whole.cut((4, 0, 0), (3, 2, 4))


def test_the_mni_template_is_read_in_millimetres() -> None:
    volume = volumes.read(shared_data("mri_mni152_t1_1mm.nii.gz"))
    assert volume.voxels.shape == (197, 233, 189)
    assert volume.spacing == pytest.approx((1, 1, 1))


def test_what_is_no_volume_is_refused(tmp_path: Path) -> None:
    cases = {"nothing": (tmp_path / "none.nii", "no volume")}
    (tmp_path / "text.nii.gz").write_text("patient")
    cases["no NIfTI"] = (tmp_path / "text.nii.gz", "no NIfTI file")
    (tmp_path / "text.dcm").write_text("patient")
    cases["no DICOM"] = (tmp_path / "text.dcm", "neither NIfTI nor DICOM")
    broken = voxels().astype(np.float32)
    broken[1, 2, 3] = np.nan
    volumes.write(Volume(broken, np.eye(4)), tmp_path / "nan.nii.gz")
    cases["NaN"] = (tmp_path / "nan.nii.gz", "1 of 120 voxels are missing")
    volumes.write(Volume(voxels()[:, :, :1].astype(np.float32), np.eye(4)), tmp_path / "flat.nii.gz")
    cases["a slice"] = (tmp_path / "flat.nii.gz", "not one volume")
    gap = series(tmp_path / "gap", voxels(), (1, 1, 1))
    next(place for place in gap.iterdir() if place.name == "007.dcm").unlink()
    cases["a gap"] = (gap, "not evenly spaced")
    two = series(tmp_path / "two", voxels(), (1, 1, 1))
    series(tmp_path / "two" / "other", voxels(), (1, 1, 1))
    cases["two series"] = (two, "2 DICOM series")
    for path, reason in cases.values():
        with pytest.raises(InputError, match=reason):
            volumes.read(path)


@pytest.mark.parametrize("name", ["examples_ybr_color.dcm", "waveform_ecg.dcm", "MR_small.dcm"])
def test_dicom_without_a_grayscale_volume_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"no grayscale image|single slice"):
        volumes.read(shared_data(f"dicom/{name}"))


def test_voxels_that_are_all_alike_are_refused() -> None:
    with pytest.raises(InputError, match="alike"):
        volumes.scaled(Volume(np.ones((3, 3, 3), dtype=np.float32), np.eye(4)))
