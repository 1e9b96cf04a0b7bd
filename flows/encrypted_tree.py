"""A decision tree on encrypted people: the owner asks and decrypts, workers answer what they cannot read."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from flows import owners_commands, runtime
from flows.encrypted_job import named_after_folder
from flows.runtime import submit
from tasks.common import settings
from tasks.encryption import steps as encryption
from tasks.encryption.inference.tree_job import QUESTIONS, account_of
from tasks.hub import steps as hub
from tasks.hub.registration import Registration

_OWNER = "tasks.encryption.inference.tree_owner"


@flow(name="encrypted-tree", flow_run_name=named_after_folder, task_runner=runtime.task_runner())  # type: ignore[arg-type]
def encrypted_tree(model: str, table: str, folder: str, out: str) -> Registration:
    """Have a fitted decision tree decide on people whom nobody but their owner sees, under TFHE by Concrete.

    The owner is a process of its own beside the flow; its secret key is in its memory alone and ends with it.

    Args:
        model: Path of the fitted DecisionTreeClassifier (.skops).
        table: Path of the people: a table (CSV or Parquet) with the columns that the tree uses, or an array (.npy).
        folder: Path of the job's folder, which owner and evaluator share; it is made if it is not there.
        out: Path of the decisions (.json, .npy or .npz), which only the owner can read.
    """
    planned = submit(encryption.plan_tree, model, folder)
    planned.result()
    with owners_commands.at_work(_OWNER, folder, table, out) as owner:
        owner.wait_until(lambda: account_of(Path(folder), QUESTIONS) is not None)
        lists = submit(encryption.divide_people, folder, settings.load().workers, after=[planned])
        done = [submit(encryption.evaluate_tree, folder, names, after=[lists]) for names in lists.result()]
        parts = submit(encryption.close_answers, folder, done)
        parts.result()
        owner.finish()
    return submit(hub.register_tree, folder, parts).result()
