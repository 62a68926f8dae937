"""What the docs tell a reader to write and to type does what they say; what they show elsewhere exists.

`tests/docs/pages.py` has the rules. Beside them: every ```yaml block is a configuration that loads (a piece of one is
completed), unless it is marked `refused`; every `penstock` command in a ```sh or ```console block exists, with its
options.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import pytest

from penstock.cli import COMMANDS, _cli
from penstock.config.load import load_config
from penstock.config.tree import Tree
from penstock.config.yaml_file import read_yaml
from penstock.errors import ConfigError
from penstock.providers.catalogue import load_catalogue
from penstock.providers.simulated.script import KEYS
from penstock.testing.simulate import load_scenario
from tests.docs.pages import Fence, Reader, documents, fences, is_followed, mismatch, steps_in
from tests.house.trees import ROOT

# Tools and pages of other rooms; nothing in them is a configuration of Penstock's.
NOT_OURS = {"mkdocs.yml", "docker-compose.yml", "compose.yaml"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


PAGES = {name_of(path): fences(name_of(path), path.read_text()) for path in documents()}
# One needs stand-ins for the vendors, and has a test of its own.
FOLLOWED = {
    name: found for name, found in PAGES.items() if any(map(is_followed, found)) and name != "docs/walkthrough.md"
}
ALL = [fence for found in PAGES.values() for fence in found]
CONFIGS = [each for each in ALL if each.language == "yaml" and "other" not in each.words and each.title not in NOT_OURS]


# --- pages that are followed


@pytest.mark.parametrize("name", FOLLOWED)
def test_a_reader_gets_what_the_page_says(name: str, tmp_path: Path) -> None:
    with closing(Reader(tmp_path)) as reader:
        for fence in filter(is_followed, FOLLOWED[name]):
            wrong = reader.follow(fence)
            assert not wrong, wrong


def test_the_quickstarts_are_followed() -> None:
    assert {name for name in PAGES if name.startswith("docs/start/")} <= set(FOLLOWED)


GOOD = "$ echo a; echo b\na\n...\n$ exit 3\n[exit 3]\n$ export A=1 B=2\n$ echo \\\n  $A$B\n12"


def test_a_page_that_is_right_passes(tmp_path: Path) -> None:
    with closing(Reader(tmp_path)) as reader:
        assert reader.follow(Fence("a.md:1", "console", "run", GOOD)) == ""
        assert reader.follow(Fence("a.md:9", "python", "served", "import os\nassert os.environ['A'] == '1'")) == ""


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("console", "$ echo a\nb"),
        ("console", "$ echo a"),
        ("console", "$ false"),
        ("console", "$ true\n[exit 1]"),
        ("console", "$ true\n$ echo a\n... b"),
        ("python", "raise SystemExit(1)"),
        ("python", "await x"),
    ],
)
def test_a_page_that_is_wrong_is_found(language: str, code: str, tmp_path: Path) -> None:
    with closing(Reader(tmp_path)) as reader:
        assert reader.follow(Fence("a.md:1", language, "run", code))


def test_fences_are_told_apart() -> None:
    text = 'a\n```yaml title="etc/a.yaml"\nx: 1\n```\n- b\n  ```console run\n  $ a\n  ```\n```sh\nb\n```\n'
    assert fences("a.md", text) == [
        Fence("a.md:2", "yaml", 'title="etc/a.yaml"', "x: 1"),
        Fence("a.md:6", "console", "run", "$ a"),
        Fence("a.md:9", "sh", "", "b"),
    ]
    assert [is_followed(fence) for fence in fences("a.md", text)] == [True, True, False]
    assert list(steps_in("$ a \\\n  b\nc\nd\n$ e")) == [("a \\\n  b", "c\nd"), ("e", "")]
    assert mismatch("a ... c", "a b\nb c") == ""
    assert mismatch("a ... c", "a b")
    for said in ("a\nb", "a\nx\nb", "a\nx\n\ny\nb"):
        assert mismatch("a\n...\nb", said) == ""
        assert mismatch("...\n" + said + "\n...", said) == ""
    assert mismatch("a\n...\nb", "a\nbc")
    assert mismatch("a", "a\nb")
    assert mismatch("", "a")


# --- configurations


def load(text: str, folder: Path) -> None:
    """Read a configuration, or a piece of one, with every secret it refers to set. Raises ConfigError."""
    named = [*re.findall(r"env:(\w+)", text), *(row.env for row in load_catalogue().values() if row.env)]
    env = {name: f"secret-{name}-0123456789abcdefghijklmn" for name in named} | {"ALERT_SECRET": f"whsec_{'A' * 32}"}
    for number, path in enumerate(re.findall(r"file:([\w./-]+)", text)):
        (folder / f"secret-{number}").write_text(f"secret-{number}")
        text = text.replace(f"file:{path}", f"file:secret-{number}")
    tree = read_yaml(text.encode(), str(folder / "penstock.yaml"))
    value: Any = tree.root.value
    names = {name.partition("/")[0] for name in value["prices"].value} if "prices" in value else {"sim"}
    missing = [] if "providers" in value else [f"providers: {{{', '.join(map(_simulated, sorted(names)))}}}"]
    if "keys" not in value and "auth" not in value:
        missing.append("keys: [{name: an_app, key: env:AN_APPS_KEY}]")
        env["AN_APPS_KEY"] = "secret-of-an-app"
    tree = read_yaml("\n".join([text, *missing]).encode(), str(folder / "penstock.yaml"))
    load_config(tree, env, check_files=False)
    assert isinstance(tree, Tree)


def _simulated(name: str) -> str:
    return f"{name}: {{kind: sim}}"


@pytest.mark.parametrize("fence", CONFIGS, ids=lambda fence: str(fence.place))
def test_a_configuration_loads(fence: Fence, tmp_path: Path) -> None:
    if "scenario" in fence.words:
        (tmp_path / "scenario.yaml").write_text(fence.code)
        load_scenario(tmp_path / "scenario.yaml")
    elif "refused" in fence.words:
        with pytest.raises(ConfigError):
            load(fence.code, tmp_path)
    else:
        load(fence.code, tmp_path)


def test_a_configuration_that_does_not_load_is_found(tmp_path: Path) -> None:
    load("models: {fast: {targets: [sim/small]}}", tmp_path)
    load("providers: {openai: {api_key: env:A}}\nkeys: [{name: a, key: file:/run/secrets/a}]", tmp_path)
    for wrong in ("modls: {}", "models: {fast: {targets: [opnai/x]}}", "server: {listen: 8484}", "a: [", "prot: 1"):
        with pytest.raises(ConfigError):
            load(wrong, tmp_path)


# --- commands


def commands_in(fence: Fence) -> Iterator[list[str]]:
    """The `penstock` commands of a block, as words."""
    rows = [command for command, _ in steps_in(fence.code)] if fence.language == "console" else fence.code.splitlines()
    for row in rows:
        for part in re.split(r"[|;&]+(?=\s|$)", re.split(r"\s#\s", row.replace("\\\n", " "))[0]):
            words = part.strip().removeprefix("$ ").split("<<")[0]
            if words.startswith("penstock "):
                yield shlex.split(words)[1:]


def unknown(words: list[str]) -> str:
    """The first word that is no command or option; an empty text where all are."""
    context = click.Context(_cli, info_name="penstock")
    command: click.Command = _cli
    for word in words:
        if word.startswith("-") and word != "-":
            names = {name for parameter in command.get_params(context) for name in parameter.opts}
            if word.partition("=")[0] not in names:
                return f"{command.name} has no {word}"
        elif isinstance(command, click.Group):
            found = command.get_command(context, word)
            if found is None:
                return f"no command {word}"
            command, context = found, click.Context(found, parent=context, info_name=word)
    return ""


@pytest.mark.parametrize(
    "fence", [each for each in ALL if each.language in ("sh", "console")], ids=lambda fence: str(fence.place)
)
def test_commands_exist(fence: Fence) -> None:
    assert [wrong for words in commands_in(fence) if (wrong := unknown(words))] == []


def test_a_command_that_does_not_exist_is_found() -> None:
    assert unknown(["serve", "--workers", "2"]) == ""
    assert unknown(["serve", "--wrkers", "2"])
    assert unknown(["sevre"])
    code = "penstock serve &\nmake demo  # penstock no\n$ penstock chat 'a b' | cat"
    assert list(commands_in(Fence("a.md:1", "sh", "", code))) == [["serve"], ["chat", "a b"]]


def test_every_fault_is_on_the_page_of_faults() -> None:
    page = (ROOT / "docs/testing.md").read_text()
    assert [name for name, (_, told) in KEYS.items() if f"| `{name}` | {told} |" not in page] == []


def test_every_example_is_on_the_page_of_examples() -> None:
    page = (ROOT / "docs/examples.md").read_text()
    names = [path.name for path in (ROOT / "examples").glob("*.py") if path.stem != "served"]
    assert [name for name in names if f"| `{name}` |" not in page] == []


def test_every_command_is_on_the_page_of_commands() -> None:
    page = (ROOT / "docs/command-line.md").read_text()
    assert [name for name in COMMANDS if f"## `penstock {name}`" not in page] == []


# --- links


def broken_links(name: str, text: str) -> list[str]:
    """Links to files that are not there."""
    plain = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    found = []
    for target in re.findall(r"\]\(([^)\s]+)\)", plain):
        if re.match(r"[a-z]+:", target) or target.startswith("#"):
            continue
        path = os.path.normpath(ROOT / Path(name).parent / target.partition("#")[0])
        if not Path(path).exists():
            found.append(f"{name}: {target}")
    return found


def test_links_lead_somewhere() -> None:
    assert [link for path in documents() for link in broken_links(name_of(path), path.read_text())] == []


def test_a_broken_link_is_found() -> None:
    assert broken_links("docs/a.md", "[a](nothing.md)")
    assert not broken_links("docs/a.md", "[a](network.md#x) [b](https://x) ```\n[c](no)\n```")
