"""Encryption of archives with age, by pyrage: for recipients, and back with an identity."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from openclaw_ocm.core.backup.layout import Refused
from openclaw_ocm.errors import Invalid, OcmError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import PurePosixPath

MAGIC = b"age-encryption.org/v1\n"
_MAX_IDENTITY = 2**20


def parse_recipient(text: str) -> object:
    """Return whom an archive is encrypted to, an age or an SSH public key, or raise `Invalid`."""
    import pyrage

    kind = pyrage.ssh if text.startswith("ssh-") else pyrage.x25519
    try:
        return kind.Recipient.from_str(text)
    except pyrage.RecipientError:
        message = f"{text[:80]!r} is no recipient of age"
        hint = "give an age public key (age1..., age-keygen makes one) or an SSH one (ssh-ed25519 ...)"
        raise Invalid(message, hint=hint, code="recipient_invalid") from None


def read_identities(path: PurePosixPath) -> tuple[object, ...]:
    """Return the keys in an identity file of age, or the SSH private key that a file holds.

    Raises `OcmError`, which tells nothing of the file's content, where it holds none.
    """
    import pyrage

    data = _read(path)
    try:
        if data.startswith(b"-----BEGIN"):
            return (pyrage.ssh.Identity.from_buffer(data),)
        lines = [line.strip() for line in data.decode().splitlines()]
        found = [pyrage.x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")]
    except (pyrage.IdentityError, UnicodeDecodeError):
        found = []
    if not found:
        message = f"{path} is no identity file of age and no SSH private key without a passphrase"
        raise OcmError(message, code="identity_invalid")
    return tuple(found)


def _read(path: PurePosixPath) -> bytes:
    """Return what an identity file holds, which may be a pipe from whatever keeps the key."""
    try:
        with Path(path).open("rb") as file:
            return file.read(_MAX_IDENTITY)
    except FileNotFoundError:
        raise OcmError(f"there is no file {path}", code="identity_missing") from None
    except OSError as error:
        raise OcmError(f"{path} cannot be read: {error.strerror}", code="identity_invalid") from None


def momentary() -> tuple[object, object]:
    """Return an identity that is kept in memory only, and its recipient."""
    import pyrage

    identity = pyrage.x25519.Identity.generate()
    return identity, identity.to_public()


def encrypt(source: IO[bytes], target: IO[bytes], recipients: Sequence[object]) -> None:
    """Encrypt a file into another; raise `OcmError` where that cannot be, as on a full disk."""
    import pyrage

    try:
        pyrage.encrypt_io(source, target, list(recipients))
    except pyrage.EncryptError as error:
        raise OcmError(f"the archive cannot be encrypted: {error}", code="os_error") from None


def decrypt(source: IO[bytes], target: IO[bytes], identities: Sequence[object]) -> None:
    """Decrypt a file into another; raise `Refused` where it is damaged or of another key."""
    import pyrage

    try:
        pyrage.decrypt_io(source, target, list(identities))
    except pyrage.DecryptError as error:
        wrong = "No matching keys" in str(error)
        raise Refused("the identity does not open it" if wrong else "its encryption is damaged") from None
    except OSError as error:
        # So pyrage 1.4 says that a block is damaged or missing.
        if str(error) == "decryption error":
            raise Refused("its encryption is damaged") from None
        raise OcmError(f"the archive cannot be decrypted: {error}", code="os_error") from None


def decrypt_beginning(source: IO[bytes], identities: Sequence[object], size: int) -> bytes:
    """Return at least the first `size` bytes of what is encrypted in a file, or all; raises as `decrypt`.

    The rest of the file is not read, and so not checked.
    """
    target = _Beginning(size)
    with contextlib.suppress(_EnoughError):
        decrypt(source, target, identities)
    return target.getvalue()


class _EnoughError(Exception):
    """What pyrage passes on of a file that takes no more."""


class _Beginning(io.BytesIO):
    """Takes no more once it has `size` bytes."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def write(self, data: Any) -> int:  # noqa: ANN401 - whatever has bytes
        written = super().write(data)
        if self.tell() >= self._size:
            raise _EnoughError
        return written
