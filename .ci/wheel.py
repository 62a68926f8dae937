"""Does the wheel hold what users need? Looks inside, installs it in an empty environment, serves one call from it.

Usage: wheel.py FOLDER, where FOLDER holds the one wheel. Standard library only.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
import zipfile
from pathlib import Path
from typing import Any

START_SECONDS = 15.0
STOP_SECONDS = 15.0
LARGEST_WHEEL = 2_000_000
LARGEST_INSTALL = 80_000_000  # with everything it names, pip and its like left out
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy in the environment is not for loopback


def main() -> None:
    """Run every step; the first that fails ends the program with its reason."""
    folder = Path(sys.argv[1]).resolve()
    (wheel,) = folder.glob("penstock-*.whl")
    look_inside(wheel)
    penstock = install(wheel, folder / "venv")
    cwd = folder / "empty"
    cwd.mkdir()
    said = subprocess.run([penstock, "version"], cwd=cwd, env=plain_environment(), capture_output=True, text=True)
    require(said.returncode == 0, f"`penstock version` ended with {said.returncode}: {said.stderr}")
    require(wheel.name.split("-")[1] in said.stdout, f"`penstock version` does not name the wheel's: {said.stdout!r}")
    print(said.stdout.strip())
    serve_one_call(penstock, cwd)


def require(good: bool, otherwise: str) -> None:
    """End the program with `otherwise` unless `good`."""
    if not good:
        sys.exit(f"wheel: {otherwise}")


def look_inside(wheel: Path) -> None:
    """The package, its data and its licence, and nothing that runs at interpreter start."""
    size = wheel.stat().st_size
    require(size <= LARGEST_WHEEL, f"{size / 1e6:.1f} MB, and it may have {LARGEST_WHEEL / 1e6:.0f}")
    names = zipfile.ZipFile(wheel).namelist()
    outside = [n for n in names if not n.startswith(("penstock/", "penstock-"))]
    require(not outside, f"files outside the package: {outside}")
    require(not [n for n in names if n.endswith(".pth")], "a .pth file would run code in every Python start")
    require(not [n for n in names if "/tests/" in n or n.endswith(".pyc")], "tests or compiled files are inside")
    require("penstock/py.typed" in names, "py.typed is missing: users' type checkers would see nothing")
    rows = [n for n in names if n.startswith("penstock/providers/catalogue/") and n.endswith(".toml")]
    require(bool(rows), "the provider catalogue is missing")
    tables = [n for n in names if n.startswith("penstock/providers/models/") and n.endswith(".jsonl")]
    require(len(tables) > 20 and "penstock/providers/models/hash" in names, "the table of models and prices is missing")
    require(any(n.endswith("/licenses/LICENSE") for n in names), "the licence is missing")
    print(f"{wheel.name}: {size / 1e6:.2f} MB, {len(names)} files, {len(rows)} catalogue rows")


def install(wheel: Path, where: Path) -> str:
    """An environment that holds only the wheel and what it names; gives the path of its `penstock`."""
    venv.create(where, with_pip=True)
    python = where / "bin" / "python"
    before = size_of(where)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel], check=True)
    subprocess.run([python, "-m", "pip", "check"], check=True)
    size = size_of(where) - before
    require(size <= LARGEST_INSTALL, f"installed it takes {size / 1e6:.0f} MB, of {LARGEST_INSTALL / 1e6:.0f}")
    print(f"installed with all it names: {size / 1e6:.0f} MB")
    return str(where / "bin" / "penstock")


def size_of(folder: Path) -> int:
    """Bytes of all files in it, links not followed."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def plain_environment() -> dict[str, str]:
    """No provider keys and no settings, so that only the simulated provider is switched on."""
    return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def serve_one_call(penstock: str, cwd: Path) -> None:
    """Start the gateway, ask the simulated provider through it, stop it, and expect a clean end."""
    port, admin = free_port(), free_port()
    command = [penstock, "serve", "--port", str(port), "--admin-port", str(admin)]
    with open(cwd / "serve.log", "w+") as log:
        server = subprocess.Popen(command, cwd=cwd, env=plain_environment(), stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_until_ready(f"http://127.0.0.1:{port}", server)
            answer = ask(f"http://127.0.0.1:{port}")
            require(bool(answer["choices"][0]["message"]["content"]), f"an empty answer: {answer}")
            print(f"sim/small took {answer['usage']}")
            server.send_signal(signal.SIGTERM)
            code = server.wait(STOP_SECONDS)
            require(code == 0, f"`penstock serve` ended with {code} after SIGTERM")
        finally:
            server.kill()
            server.wait()
            log.seek(0)
            print(log.read().rstrip())


def wait_until_ready(base: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        require(server.poll() is None, f"`penstock serve` ended with {server.returncode} at its start")
        try:
            with DIRECT.open(f"{base}/readyz", timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    require(False, f"not ready after {START_SECONDS:.0f} s")


def ask(base: str) -> Any:
    body = {"model": "sim/small", "messages": [{"role": "user", "content": "Say hello."}]}
    request = urllib.request.Request(
        f"{base}/v1/chat/completions",
        data=json.dumps(body).encode(),
        headers={"content-type": "application/json"},
    )
    with DIRECT.open(request, timeout=10) as response:
        return json.load(response)


if __name__ == "__main__":
    main()
