import json
import os
import stat
from base64 import urlsafe_b64encode
from functools import partial

import msgspec
import pytest
import trio

from mnedge.config.read import read_config
from mnedge.config.settings import Daemon
from mnedge.daemon.endpoints import (
    API_TOKEN,
    GRPC_TOKEN,
    OURS,
    RUNTIME,
    TRY_AGAIN_S,
    Address,
    EndpointFiles,
    Given,
    Listeners,
    is_advertised,
    read_own,
    runtime_document,
)
from mnedge.errors import UnavailableError
from mnedge.part import running

pytestmark = pytest.mark.live
TCP = Listeners(socket="/s", http=Address("0.0.0.0", 8080), grpc=Address("127.0.0.1", 50051))


class Bench:
    def __init__(self, tmp_path):
        self.config = read_config({"HOME": str(tmp_path)})
        self.home = self.config.home
        self.config.data_dir.mkdir(parents=True)
        self.said = []
        self.issued = 0
        self.at = 1_800_000_000.0

    async def issue(self, holder):
        self.issued += 1
        claims = msgspec.json.encode({"iss": "soul.mnemos", "sub": holder, "n": self.issued})
        return Given(f"h.{urlsafe_b64encode(claims).decode().rstrip('=')}.s", self.at + 3600)

    def files(self, listeners=TCP, **more):
        config = msgspec.structs.replace(self.config, **more)
        return EndpointFiles(
            config, listeners, self.issue, now=lambda: self.at, say=self.said.append
        )

    def read(self, name):
        return json.loads((self.home / name).read_text())


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


async def test_the_published_client_finds_what_it_looks_for(bench):
    async with running(bench.files()):
        told = bench.read(RUNTIME)
        assert told["grpc"] == {"target": "127.0.0.1:50051", "host": "127.0.0.1", "port": 50051}
        assert told["api"] == {"base_url": "http://127.0.0.1:8080/api/v1"}
        assert told["web_ui"] == {"url": "http://127.0.0.1:8080"}
        for name in (GRPC_TOKEN, API_TOKEN, RUNTIME):
            assert stat.S_IMODE((bench.home / name).stat().st_mode) == 0o600
        assert (bench.home / GRPC_TOKEN).read_text() != (bench.home / API_TOKEN).read_text()
        own = read_own(bench.config)
        assert (own["http"], own["grpc"]) == ("http://127.0.0.1:8080", "127.0.0.1:50051")
        assert own["pid"] == os.getpid()
    assert sorted(path.name for path in bench.home.iterdir()) == ["mnedge"]
    assert read_own(bench.config) is None
    assert bench.said == []


async def test_without_tcp_only_our_own_file_is_written(bench):
    async with running(bench.files(Listeners(socket="/s"))):
        assert sorted(path.name for path in bench.home.iterdir()) == ["mnedge"]
        assert read_own(bench.config)["socket"] == "/s"
    assert bench.issued == 0


async def test_the_files_can_be_switched_off(bench):
    async with running(bench.files(daemon=Daemon(endpoint_files=False))):
        assert not (bench.home / RUNTIME).exists()
        assert (bench.config.data_dir / OURS).exists()


async def test_with_tls_no_plain_target_is_told(bench):
    listeners = msgspec.structs.replace(TCP, tls=True)
    async with running(bench.files(listeners)):
        told = bench.read(RUNTIME)
        assert "grpc" not in told
        assert told["api"]["base_url"].startswith("https://")


async def test_one_listener_serves_both(bench):
    async with running(bench.files(Listeners(http=Address("::1", 80)))):
        assert bench.read(RUNTIME)["grpc"]["target"] == "[::1]:80"


async def test_tokens_are_renewed_at_half_of_their_life(tmp_path, autojump_clock):
    bench = Bench(tmp_path)
    began = trio.current_time()
    files = EndpointFiles(
        bench.config,
        TCP,
        bench.issue,
        now=lambda: bench.at + trio.current_time() - began,
        say=bench.said.append,
    )
    async with running(files):
        first = (bench.home / GRPC_TOKEN).read_text()
        await trio.sleep(1700)
        assert (bench.home / GRPC_TOKEN).read_text() == first
        await trio.sleep(200)
        assert (bench.home / GRPC_TOKEN).read_text() != first


