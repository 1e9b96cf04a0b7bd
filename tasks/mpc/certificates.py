"""Certificates of one job's parties, self-signed, in a folder where OpenSSL finds them by the hash of their name.

Each party gets its own key and everybody's certificate. They last a few days, so that none is ever renewed.
"""

from __future__ import annotations

import datetime
import hashlib
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

_DAYS = 3
_BITS = 2048
# DER of the object identifier of a common name, 2.5.4.3.
_COMMON_NAME = b"\x06\x03\x55\x04\x03"


class Certificate:
    """One party's: its key and its certificate, in PEM."""

    def __init__(self, party: int) -> None:
        self.name = f"P{party}"
        key = rsa.generate_private_key(public_exponent=65537, key_size=_BITS)
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, self.name)])
        now = datetime.datetime.now(datetime.UTC)
        made = (
            x509.CertificateBuilder(subject_name=subject, issuer_name=subject, public_key=key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(days=_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
        )
        self.certificate = made.public_bytes(serialization.Encoding.PEM)
        self.key = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def write(folder: Path, party: int, certificates: list[Certificate]) -> None:
    """What a party needs: its own key (mode 0600), and all certificates under both names."""
    for each in certificates:
        (folder / f"{each.name}.pem").write_bytes(each.certificate)
        (folder / f"{subject_hash(each.name)}.0").write_bytes(each.certificate)
    path = folder / f"{certificates[party].name}.key"
    path.touch(mode=0o600)
    path.write_bytes(certificates[party].key)


def subject_hash(name: str) -> str:
    """What OpenSSL calls the file of a certificate whose only name is this common name (`openssl x509 -hash`).

    The first four bytes, little endian, of SHA-1 of the name in canonical form: strings in UTF-8 and lower case, and
    no outer sequence (OpenSSL, x509_vfy and X509_NAME_hash_ex).
    """
    text = name.lower().encode()
    pair = _COMMON_NAME + bytes([0x0C, len(text)]) + text
    sequence = bytes([0x30, len(pair)]) + pair
    canonical = bytes([0x31, len(sequence)]) + sequence
    digest = hashlib.sha1(canonical, usedforsecurity=False).digest()
    return digest[:4][::-1].hex()
