"""Where nginx and haproxy are: installed, or unpacked from Debian's packages into `build/`.

Unpacked, not installed: nothing of the system changes, no service starts, and root is not needed.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.materials import BUILD

_ROOT = BUILD / ".debian"
_SYSTEM = "/usr/sbin:/usr/local/sbin"
# With the libraries that a Debian image without them lacks.
_PACKAGES = {
    "nginx": ["nginx"],
    "haproxy": ["haproxy", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1"],
}


@dataclass(frozen=True, slots=True)
class Program:
    """A program and what it needs in its environment; `missing` says why there is none."""

    path: str
    environment: Mapping[str, str] = field(default_factory=dict)
    missing: str | None = None


def program(name: str) -> Program:
    """nginx or haproxy, if it is there."""
    found = shutil.which(name) or shutil.which(name, path=_SYSTEM)
    if found:
        return Program(found)
    unpacked = _ROOT / name / "usr/sbin" / name
    if not unpacked.exists():
        return Program(name, missing=f"not installed (Debian: apt-get install {name}; `make peers` unpacks it)")
    libraries = ":".join(str(folder) for folder in sorted(_ROOT.glob(f"{name}/usr/lib/*-linux-gnu*")))
    return Program(str(unpacked), {"LD_LIBRARY_PATH": libraries} if libraries else {})


def unpack(name: str) -> str | None:
    """Download and unpack a program that is not there; what went wrong, or None."""
    if program(name).missing is None:
        return None
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        return "not installed, and no apt-get here to fetch it with"
    place, packages = _ROOT / name, _ROOT / f"{name}-packages"
    packages.mkdir(parents=True, exist_ok=True)
    problem = _run(["apt-get", "download", *_PACKAGES[name]], packages)
    for package in sorted(packages.glob("*.deb")):
        problem = problem or _run(["dpkg", "-x", str(package), str(place)], packages)
    return problem


def _run(command: list[str], folder: Path) -> str | None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if done.returncode == 0 else f"`{' '.join(command)}`: {done.stderr.strip()[-300:]}"


def version(name: str) -> str:
    """`1.22.1`, as the program says."""
    found = program(name)
    if found.missing:
        return "?"
    done = subprocess.run(
        [found.path, "-v"], env=dict(found.environment), capture_output=True, text=True, check=False, timeout=10
    )
    words = (done.stdout + done.stderr).replace("/", " ").split()
    return next((word.split("-")[0] for word in words if word[:1].isdigit()), "?")
