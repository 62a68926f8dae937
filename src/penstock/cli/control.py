"""The control plane of a running gateway, as commands reach it: by `--admin URL`, PENSTOCK_ADMIN, or the state's lock.

The admin key comes from PENSTOCK_ADMIN_KEY, else from the file beside the state. It is sent to nobody else, and never
in clear over a network.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import click

from penstock.errors import CallerError, ConfigError, PenstockError, ProtocolError, Unavailable, UpstreamTimeout

if TYPE_CHECKING:
    from penstock.clock import Clock
    from penstock.redact import Secret

__all__ = ["ADMIN", "Control", "control_options", "find_control", "read_answer"]

ADMIN = "PENSTOCK_ADMIN"
CONNECT_SECONDS = 5.0
_BAD_INPUT = (400, 413, 415, 422)
ANSWER_SECONDS = 30.0


class Control(NamedTuple):
    """A control plane and what opens it.

    Attributes:
        url: without a path.
        folder: of a gateway that was found by its lock; "" where it was named.
    """

    url: str
    key: Secret
    folder: str = ""

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        clock: Clock | None = None,
        patience: float = ANSWER_SECONDS,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """One request's answer as decoded JSON, None where it has no body.

        Args:
            path: below `/api/v1`, with its query.
            body: goes along as JSON; None sends none.
            patience: how long the answer may take, in seconds.
            headers: besides its own.

        Raises:
            PenstockError: what the control plane refuses, in its own words with its own code and status; or why it
                cannot be reached.
        """
        # What `--help` need not wait for.
        import asyncio

        from penstock.clock import SystemClock

        return asyncio.run(self.answer(method, path, body, clock or SystemClock(), patience, headers))

    async def answer(
        self,
        method: str,
        path: str,
        body: Any,
        clock: Clock,
        patience: float = ANSWER_SECONDS,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """The same on a running loop."""
        from penstock.transport.http import Origin, Pool
        from penstock.transport.tls import client_context

        parts = urlsplit(self.url)
        tls = client_context() if parts.scheme == "https" else None
        pool = Pool(clock)
        try:
            connection = await pool.connect(
                Origin(parts.hostname or "", parts.port or (443 if tls else 80), tls), CONNECT_SECONDS
            )
            await connection.exchange(self._payload(method, path, body, headers), stream=False, timeout=patience)
            status, told = connection.parser.status, connection.parser.take()
        except (Unavailable, UpstreamTimeout, ProtocolError) as error:
            raise self._unreached(error) from error
        finally:
            await pool.aclose()
        return read_answer(status, told)

    def _payload(self, method: str, path: str, body: Any, headers: Mapping[str, str] | None) -> bytes:
        content = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} /api/v1{path} HTTP/1.1", f"host: {urlsplit(self.url).netloc}", "accept: application/json"]
        lines += [f"authorization: Bearer {self.key.reveal()}", f"content-length: {len(content)}"]
        if body is not None:
            lines.append("content-type: application/json")
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        return "\r\n".join([*lines, "", ""]).encode() + content

    def _unreached(self, error: PenstockError) -> PenstockError:
        said = error.message.replace("the provider", "the control plane")
        do = "Check the address, and that the gateway is up."
        if self.folder:
            do = f"Is the gateway up? The lock file in {self.folder} names that address."
        return PenstockError(f"the control plane at {self.url} cannot be reached: {said}", do=do)


def control_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options `--admin` and `--config`, which `find_control` takes as `admin` and `path`."""
    command = click.option("--config", "path", metavar="FILE", help="Of the gateway whose state lies beside it.")(
        command
    )
    return click.option(
        "--admin", metavar="URL", help=f"The control plane; else ${ADMIN}, else the state's lock says."
    )(command)


def find_control(admin: str | None, path: str | None = None, env: Mapping[str, str] | None = None) -> Control:
    """The control plane to ask.

    Args:
        admin: what `--admin` says. path: what `--config` says.

    Raises:
        ConfigError: no gateway runs here, the URL cannot be used, or there is no key for it.
    """
    from penstock.admin.credential import FILE, VARIABLE, read_admin_key
    from penstock.cli.settings import find_folder

    env = os.environ if env is None else env
    folder = find_folder(path, env)
    named = admin or env.get(ADMIN)
    url = _checked(named) if named else _of_lock(folder)
    key = read_admin_key(env, folder)
    if key is None:
        raise ConfigError(
            f"there is no admin key: {VARIABLE} is not set, and {folder / FILE} is not there",
            do=f"Set {VARIABLE}, or say with --config whose state it is.",
        )
    return Control(url, key.secret, "" if named else str(folder))


def _of_lock(folder: Path) -> str:
    from penstock.stores.lock import read_owner

    owner = read_owner(folder)
    if owner is None:
        raise ConfigError(
            f"no gateway runs whose state lies in {folder}",
            do=f"Name another one's penstock.yaml with --config, or its control plane with --admin or {ADMIN}.",
        )
    if not owner.admin:
        raise PenstockError(
            f"process {owner.pid} has no control plane",
            do="A gateway that starts has one in a moment; a program that uses the library has none.",
        )
    return owner.admin


def _checked(url: str) -> str:
    from penstock.config.guards import is_loopback

    parts = urlsplit(url)
    try:
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or "@" in parts.netloc or parts.path.strip("/") or parts.query or parts.fragment or not url.isascii():
        raise ConfigError("the control plane's address is not a URL", do="Write it as http://127.0.0.1:8485.")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ConfigError(
            f"{parts.netloc} is another machine: the admin key would go there in clear",
            do="Reach it through a tunnel (ssh -L 8485:127.0.0.1:8485), or by https.",
        )
    return f"{parts.scheme}://{parts.netloc}"


def read_answer(status: int, body: bytes) -> Any:
    """What the control plane answered, decoded.

    Raises:
        PenstockError: it refused; a CallerError where what was sent is wrong.
    """
    try:
        told = json.loads(body) if body else None
    except ValueError:
        told = None
        if 200 <= status < 300:
            raise PenstockError("what answers there is no control plane", do="Check the address.") from None
    if 200 <= status < 300:
        return told
    problem = told if isinstance(told, dict) else {}
    kind = CallerError if status in _BAD_INPUT else PenstockError
    error = kind(
        str(problem.get("detail", f"the control plane answers {status}")), do=str(problem.get("do", "")), status=status
    )
    error.code = str(problem.get("code", error.code))
    raise error
