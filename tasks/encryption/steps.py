"""The evaluator's side as steps: workers get paths and digests, and leave ciphertexts in the job's folder.

The owner's side is no step: nothing that holds a secret key or a plaintext runs on a cluster.
"""

from __future__ import annotations

from pathlib import Path

from tasks.common.steps import ALWAYS_RUN, step
from tasks.encryption import evaluator_side
from tasks.encryption.evaluator_side import Part, Work
from tasks.encryption.exchange import Answer, Record

# What only trees need is imported where it is used: scikit-learn takes a second.
# Parts are reused by what is in the job's folder, so the steps themselves always run.


@step("look at messages", cache=ALWAYS_RUN)
def take(folder: str, keys: str) -> Work:
    """Check that the job's keys are those at hand, and that all messages are there and whole."""
    return evaluator_side.take(Path(folder), Path(keys))


@step("divide", cache=ALWAYS_RUN)
def divide(work: Work, workers: int) -> list[list[Part]]:
    """The parts that are to be done, in about four lists for each worker; none where there is an answer already."""
    parts = evaluator_side.parts(work)
    size = max(1, -(-len(parts) // (4 * workers)))
    return [list(parts[start : start + size]) for start in range(0, len(parts), size)]


@step("evaluate", cache=ALWAYS_RUN)
def evaluate(work: Work, parts: list[Part]) -> list[Record]:
    """Compute on ciphertexts; parts that an earlier run finished are reused."""
    return [evaluator_side.evaluate_part(work, part) for part in parts]


@step("combine", cache=ALWAYS_RUN)
def combine(work: Work, done: list[list[Record]]) -> Answer:
    """Put together what workers made, still encrypted."""
    return evaluator_side.combine(work, [record for records in done for record in records])


@step("plan a tree", cache=ALWAYS_RUN)
def plan_tree(model: str, folder: str) -> None:
    """Begin a tree job: the plan of a model in a file."""
    from tasks.encryption.inference import files, tree_job
    from tasks.encryption.inference.tree import tree_plan

    tree_job.write_plan(tree_plan(files.tree_from_skops(Path(model))), Path(folder))


@step("divide people", cache=ALWAYS_RUN)
def divide_people(folder: str, workers: int) -> list[list[str]]:
    """The questions that were asked, in about four lists for each worker."""
    from tasks.encryption.inference import tree_job

    names = tree_job.names_of(Path(folder), tree_job.QUESTIONS)
    size = max(1, -(-len(names) // (4 * workers)))
    return [names[start : start + size] for start in range(0, len(names), size)]


@step("evaluate tree", cache=ALWAYS_RUN)
def evaluate_tree(folder: str, names: list[str]) -> float:
    """Answer some questions; seconds that it took."""
    from tasks.encryption.inference import tree_job

    return tree_job.evaluate(Path(folder), names)


@step("close answers", cache=ALWAYS_RUN)
def close_answers(folder: str, seconds: list[float]) -> int:
    """Say that all questions are answered; how many parts that took."""
    from tasks.encryption.inference import tree_job

    tree_job.close(Path(folder), tree_job.ANSWERS, sum(seconds))
    return len(seconds)
