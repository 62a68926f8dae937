"""`penstock import litellm`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import penstock

GIVEN = """\
model_list:
  - model_name: gpt-4o
    litellm_params: {model: openai/gpt-4o, api_key: sk-CANARY-1234567, rpm: 5}
general_settings:
  master_key: os.environ/LITELLM_MASTER_KEY
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text(GIVEN)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "services: {web: {image: nginx}}\n",
            "other.yaml:1:1: this is no configuration of LiteLLM's: it has no model_list",
        ),
        ("providers: {sim: {}}\nauth: open\n", "it is in Penstock's words already: penstock check other.yaml"),
        ("- model_name: fast\n", "write model_list: before the list"),
        ("fast\n", "this is no configuration of LiteLLM's"),
    ],
)
def test_a_file_of_something_else(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "other.yaml").write_text(text)
    ran = penstock(tmp_path, "import", "litellm", "other.yaml")
    assert (ran.code, ran.out) == (2, "")
    assert told in ran.err


def test_to_stdout_and_back(folder: Path) -> None:
    ran = penstock(folder, "import", "litellm", "config.yaml", env={"OPENAI_API_KEY": "x"})
    assert ran.code == 0
    assert "CANARY" not in ran.out + ran.err
    assert ran.err.splitlines() == [
        "config.yaml:3:44: api_key: a secret written out is refused here: put it in the variable OPENAI_API_KEY",
        "config.yaml:3:72: litellm_params.rpm: is a limit of the deployment: what is over it goes to the next target;"
        " there it may weigh only",
        "config.yaml:5:3: general_settings.master_key: is one key under keys: that may ask for everything;"
        " it does not open the control plane",
        "still to set: LITELLM_MASTER_KEY",
    ]
    (folder / "penstock.yaml").write_text(ran.out)
    checked = penstock(folder, "check", env={"OPENAI_API_KEY": "sk", "LITELLM_MASTER_KEY": "pk-0123456789abcdef"})
    assert (checked.code, checked.err) == (0, "")
    assert "  models     gpt-4o\n" in checked.out


def test_into_a_file_that_is_not_there_yet(folder: Path) -> None:
    arguments = ("import", "litellm", "config.yaml", "--output", "penstock.yaml")
    ran = penstock(folder, *arguments)
    assert (ran.code, ran.out) == (0, "")
    written = (folder / "penstock.yaml").read_text()
    assert "gpt-4o: {targets: [openai/gpt-4o]}" in written
    again = penstock(folder, *arguments)
    assert again.code == 2
    assert "penstock.yaml cannot be written: File exists" in again.err
    assert (folder / "penstock.yaml").read_text() == written


def test_what_cannot_be_read(folder: Path) -> None:
    assert penstock(folder, "import", "litellm", "nowhere.yaml").code == 2
    (folder / "bad.yaml").write_text("a: [")
    ran = penstock(folder, "import", "litellm", "bad.yaml")
    assert ran.code == 2
    assert ran.err.startswith("bad.yaml:1:")
    assert penstock(folder, "import", "bifrost", "config.yaml").code == 2


@pytest.mark.parametrize("arguments", [["import", "--help"], ["import", "litellm", "--help"]])
def test_help(tmp_path: Path, arguments: list[str]) -> None:
    ran = penstock(tmp_path, *arguments)
    assert (ran.code, ran.err) == (0, "")
    assert "Usage: penstock import" in ran.out
