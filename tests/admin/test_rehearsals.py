"""`/api/v1/rehearsals` and `/api/v1/rehearse`: what was found, and finding it now."""

from __future__ import annotations

from tests.admin.asgi import ADMIN, Played, ask, control_plane


def test_what_was_found_last() -> None:
    played = Played()
    plane, _ = control_plane(rehearsals=played)
    well, dead = ask(plane, "/api/v1/rehearsals", ADMIN).json["data"]
    assert (well["deployment"], well["models"], well["ok"]) == ("sim/large", ["fast", "small"], True)
    assert (well["cost_usd"], well["seconds"], well["at"]) == ("0.000012000", 0.25, "1970-01-01T00:00:00Z")
    assert (dead["ok"], dead["code"], dead["told"], dead["do"]) == (
        False,
        "upstream_credential",
        "Refused.",
        "Mend it.",
    )
    assert played.asked == [], "to look costs nothing"


def test_all_or_one_is_asked_now() -> None:
    played = Played()
    plane, _ = control_plane(rehearsals=played)
    assert len(ask(plane, "/api/v1/rehearse", ADMIN, method="POST").json["data"]) == 2
    (one,) = ask(plane, "/api/v1/rehearse?deployment=sim/embed", ADMIN, method="POST").json["data"]
    assert one["deployment"] == "sim/embed"
    assert played.asked == ["", "sim/embed"]
    unknown = ask(plane, "/api/v1/rehearse?deployment=sim/none", ADMIN, method="POST")
    assert (unknown.status, unknown.json["code"]) == (404, "not_found")


def test_nobody_spends_by_a_link() -> None:
    played = Played()
    plane, _ = control_plane(rehearsals=played)
    assert ask(plane, "/api/v1/rehearse", ADMIN).status == 405
    assert ask(plane, "/api/v1/rehearse", method="POST").status == 401
    assert ask(plane, "/api/v1/rehearse", ADMIN, ("origin", "https://evil.example"), method="POST").status == 403
    assert played.asked == []


def test_deployments_tell_it() -> None:
    plane, _ = control_plane()
    told = {one["id"]: one.get("rehearsal") for one in ask(plane, "/api/v1/deployments", ADMIN).json["data"]}
    assert told["sim/large"]["ok"] is True
    assert told["sim/large"]["cost_usd"] == "0.000012000"
