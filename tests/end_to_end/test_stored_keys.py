"""Keys of the store on a real gateway with four worker processes: good at once, gone at once, on connections that stay
open; and what is left on the disk afterwards."""

from __future__ import annotations

import http.client
import json
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.end_to_end.process import Served

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="serve runs on Linux and macOS")

CONFIG = """\
auth: required
providers: {sim: {}}
models: {fast: {targets: [sim/small]}}
keys: [{name: app, key: env:APP_KEY}]
state: sqlite:///penstock.db
encryption_key: env:SECRET
"""
ENV = {"APP_KEY": "app-key-0123456789", "SECRET": "0123456789abcdef0123456789abcdef"}
LINES = 32


class Admin:
    """The control plane of a running gateway, by its admin key."""

    def __init__(self, served: Served) -> None:
        url = urlsplit(served.admin_url)
        self._host, self._port = url.hostname or "", url.port
        self._key = (served.folder / "penstock.admin-key").read_text().strip()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"authorization": f"Bearer {self._key}", "content-type": "application/json", "if-match": "*"}
        content = None if body is None else json.dumps(body)
        connection = http.client.HTTPConnection(self._host, self._port, timeout=20)
        connection.request(method, f"/api/v1{path}", content, headers)
        answer = connection.getresponse()
        told = json.loads(answer.read())
        connection.close()
        assert answer.status in (200, 201), told
        return told


class Lines:
    """Connections that stay open, more than there are workers: each worker has some."""

    def __init__(self, served: Served) -> None:
        self._lines = [http.client.HTTPConnection("127.0.0.1", served.port, timeout=20) for _ in range(LINES)]

    def ask(self, key: str) -> set[int]:
        statuses = set()
        for line in self._lines:
            line.request("GET", "/v1/models", headers={"authorization": f"Bearer {key}"})
            answer = line.getresponse()
            answer.read()
            statuses.add(answer.status)
        return statuses

    def until(self, key: str, status: int) -> float:
        """Seconds until all of them get that."""
        began = time.monotonic()
        while self.ask(key) - {status, 429}:
            assert time.monotonic() - began < 20
        return time.monotonic() - began

    def close(self) -> None:
        for line in self._lines:
            line.close()


def test_a_key_is_good_and_gone_within_a_second_at_every_worker(tmp_path: Path) -> None:
    (tmp_path / "penstock.yaml").write_text(CONFIG)
    with Served(tmp_path, "--workers", "4", env=ENV) as served:
        admin, lines = Admin(served), Lines(served)
        admin.ask("POST", "/tenants", {"name": "acme"})
        keys = [admin.ask("POST", "/keys", {"name": f"k{number}", "tenant": "acme"}) for number in range(3)]
        took = [lines.until(key["secret"], 200) for key in keys]
        admin.ask("POST", f"/keys/{keys[0]['id']}/revoke")
        took.append(lines.until(keys[0]["secret"], 401))
        fresh = admin.ask("POST", f"/keys/{keys[1]['id']}/rotate", {"overlap": "1h"})
        took.append(lines.until(fresh["secret"], 200))
        assert lines.ask(keys[1]["secret"]) == {200}
        admin.ask("POST", "/tenants/acme/archive")
        took.append(lines.until(keys[2]["secret"], 401))
        assert lines.ask(ENV["APP_KEY"]) == {200}
        # A second on an idle machine is a hundred times what it takes; a busy one may need some of it.
        assert max(took) < 2.0, took
        lines.close()
        assert served.stop() == 0
        said = served.told.text + json.dumps(served.lines)
    secrets = [key["secret"] for key in (*keys, fresh)] + list(ENV.values())
    kept = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    for secret in secrets:
        assert secret not in said
        assert secret.encode() not in kept


def test_a_store_of_another_encryption_key_is_not_served(tmp_path: Path) -> None:
    (tmp_path / "penstock.yaml").write_text(CONFIG)
    with Served(tmp_path, env=ENV) as served:
        made = Admin(served).ask("POST", "/keys", {"name": "k"})["secret"]
        assert served.stop() == 0
    with pytest.raises(AssertionError, match="made under the encryption key"):
        Served(tmp_path, env=ENV | {"SECRET": "fedcba9876543210fedcba9876543210"})
    with Served(tmp_path, env=ENV) as served:
        lines = Lines(served)
        assert lines.ask(made) == {200}
        lines.close()
        assert served.stop() == 0
