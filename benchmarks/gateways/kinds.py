"""The other gateways: how each is started for production on one core, and what it does of what Penstock does.

Where there was a choice it is the one that is faster for them: no database, no request log, no metrics, and no check
of keys where that would need a database. What calls home is off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version

from benchmarks import debian
from benchmarks.gateways import install
from benchmarks.gateways.install import CannotInstall, Installed
from benchmarks.materials import HERE, KEY, OPENAI
from benchmarks.proxies import DIRECT, HAPROXY, NGINX, PENSTOCK, RELAY, Launch, Proxy, Setting

_UPSTREAM_KEY = "sk-upstream"


@dataclass(frozen=True, slots=True)
class Peer:
    """A gateway in the comparison.

    `kind`: ours, a peer, or a limit (what does nothing but pass on). `keys`, `log`, `metrics`: what is on. `goal`: how
    many times its requests per second Penstock's are to be.
    """

    proxy: Proxy
    title: str
    version: str
    kind: str
    keys: str = "none"
    log: str = "none"
    metrics: str = "none"
    goal: float | None = None


def _unbuffered(extra: Mapping[str, str]) -> dict[str, str]:
    return {"PYTHONUNBUFFERED": "1", "DO_NOT_TRACK": "1", **extra}


# ---- LiteLLM ------------------------------------------------------------------------------------------------------

_LITELLM_ENVIRONMENT = {
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "ERROR",
    "LITELLM_TELEMETRY": "False",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "DISABLE_ADMIN_UI": "True",
    "NO_DOCS": "True",
}


def _litellm(installed: Installed) -> Callable[[Setting], Launch]:
    def launch(setting: Setting) -> Launch:
        lines = ["model_list:"]
        for name, vendor in setting.models.items():
            target = f'model: openai/{vendor}, api_base: "{setting.base_url}/v1", api_key: {_UPSTREAM_KEY}'
            lines += [f"  - model_name: {name}", f"    litellm_params: {{{target}}}"]
        lines += [
            "litellm_settings: {set_verbose: false, request_timeout: 600}",
            f"general_settings: {{master_key: {KEY}}}",
        ]
        config = setting.folder / "litellm.yaml"
        config.write_text("\n".join(lines) + "\n")
        command = [str(installed.place / "bin/litellm"), "--config", str(config), "--host", "127.0.0.1"]
        command += ["--port", str(setting.port), "--num_workers", "1", "--telemetry", "False"]
        return Launch(command, _unbuffered(_LITELLM_ENVIRONMENT))

    return launch


# ---- Portkey ------------------------------------------------------------------------------------------------------


def _portkey(installed: Installed) -> Callable[[Setting], Launch]:
    def launch(setting: Setting) -> Launch:
        program = installed.place / "node_modules/@portkey-ai/gateway/build/start-server.js"
        command = ["node", "--require", str(HERE / "gateways/loopback.cjs"), str(program)]
        headers = ("x-portkey-provider: openai", f"x-portkey-custom-host: {setting.base_url}/v1")
        return Launch(
            [*command, "--headless", f"--port={setting.port}"],
            {"NODE_ENV": "production", "DO_NOT_TRACK": "1"},
            headers=headers,
        )

    return launch


# ---- TensorZero ---------------------------------------------------------------------------------------------------


def _tensorzero(installed: Installed) -> Callable[[Setting], Launch]:
    def launch(setting: Setting) -> Launch:
        lines = ["[gateway]", "observability.enabled = false", "disable_pseudonymous_usage_analytics = true"]
        for name, vendor in setting.models.items():
            lines += [f"[models.{name}]", 'routing = ["up"]', f"[models.{name}.providers.up]", 'type = "openai"']
            lines += [f'model_name = "{vendor}"', f'api_base = "{setting.base_url}/v1/"']
            lines += ['api_key_location = "env::UPSTREAM_KEY"']
        config = setting.folder / "tensorzero.toml"
        config.write_text("\n".join(lines) + "\n")
        command = [str(installed.place / "bin/python"), str(HERE / "gateways/tensorzero_server.py"), str(config)]
        environment = {"UPSTREAM_KEY": _UPSTREAM_KEY, "TENSORZERO_DISABLE_PSEUDONYMOUS_USAGE_ANALYTICS": "1"}
        return Launch(command, _unbuffered(environment), says_port=r"(?m)^listening (\d+)$")

    return launch


# ---- Bifrost ------------------------------------------------------------------------------------------------------


def _bifrost(installed: Installed) -> Callable[[Setting], Launch]:
    def launch(setting: Setting) -> Launch:
        command = [str(installed.place / "bifrost"), "-listen", f"127.0.0.1:{setting.port}", "-key", KEY]
        return Launch([*command, "-upstream", setting.base_url])

    return launch


# ---- all ----------------------------------------------------------------------------------------------------------

_OPENAI_IN_TENSORZERO = replace(OPENAI, name="tensorzero", path="/openai/v1/chat/completions")


def _make_litellm() -> Peer:
    at = install.litellm()
    proxy = Proxy("litellm", _litellm(at), warm_s=4, patience_s=120)
    return Peer(proxy, "LiteLLM proxy", at.version, "peer", keys="master key", log="off", metrics="off", goal=100)


def _make_portkey() -> Peer:
    at = install.portkey()
    proxy = Proxy("portkey", _portkey(at), model="{}", warm_s=10)
    return Peer(proxy, "Portkey gateway", at.version, "peer", goal=20)


def _make_tensorzero() -> Peer:
    at = install.tensorzero()
    proxy = Proxy(
        "tensorzero",
        _tensorzero(at),
        model="tensorzero::model_name::bench-{}",
        dialect=_OPENAI_IN_TENSORZERO,
        events_less=1,
        warm_s=2,
    )
    return Peer(proxy, "TensorZero, embedded", at.version, "peer", keys="off", log="off", metrics="off", goal=3)


def _make_bifrost() -> Peer:
    at = install.bifrost()
    proxy = Proxy("bifrost", _bifrost(at), events_less=1)
    return Peer(proxy, "Bifrost's core alone", at.version, "peer", keys="one")


def _limit(proxy: Proxy) -> Callable[[], Peer]:
    def make() -> Peer:
        problem = debian.unpack(proxy.name)
        if problem:
            raise CannotInstall(problem)
        return Peer(proxy, proxy.name, debian.version(proxy.name), "limit")

    return make


def _ours() -> Peer:
    return Peer(PENSTOCK, "Penstock", version("penstock"), "ours", keys="on", log="on", metrics="on")


# By name; makers install what is not there yet, and raise CannotInstall.
PEERS: Mapping[str, Callable[[], Peer]] = {
    "direct": lambda: Peer(DIRECT, "no proxy", "-", "limit"),
    "haproxy": _limit(HAPROXY),
    "nginx": _limit(NGINX),
    "relay": lambda: Peer(RELAY, "bare relay in Python", "-", "limit", keys="one"),
    "penstock": _ours,
    "bifrost": _make_bifrost,
    "tensorzero": _make_tensorzero,
    "portkey": _make_portkey,
    "litellm": _make_litellm,
}
