"""`penstock simulate`: a configuration under simulated traffic, outages and spikes, in virtual time."""

from __future__ import annotations

import gc
import json
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.testing.simulate import Report
    from penstock.testing.simulate.running import Progress

__all__ = ["command"]

# How often progress is shown, in seconds: on a terminal, and as plain lines.
_ON_TERMINAL, _AS_LINES = 0.2, 5.0


@click.command(short_help="Run a configuration against simulated traffic and faults.")
@click.argument("scenario", metavar="SCENARIO.yaml", required=False)
@click.option("--seed", type=click.IntRange(0, 2**31), metavar="N", help="Chance; the same gives the same report.")
@click.option("--json", "as_json", is_flag=True, help="The whole report as JSON on stdout, instead of tables.")
@click.option("--plot", metavar="FILE", help="A picture of it: FILE.html, FILE.svg, or FILE.png.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of scenarios, for editors.")
def command(scenario: str | None, seed: int | None, plot: str | None, *, as_json: bool, schema: bool) -> None:
    """Run the configuration that SCENARIO.yaml names against its traffic and faults, hours of it in seconds.

    The gateway is the real one; the providers are simulated. Nothing leaves this process and no key is read. Ends with
    1 where the scenario's `expect:` does not come out.
    """
    # The engine, which `--help` need not wait for.
    from penstock.clock import SystemClock
    from penstock.testing.simulate import encode_report, load_scenario, simulate

    if schema:
        from penstock.testing.simulate.keys import json_schema

        click.echo(json.dumps(json_schema(), indent=2))
        return
    if scenario is None:
        raise click.UsageError("Name a scenario: penstock simulate SCENARIO.yaml")
    write = _picture(plot) if plot is not None else None
    loaded = load_scenario(scenario)
    now = SystemClock.monotonic
    started = now()
    # What is loaded stays, and requests leave no cycles behind: looking for them takes a tenth of the time.
    gc.freeze()
    gc.set_threshold(100_000)
    screen = _Screen(loaded.duration, now)
    try:
        report = simulate(loaded, seed, progress=screen.show)
    finally:
        screen.end()
    if as_json:
        sys.stdout.buffer.write(encode_report(report))
    else:
        from penstock.cli.simulated_tables import lines_of

        for line in lines_of(report):
            click.echo(line)
    if write is not None:
        write(report)
    took = now() - started
    click.echo(f"{report.total.requests:,} requests in {took:.1f} s ({report.total.requests / took:,.0f}/s)", err=True)
    if report.expected:
        raise click.exceptions.Exit(1)


def _picture(path: str) -> Callable[[Report], None]:
    """What writes the picture; raises click.UsageError for a form that there is not, before an hour is simulated."""
    from pathlib import Path

    from penstock.testing.simulate.picture import draw, page

    def png(report: Report) -> bytes:
        return bytes(svg_to_bytes(svg_string=draw(report), zoom=2.0))

    forms: dict[str, Callable[[Report], bytes]] = {
        ".html": lambda report: page(report).encode(),
        ".svg": lambda report: draw(report).encode(),
        ".png": png,
    }
    file = Path(path)
    if file.suffix not in forms:
        raise click.UsageError("--plot draws FILE.html, FILE.svg or FILE.png.")
    if not file.absolute().parent.is_dir():
        raise click.UsageError(f"--plot: there is no folder {file.absolute().parent}.")
    if file.suffix == ".png":
        try:
            from resvg_py import svg_to_bytes
        except ImportError:
            raise click.UsageError(
                "--plot FILE.png needs an extra: pip install 'penstock[plot]'. FILE.html and FILE.svg need nothing."
            ) from None

    def write(report: Report) -> None:
        try:
            file.write_bytes(forms[file.suffix](report))
        except OSError as error:
            raise click.ClickException(f"{path} cannot be written: {error.strerror}") from None

    return write


class _Screen:
    """Shows on stderr how far it is: one line that changes on a terminal, a line now and then elsewhere."""

    def __init__(self, duration: float, now: Callable[[], float]) -> None:
        self._duration = duration
        self._is_terminal = sys.stderr.isatty()
        self._now = now
        self._shown_at = now()
        self._open = False
        self.show: Progress = self._show

    def _show(self, seconds: float, requests: int) -> None:
        now = self._now()
        if now - self._shown_at < (_ON_TERMINAL if self._is_terminal else _AS_LINES):
            return
        from penstock.cli.simulated_tables import clock_text

        self._shown_at = now
        part = min(1.0, seconds / self._duration)
        text = f"{part:4.0%}  {clock_text(seconds)} of {clock_text(self._duration)}, {requests:,} requests"
        click.echo(f"\r\033[2K{text}" if self._is_terminal else text, err=True, nl=not self._is_terminal)
        self._open = self._is_terminal

    def end(self) -> None:
        """Take the line away."""
        if self._open:
            click.echo("\r\033[2K", err=True, nl=False)
            self._open = False