@pytest.mark.parametrize("in_the_way", ["", RUNTIME])
async def test_where_files_cannot_be_written_the_node_works_and_tries_again(
    tmp_path, autojump_clock, in_the_way
):
    bench = Bench(tmp_path)
    home = bench.home / "elsewhere"
    obstacle = home / in_the_way if in_the_way else home
    if in_the_way:
        obstacle.mkdir(parents=True)
    else:
        obstacle.write_text("no folder")
    async with running(bench.files(home=home)):
        await trio.sleep(2.5 * TRY_AGAIN_S)
        [complaint] = bench.said
        assert complaint.startswith("others cannot find this node by its files: ")
        assert bench.issued == 0
        assert read_own(bench.config)["grpc"] == "127.0.0.1:50051"
        obstacle.rmdir() if in_the_way else obstacle.unlink()
        await trio.sleep(TRY_AGAIN_S)
        assert json.loads((home / RUNTIME).read_text())["grpc"]["port"] == 50051
        assert (home / GRPC_TOKEN).exists()


async def test_tokens_that_cannot_be_had_are_asked_for_again(tmp_path, autojump_clock):
    bench = Bench(tmp_path)
    good = bench.issue

    async def full(holder):
        raise UnavailableError("the disk is full")

    async with running(bench.files()) as files:
        files._issue = full
        await trio.sleep(1800 + 1.5 * TRY_AGAIN_S)
        assert bench.said == ["others cannot find this node by its files: the disk is full"]
        files._issue = good
        await trio.sleep(TRY_AGAIN_S)
        assert bench.issued == 4


async def test_the_file_of_a_runtime_that_answers_stays_and_that_is_said(bench, nursery):
    serve = partial(trio.serve_tcp, trio.aclose_forcefully, 0, host="127.0.0.1")
    [listener] = await nursery.start(serve)
    port = listener.socket.getsockname()[1]
    theirs = {"grpc": {"target": f"127.0.0.1:{port}"}}
    (bench.home / RUNTIME).write_text(json.dumps(theirs))
    (bench.home / GRPC_TOKEN).write_text("theirs")
    async with running(bench.files()):
        assert bench.read(RUNTIME) == theirs
        assert (bench.home / GRPC_TOKEN).read_text() == "theirs"
    assert bench.read(RUNTIME) == theirs
    [said] = bench.said
    assert "belongs to another runtime" in said


async def test_the_file_of_another_living_daemon_stays(bench):
    parent = bench.files()
    async with running(parent):
        told = bench.read(RUNTIME)
        told["mnedge"]["process"] = _process_of(os.getppid())
        (bench.home / RUNTIME).write_text(json.dumps(told))
        async with running(bench.files(data_dir=bench.home / "other")):
            assert bench.read(RUNTIME) == told
    assert bench.read(RUNTIME) == told


@pytest.mark.parametrize("grpc", [{"target": "127.0.0.1:1"}, {"target": "x"}, "y", {"port": {}}])
async def test_what_a_silent_runtime_left_is_put_aside_and_back(bench, grpc):
    theirs = json.dumps({"grpc": grpc})
    (bench.home / RUNTIME).write_text(theirs)
    (bench.home / API_TOKEN).write_text("theirs")
    async with running(bench.files()):
        assert "mnedge" in bench.read(RUNTIME)
        assert (bench.home / API_TOKEN).read_text() != "theirs"
    assert (bench.home / RUNTIME).read_text() == theirs
    assert (bench.home / API_TOKEN).read_text() == "theirs"
    assert len(bench.said) == 2


async def test_what_a_killed_daemon_left_is_replaced_without_a_word(bench):
    async with running(bench.files()):
        left = {name: (bench.home / name).read_text() for name in (RUNTIME, GRPC_TOKEN, API_TOKEN)}
        document = json.loads(left[RUNTIME])
        document["mnedge"]["process"] = "gone:1:1"
        left[RUNTIME] = json.dumps(document)
    for name, text in left.items():
        (bench.home / name).write_text(text)
    async with running(bench.files()):
        assert bench.read(RUNTIME) != document
    assert bench.said == []
    assert sorted(path.name for path in bench.home.iterdir()) == ["mnedge"]


async def test_what_somebody_wrote_meanwhile_is_left(bench):
    async with running(bench.files()):
        (bench.home / GRPC_TOKEN).write_text("new")
    assert (bench.home / GRPC_TOKEN).read_text() == "new"
    assert not (bench.home / API_TOKEN).exists()


def _process_of(pid):
    from mnedge.store import claims

    own = claims.this_process()
    return str(own._replace(pid=pid, start=claims._start_of(pid)))


def test_whose_file_the_published_client_reads_is_told_apart(bench):
    assert is_advertised(bench.config) is None
    file = bench.config.home / RUNTIME
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.encode(runtime_document(bench.config, TCP)))
    assert is_advertised(bench.config) is True
    file.write_text('{"grpc": {"target": "127.0.0.1:1"}}')
    assert is_advertised(bench.config) is False
