"""The configuration read anew by whoever asks for it."""

from __future__ import annotations

import msgspec

from penstock.errors import ConfigError, Overloaded, PenstockError
from tests.admin.registered import Registered

TWO = 'penstock.yaml:3:1: unknown key "modls" (did you mean "models"?)\npenstock.yaml:9:5: limit is missing'


def test_what_has_changed_is_told_and_is_in_the_audit_log() -> None:
    desk = Registered()
    desk.employ("ann", "operator")
    told = desk.done("POST", "/reload", who="ann")
    assert told == {"source": "penstock.yaml", "generation": 2, "changed": ["limits", "models.fast"]}
    last = desk.entries[-1]
    assert (last.actor, last.role, last.what, last.subject) == ("key:ann", "operator", "reload", "penstock.yaml")
    assert last.after is not None
    assert msgspec.json.decode(last.after) == told
    desk.close()


def test_a_wrong_one_is_told_mistake_by_mistake_and_nothing_is_noted() -> None:
    desk = Registered()
    desk.reloads.refuses = ConfigError(TWO)
    before = len(desk.entries)
    answer = desk.ask("admin", "POST", "/reload")
    assert (answer.status, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json["mistakes"] == TWO.splitlines()
    assert answer.json["code"] == "config_error"
    assert answer.json["detail"] == f"nothing has changed: 2 mistakes; the first: {TWO.splitlines()[0]}"
    assert "penstock check" in answer.json["do"]
    assert len(desk.entries) == before
    desk.close()


def test_one_that_takes_a_restart_says_so() -> None:
    desk = Registered()
    desk.reloads.refuses = ConfigError("penstock.yaml: server.listen changed", do="Restart to change that.")
    answer = desk.ask("admin", "POST", "/reload")
    assert answer.status == 422
    assert answer.json["detail"] == "nothing has changed: penstock.yaml: server.listen changed"
    assert answer.json["do"] == "Restart to change that."
    desk.close()


def test_what_is_not_the_files_fault_has_its_own_status() -> None:
    desk = Registered()
    for refuses in (Overloaded("the gateway is about to stop"), PenstockError("the store fails")):
        desk.reloads.refuses = refuses
        answer = desk.ask("admin", "POST", "/reload")
        assert (answer.status, answer.json["code"]) == (refuses.status, refuses.code)
    desk.close()


def test_the_same_request_sent_again_reloads_once() -> None:
    desk = Registered()
    told = [desk.done("POST", "/reload", idempotency_key="k") for _ in range(2)]
    assert told[0] == told[1]
    assert desk.reloads.generation == 2
    desk.close()
