"""`penstock keys`, `tenants`, `admin` and `audit`: on a gateway that runs, and on the state where none does."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import Ran, penstock
from tests.cli.test_serve import chat
from tests.end_to_end.process import Served

CONFIG = """auth: required
providers: {sim: {}}
models: {fast: {targets: [sim/small]}}
keys: [{name: app, key: env:APP_KEY, tenant: filed}]
limits: [{scope: user, requests: 60/min}]
"""
ENV = {"APP_KEY": "sk-app-0123456789"}
PASTED = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789"
SECRET = re.compile(r"psk_live_[0-9A-Za-z]{33}\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "penstock.yaml").write_text(CONFIG)
    return tmp_path


@pytest.fixture(params=["file", "gateway"])
def place(request: pytest.FixtureRequest, folder: Path) -> Iterator[Path]:
    """A folder whose state nobody owns, or a running gateway does."""
    if request.param == "file":
        yield folder
        return
    with Served(folder, env=ENV):
        yield folder


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for those who change nothing: it has the key `web`."""
    folder = tmp_path_factory.mktemp("kept")
    (folder / "penstock.yaml").write_text(CONFIG)
    run(folder, "keys", "create", "web")
    return folder


def run(folder: Path, *arguments: str, code: int = 0, **env: str) -> Ran:
    ran = penstock(folder, *arguments, env=ENV | env)
    assert ran.code == code, ran
    return ran


def told(folder: Path, *arguments: str) -> Any:
    return json.loads(run(folder, *arguments, "--json").out)


def test_keys_are_made_shown_rotated_and_revoked(place: Path) -> None:
    run(place, "tenants", "create", "acme", "--weight", "2")
    made = run(place, "keys", "create", "web", "--tenant", "acme", "--models", "fast,sim/*", "--expires", "90d")
    assert SECRET.fullmatch(made.out)
    assert "shown this once" in made.err
    assert f"authorization: Bearer {made.out.strip()}" in made.err
    first, *rows = run(place, "keys", "list").out.splitlines()
    assert first.split() == ["key", "state", "secret", "tenant", "models", "expires", "last", "used", "from"]
    assert rows[0].split()[0::8] == ["app"] or rows[0].startswith("app")
    assert rows[0].endswith("penstock.yaml:4")
    assert rows[1].split()[:5] == ["acme/web", "active", rows[1].split()[2], "acme", "fast,sim/*"]
    assert made.out.strip()[-4:] in rows[1]
    shown = told(place, "keys", "show", "web")
    assert shown == told(place, "keys", "show", shown["id"]) == told(place, "keys", "show", "acme/web")
    turned = run(place, "keys", "rotate", "acme/web", "--overlap", "24h")
    assert SECRET.fullmatch(turned.out)
    assert "is good until" in turned.err
    assert len(told(place, "keys", "show", "web")["secrets"]) == 2
    turned = run(place, "keys", "rotate", "web")
    assert SECRET.fullmatch(turned.out)
    assert "has a new secret" in turned.err
    assert "is good until" not in turned.err
    assert run(place, "keys", "revoke", "web").out == "acme/web is revoked.\n"
    assert "acme/web" not in run(place, "keys", "list").out
    assert "revoked" in run(place, "keys", "list", "--revoked", "--tenant", "acme").out
    every = run(place, "audit", "list").out + run(place, "audit", "list", "--json").out
    assert not SECRET.search(every + run(place, "keys", "list", "--json", "--revoked").out)


def test_a_tenant_that_the_file_names_has_keys_in_the_store_too(place: Path) -> None:
    run(place, "keys", "create", "web", "--tenant", "filed")
    rows = run(place, "keys", "list", "--tenant", "filed").out.splitlines()[1:]
    assert [row.split()[0] for row in rows] == ["app", "filed/web"]
    run(place, "keys", "revoke", "filed/web")


def test_tenants_are_listed_shown_and_archived(place: Path) -> None:
    run(place, "tenants", "create", "acme", "--charge", "winner")
    run(place, "keys", "create", "web", "--tenant", "acme")
    rows = [row.split()[:4] for row in run(place, "tenants", "list").out.splitlines()[1:]]
    assert rows == [["filed", "active", "attempts", "1"], ["acme", "active", "winner", "1"]]
    assert "keys        acme/web" in run(place, "tenants", "show", "acme").out
    assert "archived" in run(place, "tenants", "archive", "acme").out
    assert "acme" not in run(place, "tenants", "list").out
    assert told(place, "keys", "show", "acme/web")["state"] == "archived"
    refused = run(place, "keys", "create", "more", "--tenant", "acme", code=1)
    assert refused.out == ""
    assert "the tenant acme is archived" in refused.err


