"""The one file on a box with little memory and a small disk: within the budgets of the manual."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT
from tests.live.box import until

pytestmark = pytest.mark.live
MB = 1 << 20
SMALL_DISK = "4m"
CGROUPS = Path("/sys/fs/cgroup")
numbers = count()


def promised(what: str) -> int:
    """Return a budget as the manual states it: `| what | … 96 MB |`, in MB."""
    page = (ROOT / "mnedge" / "docs" / "binary.md").read_text()
    found = re.search(rf"^\| {what} \|.*?(\d+) MB", page, re.MULTILINE)
    assert found, f"the manual has no line {what!r}"
    return int(found[1])


class MemoryGroup:
    """A control group that holds no more memory than so much, of either version."""

    def __init__(self, limit_mb: int) -> None:
        name = f"mnedge-tests-{os.getpid()}-{next(numbers)}"
        self._old = (CGROUPS / "memory" / "memory.limit_in_bytes").exists()
        self.folder = CGROUPS / "memory" / name if self._old else CGROUPS / name
        self.folder.mkdir()
        limit = str(limit_mb * MB)
        if self._old:
            (self.folder / "memory.limit_in_bytes").write_text(limit)
            with_swap = self.folder / "memory.memsw.limit_in_bytes"
            if with_swap.exists():
                with_swap.write_text(limit)
        else:
            (self.folder / "memory.max").write_text(limit)
            (self.folder / "memory.swap.max").write_text("0")

    @property
    def killed(self) -> int:
        """How many processes the kernel took."""
        name = "memory.oom_control" if self._old else "memory.events"
        counted = re.search(r"^oom_kill (\d+)$", (self.folder / name).read_text(), re.MULTILINE)
        return int(counted[1]) if counted else 0

    def within(self, *words: str) -> list[str]:
        """Return what starts the words inside."""
        return ["sh", "-c", f'echo $$ > {self.folder}/cgroup.procs; exec "$@"', "sh", *words]

    def close(self) -> None:
        until(lambda: not (self.folder / "cgroup.procs").read_text().strip())
        self.folder.rmdir()


@pytest.fixture
def memory() -> Iterator[type[MemoryGroup]]:
    """Have a maker of control groups."""
    made: list[MemoryGroup] = []

    def group(limit_mb: int) -> MemoryGroup:
        try:
            made.append(MemoryGroup(limit_mb))
        except OSError as error:
            pytest.skip(f"no control group for memory can be made here: {error}")
        return made[-1]

    yield group
    for one in made:
        one.close()


class Node:
    """A daemon of the one file, and verbs beside it."""

    def __init__(self, binary: Path, runtime: Path, home: Path) -> None:
        self.binary = str(binary)
        self.home = home
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "MN_HOME": str(home),
            "MNEDGE_RUNTIME_DIR": str(runtime),
        }
        self.process: subprocess.Popen[bytes] | None = None

    def serve(self, *before: str) -> None:
        self.process = subprocess.Popen(
            [*before, self.binary, "daemon"], env=self.environ, stderr=subprocess.PIPE
        )
        socket = self.home / "mnedge" / "mnedge.sock"
        until(lambda: socket.exists() or self.process.poll() is not None)
        assert self.process.poll() is None, self.process.stderr.read()

    def ran(self, *words: str, code: int | None = 0) -> str:
        done = subprocess.run(
            [self.binary, *words], env=self.environ, capture_output=True, text=True, timeout=90
        )
        assert code is None or done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def bundle(self, command: list[str]) -> str:
        """Make a bundle of one worker that is tried once."""
        folder = self.home / f"bundle{next(numbers)}"
        (folder / "payloads").mkdir(parents=True)
        (folder / "config").mkdir()
        (folder / "config" / "default.json").write_text("{}")
        config = {
            "runner_module": "MirrorNeuron.Runner.HostLocal",
            "command": command,
            "max_attempts": 1,
        }
        manifest = {
            "manifest_version": "1.0",
            "graph_id": "eater",
            "job_name": "eater",
            "nodes": [{"node_id": "worker", "agent_type": "executor", "config": config}],
            "edges": [],
            "entrypoints": ["worker"],
        }
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return str(folder)

    def rss_mb(self) -> float:
        return psutil.Process(self.process.pid).memory_info().rss / MB

    def close(self) -> None:
        if self.process is not None:
            if self.process.poll() is None:
                self.process.terminate()
            self.process.communicate(timeout=30)


@pytest.fixture
def node(binary, runtime, tmp_path) -> Iterator[Node]:
    node = Node(binary, runtime, tmp_path)
    yield node
    node.close()


def test_a_node_and_its_workers_fit_the_memory_that_the_manual_states(memory, node):
    group = memory(promised("memory, node with four small workers"))
    node.serve(*group.within())
    assert node.rss_mb() <= promised("memory, idle node")
    for blueprint in ("text_report_pipeline", "rig_session"):
        node.ran("blueprint", "run", blueprint, "--quiet")
    node.ran(
        *("blueprint", "run", "prime_range_scan", "--quiet", "--set", "inputs.payload.width=200")
    )
    assert group.killed == 0
    assert node.process.poll() is None


def test_a_worker_that_eats_all_memory_goes_alone(memory, node):
    group = memory(promised("memory, node with four small workers"))
    node.serve(*group.within())
    eater = node.bundle(["python3", "-c", "held = bytearray(1 << 30)"])
    told = node.ran("blueprint", "run", "--folder", eater, code=1)
    assert group.killed >= 1
    assert "137" in told or "signal 9" in told, told
    assert node.process.poll() is None, "the node lives"
    node.ran("blueprint", "run", "message_routing_trace", "--quiet")


def test_the_self_test_fits_too(memory, node):
    group = memory(promised("memory, self-test"))
    done = subprocess.run(
        group.within(node.binary, "selftest"),
        env=node.environ,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert group.killed == 0


def test_tight_limits_of_a_process_are_enough(node):
    """As a service manager or a shell sets them: address space and open files."""
    limited = f'ulimit -v {256 * 1024}; ulimit -n 128; exec "$@"'
    done = subprocess.run(
        [
            *("bash", "-c", limited, "bash"),
            *(node.binary, "blueprint", "run", "text_report_pipeline", "--quiet"),
        ],
        env=node.environ,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def fill(filler: Path) -> None:
    """Leave no page free."""
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass


class TestDisk:
    def test_what_is_shipped_takes_no_more_than_the_manual_states(self, binary, onedir):
        assert binary.stat().st_size / 1e6 <= promised("disk, the one file")
        files = [path for path in onedir.rglob("*") if path.is_file() and not path.is_symlink()]
        assert sum(path.stat().st_size for path in files) / 1e6 <= promised("disk, unpacked")

    @pytest.fixture
    def disk(self, tmp_path) -> Iterator[Path]:
        place = tmp_path / "disk"
        place.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "tmpfs", place],
            capture_output=True,
            text=True,
        )
        if mounted.returncode:
            pytest.skip(f"cannot mount a tmpfs here: {mounted.stderr.strip()}")
        yield place
        subprocess.run(["umount", "-l", place], check=True)

    def test_a_node_works_on_four_megabytes_and_says_so_when_they_are_full(
        self, binary, runtime, disk
    ):
        node = Node(binary, runtime, disk)
        try:
            node.serve()
            node.ran("blueprint", "run", "text_report_pipeline", "--quiet")
            filler = disk / "filler"
            fill(filler)
            told = node.ran("blueprint", "run", "text_report_pipeline", "--quiet", code=1)
            assert re.search(r"full|no space", told, re.IGNORECASE), told
            assert "Traceback" not in told
            assert node.process.poll() is None
            filler.unlink()
            until(lambda: '"ok"' in node.ran("doctor", "--json", code=None))
            node.ran("blueprint", "run", "message_routing_trace", "--quiet")
        finally:
            node.close()
