"""`layers:` in a gateway's processes: found beside the file, told where they are wrong, never to callers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import penstock
from tests.cli.test_serve import chat
from tests.end_to_end.process import Served

CONFIG = """\
auth: open
layers: ["%s"]
providers: {sim: {}}
models: {fast: {targets: [sim/small]}}
"""
RULES = """
from penstock import InvalidRequest

def no_poems(call):
    async def checked(request):
        if b"poem" in bytes(request.fields["messages"]):
            raise InvalidRequest("this gateway is for work")
        if b"fail" in bytes(request.fields["messages"]):
            raise RuntimeError("a secret of the layer")
        request.record.task = "checked"
        return await call(request)
    return checked

def shaky(call):
    raise RuntimeError("no good")
"""


def write(folder: Path, layer: str) -> None:
    (folder / "house_rules.py").write_text(RULES)
    (folder / "penstock.yaml").write_text(CONFIG % layer)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_they_work_in_every_worker(tmp_path: Path, workers: str) -> None:
    home = tmp_path / "elsewhere"
    home.mkdir()
    write(tmp_path, "house_rules:no_poems")
    config = str(tmp_path / "penstock.yaml")
    with Served(home, "--config", config, "--workers", workers) as served:
        for _ in range(4):  # to reach each worker
            assert chat(served, "Hello")[0] == 200
            status, refused = chat(served, "a poem")
            assert (status, "for work" in str(refused)) == (400, True)
        status, failed = chat(served, "fail")
        assert (status, "secret" in str(failed)) == (500, False)
        assert served.line(status=500)["error"] == "internal_error"
        assert served.line(task="checked")["status"] == 200
        served.told.wait_for(lambda lines: "a secret of the layer" in "".join(lines), "the traceback")
        assert "the layer house_rules:no_poems failed" in served.told.text
        write(tmp_path, "house_rules:no_proms")
        served.told.wait_for(lambda lines: 'did you mean "no_poems"' in "".join(lines), "the refusal")
        assert chat(served, "a poem")[0] == 400, "the one before stays"
        write(tmp_path, "house_rules:shaky")
        served.told.wait_for(lambda lines: "it failed as it was made" in "".join(lines), "the refusal")
        assert chat(served, "Hello")[0] == 200


@pytest.mark.parametrize(
    ("layer", "told"),
    [
        ("house_rules:no_proms", "has no no_proms"),
        ("nobody_has_this:x", "there is no module nobody_has_this"),
        ("house_rules:shaky", "RuntimeError: no good"),
    ],
)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_wrong_one_is_a_wrong_configuration(tmp_path: Path, layer: str, told: str, workers: str) -> None:
    write(tmp_path, layer)
    ports = ("--port", "0", "--admin-port", "0", "--workers", workers)
    ran = penstock(tmp_path, "serve", *ports)
    assert (ran.code, ran.out) == (2, "")
    assert f"layers: '{layer}'" in ran.err
    assert told in ran.err


def test_check_tells_it_too(tmp_path: Path) -> None:
    write(tmp_path, "house_rules:no_proms")
    ran = penstock(tmp_path, "check")
    assert ran.code == 2
    assert "did you mean" in ran.err
    write(tmp_path, "house_rules:no_poems")
    ran = penstock(tmp_path, "check")
    assert (ran.code, "layers     house_rules:no_poems" in ran.out) == (0, True)


def test_a_call_from_the_command_line_passes_them(tmp_path: Path) -> None:
    write(tmp_path, "house_rules:no_poems")
    ran = penstock(tmp_path, "chat", "a poem", "--model", "fast")
    assert (ran.code, "for work" in ran.err) == (2, True)
