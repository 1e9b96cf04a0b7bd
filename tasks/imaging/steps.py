"""The cluster's part of an operation as a step: fields are taken as they come, workers share each of them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from distributed import worker_client

from tasks.common.errors import InputError
from tasks.common.steps import ALWAYS_RUN, silent, step
from tasks.encryption.regridding.stages import lines_of
from tasks.imaging import cluster, operation
from tasks.imaging.hospital import SUPERSEDED
from tasks.imaging.operation import Account, Frame, Spent

_POLL_SECONDS = 0.02
_BEGIN_SECONDS = 3600.0
# The comparison takes as long as this share of the last pass, for which the others first fetch planes.
_COMPARISON = 0.65


@step("guide", cache=ALWAYS_RUN)
def guide(shared: Path) -> int:
    """Answer fields until the operation is over; says how many. Of several that wait, the last one is answered.

    Raises:
        CiphertextError, KeyRefused: what the hospital handed over cannot be used.
    """
    _await_begin(shared)
    answered = 0
    with worker_client() as client:
        workers = sorted(client.scheduler_info(n_workers=-1)["workers"])
        while True:
            ended = (shared / operation.OVER).exists()
            waiting = [frame for frame in operation.frames(shared) if not frame.finished]
            for frame in waiting[:-1]:
                cluster.refuse(frame, SUPERSEDED)
            if waiting:
                answered += _answer(client, workers, shared, waiting[-1])
            elif ended:
                return answered
            else:
                time.sleep(_POLL_SECONDS)


def _answer(client: Any, workers: list[str], shared: Path, frame: Frame) -> bool:
    """Whether a frame could be answered; a field that cannot be applied is refused, and the operation goes on."""
    start, cpu = time.perf_counter(), time.process_time()
    try:
        cluster.take_up(shared, frame)
    except InputError as error:
        cluster.refuse(frame, str(error))
        return False
    parts = [cluster.spent_since(start, cpu)]
    parts += _shared_out(client, workers, shared, frame)
    cluster.answer(frame, Account(seconds=time.perf_counter() - start, parts=tuple(parts)))
    return True


def _shared_out(client: Any, workers: list[str], shared: Path, frame: Frame) -> list[Spent]:
    """Planes to the workers that have them already, then lines; the first worker compares while it would wait."""
    blocks, count = operation.read(shared).blocks, len(workers)

    def at(worker: int) -> dict[str, Any]:
        return {"workers": [workers[worker]], "allow_other_workers": True, "pure": False}

    planes = [
        client.submit(silent("first passes", cluster.first_passes), shared, frame, place, **at(worker))
        for place, worker in enumerate(placed(blocks.block[0], count))
    ]
    compared = client.submit(silent("compare", cluster.compare), shared, frame, priority=-1, **at(0))
    lines = lines_of(blocks)
    places = placed(len(lines), count, busy=_COMPARISON * len(lines))
    last = [
        client.submit(silent("last pass", cluster.last_pass), shared, frame, part, planes, **at(worker))
        for worker in range(count)
        if (part := [line for line, place in zip(lines, places, strict=True) if place == worker])
    ]
    # What a plane cost is asked for last: a task in between would have to wait for the comparison.
    costs = [client.submit(_cost, plane, priority=-2) for plane in planes]
    return list(client.gather([*costs, compared, *last]))


def placed(parts: int, workers: int, busy: float = 0.0) -> list[int]:
    """Which worker has which part, the same for every frame; the first one is busy with so many parts' work already."""
    load = [busy, *[0.0] * (workers - 1)]
    found = []
    for _ in range(parts):
        worker = load.index(min(load))
        load[worker] += 1
        found.append(worker)
    return found


def _cost(plane: cluster.Resampled) -> Spent:
    return plane[1]


def _await_begin(shared: Path) -> None:
    deadline = time.monotonic() + _BEGIN_SECONDS
    while not (shared / operation.DESCRIPTION).is_file() and not (shared / operation.OVER).exists():
        if time.monotonic() > deadline:
            raise InputError(f"nothing was handed over in {shared}")
        time.sleep(_POLL_SECONDS)
