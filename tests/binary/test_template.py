"""The plugin that authors copy: its own tests, its wheel, what it adds to the frozen program."""

import email
import email.policy
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from tests.live.box import ROOT, until

pytestmark = pytest.mark.live

NAME = "mnedge-plugin-template"
WITHIN_S = 120.0


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of the distribution, as an author has it."""
    place = tmp_path_factory.mktemp("author") / "template"
    unwanted = shutil.ignore_patterns("__pycache__", ".*cache", "build", "*.egg-info")
    return shutil.copytree(ROOT / "plugins" / "template", place, ignore=unwanted)


@pytest.fixture(scope="module")
def wheel(source):
    words = ("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", "dist", ".")
    done = subprocess.run(
        [sys.executable, "-m", "pip", *words],
        cwd=source,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = (source / "dist").glob("*.whl")
    return made


class Machine:
    """A machine on which the frozen program was copied, and nothing else of ours."""

    def __init__(self, binary: Path, runtime: Path, folder: Path) -> None:
        self.binary = binary
        self.folder = folder
        self.data = folder / "data"
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "MN_HOME": str(folder / "mn"),
            "MNEDGE_DATA_DIR": str(self.data),
            "MNEDGE_CONFIG": str(folder / "config.yaml"),
            "MNEDGE_RUNTIME_DIR": str(runtime),
        }
        self.configure()

    def configure(self, **more: object) -> None:
        settings = {
            "devices": {"sysRoot": str(self.folder / "sys"), "devRoot": str(self.folder / "dev")},
            "connectors": {"folders": [str(self.folder / "site")]},
            **more,
        }
        (self.folder / "config.yaml").write_text(yaml.safe_dump(settings))

    def call(self, *words: str, code: int | None = 0) -> str:
        done = subprocess.run(
            [str(self.binary), *words],
            capture_output=True,
            text=True,
            env=self.environ,
            timeout=WITHIN_S,
            check=False,
        )
        if code is not None:
            assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def json(self, *words: str) -> dict:
        return json.loads(self.call(*words, "--json"))

    def sensors(self) -> None:
        for number, name in enumerate(("nvme", "k10temp")):
            chip = self.folder / "sys" / "class" / "hwmon" / f"hwmon{number}"
            chip.mkdir(parents=True)
            (chip / "name").write_text(f"{name}\n")
            (chip / "temp1_input").write_text("42000\n")

    def readings(self) -> None:
        (self.folder / "site").mkdir()
        with closing(sqlite3.connect(self.folder / "site" / "readings.db")) as database, database:
            database.execute("CREATE TABLE readings (id INTEGER PRIMARY KEY, celsius REAL)")
            database.execute("INSERT INTO readings (celsius) VALUES (21.5), (22.5)")

    def blueprint(self) -> Path:
        place = self.folder / "polite"
        (place / "payloads").mkdir(parents=True)
        (place / "config").mkdir()
        worker = {
            "runner_module": "Template.Runner.Background",
            "command": ["sh", "-c", 'sleep 0.3; echo "$(nice) $SENSOR_PATHS"'],
        }
        manifest = {
            "manifest_version": "1.0",
            "graph_id": "polite_v1",
            "job_name": "polite",
            "entrypoints": ["worker"],
            "nodes": [
                {
                    "node_id": "worker",
                    "agent_type": "executor",
                    "config": worker,
                    "resources": {"devices": [{"kind": "sensor", "count": 1}]},
                }
            ],
            "edges": [],
        }
        rows = {
            "skill": "sqlite.read",
            "connector": "sqlite",
            "path": str(self.folder / "site" / "readings.db"),
            "table": "readings",
            "live": False,
            "required": True,
        }
        config = {"mode": "live", "inputs": {"skills": {"rows": rows}}}
        (place / "manifest.json").write_text(json.dumps(manifest))
        (place / "config" / "default.json").write_text(json.dumps(config))
        return place

    def state(self) -> dict[str, object]:
        """What can be seen of plugins from outside."""
        return {
            "runners": [
                " ".join(line.split())
                for line in self.call("doctor", code=None).splitlines()
                if "isolation" in line
            ],
            "plugins": self.json("plugin", "list"),
            "devices": self.json("resource", "list").get("devices"),
        }

    def newest_run(self) -> Path:
        return max((self.folder / "mn" / "runs").iterdir(), key=lambda run: run.stat().st_mtime)


@pytest.fixture
def machine(binary, runtime, tmp_path):
    machine = Machine(binary, runtime, tmp_path)
    machine.sensors()
    machine.readings()
    return machine


def test_its_own_tests_pass_on_what_the_wheel_holds(source, wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    shutil.copytree(source / "tests", tmp_path / "tests")
    shutil.copy(source / "pyproject.toml", tmp_path)
    path = f"{tmp_path / 'installed'}:{ROOT}"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": path},
        timeout=WITHIN_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_it_adds_four_things_and_takes_them_away_again(machine, wheel):
    before = machine.state()
    bundle = machine.blueprint()
    refused = machine.call("blueprint", "run", str(bundle), code=None)
    assert "Template.Runner.Background" in refused

    told = machine.json("plugin", "install", str(wheel))
    assert "off" in json.dumps(told)
    assert machine.state()["runners"] == before["runners"], "off until somebody lets it in"
    machine.call("plugin", "install", NAME, "--allow")

    assert any("background" in line for line in machine.state()["runners"])
    listed = json.dumps(machine.state()["devices"])
    assert "nvme@" in listed
    assert "k10temp@" in listed

    machine.call("blueprint", "run", str(bundle))
    run = machine.newest_run()
    inputs = json.loads((run / "inputs.json").read_text())
    assert inputs["rows"] == [{"id": 1, "celsius": 21.5}, {"id": 2, "celsius": 22.5}]
    assert inputs["_source"]["input_skills"]["rows"]["connector"] == "sqlite"
    result = (run / "result.json").read_text()
    assert "19 " in result
    assert "temp1_input" in result

    machine.call("plugin", "remove", NAME, "--yes")
    assert machine.state() == before
    assert "Template.Runner.Background" in machine.call("blueprint", "run", str(bundle), code=None)
    assert not (machine.data / "plugins").exists()


def test_its_skill_delivers_for_a_daemon(machine, wheel):
    machine.call("plugin", "install", str(wheel), "--allow")
    alert = {"name": "Busy", "expr": "mnedge_jobs > 1000000", "notify": ["mails"]}
    channel = {"name": "mails", "skill": "maildir", "settings": {"path": "alerts"}}
    machine.configure(trace={"alerts": [alert], "notify": [channel]})
    daemon = subprocess.Popen(
        [str(machine.binary), "daemon"],
        env=machine.environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until(lambda: "mails" in machine.call("alert", "test", "Busy", code=None))
        mails = machine.data / "skills" / "alerts" / "new"
        until(lambda: mails.is_dir() and list(mails.iterdir()))
    finally:
        daemon.terminate()
        _, said = daemon.communicate(timeout=30)
    (mail,) = mails.iterdir()
    read = email.message_from_bytes(mail.read_bytes(), policy=email.policy.default)
    assert "Busy" in read["Subject"], said
    assert read["X-Mnedge-Kind"] == "test"
