"""A secret in a file beside the state: made on first use, for its owner alone, never half written."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import NamedTuple

from penstock.errors import ConfigError

__all__ = ["Found", "make_secret_file", "read_secret_file"]

_LARGEST_FILE = 4096
_OWNER_ONLY = 0o600


class Found(NamedTuple):
    """What a file holds. `warning`: what its owner should know, "" for nothing."""

    value: str
    warning: str = ""


def read_secret_file(path: Path, what: str) -> Found:
    """Read it, and take away from others what they may do with it.

    Args:
        what: what it holds, for whoever reads an error: `the admin key`.

    Raises:
        FileNotFoundError: there is none.
        OSError: it cannot be read; a symbolic link is not followed.
        ConfigError: it is not a plain file of ours.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode) or about.st_uid != os.geteuid():
            # Who may write a file here before we start could choose our secret.
            raise ConfigError(f"{path}: {what} must lie in a plain file of the user who runs Penstock")
        mode = stat.S_IMODE(about.st_mode)
        warning = ""
        if mode & ~_OWNER_ONLY:
            os.fchmod(file.fileno(), _OWNER_ONLY)
            warning = f"{path} had mode {mode:04o} and has 0600 now; if others may have read it, delete it and restart"
        return Found(file.read(_LARGEST_FILE).decode("utf-8", "replace").strip(), warning)


def make_secret_file(path: Path, value: str, *, instead: bool = False) -> bool:
    """Write it; False where another process was first. Nobody ever sees half a file, or one open to others.

    Args:
        instead: take the place of a file that is there.

    Raises:
        OSError: the folder cannot be written, or its file system has no hard links.
    """
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _OWNER_ONLY)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, _OWNER_ONLY)  # the umask may have taken more away
            file.write(f"{value}\n".encode())
            file.flush()
            os.fsync(descriptor)
        if instead:
            os.rename(draft, path)
            return True
        os.link(draft, path)  # unlike a rename, fails where the name is taken
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)
    return True
