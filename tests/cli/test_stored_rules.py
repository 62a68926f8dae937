"""Limits and budgets made by the control plane of a running gateway: on every worker, over reloads and restarts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from penstock.cli.control import find_control
from tests.cli.test_keys import CONFIG, ENV, run
from tests.cli.test_serve import chat
from tests.end_to_end.process import Served


def statuses(served: Served, secret: str, count: int) -> list[int]:
    return [chat(served, key=secret, model="fast")[0] for _ in range(count)]


def ask(folder: Path, method: str, path: str, body: Any = None) -> Any:
    return find_control(None, str(folder / "penstock.yaml"), {}).ask(method, path, body, headers={"if-match": "*"})


def test_one_holds_on_every_worker_until_it_is_taken_away(tmp_path: Path) -> None:
    (tmp_path / "penstock.yaml").write_text(CONFIG)
    with Served(tmp_path, "--workers", "2", env=ENV) as served:
        run(tmp_path, "tenants", "create", "acme")
        secret = run(tmp_path, "keys", "create", "web", "--tenant", "acme").out.strip()
        body = {"scope": "tenant", "match": "acme", "requests": "4/day"}
        made = ask(tmp_path, "POST", "/limits", body)
        answers = statuses(served, secret, 12)
        assert answers.count(200) == 4, "one limit, however many workers there are"
        assert set(answers) == {200, 429}
        (tmp_path / "penstock.yaml").write_text(f"{CONFIG}server: {{drain: 5s}}\n")
        served.told.wait_for(lambda lines: any(line.startswith("reloaded:") for line in lines), "the reload")
        assert ask(tmp_path, "GET", "/config")["limits"] == [{"scope": "user", "requests": "60/min"}, body]
        assert statuses(served, secret, 2) == [429, 429], "a reload gives nothing back"
        ask(tmp_path, "DELETE", f"/limits/{made['id']}")
        assert statuses(served, secret, 4) == [200] * 4
        ask(tmp_path, "POST", "/budgets", {"scope": "tenant", "match": "acme", "limit": "1 requests/month"})
        assert statuses(served, secret, 2) == [429, 429], "what was used in its window before counts"
        served.stop()
    with Served(tmp_path, env=ENV) as served:
        assert statuses(served, secret, 2) == [429, 429], "and it is there after a restart"
        (budget,) = ask(tmp_path, "GET", "/budgets")["data"]
        ask(tmp_path, "DELETE", f"/budgets/{budget['id']}")
        assert statuses(served, secret, 2) == [200, 200]


def test_what_a_tenant_pays_for_and_its_weight_hold_at_once_and_after_a_restart(tmp_path: Path) -> None:
    (tmp_path / "penstock.yaml").write_text(CONFIG)
    heavy = {"name": "acme", "charge": "winner", "weight": 3}
    with Served(tmp_path, env=ENV) as served:
        run(tmp_path, "tenants", "create", "usual")
        assert "tenants" not in ask(tmp_path, "GET", "/config")
        run(tmp_path, "tenants", "create", "acme", "--charge", "winner", "--weight", "2")
        ask(tmp_path, "PATCH", "/tenants/acme", {"weight": 3})
        assert ask(tmp_path, "GET", "/config")["tenants"] == [heavy]
        assert [each["name"] for each in ask(tmp_path, "GET", "/tenants")["data"]] == ["filed", "acme", "usual"]
        run(tmp_path, "keys", "create", "web", "--tenant", "acme")
        served.stop()
    with Served(tmp_path, env=ENV):
        assert ask(tmp_path, "GET", "/config")["tenants"] == [heavy]
        run(tmp_path, "tenants", "archive", "acme")
        assert ask(tmp_path, "GET", "/tenants")["data"][-1]["name"] == "usual"
