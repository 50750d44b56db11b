"""Workers of the frozen executable: their Python, their environment, with and without the box's."""

import json
import os
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from tests.binary.bare_root import BareRoot, laid_out
from tests.live.box import Box

pytestmark = pytest.mark.live

ASK = """
import ctypes, decimal, json, lzma, os, sqlite3, ssl, sys, urllib.request, zoneinfo
told = {
    "executable": os.path.realpath(sys.executable),
    "version": list(sys.version_info[:2]),
    "leaked": sorted(n for n in os.environ if n.startswith(("_PYI", "_MEI", "MNEDGE_", "LD_"))),
    "libraries": os.environ.get("LD_LIBRARY_PATH"),
}
with open(os.path.join(os.environ["MN_RUN_DIR"], os.environ["MN_AGENT_ID"] + ".said"), "w") as file:
    json.dump(told, file)
"""
MODULE = """
import runpy
class Asked:
    def handle_message(self, message, state, context):
        runpy.run_path(context.payloads_path + "/w/ask.py")
        context.emit("done", {})
"""
OURS = "/_internal/python/bin/"


class Frozen(Box):
    """A machine of its own on which the one file runs, not the source tree."""

    def __init__(self, folder: Path, binary: Path, runtime: Path) -> None:
        super().__init__(folder)
        self.binary = binary
        self.environ["MNEDGE_RUNTIME_DIR"] = str(runtime)
        del self.environ["PYTHONPATH"], self.environ["PYTHONWARNINGS"]

    def ran(self, *words: str, code: int | None = 0, **environ: str) -> str:
        """Run a verb to its end; return what it printed."""
        done = subprocess.run(
            [self.binary, *words],
            capture_output=True,
            text=True,
            timeout=120,
            env=self.environ | environ,
            cwd=self.folder,
            check=False,
        )
        assert code is None or done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def frozen(binary, runtime, tmp_path):
    return Frozen(tmp_path, binary, runtime)


@pytest.fixture(scope="module")
def bare(binary, tmp_path_factory):
    """A machine without Python that has the one file, unpacked once."""
    machine = BareRoot(laid_out(tmp_path_factory.mktemp("bare") / "root"))
    machine.bring(binary, "/mnedge")
    machine.run("/mnedge", "--version")
    return machine


def a_bundle(folder: Path, *commands: object, **config: object) -> Path:
    """Make a bundle of workers, each after the other: `w0`, `w1`, …"""
    made = folder / "mine"
    (made / "payloads" / "w").mkdir(parents=True)
    (made / "config").mkdir()
    (made / "config" / "default.json").write_text("{}")
    (made / "payloads" / "w" / "ask.py").write_text(ASK)
    (made / "payloads" / "w" / "run.sh").write_text("exec python3 ask.py\n")
    names = [f"w{number}" for number in range(len(commands))]
    workers = [
        {
            "node_id": name,
            "agent_type": "executor",
            "config": {
                "runner_module": "MirrorNeuron.Runner.HostLocal",
                "command": command,
                "output_message_type": "done",
                "upload_path": "w",
                "upload_as": "w",
                "workdir": "/sandbox/job/w",
                **config,
            },
        }
        for name, command in zip(names, commands, strict=True)
    ]
    sink = {"node_id": "sink", "agent_type": "aggregator", "config": {"complete_on_message": True}}
    edges = [
        {"edge_id": one, "from_node": one, "to_node": next_one, "message_type": "done"}
        for one, next_one in pairwise([*names, "sink"])
    ]
    manifest = {
        "manifest_version": "1.0",
        "graph_id": "mine",
        "job_name": "mine",
        "nodes": [*workers, sink],
        "edges": edges,
        "entrypoints": ["w0"],
    }
    (made / "manifest.json").write_text(json.dumps(manifest))
    return made


def answers(runs: Path) -> list[dict[str, object]]:
    """Return what the workers of the only run told of themselves."""
    [folder] = runs.iterdir()
    return [json.loads(file.read_text()) for file in sorted(folder.glob("*.said"))]


