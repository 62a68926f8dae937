"""The whole round: every check in the order in which somebody would mend things."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from penstock import version
from penstock.cli.checkup.findings import Finding
from penstock.cli.checkup.machine import check_certificate, check_clock, check_files, check_ports, check_state
from penstock.cli.checkup.names import check_models, check_routes
from penstock.cli.checkup.reach import check_providers
from penstock.cli.checkup.settings import check_credentials, check_environment, explain_config_error
from penstock.cli.settings import find_config
from penstock.clock import SystemClock
from penstock.config.schema import Config
from penstock.errors import ConfigError

__all__ = ["make_round"]


async def make_round(path: str | None, env: Mapping[str, str], *, ask: bool) -> list[Finding]:
    """All findings. A configuration that cannot be read leaves what does not need it.

    Args:
        path: the config file, as the command line names it.
        ask: whether providers may be asked for their models.
    """
    clock = SystemClock()
    try:
        config, folder = find_config(path, serving=True)
    except ConfigError as error:
        return [*explain_config_error(error, env), check_files(_NOTHING), _clock(clock, None)]
    reached = await check_providers(config, clock, ask=ask)
    state, owner = check_state(folder)
    return [
        *check_environment(config, env),
        *check_credentials(config),
        *check_routes(config),
        *check_models(config, {each.provider: each.models for each in reached}),
        *(finding for each in reached for finding in each.findings),
        *await check_ports(config, owner),
        *check_certificate(config, clock),
        state,
        check_files(config),
        _clock(clock, config),
    ]


_NOTHING = Config(source="", providers={})


def _clock(clock: SystemClock, config: Config | None) -> Finding:
    files = [Path(version.__file__)]
    if config is not None and not config.source.startswith("("):
        files.append(Path(config.source))
    return check_clock(clock, files)
