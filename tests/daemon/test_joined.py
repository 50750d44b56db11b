"""The node of a daemon, inside this process: what it answers, and what it leaves."""

import errno
import http.client
import json
import os
import socket

import pytest
import trio
import trio.testing

from mnedge.config.current import Current
from mnedge.config.read import Flags, load_config
from mnedge.daemon.app import DaemonRunningError, node
from mnedge.daemon.clock import wall_clock
from mnedge.daemon.endpoints import Address
from mnedge.daemon.joined import listeners_of, serving
from mnedge.daemon.owner import OwnerNeededError
from mnedge.daemon.reloading import Reloading
from mnedge.gateway.server import Bound
from mnedge.identity.secrets import Secrets
from mnedge.observe.logs import Log

pytestmark = pytest.mark.live
NOBODY = 65534


class Bench:
    def __init__(self, tmp_path, **flags):
        self.environ = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
        self.flags = Flags(**flags)
        self.current = Current(self.load())
        self.said = tmp_path / "said"

    def load(self):
        return load_config(self.environ, self.flags)

    def serving(self):
        reloading = Reloading(self.current, self.load)
        secrets = Secrets(self.environ)
        fd = os.open(self.said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        log = Log(lambda: self.current().trace.logs, now=wall_clock, fd=fd)
        return serving(self.current, reloading, log, secrets)


async def got(path, target, method="GET"):
    """Return status and JSON of an answer on a unix socket."""

    def ask():
        connection = http.client.HTTPConnection("node", timeout=10)
        with socket.socket(socket.AF_UNIX) as connection.sock:
            connection.sock.connect(str(path))
            connection.request(method, target)
            with connection.getresponse() as answer:
                return answer.status, json.loads(answer.read())

    return await trio.to_thread.run_sync(ask)


async def test_what_becomes_of_the_disk_stands_in_the_log(tmp_path):
    bench = Bench(tmp_path)
    async with bench.serving() as here:
        broken = OSError(errno.EIO, "input/output error")
        for _ in range(2):
            await trio.to_thread.run_sync(here.store.conditions.failed, "runs", "/x", broken)
        await trio.to_thread.run_sync(here.store.conditions.fine, "runs", "/x")
        await trio.testing.wait_all_tasks_blocked()
    said = [json.loads(line) for line in bench.said.read_text().splitlines()]
    assert [(line["level"], line["message"]) for line in said if line["component"] == "store"] == [
        ("error", "the disk that holds /x fails: [Errno 5] input/output error"),
        ("info", "the disk takes what is written again"),
    ]


async def test_it_answers_on_its_socket_and_leaves_nothing(tmp_path):
    bench = Bench(tmp_path)
    async with bench.serving() as here:
        status, told = await got(here.listeners.socket, "/api/v1/health")
        assert (status, told["status"]) == (200, "ok")
        assert here.status == f"ready on {here.config.socket}"
    assert not here.config.socket.exists()
    assert bench.said.read_text() == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone is kept from running others' jobs")
async def test_root_serves_no_data_of_somebody_else(tmp_path):
    bench = Bench(tmp_path)
    data = bench.current().data_dir
    data.mkdir(parents=True)
    os.chown(data, NOBODY, NOBODY)
    with pytest.raises(OwnerNeededError, match="run by the user nobody, not by root"):
        async with bench.serving():
            pass
    assert not list(data.iterdir())


async def test_on_tcp_the_port_that_it_got_is_told(tmp_path):
    async with Bench(tmp_path, http="127.0.0.1:0", grpc="127.0.0.1:0").serving() as here:
        assert here.listeners.http.port > 0
        assert here.listeners.grpc.port not in (0, here.listeners.http.port)
        files = {path.name for path in here.config.home.iterdir()}
        assert files == {"mnedge", "runtime-endpoints.json", "grpc_auth.token", "api.token"}
        told = json.loads((here.config.home / "runtime-endpoints.json").read_text())
        assert told["grpc"]["port"] == here.listeners.grpc.port


async def test_the_configuration_is_shown_and_read_again_over_the_api(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("daemon: {grace: 10s}\nrelay: {adapters: []}\n")
    bench = Bench(tmp_path, file=str(file))
    async with bench.serving() as here:
        _, told = await got(here.listeners.socket, "/api/v1/config")
        assert told["config"]["daemon"]["grace"] == "10s"
        file.write_text("daemon: {grace: 20s}\nrelay: {adapters: [{name: a, mock: true}]}\n")
        status, told = await got(here.listeners.socket, "/api/v1/config/reload", "POST")
        assert status == 200
        changed = {change["path"] for change in told["changed"]}
        assert changed == {"daemon.grace", "relay.adapters"}
        _, told = await got(here.listeners.socket, "/v1/models")
        assert told["data"]
        file.write_text("daemon: {grace: soon}\n")
        status, told = await got(here.listeners.socket, "/api/v1/config/reload", "POST")
        assert status >= 400
        assert bench.current().daemon.grace == 20


async def test_a_data_directory_has_one_daemon(tmp_path):
    bench = Bench(tmp_path)
    async with bench.serving() as here:
        async with node(here.config):
            pass
        with pytest.RaisesGroup(DaemonRunningError, flatten_subgroups=True, allow_unwrapped=True):
            async with bench.serving():
                pass


async def test_after_a_stop_no_new_work_is_taken(tmp_path):
    async with Bench(tmp_path).serving() as here:
        here.stop()
        assert here.host.stopping
        with trio.fail_after(5):
            await here.host.drained()


def test_of_several_addresses_of_a_listener_the_first_counts():
    bound = [
        Bound(listener="unix", address="/s", url="unix:/s"),
        Bound(listener="http", address="127.0.0.1:80", url="https://127.0.0.1:80", tls=True),
        Bound(listener="http", address="[::1]:80", url="https://[::1]:80", tls=True),
    ]
    listeners = listeners_of(bound)
    assert listeners.http == Address("127.0.0.1", 80)
    assert (listeners.socket, listeners.grpc, listeners.tls) == ("/s", None, True)
