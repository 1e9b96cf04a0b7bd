"""Keys by role, at rest. The owner's folder has the secret, locked; the evaluator's has no more than its job needs.

    owner/      manifest.json  public.key  secret.locked
    evaluator/  manifest.json  public.key  products.key  rotations.key
    auditor/    manifest.json  public.key

The secret key is encrypted with AES-256-GCM (NIST SP 800-38D) under a key that scrypt (RFC 7914) makes of a passphrase,
or that is derived from the owner's key file; the manifest is authenticated with it, so that neither an expiry date nor
parameters can be changed unnoticed. All files of the owner have mode 0600. Whoever holds an evaluator's or auditor's
manifest can write another; against damage it carries the hashes of the key files, and its own.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from pydantic import Field

from tasks.common.errors import InputError, KeyRefused, ParametersError
from tasks.common.key_file import Key
from tasks.common.store import atomic
from tasks.common.values import Value, content_hash
from tasks.encryption.parameters import Parameters
from tasks.encryption.session import Role, Session, native_context

Lock = str | Key  # a passphrase, or the owner's key file
MANIFEST, PUBLIC, SECRET, PRODUCTS, ROTATIONS = (
    "manifest.json", "public.key", "secret.locked", "products.key", "rotations.key",
)  # fmt: skip
_OWN_HASH = "sha256"  # of the rest of a manifest
_SHORTEST = 12
_SALT, _NONCE = 16, 12
_MAGIC = b"SECURED-SECRET-1\n"
_SCRYPT = {"length": 32, "n": 2**15, "r": 8, "p": 1}


class Manifest(Value):
    """What a folder of keys is: of which parameters, for whom, until when.

    fingerprint: SHA-256 of parameters and public key, 32 hexadecimal digits. rotations: steps that there are keys for.
    products: whether ciphertexts can be multiplied with each other. files: SHA-256 of the evaluator's key files, which
    SEAL would load damaged. replaces: the fingerprint of earlier keys.
    """

    fingerprint: str
    parameters: Parameters
    role: Role
    made: datetime.date
    expires: datetime.date | None = None
    rotations: tuple[int, ...] = ()
    products: bool = False
    replaces: str | None = None
    files: dict[str, str] = Field(default_factory=dict)


def make(
    folder: Path, parameters: Parameters, lock: Lock, *, rotations: Iterable[int] = (), products: bool = False,
    expires: datetime.date | None = None, replaces: str | None = None,
) -> Manifest:  # fmt: skip
    """Make keys for one job and write the folders of the three roles; nothing is ever overwritten.

    Raises:
        InputError: the folder is not empty.
        KeyRefused: the passphrase is short, or the keys would be expired.
        ParametersError, MissingPart: as in `native_context`.
    """
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty; keys are never overwritten")
    _require_current(expires, "these keys would be expired from the start")
    locked = _Locked.new(lock)
    native = native_context(parameters)
    native.keyGen()
    public: bytes = native.to_bytes_public_key("none")
    manifest = Manifest(
        fingerprint=_fingerprint(parameters, public), parameters=parameters, role=Role.OWNER,
        made=datetime.date.today(), expires=expires, rotations=tuple(sorted(set(rotations))), products=products,
        replaces=replaces,
    )  # fmt: skip
    made = _evaluation_keys(native, manifest)
    files = {name: hashlib.sha256(content).hexdigest() for name, content in made.items()}
    manifest = manifest.model_copy(update={"files": files})
    for role in Role:
        _write_role(folder / role, manifest.model_copy(update={"role": role}), public)
    for name, content in made.items():
        _write(folder / Role.EVALUATOR / name, content)
    _write(folder / Role.OWNER / SECRET, locked.seal(native.to_bytes_secret_key("none"), manifest), private=True)
    return manifest


def _evaluation_keys(native: Any, manifest: Manifest) -> dict[str, bytes]:
    made = {}
    if manifest.products:
        native.relinKeyGen()
        made[PRODUCTS] = native.to_bytes_relin_key("none")
    if manifest.rotations:
        try:
            native.rotateKeyGen(list(manifest.rotations))
        except (RuntimeError, ValueError):
            half = manifest.parameters.degree // 2
            raise ParametersError(f"rotations are by less than {half:,} either way, not {manifest.rotations}") from None
        made[ROTATIONS] = native.to_bytes_rotate_key("none")
    return made


def open_owner(folder: Path, lock: Lock) -> Session:
    """A session that encrypts and decrypts.

    Raises:
        InputError: the folder has no keys of an owner, or they are damaged.
        KeyRefused: the passphrase or key file is another one, something was changed, or the keys are expired.
    """
    manifest = read_manifest(folder, Role.OWNER)
    native = _with_public(folder, manifest)
    secret = _Locked.of(lock, _read(folder / SECRET)).open(_read(folder / SECRET), manifest)
    _load(native.from_bytes_secret_key, secret, folder / SECRET)
    return Session(manifest.parameters, native, manifest.fingerprint, Role.OWNER, frozenset(), False)


def open_evaluator(folder: Path) -> Session:
    """A session that computes and cannot decrypt.

    Raises:
        InputError: the folder has no keys of an evaluator, or they are damaged.
        KeyRefused: the keys are expired.
    """
    manifest = read_manifest(folder, Role.EVALUATOR)
    native = _with_public(folder, manifest)
    for name, load in (PRODUCTS, native.from_bytes_relin_key), (ROTATIONS, native.from_bytes_rotate_key):
        if name in manifest.files:
            content = _read(folder / name)
            if hashlib.sha256(content).hexdigest() != manifest.files[name]:
                raise InputError(f"{folder / name} is damaged or of other keys")
            _load(load, content, folder / name)
    rotations = frozenset(manifest.rotations)
    return Session(manifest.parameters, native, manifest.fingerprint, Role.EVALUATOR, rotations, manifest.products)


def open_auditor(folder: Path) -> Session:
    """A session that can read envelopes and encrypt known answers.

    Raises:
        InputError, KeyRefused: as for an evaluator.
    """
    manifest = read_manifest(folder, Role.AUDITOR)
    native = _with_public(folder, manifest)
    return Session(manifest.parameters, native, manifest.fingerprint, Role.AUDITOR, frozenset(), False)


def renew(old: Path, folder: Path, lock: Lock, expires: datetime.date | None = None) -> Manifest:
    """New keys of the same parameters for the same job, which name those that they replace.

    Old ciphertexts stay with the old keys: decrypt them, and encrypt what is still needed again.

    Raises:
        InputError, KeyRefused: as in `make` and `open_owner`; the lock has to open the old keys.
    """
    manifest = read_manifest(old, Role.OWNER, expired=True)
    secret = _read(old / SECRET)
    _Locked.of(lock, secret).open(secret, manifest)
    return make(
        folder, manifest.parameters, lock, rotations=manifest.rotations, products=manifest.products, expires=expires,
        replaces=manifest.fingerprint,
    )  # fmt: skip


def read_manifest(folder: Path, role: Role, *, expired: bool = False) -> Manifest:
    """What a folder of keys says of itself. expired: whether it may be.

    Raises:
        InputError: there is none, it is damaged, or it is another role's.
        KeyRefused: the keys are expired.
    """
    try:
        stored = json.loads(_read(folder / MANIFEST))
        own = stored.pop(_OWN_HASH)
        manifest = Manifest.model_validate(stored)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, ParametersError):
        raise InputError(f"{folder / MANIFEST} is damaged") from None
    if own != content_hash(manifest):
        raise InputError(f"{folder / MANIFEST} was changed, or is damaged")
    if manifest.role is not role:
        raise InputError(f"{folder} holds keys of the {manifest.role}, not of the {role}")
    if not expired:
        _require_current(manifest.expires, f"the keys {manifest.fingerprint} are expired; `secured he keys renew`")
    return manifest


def _require_current(expires: datetime.date | None, message: str) -> None:
    if expires is not None and expires < datetime.date.today():
        raise KeyRefused(f"{message} (valid until {expires})")


def _fingerprint(parameters: Parameters, public: bytes) -> str:
    return hashlib.sha256(parameters.model_dump_json().encode() + b"\0" + public).hexdigest()[:32]


def _write_role(folder: Path, manifest: Manifest, public: bytes) -> None:
    private = manifest.role is Role.OWNER
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700 if private else 0o750)
    stored = manifest.model_dump(mode="json") | {_OWN_HASH: content_hash(manifest)}
    _write(folder / MANIFEST, json.dumps(stored, indent=2).encode() + b"\n", private=private)
    _write(folder / PUBLIC, public, private=private)


def _write(path: Path, content: bytes, *, private: bool = False) -> None:
    with atomic(path) as temporary:
        temporary.chmod(0o600 if private else 0o640)
        temporary.write_bytes(content)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"there are no keys at {path.parent}: {path.name} is missing") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from error


def _with_public(folder: Path, manifest: Manifest) -> Any:
    public = _read(folder / PUBLIC)
    if _fingerprint(manifest.parameters, public) != manifest.fingerprint:
        raise InputError(f"{folder} is damaged: its public key is not the one that its manifest names")
    native = native_context(manifest.parameters)
    _load(native.from_bytes_public_key, public, folder / PUBLIC)
    return native


def _load(into: Any, content: bytes, path: Path) -> None:
    try:
        into(content)
    except (RuntimeError, ValueError, ArithmeticError, IndexError, MemoryError) as error:
        raise InputError(f"{path} is damaged or of other keys: {error}") from None


class _Locked:
    """What encrypts the secret key: AES under scrypt's or the key file's key."""

    def __init__(self, lock: Lock, salt: bytes) -> None:
        self._salt = salt
        if isinstance(lock, Key):
            self._key = lock.derive("encryption-secret", salt.hex())
        else:
            self._key = Scrypt(salt=salt, **_SCRYPT).derive(lock.encode())

    @classmethod
    def new(cls, lock: Lock) -> _Locked:
        if isinstance(lock, str) and len(lock) < _SHORTEST:
            raise KeyRefused(f"a passphrase needs {_SHORTEST} characters at least")
        return cls(lock, os.urandom(_SALT))

    @classmethod
    def of(cls, lock: Lock, content: bytes) -> _Locked:
        if not content.startswith(_MAGIC) or len(content) < len(_MAGIC) + _SALT + _NONCE:
            raise InputError(f"{SECRET} is damaged")
        return cls(lock, content[len(_MAGIC) : len(_MAGIC) + _SALT])

    def seal(self, secret: bytes, manifest: Manifest) -> bytes:
        nonce = os.urandom(_NONCE)
        return _MAGIC + self._salt + nonce + AESGCM(self._key).encrypt(nonce, secret, _bound_to(manifest))

    def open(self, content: bytes, manifest: Manifest) -> bytes:
        start = len(_MAGIC) + _SALT
        nonce, body = content[start : start + _NONCE], content[start + _NONCE :]
        try:
            return AESGCM(self._key).decrypt(nonce, body, _bound_to(manifest))
        except InvalidTag:
            raise KeyRefused(
                "the secret key does not open: the passphrase or key file is another one, or a file was changed"
            ) from None


def _bound_to(manifest: Manifest) -> bytes:
    return json.dumps(manifest.model_dump(mode="json"), sort_keys=True).encode()
