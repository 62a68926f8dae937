"""`penstock serve --workers 2`: real processes, killed, replaced, orphaned, reloaded and drained."""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from penstock.clock import SystemClock
from penstock.transport.origin import MAX_CONNECTIONS
from tests.cli.load import EVERY_WAY, Load, call
from tests.cli.running import penstock
from tests.end_to_end.process import PENSTOCK, SECONDS, Lines, Served, environment

pytestmark = pytest.mark.skipif(
    not hasattr(os, "pidfd_open"), reason="the ends of foreign processes are Linux's to tell"
)

CONFIG = """\
auth: open
providers: {sim: {}, up: {kind: openai, api_key: "env:UP_KEY"}}
models: {%s: {targets: [sim/small]}}
server: {drain: 10s}
"""
now = SystemClock.monotonic
SECRETS = {"UP_KEY": "sk-up-0123456789abcdef", "PENSTOCK_ADMIN_KEY": "psk_admin_0123456789abcdef"}


def serve(folder: Path, *options: str, workers: int = 2, env: Mapping[str, str] | None = None) -> Served:
    return Served(folder, "--workers", str(workers), *options, env=SECRETS if env is None else env)


def workers(served: Served) -> list[int]:
    """The two workers first; the reserve, once there is one, last."""
    children = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children").read_text()
    return sorted(map(int, children.split()))


def ask(
    served: Served, path: str = "/v1/models", *, admin: bool = False, method: str = "GET"
) -> tuple[int, dict[str, str], str]:
    """On a connection of its own: any worker may get it."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=SECONDS)
    headers = {}
    if admin:
        connection = http.client.HTTPConnection(served.admin_url.removeprefix("http://"), timeout=SECONDS)
        headers = {"authorization": f"Bearer {SECRETS['PENSTOCK_ADMIN_KEY']}"}
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.headers), answer.read().decode()
    finally:
        connection.close()


@contextmanager
def stream(served: Served, model: str) -> Iterator[http.client.HTTPResponse]:
    """A stream of which the first event has come."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=SECONDS)
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "stream": True}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"content-type": "application/json"})
    response = connection.getresponse()
    assert response.readline().startswith(b"data: ")
    try:
        yield response
    finally:
        connection.close()


def metric(served: Served, name: str) -> float:
    """A metric's value, summed over its series."""
    _, _, page = ask(served, "/metrics", admin=True)
    values = [line.rpartition(" ")[2] for line in page.splitlines() if line.split("{")[0].split(" ")[0] == name]
    return sum(map(float, values))


def ends_of(pids: list[int]) -> Callable[[float], list[int]]:
    """What waits so many seconds for those processes to end; returns those that have not."""
    watched = {os.pidfd_open(pid): pid for pid in pids}

    def wait(seconds: float) -> list[int]:
        poll = select.poll()
        for descriptor in watched:
            poll.register(descriptor, select.POLLIN)
        left = dict(watched)
        while left and (ended := poll.poll(seconds * 1000)):
            for descriptor, _ in ended:
                poll.unregister(descriptor)
                del left[descriptor]
        for descriptor in watched:
            os.close(descriptor)
        return list(left.values())

    return wait


