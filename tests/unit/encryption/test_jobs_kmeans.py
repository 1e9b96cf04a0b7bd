"""k-means on encrypted points takes the steps of scikit-learn's on the points in the clear."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris

from tasks.common.errors import CiphertextError, InputError, KeyRefused, ParametersError, WouldBeWrong
from tasks.encryption.jobs.kmeans import KMeansDistances, KMeansUpdate, Points, nearest
from tests.unit.encryption.job_runs import Roles, evaluated, roles, sent

ROWS, COLUMNS, CLUSTERS = 5000, 3, 4
POINTS = Points(rows=ROWS, columns=COLUMNS, bound=8.0)
UPDATE = KMeansUpdate(points=POINTS, clusters=CLUSTERS)


@dataclass(frozen=True)
class Setting:
    """Keys of an update, which also do for distances, and points that are encrypted once."""

    by: Roles
    points: np.ndarray
    encrypted: dict[str, object]


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = rng.uniform(-5, 5, (CLUSTERS, COLUMNS))
    points = np.clip(centres[rng.integers(0, CLUSTERS, ROWS)] + rng.normal(0, 1, (ROWS, COLUMNS)), -8, 8)
    return points, points[:CLUSTERS] + 0.1


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    by = roles(UPDATE, tmp_path_factory.mktemp("keys") / "keys")
    points, _ = drawn(0)
    return Setting(by, points, sent(by.evaluator, POINTS.encrypt(by.owner, points)))


def test_distances_to_centroids_of_the_description_are_those_of_numpy(setting) -> None:
    _, centroids = drawn(0)
    job = KMeansDistances(points=POINTS, clusters=CLUSTERS, centroids=[[0.0] * COLUMNS, *centroids[1:].tolist()])
    answers = sent(setting.by.owner, evaluated(job, setting.by.evaluator, setting.encrypted))
    got = job.decrypt(setting.by.owner, answers)["distances"]
    wanted = ((setting.points[:, None] - np.array(job.centroids)) ** 2).sum(axis=2)
    assert np.abs(got - wanted).max() <= job.stated_error(answers) < 1e-3
    assert np.abs(got - job.plainly(setting.points)["distances"]).max() <= job.stated_error(answers)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_step_with_encrypted_centroids_is_a_step_of_scikit_learn(setting, seed: int) -> None:
    by, rng = setting.by, np.random.default_rng(seed)
    centroids = setting.points[rng.choice(ROWS, CLUSTERS, replace=False)]
    job = KMeansDistances(points=POINTS, clusters=CLUSTERS)
    messages = setting.encrypted | sent(by.evaluator, job.encrypt_centroids(by.owner, centroids))
    answers = sent(by.owner, evaluated(job, by.evaluator, messages))
    distances = job.decrypt(by.owner, answers)["distances"]
    plainly = job.plainly({"points": setting.points, "centroids": centroids})["distances"]
    assert np.abs(distances - plainly).max() <= job.stated_error(answers) < 1e-3

    assigned = nearest(distances)
    messages = setting.encrypted | sent(by.evaluator, UPDATE.encrypt_assignments(by.owner, assigned))
    answers = sent(by.owner, evaluated(UPDATE, by.evaluator, messages))
    got = UPDATE.decrypt(by.owner, answers)
    reference = KMeans(CLUSTERS, init=centroids, n_init=1, max_iter=1, algorithm="lloyd", tol=0)
    with warnings.catch_warnings():  # one step does not converge, and is not meant to
        warnings.simplefilter("ignore")
        reference.fit(setting.points)
    assert got["counts"].tolist() == np.bincount(assigned, minlength=CLUSTERS).tolist()
    for cluster in range(CLUSTERS):
        inside = setting.points[assigned == cluster]
        assert np.abs(got["sums"][cluster] - inside.sum(axis=0)).max() <= UPDATE.stated_error(answers) < 0.01
        assert np.allclose(got["centroids"][cluster], reference.cluster_centers_[cluster], atol=1e-5)


def test_two_steps_on_irises_end_where_those_of_scikit_learn_do(tmp_path) -> None:
    irises = load_iris().data
    points = Points(rows=150, columns=4, bound=10.0)
    update = KMeansUpdate(points=points, clusters=3)
    by = roles(update, tmp_path / "keys")
    encrypted = sent(by.evaluator, points.encrypt(by.owner, irises))
    centroids = irises[[0, 50, 100]]
    for _ in range(2):
        job = KMeansDistances(points=points, clusters=3, centroids=centroids.tolist())
        found = job.decrypt(by.owner, sent(by.owner, evaluated(job, by.evaluator, encrypted)))["distances"]
        messages = encrypted | sent(by.evaluator, update.encrypt_assignments(by.owner, nearest(found)))
        centroids = update.decrypt(by.owner, sent(by.owner, evaluated(update, by.evaluator, messages)))["centroids"]
    reference = KMeans(3, init=irises[[0, 50, 100]], n_init=1, max_iter=2, algorithm="lloyd", tol=0)
    with warnings.catch_warnings():  # two steps do not converge, and are not meant to
        warnings.simplefilter("ignore")
        reference.fit(irises)
    assert np.allclose(centroids, reference.cluster_centers_, atol=1e-5)


def test_an_empty_cluster_has_no_centroid(setting) -> None:
    assigned = np.zeros(ROWS, dtype=int)
    messages = setting.encrypted | sent(setting.by.evaluator, UPDATE.encrypt_assignments(setting.by.owner, assigned))
    got = UPDATE.decrypt(setting.by.owner, sent(setting.by.owner, evaluated(UPDATE, setting.by.evaluator, messages)))
    assert got["counts"].tolist() == [ROWS, 0, 0, 0]
    assert np.isnan(got["centroids"][1:]).all()
    assert np.allclose(got["centroids"][0], setting.points.mean(axis=0))


@pytest.mark.parametrize(
    ("points", "why"),
    [
        (np.full((ROWS, COLUMNS), math.nan), "missing or infinite"),
        (np.full((ROWS, COLUMNS), 8.1), "beyond"),
        (np.zeros((ROWS, COLUMNS + 1)), "5,000 by 3"),
        (np.full((ROWS, COLUMNS), "a"), "numbers"),
    ],
)
def test_points_that_do_not_fit_are_refused(setting, points: np.ndarray, why: str) -> None:
    with pytest.raises(InputError, match=why):
        POINTS.encrypt(setting.by.owner, points)


@pytest.mark.parametrize(
    "assignments",
    [
        np.full(ROWS, CLUSTERS),
        np.full(ROWS, -1),
        np.full(ROWS, 0.5),
        np.full(ROWS, math.nan),
        np.zeros(ROWS - 1, dtype=int),
    ],
)
def test_assignments_to_no_cluster_are_refused(setting, assignments: np.ndarray) -> None:
    with pytest.raises(InputError):
        UPDATE.encrypt_assignments(setting.by.owner, assignments)


def test_data_under_other_names_are_refused(setting) -> None:
    with pytest.raises(InputError, match="points and assignments"):
        UPDATE.encrypt(setting.by.owner, setting.points)
    with pytest.raises(InputError, match="centroids have to be numbers, 2 by 3"):
        KMeansDistances(points=POINTS, clusters=2).encrypt(setting.by.owner, setting.points)
    with pytest.raises(InputError, match="points and centroids"):
        KMeansDistances(points=POINTS, clusters=2).encrypt(setting.by.owner, {"points": setting.points})
    with pytest.raises(InputError, match="beyond"):
        KMeansDistances(points=POINTS, clusters=1, centroids=[[9.0, 0.0, 0.0]])


def test_blocks_that_are_missing_and_points_of_another_set_are_refused(setting) -> None:
    by = setting.by
    messages = setting.encrypted | sent(by.evaluator, UPDATE.encrypt_assignments(by.owner, np.zeros(ROWS, dtype=int)))
    half = {name: each for name, each in messages.items() if name.endswith("block000000")}
    with pytest.raises(InputError, match="not the whole"):
        evaluated(UPDATE, by.evaluator, half)
    with pytest.raises(InputError, match="missing"):
        UPDATE.evaluate(by.evaluator, setting.encrypted)
    job = KMeansDistances(points=POINTS, clusters=1, centroids=[[1.0, 2.0, 3.0]])
    with pytest.raises(InputError, match="missing"):
        job.decrypt(by.owner, sent(by.owner, evaluated(job, by.evaluator, {
            name: each for name, each in setting.encrypted.items() if name.endswith("block000000")
        })))  # fmt: skip
    other = KMeansDistances(
        points=POINTS.model_copy(update={"rows": ROWS - 1}), clusters=1, centroids=[[1.0, 2.0, 3.0]]
    )
    with pytest.raises(CiphertextError, match="not the message"):
        other.evaluate(by.evaluator, setting.encrypted)


def test_keys_for_distances_do_not_do_for_an_update(setting, tmp_path) -> None:
    job = KMeansDistances(points=POINTS, clusters=CLUSTERS)
    assert job.needs().rotations == ()
    with pytest.raises(KeyRefused, match="lack rotations"):
        UPDATE.evaluate(roles(job, tmp_path / "keys").evaluator, {})


def test_a_sum_that_is_not_in_all_slots_is_refused(setting) -> None:
    by = setting.by
    messages = setting.encrypted | sent(by.evaluator, UPDATE.encrypt_assignments(by.owner, np.zeros(ROWS, dtype=int)))
    answers = evaluated(UPDATE, by.evaluator, messages)
    name = "sum0000.column0000"
    answers[name] = answers[name] + np.linspace(0, 1, by.owner.slots)
    with pytest.raises(WouldBeWrong, match="differ"):
        UPDATE.decrypt(by.owner, sent(by.owner, answers))


def test_points_too_large_for_the_scale_are_refused_before_keys_are_made() -> None:
    with pytest.raises(ParametersError):
        KMeansUpdate(points=Points(rows=10_000, columns=2, bound=1e7), clusters=2).needs()
