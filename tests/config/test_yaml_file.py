"""YAML with its places: what is no YAML is told where, and nothing of the file is quoted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import certifi
import pytest

from penstock.config.tree import Node
from penstock.config.yaml_file import open_config, read_yaml
from penstock.errors import ConfigError

TAB = "found character '\\t' that cannot start any token; indent with spaces, not with tabs"
UNEVEN = (
    "expected <block end>, but found '<block mapping start>'; this line is indented otherwise than those it belongs to"
)
MERGE = "2:5: merge keys (<<) are not YAML 1.2: write the keys out, or alias the whole value"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a: [sk-secret", "1:14: not valid YAML: expected ',' or ']', but got '<stream end>'"),
        (b"a: b\n\tc: sk-secret", f"2:1: not valid YAML: {TAB}"),
        (b"a:\n  b: 1\n c: 2", f"3:2: not valid YAML: {UNEVEN}"),
        (b"a: *gone", "1:4: not valid YAML: found undefined alias 'gone'"),
        (
            b"a: b\n---\nc: d",
            "2:1: not valid YAML: expected a single document in the stream but found another document; write one"
            " document: leave out the --- and what follows",
        ),
        (b"a: b\nc: \xff", "2:4: not valid UTF-8: save it as UTF-8"),
        ("ä: \xa0\nö: \x01".encode(), "2:4: the character U+0001 is not allowed"),
    ],
)
def test_what_is_no_yaml(data: bytes, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_yaml(data, "p.yaml")
    assert str(caught.value) == f"p.yaml:{expected}"


def test_yaml_nested_without_end_is_an_error() -> None:
    with pytest.raises(ConfigError, match="not valid YAML"):
        read_yaml(b"a: " + b"[" * 1500, "p.yaml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{a: 1, a: 2}", '1:8: duplicate key "a", first on line 1'),
        ("1: x", '1:1: a key must be text: write "1" with its quotes'),
        ("? [a]\n: b", "1:3: a key must be text; a variable is written env:NAME, not {{NAME}} or ${NAME}"),
        ("a: &x {b: c}\nd: {<<: *x}", MERGE),
        ("a: !env X", "1:4: the tag !env is not known here: a variable is written env:NAME, without a tag"),
        ("a: &x [*x]", "1:4: an anchor that contains itself"),
        ("a: !!int x", "1:4: not a valid int"),
        ("%YAML 1.1\n---\na: yes", "3:4: not a valid bool"),
    ],
)  # fmt: skip
def test_what_is_yaml_but_not_for_us(text: str, expected: str) -> None:
    tree = read_yaml(text.encode(), "p.yaml")
    with pytest.raises(ConfigError) as caught:
        tree.problems.raise_if_any()
    assert str(caught.value) == f"p.yaml:{expected}"


def plain(node: Node) -> object:
    if isinstance(node.value, dict):
        return {key: plain(entry) for key, entry in node.value.items()}
    if isinstance(node.value, list):
        return [plain(item) for item in node.value]
    return node.value


def test_scalars_are_those_of_yaml_1_2() -> None:
    text = "a: [yes, off, true, 010, 0x10, 1.5, .inf, ~, null, 2026-01-01, 1:30, 'true', 60s]"
    assert plain(read_yaml(text.encode(), "p.yaml").root) == {
        "a": ["yes", "off", True, 10, 16, 1.5, float("inf"), None, None, "2026-01-01", "1:30", "true", "60s"]
    }


def test_an_alias_is_what_it_stands_for_and_has_its_own_place() -> None:
    tree = read_yaml(b"a: &x {b: c}\nd: *x", "p.yaml")
    tree.problems.raise_if_any()
    assert plain(tree.root) == {"a": {"b": "c"}, "d": {"b": "c"}}
    assert isinstance(tree.root.value, dict)
    assert str(tree.root.value["d"].place) == "p.yaml:2:1"


def test_places_count_letters_not_bytes() -> None:
    tree = read_yaml('\ufeff"ü": x\nb: {c: 1}'.encode(), "p.yaml")
    assert isinstance(tree.root.value, dict)
    assert str(tree.root.value["ü"].place) == "p.yaml:1:6"
    assert str(tree.root.value["b"].key) == "p.yaml:2:1"


def test_it_knows_what_it_was_read_from(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "up").write_text("sk-1")
    (tmp_path / "ca.pem").write_bytes(Path(certifi.where()).read_bytes())
    (tmp_path / "p.yaml").write_text(
        "auth: open\n"
        "providers: {up: {kind: openai, base_url: https://up.test, api_key: file:secrets/up, ca_file: ca.pem}}\n"
        "keys: [{name: a, key: file:secrets/up}, {name: b, key: env:B}]\n"
    )
    config = open_config(tmp_path / "p.yaml", {"B": "psk_test_0123456789abcdef"})
    assert config.files == tuple(str(tmp_path / name) for name in ("p.yaml", "providers", "secrets/up", "ca.pem"))


def test_the_parser_is_loaded_only_for_a_file() -> None:
    script = (
        "import sys; from penstock.config.load import load_config; load_config(None, {});"
        "assert not any(name.startswith('ruamel') for name in sys.modules);"
        "from penstock.config import yaml_file; assert 'ruamel.yaml' in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