def told(served: Served, words: str, times: int = 1) -> None:
    served.told.wait_for(lambda lines: sum(words in line for line in lines) >= times, words)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One for the tests that leave it whole."""
    folder = tmp_path_factory.mktemp("gateway")
    (folder / "penstock.yaml").write_text(CONFIG % "old")
    with serve(folder, env={**SECRETS, "KEPT": "for the worker"}) as served:
        yield served
        assert served.stop() == 0
        assert "Traceback" not in served.told.text
        assert all(line["status"] == 200 for line in served.lines)


def test_two_workers_are_one_gateway(gateway: Served) -> None:
    for _ in range(20):
        assert call(gateway.port) == 200
    assert metric(gateway, "penstock_requests_total") == 20
    assert metric(gateway, "penstock_request_duration_seconds_count") == 20
    assert metric(gateway, "penstock_config_generation") == 2, "two workers with generation 1"
    assert ask(gateway, "/readyz")[1]["x-penstock-generation"] == "1"
    health = json.loads(ask(gateway, "/api/v1/health", admin=True)[2])
    assert health["workers"] == [{"worker": n, "config_generation": 1} for n in (0, 1)]
    assert health["requests_in_flight"] == 0


def test_a_second_one_with_the_same_state_is_refused(gateway: Served) -> None:
    refused = penstock(gateway.folder, "serve", "--port", "0", "--admin-port", "0", env=SECRETS)
    assert refused.code == 1
    assert f"belongs to process {gateway.process.pid}, its control plane is {gateway.admin_url}" in refused.err
    assert call(gateway.port) == 200


def test_secrets_are_neither_in_a_workers_arguments_nor_in_its_environment(gateway: Served) -> None:
    for pid in workers(gateway):
        seen = Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()
        assert b"KEPT=for the worker" in seen
        for secret in SECRETS.values():
            assert secret.encode() not in seen


def test_a_killed_worker_is_replaced_within_a_second_while_the_other_serves(gateway: Served) -> None:
    took, silences = [], []
    before = int(metric(gateway, "penstock_worker_restarts_total"))
    for turn in range(before + 1, before + 4):
        first, second = workers(gateway)[:2]
        with Load(gateway, EVERY_WAY * 2) as load:
            began = now()
            os.kill(first, signal.SIGKILL)
            told(gateway, "died (it was killed by SIGKILL)", turn)
            load.more(20)
            told(gateway, "serves again", turn)
            took.append(now() - began)
            load.more(20)
            silences.append(load.longest_silence(began))
        assert set(load.statuses) == {200}
        assert len(load.failures) <= len(EVERY_WAY * 2), "only what it was answering is lost, one for each caller"
        assert first not in workers(gateway)
        assert second in workers(gateway)
    assert metric(gateway, "penstock_worker_restarts_total") == before + 3
    # The best of three: a machine with other things to do must not fail it.
    assert min(took) < 1.0, took
    assert min(silences) < 0.5, silences


def test_a_worker_that_is_told_to_end_is_relieved_without_a_loss(gateway: Served) -> None:
    first = workers(gateway)[:2]
    died = gateway.told.text.count("died")
    with Load(gateway, EVERY_WAY * 2) as load:
        for pid in first:
            ended = ends_of([pid])
            os.kill(pid, signal.SIGTERM)
            assert ended(SECONDS) == []
            load.more(10)
    assert load.failures == []
    assert set(load.statuses) == {200}
    assert not set(first) & set(workers(gateway))
    assert gateway.told.text.count("died") == died


def test_all_four_workers_are_renewed_without_a_loss(tmp_path: Path) -> None:
    with serve(tmp_path, workers=4) as served:
        for _ in range(2000):  # until there is one in reserve, which is no fresher than the others
            first = workers(served)
            if len(first) == 5:
                break
            assert call(served.port) == 200
        assert len(first) == 5
        ended = ends_of(first)
        with Load(served, EVERY_WAY * 2) as load:
            served.signal(signal.SIGUSR2)
            told(served, "every worker was renewed")
            load.more(20)
        assert load.failures == []
        assert set(load.statuses) == {200}
        assert ended(SECONDS) == []
        assert len(workers(served)) >= 4
        assert metric(served, "penstock_config_generation") == 4
        assert served.stop() == 0
        for words in ("died", "Traceback"):
            assert words not in served.told.text


def test_signals_that_come_while_it_starts_end_nothing(tmp_path: Path) -> None:
    """Whoever starts it may ask for a reload at once; that is done when it serves."""
    (tmp_path / "penstock.yaml").write_text(CONFIG % "here")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [*PENSTOCK, "serve", "--workers", "2", "--port", str(port), "--admin-port", "0"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment(**SECRETS), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    said = Lines(process.stderr)
    try:
        until = now() + SECONDS
        while not _listens(port):
            assert process.poll() is None
            assert now() < until
        for number in (signal.SIGHUP, signal.SIGUSR2):
            process.send_signal(number)
        said.wait_for(lambda lines: [line for line in lines if line.startswith("reloaded: ")], "the reload")
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
    finally:
        process.kill()
        process.wait()
        said.close()


def _listens(port: int) -> bool:
    with socket.socket() as trying:
        return trying.connect_ex(("127.0.0.1", port)) == 0


def test_sighup_reloads_every_worker_or_changes_nothing(gateway: Served) -> None:
    file = gateway.folder / "penstock.yaml"
    with Load(gateway) as load:
        file.write_text(CONFIG % "new")
        gateway.signal(signal.SIGHUP)
        told(gateway, "reloaded: penstock.yaml, generation 2")
        load.more(10)
        file.write_text(CONFIG % "bad" + "modls: {}\n")
        gateway.signal(signal.SIGHUP)
        told(gateway, "penstock.yaml:5:1: ")
        file.write_text((CONFIG % "bad") + "log: {to: none}\n")
        gateway.signal(signal.SIGHUP)
        told(gateway, "log changed")
        load.more(10)
    assert load.failures == []
    assert set(load.statuses) == {200}
    for _ in range(10):
        status, _, body = ask(gateway)
        assert (status, json.loads(body)["data"][0]["id"]) == (200, "new")
        assert ask(gateway, "/readyz")[1]["x-penstock-generation"] == "2"
    assert '"new"' in ask(gateway, "/api/v1/config", admin=True)[2]


def test_whoever_asks_for_a_reload_hears_once_every_worker_has_it(gateway: Served) -> None:
    file = gateway.folder / "penstock.yaml"
    with Load(gateway) as load:
        for name in ("asked", "again", "new"):
            file.write_text(CONFIG % name)
            status, _, body = ask(gateway, "/api/v1/reload", admin=True, method="POST")
            generation = json.loads(body)["generation"]
            assert (status, f"models.{name}" in json.loads(body)["changed"]) == (200, True)
            for _ in range(10):
                assert ask(gateway, "/readyz")[1]["x-penstock-generation"] == str(generation)
        file.write_text(CONFIG % "bad" + "modls: {}\n")
        status, _, body = ask(gateway, "/api/v1/reload", admin=True, method="POST")
        assert status == 422
        assert json.loads(body)["mistakes"][0].startswith("penstock.yaml:5:1: ")
        file.write_text(CONFIG % "new")
        assert ask(gateway, "/api/v1/reload", admin=True, method="POST")[0] == 200  # so that nothing is left to notice
        load.more(10)
    assert load.failures == []
    assert set(load.statuses) == {200}


def test_a_changed_file_reloads_every_worker_without_being_asked(gateway: Served) -> None:
    file = gateway.folder / "penstock.yaml"
    generation = int(ask(gateway, "/readyz")[1]["x-penstock-generation"])
    wrong = gateway.told.text.count("penstock.yaml:5:1: ")
    with Load(gateway, EVERY_WAY * 2) as load:
        (gateway.folder / "draft").write_text(CONFIG % "newer")
        (gateway.folder / "draft").rename(file)
        told(gateway, f"reloaded: penstock.yaml, generation {generation + 1}")
        load.more(10)
        file.write_text(CONFIG % "worse" + "modls: {}\n")
        told(gateway, "penstock.yaml:5:1: ", wrong + 1)
        load.more(10)
    assert load.failures == []
    assert set(load.statuses) == {200}
    for _ in range(10):
        assert json.loads(ask(gateway)[2])["data"][0]["id"] == "newer"


def test_a_supervisor_killed_under_load_is_followed_by_another_within_three_seconds(tmp_path: Path) -> None:
    ways = EVERY_WAY * 2
    took: list[float] = []
    most = 3.0
    while len(took) < 3 and not any(seconds < most for seconds in took):
        starts = now()
        with serve(tmp_path) as served, Load(served, ways) as load:
            most = max(most, 3 * (now() - starts))  # where a start alone takes more than a second, as beside other work
            ended = ends_of(workers(served))
            began = now()
            served.signal(signal.SIGKILL)
            with serve(tmp_path, "--port", str(served.port)) as restarted:
                load.more(20)
                took.append(now() - began)
                assert ended(4.0) == [], "2 s are the orphans' own limit; the rest is the machine's"
                load.more(20)
                assert metric(restarted, "penstock_requests_total") >= 20
                load.__exit__()
                assert restarted.stop() == 0
            assert load.failures, "the callers noticed"
            assert set(load.statuses) == {200}
            for text in (served.told.text, restarted.told.text):
                assert "Traceback" not in text
    assert min(took) < most, took


def test_a_killed_supervisor_leaves_nothing_behind(tmp_path: Path) -> None:
    with serve(tmp_path) as served, stream(served, "sim/small:stall=3") as response:
        ended = ends_of(workers(served))
        served.signal(signal.SIGKILL)
        # A new one gets state and port while the orphans still end.
        with Served(tmp_path, "--port", str(served.port)) as restarted:
            # 2 s are for the orphans; the rest for a machine with other things to do.
            assert ended(4.0) == []
            # Whoever was still waited for then is told so.
            assert b'"overloaded"' in response.read()
            assert call(restarted.port) == 200
            assert restarted.stop() == 0
        assert served.wait() == -signal.SIGKILL
        for text in (served.told.text, restarted.told.text):
            assert "Traceback" not in text
    kept = ["penstock.admin-key", "penstock.db", "penstock.secret"]
    assert sorted(path.name for path in tmp_path.iterdir()) == kept


def test_sigterm_lets_streams_end_on_every_worker(tmp_path: Path) -> None:
    slow = "sim/large:tokens=50,between=20ms"
    with (
        serve(tmp_path) as served,
        stream(served, slow) as one,
        stream(served, slow) as two,
        stream(served, slow) as three,
    ):
        ended = ends_of(workers(served))
        served.signal(signal.SIGTERM)
        told(served, "stopping")
        for response in (one, two, three):
            assert response.read().endswith(b"data: [DONE]\n\n")
        assert served.wait() == 0
        assert ended(0.0) == []
        assert [line["status"] for line in served.lines] == [200] * 3
        assert "Traceback" not in served.told.text


def test_connections_to_a_provider_are_counted_over_all_workers(tmp_path: Path) -> None:
    (tmp_path / "provider").mkdir()
    (tmp_path / "gateway").mkdir()
    with Served(tmp_path / "provider") as provider:
        up = f'{{kind: openai, base_url: "{provider.base_url}", api_key: none}}'
        (tmp_path / "gateway" / "penstock.yaml").write_text(f"auth: open\nproviders: {{up: {up}}}\n")
        with serve(tmp_path / "gateway") as served:
            name = "penstock_leases_held"
            assert metric(served, name) == 0
            for _ in range(100):
                assert call(served.port, "up/sim/small") == 200
                if metric(served, name) > MAX_CONNECTIONS // 15:
                    break  # both workers have answered: each holds what it needs, and some in reserve
            assert metric(served, name) > MAX_CONNECTIONS // 15
            _, _, page = ask(served, "/metrics", admin=True)
            assert f'{name}{{guard="{provider.url}"}}' in page
            assert metric(served, name) <= MAX_CONNECTIONS // 10
            served.signal(signal.SIGUSR2)
            told(served, "every worker was renewed")
            assert call(served.port, "up/sim/small") == 200
            assert served.stop() == 0
            assert "Traceback" not in served.told.text


def test_ctrl_c_twice_cuts_every_worker(tmp_path: Path) -> None:
    with serve(tmp_path) as served, stream(served, "sim/small:stall=3"):
        everybody = [served.process.pid, *workers(served)]
        ended = ends_of(everybody[1:])
        for _ in range(2):
            for pid in everybody:  # as a terminal does it, which signals the whole group
                os.kill(pid, signal.SIGINT)
            told(served, "stopping")
        assert served.wait() == 130
        assert ended(0.0) == []
        assert [line["error"] for line in served.lines] == ["cancelled"]
        assert "Traceback" not in served.told.text
