"""Ed25519 keys that sign bundles, and those that are trusted."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_pipeline.core.files import disk_errors, sha256, write_atomically
from edge_pipeline.fleet.errors import KeyFileError

PRIVATE = Path("local") / "bundle_key.pem"
"""Where the private key is, below conf."""

TRUSTED = "trusted_keys"
"""Folder of public keys, `*.pub`, in conf/base, which is shared, or in conf/local."""


@dataclass(frozen=True)
class PublicKey:
    """The 32 bytes of an Ed25519 public key."""

    raw: bytes

    @property
    def id(self) -> str:
        """Sixteen hexadecimal digits by which the key is named."""
        return sha256(self.raw)[:16]

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Tell whether `signature` is that of `message` by this key."""
        _cryptography()
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True

    def pem(self) -> bytes:
        """Return it as a file."""
        _cryptography()
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        return Ed25519PublicKey.from_public_bytes(self.raw).public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )


@dataclass(frozen=True)
class PrivateKey:
    """An Ed25519 private key, which is never printed."""

    _key: Any = field(repr=False)

    @property
    def public(self) -> PublicKey:
        """Its public key."""
        return PublicKey(self._key.public_key().public_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        """Return the signature of `message`, 64 bytes."""
        return bytes(self._key.sign(message))


def generate(conf: Path, name: str) -> PublicKey:
    """Make a key pair: the private one in conf/local, for this user alone, the public one among the trusted ones.

    Raises:
        KeyFileError: there is a private key already, or `cryptography` is not installed.
        StorageError: a file cannot be written.
    """
    _cryptography()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    path = conf / PRIVATE
    made = Ed25519PrivateKey.generate()
    data = made.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise KeyFileError(
                f"there is a key already in {path}; boards trust what it signed. Move it away first if you want another"
            ) from None
        with os.fdopen(file, "wb") as opened:
            opened.write(data)
            opened.flush()
            os.fsync(opened.fileno())
    public = PrivateKey(made).public
    write_atomically(conf / "local" / TRUSTED / f"{name}.pub", public.pem())
    return public


def private_key(conf: Path) -> PrivateKey:
    """Return the key that signs this project's bundles.

    Raises:
        KeyFileError: there is none, others can read it, or it is no Ed25519 key.
    """
    _cryptography()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    path = conf / PRIVATE
    if not path.is_file():
        raise KeyFileError(f"there is no key to sign with, {path}; `kedro edge bundle keygen` makes one")
    if path.stat().st_mode & 0o077:
        raise KeyFileError(f"others can read the private key {path}; `chmod 600 {path}`, or make another if they did")
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise KeyFileError(f"{path} is no private key without a password in PEM form") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"{path} is no Ed25519 key; `kedro edge bundle keygen` makes one")
    return PrivateKey(key)


def trusted_keys(conf: Path) -> list[PublicKey]:
    """Return the public keys in `trusted_keys` of conf/base and conf/local.

    Raises:
        KeyFileError: a file there is no Ed25519 public key.
    """
    _cryptography()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    found = []
    for path in sorted(path for env in ("base", "local") for path in (conf / env / TRUSTED).glob("*.pub")):
        try:
            key = serialization.load_pem_public_key(path.read_bytes())
        except ValueError as error:
            raise KeyFileError(f"{path} is no public key in PEM form; take the file that `keygen` wrote") from error
        if not isinstance(key, Ed25519PublicKey):
            raise KeyFileError(f"{path} is no Ed25519 key; bundles are signed by such keys alone")
        found.append(PublicKey(key.public_bytes_raw()))
    return list(dict.fromkeys(found))


def _cryptography() -> None:
    try:
        import cryptography  # noqa: F401
    except ModuleNotFoundError as error:
        raise KeyFileError(
            "signing needs the package cryptography; `pip install -c constraints.txt 'edge-pipeline[fleet]'`"
        ) from error