def test_who_changed_what_is_in_the_audit_log(place: Path) -> None:
    run(place, "keys", "create", "web")
    (entry,) = told(place, "audit", "list")
    assert (entry["what"], entry["after"]["name"], entry["before"]) == ("key.create", "web", None)
    assert entry["actor"] in ("file", "admin-key")
    assert "key.create" in run(place, "audit", "list").out
    good = run(place, "audit", "verify")
    assert re.fullmatch(r"The audit log is whole: 1 entries, the last one 1:[0-9a-f]{64}\n", good.out)
    assert told(place, "audit", "verify") == {"ok": True, "entries": 1, "head": f"1:{entry['hash']}", "faults": []}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("keys", "show", "wbe"), 2, ("there is no key 'wbe' (did you mean \"web\"?)", "`penstock keys list`")),
        (("keys", "create", "web"), 1, ("there is a key web", "Give it another name.")),
        (("keys", "create", "app", "--tenant", "filed"), 1, ("is declared at penstock.yaml:4",)),
        (("keys", "revoke", "app"), 1, ("the key app is declared at penstock.yaml:4", "Change it there.")),
        (
            ("keys", "create", "x", "--tenant", "acmee"),
            1,
            ("there is no tenant 'acmee'", "`penstock tenants list`", "`penstock tenants create` makes"),
        ),
        (("keys", "create", "x", "--expires", "soon"), 2, ("expires is no time", "90d from now")),
        (("keys", "create", "x", "--priority", "urgent"), 2, ("priority is one of critical, high",)),
        (("keys", "create", "x", "--user", "everybody"), 2, ("user is none of trusted",)),
        (("keys", "create", "x", "--models", ""), 2, ("models is empty, which allows nothing",)),
        (("admin", "create", "ann", "--role", "viewer", "--models", " , "), 2, ("models is empty",)),
        (("keys", "create", "a b"), 2, ("name must be 1 to 64 letters",)),
        (("keys", "create", PASTED), 2, ("name looks like a credential", "Give it another name.")),
        (("tenants", "create", PASTED), 2, ("name looks like a credential",)),
        (("tenants", "show", PASTED), 1, ("there is no tenant '***'",)),
        (("budgets", "show", PASTED), 2, ("there is no budget '***'",)),
        (("keys", "rotate", "web", "--overlap", "1y"), 2, ("overlap is no duration", "24h")),
        (("keys", "create"), 2, ("Missing argument",)),
        (("tenants", "show", "nobody"), 1, ("there is no tenant 'nobody'", "`penstock tenants list`")),
        (("admin", "create", "ann", "--role", "owner"), 2, ("role is none of viewer, operator",)),
        (("admin", "create", "ann", "--role", "tenant_admin"), 2, ("a tenant_admin belongs to a tenant",)),
        (("audit", "verify", "--head", "17"), 2, ("NUMBER:HASH",)),
    ],
)
def test_what_is_wrong_is_told_with_what_to_do(
    kept: Path, arguments: tuple[str, ...], code: int, said: tuple[str, ...]
) -> None:
    ran = run(kept, *arguments, code=code)
    assert ran.out == ""
    assert PASTED not in ran.err
    for each in said:
        assert each in ran.err.replace("Invalid", "invalid"), ran


def test_several_of_one_name_are_told_apart(folder: Path) -> None:
    for tenant in ("acme", "globex"):
        run(folder, "tenants", "create", tenant)
        run(folder, "keys", "create", "web", "--tenant", tenant)
    ran = run(folder, "keys", "revoke", "web", code=2)
    assert "several keys are named 'web': acme/web (" in ran.err
    assert run(folder, "keys", "revoke", "web", "--tenant", "globex").out == "globex/web is revoked.\n"
    assert run(folder, "keys", "revoke", "web").out == "acme/web is revoked.\n", "one is left"


def test_a_key_that_leaked_is_found_by_its_secret_which_is_never_repeated(folder: Path) -> None:
    secret = run(folder, "keys", "create", "web").out.strip()
    newer = run(folder, "keys", "rotate", "web", "--overlap", "1d").out.strip()
    for meant in (secret, newer, f"{secret[:13]}...{secret[-4:]}"):
        assert told(folder, "keys", "show", meant)["name"] == "web"
    other = secret[:-4] + ("aaaa" if secret[-4:] != "aaaa" else "bbbb")
    ran = run(folder, "keys", "revoke", other, code=2)
    assert "no key here has that secret" in ran.err
    assert other not in ran.err
    assert run(folder, "keys", "revoke", secret).out.endswith("web is revoked.\n")
    assert told(folder, "keys", "show", newer)["state"] == "revoked"


def test_of_many_that_are_meant_a_few_are_told(folder: Path) -> None:
    for number in range(7):
        run(folder, "tenants", "create", f"t{number}")
        run(folder, "keys", "create", "web", "--tenant", f"t{number}")
    ran = run(folder, "keys", "show", "web", code=2)
    assert ran.err.count("/web (") == 5
    assert " and 2 more" in ran.err


def test_a_key_is_good_at_every_worker_at_once_and_no_more_once_revoked(folder: Path) -> None:
    with Served(folder, "--workers", "2", env=ENV) as served:
        secret = run(folder, "keys", "create", "web").out.strip()

        assert [chat(served, key=secret, model="fast")[0] for _ in range(8)] == [200] * 8
        run(folder, "keys", "revoke", "web")
        assert [chat(served, key=secret, model="fast")[0] for _ in range(8)] == [401] * 8


