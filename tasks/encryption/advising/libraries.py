"""Libraries for homomorphic encryption: what each is for, whether it can be used here and now, and how to get it.

What is said of installation was tried on Debian 12 with Python 3.11: Pyfhel is built from its source without network,
TenSEAL has wheels, Concrete needs numpy 1 and setuptools below 81 and so an environment of its own, OpenFHE's wheels
need a newer Python, HElib and HEAAN are neither on PyPI nor in Debian and are built from source with NTL and GMP.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from enum import StrEnum
from pathlib import Path

from tasks.common.errors import MissingPart
from tasks.common.values import Value
from tasks.encryption.inference import tfhe


class Library(StrEnum):
    """Whose implementation."""

    PYFHEL = "SEAL through Pyfhel"
    TENSEAL = "SEAL through TenSEAL"
    OPENFHE = "OpenFHE"
    HELIB = "HElib"
    HEAAN = "HEAAN"
    CONCRETE = "TFHE through Concrete"


class Availability(Value):
    """One library here and now. here: whether it can be used; found: where, or that it is not; get: how to get it."""

    library: Library
    schemes: str
    here: bool
    found: str
    get: str
    strong: str
    loses: str


_FACTS: dict[Library, tuple[str, str, str, str, str]] = {
    # module, schemes, how to get it, what it is good for, what is lost with it here
    Library.PYFHEL: (
        "Pyfhel", "CKKS, BFV, BGV", "`make env` builds it from source; needs a C++ compiler",
        "the guarded ciphertexts of this project are built on it",
        "no bootstrapping, so a limited depth; no keys shared by several parties",
    ),
    Library.TENSEAL: (
        "tenseal", "CKKS, BFV", "`pip install tenseal`: there are wheels",
        "vectors and matrices with a short interface, SEAL below like here",
        "no guard: levels, scales and contexts are not checked, no error is stated; encodes the model each time",
    ),
    Library.OPENFHE: (
        "openfhe", "CKKS, BFV, BGV, TFHE", "wheels need a newer Python than 3.11; else from source (CMake)",
        "bootstrapping for any depth, keys shared by several owners (threshold), scheme switching for comparisons",
        "no guard, no job of this project runs on it, and its environment has to be built",
    ),
    Library.HELIB: (
        "", "BGV, CKKS", "not on PyPI; build github.com/homenc/HElib with NTL and GMP",
        "BGV with many small plaintext slots and bootstrapping",
        "C++ only; no guard, no job of this project runs on it",
    ),
    Library.HEAAN: (
        "", "CKKS", "not on PyPI; build github.com/snucrypto/HEAAN with NTL and GMP",
        "the first CKKS, with bootstrapping",
        "not in RNS form and not maintained, so slower; C++ only; no guard",
    ),
    Library.CONCRETE: (
        "concrete.fhe", "TFHE", "own environment: `pip install concrete-python 'numpy<2' 'setuptools<81'`",
        "comparisons, tables and trees on small integers, any depth, exact up to a stated chance of failure",
        "milliseconds for each table lookup of one number; nothing is packed, keys are tens of megabytes",
    ),
}  # fmt: skip

# Files that an installation from source leaves, under the usual prefixes.
_SOURCES = {
    Library.HELIB: ("include/helib/helib.h",),
    Library.HEAAN: ("include/HEAAN.h", "include/HEAAN/HEAAN.h"),
    Library.OPENFHE: ("include/openfhe/pke/openfhe.h",),
}


def all_here() -> list[Availability]:
    """Every library, looked for now: as a module of this Python, in environments of their own, and under prefixes."""
    return [look(library) for library in Library]


def look(library: Library) -> Availability:
    """Whether a library can be used here and now."""
    module, schemes, get, strong, loses = _FACTS[library]
    found = _as_module(module) or _own_environment(module) or _from_source(library)
    return Availability(
        library=library, schemes=schemes, here=found is not None, found=found or "not here", get=get, strong=strong,
        loses=loses,
    )  # fmt: skip


def environments() -> Path:
    """The folder of environments that other people's software has of its own."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "secured" / "peers"


def has(module: str) -> bool:
    """Whether this Python can import a module, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _as_module(module: str) -> str | None:
    if not module:
        return None
    top = module.split(".", 1)[0]
    if not has(module):
        return None
    try:
        return f"{top} {importlib.metadata.version(_distribution(top))}"
    except importlib.metadata.PackageNotFoundError:
        return top


def _distribution(module: str) -> str:
    return "concrete-python" if module == "concrete" else module


def _own_environment(module: str) -> str | None:
    """An environment of its own that holds the module, without starting it."""
    if not module:
        return None
    if module.startswith("concrete"):
        try:
            return f"in {tfhe.python().parent.parent}"
        except MissingPart:
            pass
    pattern = f"*/lib/python3*/site-packages/{module.replace('.', '/')}"
    for folder in sorted(environments().glob(pattern)):
        return f"in the environment {folder.relative_to(environments()).parts[0]}"
    return None


def _from_source(library: Library) -> str | None:
    for prefix in (Path("/usr"), Path("/usr/local"), Path("/opt"), Path.home() / ".local"):
        for header in _SOURCES.get(library, ()):
            if (prefix / header).is_file():
                return str(prefix / header)
    return None
