"""Keys that sign training sets: Ed25519 (RFC 8032), a private and a public file in one directory.

The only home of `cryptography`. Ed25519 signatures are a function of key and text alone, so the same manifest signed
twice by one key has the same bytes. The private key is not encrypted: builds run unattended, and a password in the
environment beside it guards nothing; what guards it is the file's mode, and one that others can read is refused.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from personas.errors import AuditError, TrainingError

PRIVATE, PUBLIC = "signing.key", "signing.pub"
ALGORITHM = "Ed25519"
_RAW = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)


@dataclass(frozen=True)
class PublicKey:
    """Who signed: a key, and its name (`ed25519:` and the first 32 digits of the SHA-256 of its 32 bytes)."""

    key: Ed25519PublicKey

    @property
    def raw(self) -> bytes:
        """The 32 bytes of the key."""
        return self.key.public_bytes(*_RAW)

    @property
    def name(self) -> str:
        """Short enough to be read aloud, long enough not to be forged."""
        return f"ed25519:{hashlib.sha256(self.raw).hexdigest()[:32]}"

    @property
    def pem(self) -> str:
        """As it is in its file."""
        written = self.key.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )  # fmt: skip
        return written.decode()


@dataclass(frozen=True)
class SigningKey:
    """What signs. Never printed: `repr` shows the public half's name."""

    key: Ed25519PrivateKey

    @property
    def public(self) -> PublicKey:
        """The half that everybody may know."""
        return PublicKey(self.key.public_key())

    def __repr__(self) -> str:
        return f"SigningKey({self.public.name})"


def new_key(folder: Path) -> SigningKey:
    """Make a key in `folder`: the private file for its owner alone (mode 600), the public one beside it. TrainingError
    where there is one already, or nothing can be written."""
    signing = SigningKey(Ed25519PrivateKey.generate())
    private = signing.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / PRIVATE
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(private)
        (folder / PUBLIC).write_text(signing.public.pem, "ascii")
    except FileExistsError as error:
        raise TrainingError(
            f"{path} exists already: a key is never overwritten, what it signed could not be checked any more.",
            hint="Use it, or give another directory with --keys.",
        ) from error
    except OSError as error:
        raise TrainingError(f"{folder}: no key can be made there ({error.strerror}).", hint="Give --keys.") from error
    return signing


def signing_key(folder: Path) -> SigningKey | None:
    """The key in `folder`; None where there is none. TrainingError where others can read it, or it is no key."""
    path = folder / PRIVATE
    try:
        mode = path.stat().st_mode
        if mode & 0o077:
            raise TrainingError(
                f"{path}: others can read this private key (mode {mode & 0o777:o}).", hint=f"chmod 600 {path}"
            )
        loaded = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TrainingError(f"{path}: the key cannot be read ({error.strerror}).") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        hint = "Make one: dayone keys new --keys DIR"
        raise TrainingError(f"{path}: not a private key in PEM ({error}).", hint=hint) from error
    if not isinstance(loaded, Ed25519PrivateKey):
        raise TrainingError(f"{path}: found another kind of key, expected Ed25519.", hint="dayone keys new --keys DIR")
    return SigningKey(loaded)


def public_key(path: Path) -> PublicKey:
    """The public key in a file, or in the directory where `new_key` put it. TrainingError where there is none."""
    path = path / PUBLIC if path.is_dir() else path
    try:
        loaded = serialization.load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise TrainingError(f"{path}: the public key cannot be read ({error.strerror}).") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise TrainingError(f"{path}: not a public key in PEM ({error}).") from error
    if not isinstance(loaded, Ed25519PublicKey):
        raise TrainingError(f"{path}: found another kind of key, expected Ed25519.")
    return PublicKey(loaded)


def signature_of(text: bytes, key: SigningKey) -> str:
    """The content of a signature file: JSON with the algorithm, the public key and the signature, in base64."""
    told = {
        "algorithm": ALGORITHM,
        "key": key.public.name,
        "public_key": base64.b64encode(key.public.raw).decode(),
        "signature": base64.b64encode(key.key.sign(text)).decode(),
    }
    return json.dumps(told, indent=1) + "\n"


def signer_of(text: bytes, signature: bytes) -> PublicKey:
    """Who signed `text`, by the content of a signature file. AuditError where the signature is not of this text, or
    the file is something else."""
    try:
        told = json.loads(signature)
        signer = PublicKey(Ed25519PublicKey.from_public_bytes(base64.b64decode(told["public_key"], validate=True)))
        signed = base64.b64decode(told["signature"], validate=True)
        if told["algorithm"] != ALGORITHM or told["key"] != signer.name:
            raise ValueError("it names another algorithm or key than it holds")
    except (ValueError, KeyError, TypeError) as error:
        raise AuditError(f"the signature cannot be read ({error})") from error
    try:
        signer.key.verify(signed, text)
    except InvalidSignature:
        raise AuditError("the signature is not of this manifest: one of them was changed") from None
    return signer
