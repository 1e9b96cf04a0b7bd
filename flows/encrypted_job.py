"""Jobs on ciphertexts: the owner encrypts, workers compute on what they cannot read, the owner decrypts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prefect import State, flow
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.futures import PrefectFuture
from prefect.runtime import flow_run

from flows import owners_commands, runtime
from flows.runtime import submit
from tasks.common import settings
from tasks.common.steps import ALWAYS_RUN, step
from tasks.encryption import steps as encryption
from tasks.encryption.exchange import Answer
from tasks.encryption.session import Role
from tasks.hub import steps as hub
from tasks.hub.registration import Registration

# Called, not submitted: they run where the owner's keys are, beside the flow, and never on a worker.
encrypt = step("encrypt", cache=ALWAYS_RUN)(owners_commands.run)
decrypt = step("decrypt", cache=ALWAYS_RUN)(owners_commands.run)


def named_after_folder() -> str:
    """What a run is called in Prefect's pages: `encrypted-job statistics`."""
    return f"{flow_run.flow_name} {Path(flow_run.parameters['folder']).name}"


@flow(name="encrypted-job", flow_run_name=named_after_folder, task_runner=runtime.task_runner())  # type: ignore[arg-type]
def encrypted_job(
    job: str, table: str, keys: str, folder: str, out: str, passphrase_file: str = "", key_file: str = ""
) -> Registration:
    """Encrypt a table, compute on the ciphertexts with keys that cannot decrypt, decrypt the result for its owner.

    The owner's two commands run as processes of their own; this flow and its workers see neither table nor secret key.
    Where owner and evaluator are on two machines, the owner runs `secured he encrypt` and `secured he decrypt`, and
    the evaluator the flow `encrypted-evaluation`.

    Args:
        job: Path of the job's description (JSON).
        table: Path of the data: a table (CSV or Parquet) with the columns that the job names, or arrays (.npy, .npz).
        keys: Path of the folder of keys that `secured he keys make` made, with those of owner and evaluator.
        folder: Path of the job's folder, which owner and evaluator share; it is made if it is not there.
        out: Path of the result (.json, .npy or .npz), which only the owner can read.
        passphrase_file: Path of a file with the passphrase in its first line, which only the owner can read.
        key_file: Path of the owner's key file, if the keys are locked with one and not with a passphrase.
    """
    unlocking = owners_commands.unlocking(passphrase_file, key_file)
    encrypted = encrypt("encrypt", job, table, "--keys", keys, "--folder", folder, *unlocking, return_state=True)
    encrypted.result()
    answer = evaluated(folder, evaluators_part(keys), after=[encrypted])
    answer.result()
    decrypted = decrypt(
        "decrypt", folder, "--keys", keys, "--out", out, *unlocking, return_state=True, wait_for=[answer]
    )
    decrypted.result()
    return registered(folder, answer, after=[decrypted])


@flow(name="encrypted-evaluation", flow_run_name=named_after_folder, task_runner=runtime.task_runner())  # type: ignore[arg-type]
def encrypted_evaluation(folder: str, keys: str) -> Registration:
    """Do the evaluator's part of a job that an owner encrypted, with keys that cannot decrypt.

    Args:
        folder: Path of the job's folder, with the owner's ciphertexts in it; the answer comes to lie beside them.
        keys: Path of the evaluator's folder of keys, as the owner handed it over.
    """
    return registered(folder, evaluated(folder, evaluators_part(keys)))


def evaluated(folder: str, keys: str, after: Sequence[State[None]] = ()) -> PrefectFuture[Answer]:
    """Share the parts among workers, and put together what they make."""
    work = submit(encryption.take, folder, keys, after=after)
    work.result()
    lists = submit(encryption.divide, work, settings.load().workers)
    done = [submit(encryption.evaluate, work, parts) for parts in lists.result()]
    return submit(encryption.combine, work, done)


def evaluators_part(keys: str) -> str:
    """The evaluator's folder in a folder of keys; the folder itself where it is that one."""
    inside = Path(keys) / Role.EVALUATOR
    return str(inside if inside.is_dir() else keys)


def registered(folder: str, later: PrefectFuture[Answer], after: Sequence[State[None]] = ()) -> Registration:
    """Register how the job was done, and show it in Prefect's pages."""
    registration, answer = submit(hub.register_encrypted, folder, later, after=after).result(), later.result()
    create_markdown_artifact(
        f"**{len(answer.messages):,} ciphertexts** as an answer, made of {answer.parts:,} parts in "
        f"{answer.seconds:,.1f} s of computing; {answer.bytes / 1e6:,.1f} MB",
        key="answer", description="What came back, while it was still encrypted",
    )  # fmt: skip
    if registration.page:
        create_link_artifact(
            registration.page, link_text="The job in the knowledge base", key="evidence", description="How it was done"
        )
    return registration
