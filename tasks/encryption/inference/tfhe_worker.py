"""The side of a tree job that runs in the environment of Concrete; started by `tfhe`, imports nothing of SECURED.

It reads requests from its input and answers on its output: the length of a JSON header, the header, and blobs whose
lengths are in it. The owner's worker makes the secret key and never sends or writes it; it ends with the worker.
"""

from __future__ import annotations

import json
import os
import secrets
import struct
import sys
import warnings
from typing import IO, Any

import numpy as np

_LENGTH = struct.Struct(">I")


def main() -> None:
    """Answer requests until the input ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no answer
    warnings.simplefilter("ignore")
    worker = Worker()
    while (request := read(sys.stdin.buffer)) is not None:
        header, blobs = request
        try:
            answer, made = getattr(worker, f"do_{header['verb']}")(header, blobs)
        except Exception as error:  # told to whoever asked, who decides
            what = f": {error}" if header["verb"] == "compile" else ""  # later on it could tell of people
            answer, made = {"error": f"{type(error).__name__}{what}"}, []
        write(answers, answer, made)


class Worker:
    """A compiled tree, and the owner's keys or none."""

    def __init__(self) -> None:
        self.circuit: Any = None
        self.evaluation: Any = None

    def do_compile(self, header: dict[str, Any], _: list[bytes]) -> tuple[dict[str, Any], list[bytes]]:
        """From the plan; both sides do, so that neither runs code of the other."""
        self.circuit = compiled(header["plan"])
        return {}, [self.circuit.client.specs.serialize()]

    def do_keys(self, _: dict[str, Any], __: list[bytes]) -> tuple[dict[str, Any], list[bytes]]:
        """Secret keys for here, evaluation keys for the evaluator."""
        client = self.circuit.client
        client.keys.generate(force=True, secret_seed=_seed(), encryption_seed=_seed())
        return {}, [client.evaluation_keys.serialize()]

    def do_encrypt(self, header: dict[str, Any], _: list[bytes]) -> tuple[dict[str, Any], list[bytes]]:
        """One ciphertext a person."""
        client = self._owners_client()
        made = [client.encrypt(np.array(ranks, dtype=np.int64)) for ranks in header["ranks"]]
        return {}, [ciphertext.serialize() for ciphertext in made]

    def do_open(self, _: dict[str, Any], blobs: list[bytes]) -> tuple[dict[str, Any], list[bytes]]:
        """Evaluation keys, for the evaluator's worker."""
        from concrete import fhe

        self.evaluation = fhe.EvaluationKeys.deserialize(blobs[0])
        return {}, []

    def do_evaluate(self, _: dict[str, Any], blobs: list[bytes]) -> tuple[dict[str, Any], list[bytes]]:
        """One encrypted class a person."""
        from concrete import fhe

        run = self.circuit.server.run
        return {}, [run(fhe.Value.deserialize(blob), evaluation_keys=self.evaluation).serialize() for blob in blobs]

    def do_decrypt(self, _: dict[str, Any], blobs: list[bytes]) -> tuple[dict[str, Any], list[bytes]]:
        """The number of each person's class."""
        from concrete import fhe

        client = self._owners_client()
        return {"classes": [int(client.decrypt(fhe.Value.deserialize(blob))) for blob in blobs]}, []

    def _owners_client(self) -> Any:
        """With keys that were made here; without, Concrete would make some, and decrypt to anything."""
        client = self.circuit.client
        if not client.keys.are_generated:
            raise PermissionError("this side has no secret key")
        return client


def compiled(plan: dict[str, Any]) -> Any:
    """The circuit of a plan: a lookup for each comparison and for each leaf that is not of the first class."""
    from concrete import fhe

    most = max(len(edges) for edges in plan["thresholds"])
    size = 1 << most.bit_length()
    tables = [fhe.LookupTable([int(v > each["threshold"]) for v in range(size)]) for each in plan["comparisons"]]
    leaves = [leaf for leaf in plan["leaves"] if leaf["label"]]

    def decided(ranks: Any) -> Any:
        above = [table[ranks[each["feature"]]] for table, each in zip(tables, plan["comparisons"], strict=True)]
        total = 0
        for leaf in leaves:
            length = len(leaf["path"])
            met = sum(above[number] if side else 1 - above[number] for number, side in leaf["path"])
            hits = [leaf["label"] * int(v == length) for v in range(1 << length.bit_length())]
            total = total + fhe.LookupTable(hits)[fhe.hint(met, can_store=length)]
        return fhe.hint(total, can_store=len(plan["classes"]) - 1)

    rng = np.random.default_rng(0)
    sizes = [len(edges) + 1 for edges in plan["thresholds"]]
    samples = [rng.integers(0, sizes) for _ in range(200)]
    samples += [np.zeros(len(sizes), dtype=np.int64), np.full(len(sizes), most)]
    settings = fhe.Configuration(global_p_error=plan["failure"], enable_unsafe_features=False, show_progress=False)
    return fhe.Compiler(decided, {"ranks": "encrypted"}).compile(samples, settings)


def read(stream: IO[bytes]) -> tuple[dict[str, Any], list[bytes]] | None:
    """A header and its blobs, or nothing at the end."""
    start = stream.read(_LENGTH.size)
    if len(start) < _LENGTH.size:
        return None
    header = json.loads(stream.read(_LENGTH.unpack(start)[0]))
    return header, [stream.read(length) for length in header.pop("blobs")]


def write(stream: IO[bytes], header: dict[str, Any], blobs: list[bytes]) -> None:
    """The same to the other side."""
    text = json.dumps({**header, "blobs": [len(blob) for blob in blobs]}).encode()
    stream.write(_LENGTH.pack(len(text)) + text)
    for blob in blobs:
        stream.write(blob)
    stream.flush()


def _seed() -> int:
    return secrets.randbits(127) + 1  # 0 would mean none


if __name__ == "__main__":
    main()
