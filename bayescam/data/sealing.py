"""What stands for an identifier: keyed hashes, and paths that only the holder of the key can read.

Patient ids and the unique ids of DICOM images are short or public enough to be guessed, so a plain
hash of one can be undone by trying all. HMAC-SHA-256 with a secret key cannot, and one key gives
one patient the same name in every table of a study.

File and folder names of DICOM images often carry patient names too, but images must be found again:
in tables such a path is *sealed*, that is encrypted with the same key by AES-SIV (RFC 5297), which
is deterministic and authenticated: equal paths stay equal in every table, and a changed one is
noticed.

The key is the file named by the environment variable `BAYESCAM_DICOM_KEY`, or else
`~/.config/bayescam/dicom.key`, made of random bytes when it is first needed. It is never written
into an output. Who is given tables without the key learns no id and no path from them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from bayescam.types import InputError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

__all__ = ["KEY_VARIABLE", "is_sealed", "keyed_hash", "open_path", "seal_path"]

KEY_VARIABLE = "BAYESCAM_DICOM_KEY"
_SEAL = "sealed:"
_LEAST_KEY = 16
_PADDED_TO = 64  # so that the length of a name tells little of it


def keyed_hash(purpose: str, value: str) -> str:
    """Return 16 hexadecimal digits of HMAC-SHA-256 that stand for `value`.

    Args:
        purpose: what the value is; equal values of two purposes have unrelated hashes.
        value: an identifier.

    Raises:
        InputError: the key cannot be read or made.
    """
    return _mac(_study_key(), purpose, value.encode("utf-8", "surrogateescape")).hex()[:16]


def seal_path(path: str | Path) -> str:
    """Return a path as text that only the holder of the key can read; see `open_path`."""
    plain = os.fsencode(path)
    plain += b"\0" * (-len(plain) % _PADDED_TO)
    sealed = _cipher(_study_key()).encrypt(plain, None)
    return _SEAL + base64.urlsafe_b64encode(sealed).decode("ascii").rstrip("=")


def is_sealed(path: str | Path) -> bool:
    """Return whether `seal_path` made this of a path."""
    return str(path).startswith(_SEAL)


def open_path(path: str | Path) -> str:
    """Return the path that was sealed, or `path` itself if it is an ordinary one.

    Raises:
        InputError: it was sealed with another key, or changed.
    """
    text = str(path)
    if not is_sealed(text):
        return text
    from cryptography.exceptions import InvalidTag

    coded, cipher = text.removeprefix(_SEAL), _cipher(_study_key())
    try:
        sealed = base64.b64decode(coded + "=" * (-len(coded) % 4), altchars=b"-_", validate=True)
        plain = cipher.decrypt(sealed, None)
    except (binascii.Error, InvalidTag) as error:
        raise InputError(
            "a path of a DICOM image was sealed with another key, or damaged; name the file of the "
            f"key it was made with in {KEY_VARIABLE}"
        ) from error
    return os.fsdecode(plain.rstrip(b"\0"))


def _cipher(key: bytes) -> AESSIV:
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

    return AESSIV(hmac.digest(key, b"key of paths", hashlib.sha512))


def _mac(key: bytes, purpose: str, message: bytes) -> bytes:
    return hmac.digest(key, purpose.encode() + b"\0" + message, hashlib.sha256)


def _study_key() -> bytes:
    given = os.environ.get(KEY_VARIABLE)
    file = Path(given).expanduser() if given else _default_file()
    try:
        if not given and not file.exists():
            _make_key(file)
        key = file.read_bytes()
    except OSError as error:
        raise InputError(
            f"the key that stands between DICOM identifiers and tables cannot be read: {file}: "
            f"{error.strerror}. {KEY_VARIABLE} may name another file of {_LEAST_KEY} or more "
            "random bytes"
        ) from error
    if len(key) < _LEAST_KEY:
        raise InputError(f"{file} must hold {_LEAST_KEY} or more random bytes; got {len(key)}")
    return key


def _default_file() -> Path:
    folder = os.environ.get("XDG_CONFIG_HOME")
    return (Path(folder) if folder else Path.home() / ".config") / "bayescam" / "dicom.key"


def _make_key(file: Path) -> None:
    """Write a new key that only its owner can read; one that another process made first stays."""
    file.parent.mkdir(parents=True, exist_ok=True)
    own = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(secrets.token_bytes(32))
        if not file.exists():
            os.link(own, file)
    except FileExistsError:
        pass
    finally:
        own.unlink()