def test_somebody_with_a_role_does_what_it_may_and_no_more(folder: Path) -> None:
    with Served(folder, env=ENV) as served:
        run(folder, "tenants", "create", "acme")
        ann = run(folder, "admin", "create", "ann", "--role", "tenant_admin", "--tenant", "acme").out.strip()
        assert "acme/ann" in run(folder, "admin", "list").out
        as_ann = {"PENSTOCK_ADMIN_KEY": ann, "PENSTOCK_ADMIN": served.admin_url}
        made = run(folder, "keys", "create", "web", **as_ann)
        assert "The key acme/web may ask for every name under models:" in made.err
        assert "app" not in run(folder, "keys", "list", **as_ann).out
        refused = run(folder, "tenants", "create", "globex", code=1, **as_ann)
        assert "the role tenant_admin may not do that\n  It takes admin." in refused.err
        assert "concerns every tenant" in run(folder, "deployments", "list", code=1, **as_ann).err
        run(folder, "admin", "revoke", "ann")
        assert "missing or wrong" in run(folder, "keys", "list", code=1, **as_ann).err


def test_the_admin_key_is_made_anew_and_the_old_one_refused(folder: Path) -> None:
    with Served(folder, env=ENV):
        file = folder / "penstock.admin-key"
        old = file.read_text().strip()
        ran = run(folder, "admin", "reset")
        assert str(file) in ran.out
        new = file.read_text().strip()
        assert new != old
        assert new not in ran.out + ran.err
        assert file.stat().st_mode & 0o777 == 0o600
        assert "missing or wrong" in run(folder, "keys", "list", code=1, PENSTOCK_ADMIN_KEY=old).err
        assert "app" in run(folder, "keys", "list").out
        assert [entry["what"] for entry in told(folder, "audit", "list")] == ["admin.reset"]
    run(folder, "admin", "reset")
    assert [entry["what"] for entry in told(folder, "audit", "list")] == ["admin.reset"] * 2, "nobody runs: on the file"
    refused = run(folder, "admin", "reset", code=2, PENSTOCK_ADMIN_KEY=new)
    assert "comes from PENSTOCK_ADMIN_KEY" in refused.err


def test_a_log_that_was_touched_is_told(folder: Path) -> None:
    for number in range(4):
        run(folder, "keys", "create", f"k{number}")
    head = told(folder, "audit", "verify")["head"]
    with sqlite3.connect(folder / "penstock.db") as connection:
        for trigger in ("audit_stays", "audit_is_kept"):
            connection.execute(f"DROP TRIGGER {trigger}")
        connection.execute("UPDATE audit SET actor = 'nobody' WHERE number = 2")
    ran = run(folder, "audit", "verify", code=1)
    assert "WRONG  entry 2 was changed" in ran.out
    assert "WRONG  the table has lost its guards (audit_is_kept, audit_stays)" in ran.out
    with sqlite3.connect(folder / "penstock.db") as connection:
        connection.execute("DELETE FROM audit WHERE number > 1")
    assert "its end was cut off" in run(folder, "audit", "verify", code=1).out
    (folder / "penstock.audit-head").unlink()
    ran = run(folder, "audit", "verify", code=1)
    assert "penstock.audit-head is not there" in ran.out
    assert "there was an entry 4: its end was cut off" in run(folder, "audit", "verify", "--head", head, code=1).out


def test_a_gateway_without_a_store_says_so(folder: Path) -> None:
    (folder / "penstock.yaml").write_text(CONFIG + "state: memory\n")
    ran = run(folder, "keys", "list", code=2)
    assert "state: memory keeps nothing, and no gateway runs" in ran.err
    assert "state: sqlite:///penstock.db" in ran.err
    with Served(folder, env=ENV):
        ran = run(folder, "keys", "create", "web", code=1)
        assert "that gateway keeps nothing: its state is in memory" in ran.err


def test_without_a_configuration_the_notes_say_what_is_in_the_way(tmp_path: Path) -> None:
    ran = penstock(tmp_path, "keys", "create", "web")
    assert SECRET.fullmatch(ran.out)
    assert "NOTE  auth is open here" in ran.err
    assert "NOTE  there is no name under models: yet" in ran.err
    assert "There are no tenants. Make one: penstock tenants create NAME" in penstock(tmp_path, "tenants", "list").out


def test_a_key_for_a_model_that_is_not_there_is_told(place: Path) -> None:
    ran = run(place, "keys", "create", "web", "--models", "fast,fsat,sim/large,sim/*,f*")
    assert ran.err.count("NOTE") == 1
    assert 'NOTE  nothing is called fsat here (did you mean "fast"?)' in ran.err


def test_a_log_that_is_gone_is_told_without_a_traceback(folder: Path) -> None:
    run(folder, "tenants", "create", "acme")
    with sqlite3.connect(folder / "penstock.db") as connection:
        connection.execute("DROP TABLE audit")
    ran = run(folder, "audit", "verify", code=1)
    assert "WRONG  the log cannot be read: no such table: audit" in ran.out
    assert ran.err == ""
