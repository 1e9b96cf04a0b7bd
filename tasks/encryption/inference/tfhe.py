"""Trees under TFHE by Zama's Concrete, in an environment of its own, since it needs numpy below 2.

Owner and evaluator have a worker process each. The owner's makes the secret key and keeps it in its memory alone; the
evaluator's gets evaluation keys and ciphertexts. What passes between them says of which plan and keys it is.

The environment is made once, with any Python from 3.9 to 3.12:

    python3.11 -m venv ~/.secured/concrete
    ~/.secured/concrete/bin/pip install concrete-python==2.11.0 'setuptools<81'

or is wherever SECURED_CONCRETE says. It takes 1.6 GB with PyTorch's build without CUDA.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from tasks.common.errors import CiphertextError, MissingPart, RunFailed
from tasks.common.settings import home
from tasks.encryption.inference import tfhe_worker
from tasks.encryption.inference.tree import TreePlan

_MAGIC = b"SECURED-TFHE-1\n"
_HASH = 32
# For a request to a worker: keys of a large tree take a minute, one person some seconds.
_DEADLINE_SECONDS = 1800.0


def python() -> Path:
    """The Python of Concrete's environment.

    Raises:
        MissingPart: there is none.
    """
    folder = Path(os.environ.get("SECURED_CONCRETE", home(os.environ) / "concrete"))
    found = folder / "bin" / "python"
    if not found.is_file():
        raise MissingPart(
            f"trees under encryption need Concrete in an environment of its own, and {folder} has none; make it with "
            f"`python3.11 -m venv {folder}` and `{folder}/bin/pip install concrete-python==2.11.0 'setuptools<81'`, or "
            "set SECURED_CONCRETE to where it is"
        )
    return found


class _Side:
    """A worker with a compiled plan."""

    def __init__(self, plan: TreePlan) -> None:
        self.plan = plan
        environment = {"PATH": os.environ.get("PATH", ""), "OMP_NUM_THREADS": "1", "HOME": os.environ.get("HOME", "/")}
        self._process = subprocess.Popen(
            [python(), "-I", tfhe_worker.__file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, env=environment,
        )  # fmt: skip
        try:
            _, (self.specs,) = self._asked("compile", {"plan": plan.model_dump(mode="json")})
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the worker, and with it the owner's secret key."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.terminate()
        self._process.wait()

    def _asked(
        self, verb: str, header: dict[str, Any] | None = None, blobs: Sequence[bytes] = ()
    ) -> tuple[dict[str, Any], list[bytes]]:
        given, taken = self._process.stdin, self._process.stdout
        assert given is not None
        assert taken is not None
        late = threading.Timer(_DEADLINE_SECONDS, self._process.kill)
        late.start()
        try:
            tfhe_worker.write(given, {"verb": verb, **(header or {})}, list(blobs))
            answer = tfhe_worker.read(taken)
        except (BrokenPipeError, ValueError):
            answer = None
        finally:
            late.cancel()
        if answer is None and late.finished.is_set() and self._process.poll() == -signal.SIGKILL:
            raise RunFailed(f"the worker of Concrete did not {verb} within {_DEADLINE_SECONDS:.0f} s, and was ended")
        if answer is None:
            raise RunFailed(f"the worker of Concrete ended when it was asked to {verb}; is its environment whole?")
        if "error" in answer[0]:
            raise RunFailed(f"Concrete cannot {verb} this: {answer[0]['error']}")
        return answer

    def _wrapped(self, what: str, keys: str, payload: bytes) -> bytes:
        """Payload with what it is, of which plan, keys and parameters."""
        content = "\n".join((what, self.plan.fingerprint, keys, _hash(self.specs))).encode() + b"\n\n" + payload
        return _MAGIC + hashlib.sha256(content).digest() + content

    def _opened(self, what: str, keys: str | None, message: bytes) -> tuple[str, bytes]:
        """The keys' fingerprint and the payload of a message."""
        start = len(_MAGIC) + _HASH
        content = message[start:]
        if not message.startswith(_MAGIC) or hashlib.sha256(content).digest() != message[len(_MAGIC) : start]:
            raise CiphertextError("this is no message of a tree job, or it is damaged or cut off")
        head, _, payload = content.partition(b"\n\n")
        found, plan, owner, specs = head.decode().split("\n")
        if found != what or plan != self.plan.fingerprint or specs != _hash(self.specs):
            raise CiphertextError(f"this message is {found} of the tree {plan}, not {what} of {self.plan.fingerprint}")
        if keys is not None and owner != keys:
            raise CiphertextError(f"this message was made under the keys {owner}, not {keys}")
        return owner, payload


class TreeOwner(_Side):
    """Encrypts and decrypts. evaluation_keys: what the evaluator needs; it cannot decrypt with them."""

    def __init__(self, plan: TreePlan) -> None:
        super().__init__(plan)
        _, (made,) = self._asked("keys")
        self._keys = _hash(made)
        self.evaluation_keys = self._wrapped("keys", self._keys, made)

    def encrypt(self, data: ArrayLike) -> list[bytes]:
        """A message a person. data: (rows, columns), as the tree was fitted on.

        Raises:
            InputError, WouldBeWrong: as for `TreePlan.ranks`.
        """
        _, made = self._asked("encrypt", {"ranks": self.plan.ranks(data).tolist()})
        return [self._wrapped("question", self._keys, ciphertext) for ciphertext in made]

    def decrypt(self, answers: Sequence[bytes]) -> np.ndarray:
        """The number of each person's class, int64 (rows,); each is wrong with a chance of `plan.failure`.

        Raises:
            CiphertextError: an answer is damaged, or of another tree or other keys.
        """
        found, _ = self._asked("decrypt", {}, [self._opened("answer", self._keys, answer)[1] for answer in answers])
        classes = np.array(found["classes"], dtype=np.int64)
        if len(classes) and not (classes.min() >= 0 and classes.max() < len(self.plan.classes)):
            raise CiphertextError("an answer is no class of the tree; it was not made rightly")
        return classes


class TreeEvaluator(_Side):
    """Evaluates, with the evaluation keys of one owner."""

    def __init__(self, plan: TreePlan, evaluation_keys: bytes) -> None:
        super().__init__(plan)
        try:
            self._keys, keys = self._opened("keys", None, evaluation_keys)
            if self._keys != _hash(keys):
                raise CiphertextError("these evaluation keys are not those that they say")
            self._asked("open", {}, [keys])
        except BaseException:
            self.close()
            raise

    def evaluate(self, questions: Sequence[bytes]) -> list[bytes]:
        """An answer for each message.

        Raises:
            CiphertextError: a message is damaged, or of another tree or other keys.
        """
        _, made = self._asked("evaluate", {}, [self._opened("question", self._keys, each)[1] for each in questions])
        return [self._wrapped("answer", self._keys, answer) for answer in made]


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
