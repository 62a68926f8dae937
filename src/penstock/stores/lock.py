"""One owner of the state: a lock file beside it that names the process and where its control plane is.

The lock is the kernel's (flock), so it ends with its process however that ends; what is written in the file is for
people and for the command line.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import msgspec

from penstock.errors import ConfigError

__all__ = ["FILE", "Owner", "StateLock", "read_owner"]

FILE = "penstock.lock"
_LARGEST = 4096
# Where nothing can be written, nobody else can have state either.
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


class Owner(msgspec.Struct, frozen=True):
    """Who owns the state: its process, and the address of its control plane once that listens."""

    pid: int
    admin: str = ""


def read_owner(folder: Path) -> Owner | None:
    """What the lock file says; None where there is none, or it holds nothing readable. It may be a dead process's."""
    try:
        with (folder / FILE).open("rb") as file:
            return msgspec.json.decode(file.read(_LARGEST), type=Owner)
    except (OSError, msgspec.DecodeError):
        return None


class StateLock:
    """Held from construction to `release`.

    Raises:
        ConfigError: another process owns the state in that folder; its cause is the kernel's refusal.

    Attributes:
        held: False where the folder cannot be written at all, so that there is nothing to be locked.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder.absolute() / FILE
        self._file: int | None = None
        try:
            self._file = self._take()
        except BlockingIOError as error:
            raise _owned(folder.absolute()) from error
        except OSError as error:
            if error.errno not in _READ_ONLY:
                raise ConfigError(f"{self._path}: the lock cannot be made: {error.strerror or error}") from None
        self.tell("")

    @property
    def held(self) -> bool:
        """Whether there is a lock."""
        return self._file is not None

    def _take(self) -> int:
        while True:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_same(file, self._path):
                    return file
            except BaseException:
                os.close(file)
                raise
            # Its owner took the file away between our opening and locking it: what we hold is nobody's lock.
            os.close(file)

    def tell(self, admin: str) -> None:
        """Write who holds it, and where the control plane is."""
        if self._file is not None:
            text = msgspec.json.encode(Owner(os.getpid(), admin)) + b"\n"
            os.pwrite(self._file, text, 0)
            os.ftruncate(self._file, len(text))

    def release(self) -> None:
        """Take the file away and let go; further calls do nothing."""
        file, self._file = self._file, None
        if file is not None:
            self._path.unlink(missing_ok=True)
            os.close(file)

    def leave(self) -> None:
        """In a forked child: it is the parent's, and must not outlive it here."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


def _is_same(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _owned(folder: Path) -> ConfigError:
    owner = read_owner(folder)
    who = f"process {owner.pid}" if owner else "another process"
    admin = f", its control plane is {owner.admin}" if owner and owner.admin else ""
    return ConfigError(
        f"{folder / FILE}: the state in this folder belongs to {who}{admin}",
        do="Use that one, stop it, or run this one in another folder or with a --config that lies elsewhere.",
    )