class TestOnAMachineWithoutPython:
    def test_payloads_run_with_the_interpreter_that_came_along(self, bare):
        folder = bare.root / "srv" / "payloads"
        folder.mkdir()
        commands = [
            ["python3", "ask.py"],
            ["python", "ask.py"],
            ["python3.11", "ask.py"],
            ["sh", "run.sh"],
            "python3 ask.py",
            "sh run.sh",
        ]
        a_bundle(folder, *commands)
        bare.run(
            *("/mnedge", "blueprint", "run", "--folder", "/srv/payloads/mine", "--quiet"),
            MN_HOME="/srv/payloads/home",
        )
        told = answers(folder / "home" / "runs")
        assert len(told) == len(commands)
        assert all(OURS in said["executable"] for said in told)
        assert all(said["version"] >= [3, 11] for said in told)
        assert all(said["leaked"] == ["MNEDGE_LAUNCH"] for said in told)

    def test_module_agents_run_with_it_too(self, bare):
        folder = bare.root / "srv" / "modules"
        folder.mkdir()
        made = a_bundle(folder, ["true"])
        (made / "payloads" / "asked.py").write_text(MODULE)
        manifest = json.loads((made / "manifest.json").read_text())
        manifest["nodes"][0] |= {"agent_type": "module", "config": {"module": "python:asked:Asked"}}
        (made / "manifest.json").write_text(json.dumps(manifest))
        bare.run(
            *("/mnedge", "blueprint", "run", "--folder", "/srv/modules/mine", "--quiet"),
            MN_HOME="/srv/modules/home",
        )
        [told] = answers(folder / "home" / "runs")
        assert OURS in told["executable"]
        assert told["leaked"] == ["MNEDGE_LAUNCH"]

    @pytest.mark.parametrize(
        "blueprint",
        ["message_routing_trace", "text_report_pipeline", "rig_session", "prime_range_scan"],
    )
    def test_ready_made_blueprints_complete(self, bare, blueprint):
        narrow = ("--set", "inputs.payload.width=20") if blueprint == "prime_range_scan" else ()
        run = ("/mnedge", "blueprint", "run", blueprint, "--quiet", *narrow)
        bare.run(*run, MN_HOME=f"/srv/{blueprint}")

    def test_a_profile_that_is_written_in_python_is_checked(self, bare):
        told = bare.run("/mnedge", "blueprint", "validate", "rig_session", "--strict", code=None)
        assert "no Python" not in told.stdout + told.stderr

    def test_doctor_names_the_interpreter_that_came_along(self, bare):
        told = json.loads(bare.run("/mnedge", "doctor", "--json", code=None).stdout)
        found = {one["name"]: one for one in told["findings"]}
        assert OURS in found["brought along"]["found"]
        assert found["brought along"]["status"] == "ok"
        assert found["python3"]["status"] == "absent"
        assert told["healthy"] is True

    def test_an_environment_that_cannot_be_made_is_a_failure_of_the_attempt(self, bare, tmp_path):
        folder = bare.root / "srv" / tmp_path.name
        folder.mkdir()
        a_bundle(
            folder, ["python3", "ask.py"], python_environment={"packages": ["no-such-package==1"]}
        )
        inside = f"/srv/{tmp_path.name}"
        told = bare.run(
            *("/mnedge", "blueprint", "run", "--folder", f"{inside}/mine"),
            code=1,
            MN_HOME=f"{inside}/home",
            PIP_NO_INDEX="1",
        )
        assert "python_environment" in told.stdout + told.stderr
        assert "Traceback" not in told.stderr


class TestOnAMachineWithPython:
    def test_its_own_interpreter_is_used_in_the_environment_of_the_caller(self, frozen):
        made = a_bundle(frozen.folder, ["python3", "ask.py"])
        frozen.ran(
            "blueprint", "run", "--folder", str(made), "--quiet", LD_LIBRARY_PATH="/site/lib"
        )  # fmt: skip
        said = answers(frozen.home / "runs")[0]
        assert OURS not in said["executable"]
        assert said["leaked"] == ["LD_LIBRARY_PATH", "MNEDGE_LAUNCH"]
        assert said["libraries"] == "/site/lib"

    def test_a_whole_inherited_environment_holds_nothing_of_ours(self, frozen):
        made = a_bundle(frozen.folder, ["python3", "ask.py"])
        run = ("blueprint", "run", "--folder", str(made), "--quiet")
        frozen.ran(*run, MNEDGE_INHERIT_ENVIRONMENT="1")
        assert answers(frozen.home / "runs")[0]["leaked"] == ["MNEDGE_LAUNCH"]

    def test_an_interpreter_that_is_too_old_is_passed_over(self, frozen, onedir):
        programs = frozen.folder / "programs"
        programs.mkdir()
        old = programs / "python3"
        old.write_text(
            '#!/bin/sh\ncase "$*" in *version_info*) echo "Python 3.9.2";; esac\nexit 9\n'
        )
        old.chmod(0o755)
        frozen.environ["PATH"] = f"{programs}:/nowhere"
        (programs / "sh").symlink_to("/bin/sh")
        made = a_bundle(frozen.folder, ["python3", "ask.py"])
        frozen.binary = onedir / "mnedge"
        frozen.ran("blueprint", "run", "--folder", str(made), "--quiet")
        assert OURS in answers(frozen.home / "runs")[0]["executable"]

    def test_without_the_compiled_helper_processes_start_through_the_interpreter(self, frozen):
        made = a_bundle(frozen.folder, ["python3", "ask.py"])
        frozen.ran("blueprint", "run", "--folder", str(made), "--quiet", MNEDGE_NATIVE="0")
        assert answers(frozen.home / "runs")[0]["leaked"] == ["MNEDGE_LAUNCH"]

    def test_what_mnedge_itself_starts_is_not_given_its_libraries(self, frozen):
        """`doctor` asks the box's interpreters for their version."""
        spy = frozen.folder / "spy"
        spy.mkdir()
        script = f"#!/bin/sh\nenv > {frozen.folder}/seen\necho 3.11.1\n"
        (spy / "python3").write_text(script)
        (spy / "python3").chmod(0o755)
        frozen.ran("doctor", code=None, PATH=f"{spy}:{os.environ['PATH']}")
        seen = (frozen.folder / "seen").read_text()
        assert not [
            line
            for line in seen.splitlines()
            if line.startswith(("LD_LIBRARY_PATH", "_PYI", "_MEI", "MNEDGE_FILE"))
        ]
