"""An operation from end to end in one process: what the hospital sees, and what the cluster does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tasks.common.errors import CiphertextError, InputError, KeyRefused
from tasks.encryption import keys
from tasks.encryption.regridding import plan
from tasks.encryption.regridding.stages import lines_of
from tasks.imaging import cluster, operation, report, shift, volumes
from tasks.imaging.hospital import Hospital
from tasks.imaging.operation import Account, Frame
from tasks.imaging.record import Outcome, Planned
from tests.unit.imaging.test_volumes import series

pytest.importorskip("Pyfhel")
pytest.importorskip("nibabel")

SIZE = (32, 32, 32)
FRAMES = 2


def brain() -> np.ndarray:
    """Smooth voxels of int16 with noise, so that any few in a row would be found again."""
    x, y, z = np.indices((34, 34, 36)) / 6
    made = 500 + 400 * np.sin(x) * np.cos(y) * np.sin(z + 0.5)
    return (made + np.random.default_rng(9).integers(0, 50, made.shape)).astype(np.int16)


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Hospital:
    """A hospital that has handed over an encrypted volume."""
    folder = tmp_path_factory.mktemp("operation")
    (folder / "hospital").mkdir()
    (folder / "cluster").mkdir()
    made = Hospital(
        Planned(
            volume=series(folder / "CANARY-FOLDER", brain(), (1, 1, 1)), reference=None,
            shared=folder / "cluster", private=folder / "hospital",
            cache=folder / "cache", centre_mm=(-7, 3, 23), size=SIZE, most_mm=4.0, bound_mm=4.0,
            frames=FRAMES, period=0.0, deadline=60.0, share=0.3, seed=3,
        )
    )  # fmt: skip
    made.begin()
    return made


def answer(shared: Path, frame: Frame) -> None:
    """What all workers do, one after the other."""
    cluster.take_up(shared, frame)
    blocks = operation.read(shared).blocks
    made = [cluster.first_passes(shared, frame, place) for place in range(blocks.block[0])]
    last = cluster.last_pass(shared, frame, lines_of(blocks), made)
    parts = (*(spent for _, spent in made), last, cluster.compare(shared, frame))
    cluster.answer(frame, Account(seconds=1.0, parts=parts))


@pytest.fixture(scope="module")
def operated(hospital: Hospital) -> Hospital:
    """The same after an operation."""
    for number in range(FRAMES + 1):
        hospital.release(number)
        answer(hospital.planned.shared, Frame.at(hospital.planned.shared, number))
        hospital.look(number)
    hospital.end()
    return hospital


def test_the_hospital_sees_the_deformed_volume(operated: Hospital) -> None:
    first, *others = (operated.seen[number] for number in range(FRAMES + 1))
    assert first.encryption is not None
    assert first.whole is not None
    assert first.whole.largest < 1e-4
    for seen in others:
        assert seen.outcome is Outcome.IN_TIME
        assert seen.encryption is not None
        assert seen.whole is not None
        # Dividing the fused picture by what ultrasound left of it makes errors larger by 1/(1 - 0.3) at most.
        assert seen.encryption.largest <= operated.stated_error / 0.7
        assert seen.whole.rms < 0.01
        assert seen.correlation == pytest.approx(seen.correlation_plainly, abs=1e-4)
    assert np.ptp(operated.last["after"] - operated.last["before"]) > 0.1


def test_pictures_and_numbers_are_kept_by_the_hospital(operated: Hospital) -> None:
    private = operated.planned.private
    before = volumes.read(private / "before.nii.gz")
    np.testing.assert_allclose(before.voxels, operated.low + operated.range * operated.last["before"], rtol=1e-5)
    page = (private / "report.html").read_text()
    assert "simulated" in page
    assert page.count("data:image/png;base64,") == 5
    assert "2 of 2 pictures within 60 s" in page


def test_the_cluster_has_neither_secret_nor_plaintext(operated: Hospital) -> None:
    scaled = operated.last["before"]
    # The region's first voxel is (1, 1, 2) of the series, since its centre is voxel (17, 17, 18).
    whole = brain()[1:33, 1:33, 2:34]
    np.testing.assert_array_equal(np.rint(scaled * operated.range + operated.low), whole)
    canaries = [b"CANARY"]
    for voxels, kinds in ((whole, ("<i2", "<f4", "<f8")), (scaled, ("<f4", "<f8"))):
        lines = [voxels[12:20, 16, 16], voxels[16, 12:20, 16], voxels[16, 16, 12:20]]
        lines.append(operated.agreed.blocks.pack(voxels)[0, 0, 0][2000:2008])
        canaries += [line.astype(kind).tobytes() for line in lines for kind in kinds]
    for session in (operated._volume_keys, operated._small_keys):
        secret = session.native.to_bytes_secret_key("none")
        canaries += [secret[place : place + 32] for place in (len(secret) // 3, len(secret) // 2, len(secret) - 40)]
    canaries += [place.read_bytes()[40:72] for place in operated.planned.private.rglob("secret.locked")]
    files = [place for place in operated.planned.shared.rglob("*") if place.is_file()]
    assert len(files) > 30
    for place in files:
        content = place.read_bytes()
        assert not [canary for canary in canaries if canary in content], place
        assert "CANARY" not in str(place.relative_to(operated.planned.shared))
    assert len(list((operated.planned.private / "keys").rglob("secret.locked"))) == 2, "there is a secret to look for"


def test_the_clusters_keys_cannot_decrypt(operated: Hospital) -> None:
    from tasks.encryption import approximate

    site = cluster.opened(operated.planned.shared)
    ciphertext = next(iter(site.small().values()))
    with pytest.raises(KeyRefused, match="only the owner"):
        approximate.decrypt(ciphertext)
    with pytest.raises(InputError, match="not of the owner"):
        keys.open_owner(operated.planned.shared / "keys" / "volume", "guess guess guess")


def broken_frame(hospital: Hospital, number: int, **arrays: np.ndarray) -> Frame:
    """A frame of which something is other than it should be."""
    frame = Frame.at(hospital.planned.shared, number)
    frame.folder.mkdir()
    good = {"field": np.zeros((3, *SIZE)), "ultrasound": np.zeros(SIZE), "seen": np.ones(SIZE, dtype=bool)}
    for name, array in {**good, **arrays}.items():
        np.save(frame.folder / f"{name}.npy", array)
    return frame


def test_what_comes_in_broken_is_refused(operated: Hospital) -> None:
    shared = operated.planned.shared
    cases = [
        ({"field": np.full((3, *SIZE), np.nan)}, "missing or infinite"),
        ({"field": np.zeros((3, 4, 4, 4))}, "does not fit"),
        ({"field": np.full((3, *SIZE), 5.0)}, "more than the 4"), ({"ultrasound": np.full(SIZE, np.inf)}, "not one of"),
        ({"ultrasound": np.zeros((4, 4, 4))}, "not one of"),
    ]  # fmt: skip
    for number, (arrays, reason) in enumerate(cases, start=100):
        with pytest.raises(InputError, match=reason):
            cluster.take_up(shared, broken_frame(operated, number, **arrays))
    damaged = broken_frame(operated, 200)
    content = (damaged.folder / "field.npy").read_bytes()
    (damaged.folder / "field.npy").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="damaged"):
        cluster.take_up(shared, damaged)
    (damaged.folder / "field.npy").unlink()
    with pytest.raises(InputError, match="cannot be read"):
        cluster.take_up(shared, damaged)


def test_damaged_or_missing_messages_are_refused(operated: Hospital, tmp_path: Path) -> None:
    import shutil

    shared = tmp_path / "cluster"
    shutil.copytree(operated.planned.shared, shared, ignore=shutil.ignore_patterns("frames"))
    place = min((shared / "volume").iterdir())
    content = bytearray(place.read_bytes())
    content[len(content) // 2] ^= 1
    place.write_bytes(content)
    with pytest.raises(CiphertextError, match="damaged or cut off"):
        cluster.Site(shared).plane(0)
    place.unlink()
    with pytest.raises(InputError, match="cannot be read"):
        cluster.Site(shared).plane(0)
    (shared / "keys" / "volume" / "rotations.key").unlink()
    with pytest.raises(InputError, match=r"rotations\.key is missing"):
        cluster.Site(shared)
    (shared / "operation.json").write_text("{}")
    with pytest.raises(InputError, match="damaged"):
        cluster.Site(shared)


def test_a_simulated_shift_is_as_large_as_said_and_does_not_fold() -> None:
    region = volumes.Volume(np.zeros((48, 40, 44), dtype=np.float32), np.diag([1.0, 1.5, 2.0, 1.0]))
    for seed in range(5):
        field = shift.simulate(region, 20.0, np.random.default_rng(seed)).at(1.0)
        lengths = np.linalg.norm(field * np.reshape(region.spacing, (3, 1, 1, 1)), axis=0)
        assert lengths.max() == pytest.approx(20.0, rel=1e-5)
        for axis in range(3):
            assert np.diff(field[axis], axis=axis).min() > -0.9
    half = shift.simulate(region, 20.0, np.random.default_rng(0)).at(0.5)
    np.testing.assert_allclose(2 * half, shift.simulate(region, 20.0, np.random.default_rng(0)).at(1.0), rtol=1e-6)


def test_the_miss_rate_counts_late_and_superseded_fields(operated: Hospital) -> None:
    from tasks.imaging.record import Record

    record = Record.model_validate_json((operated.planned.private / "record.json").read_text())
    one = record.seen[0]
    outcomes = [Outcome.IN_TIME, Outcome.LATE, Outcome.SUPERSEDED, Outcome.REFUSED]
    mixed = record.model_copy(update={"seen": tuple(one.model_copy(update={"outcome": each}) for each in outcomes)})
    assert mixed.missed == pytest.approx(2 / 3)
    assert report.headline(mixed) == "1 of 4 pictures within 60 s of their field"


def test_a_plan_takes_cores_in_proportion_to_voxels_and_rate() -> None:
    one = plan.plan((256, 256, 192), 1.0, 8.0, 100_000.0, use=1.0)
    assert one.cores == -(-256 * 256 * 192 // 100_000)
    assert plan.plan((256, 256, 192), 2.0, 8.0, 100_000.0, use=0.5).cores == pytest.approx(4 * one.cores, abs=4)
    # 3,072 ciphertexts of two polynomials with 8,192 coefficients of eight bytes come back at one prime.
    assert one.answer_bytes == 3072 * 2 * 8192 * 8
    assert not one.shared_out


def test_parts_are_placed_alike_for_every_frame_and_leave_room_for_the_comparison() -> None:
    from tasks.imaging.steps import placed

    assert placed(8, 1, busy=6) == [0] * 8
    assert placed(8, 2) == [0, 1] * 4
    # Six parts' work is done besides, so of fourteen the second worker takes seven.
    assert placed(8, 2, busy=6).count(1) == 7
    assert sorted(set(placed(32, 5))) == [0, 1, 2, 3, 4]
