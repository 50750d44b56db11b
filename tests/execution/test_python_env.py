import json
import os
import shutil
import subprocess
import sys
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest
import trio

from mnedge.execution.python_env import Wanted, wanted_by
from mnedge.execution.refusal import RefusedError
from mnedge.model.states import OutcomeStatus

MINE = {"environment": {"MN_BLUEPRINT_ID": "bp"}}


def test_no_declaration_or_an_empty_one_is_no_environment(tmp_path):
    for declared in (None, {}, {"packages": []}, {"requirements": None}, {"requirements": " "}):
        assert wanted_by({"python_environment": declared}, str(tmp_path), "b") is None
    assert wanted_by({}, None, "b") is None


@pytest.mark.parametrize(
    "declared,text",
    [
        (5, "python_environment must be an object"),
        ([], "python_environment must be an object"),
        ({"requirements": 5}, "python_environment requirements must be a string"),
        (
            {"requirements": "/etc/passwd"},
            "python_environment requirements must be a relative path inside payloads/: /etc/passwd",
        ),
        (
            {"requirements": "a/../../x"},
            "python_environment requirements must be a relative path inside payloads/: a/../../x",
        ),
        (
            {"requirements": "leak"},
            "python_environment requirements must be a relative path inside payloads/: leak",
        ),
        ({"requirements": "none.txt"}, "python_environment requirements file is not readable: "),
        ({"packages": "x"}, "python_environment packages must be a list of non-empty strings"),
        ({"packages": [""]}, "python_environment packages must be a list of non-empty strings"),
        ({"packages": [1]}, "python_environment packages must be a list of non-empty strings"),
    ],
)
def test_a_wrong_declaration_is_refused(tmp_path, declared, text):
    (tmp_path / "leak").symlink_to("/etc/hostname")
    with pytest.raises(RefusedError) as refused:
        wanted_by({"python_environment": declared}, str(tmp_path), "b")
    assert str(refused.value).startswith(text)


@pytest.mark.parametrize(
    "environment,blueprint_id",
    [
        ({"MN_BLUEPRINT_ID": "mine"}, "mine"),
        ({"MN_BLUEPRINT_CONFIG_JSON": '{"identity": {"blueprint_id": "inner"}}'}, "inner"),
        ({"MN_BLUEPRINT_CONFIG_JSON": "{broken"}, "of the job"),
        ({"MN_BLUEPRINT_CONFIG_JSON": 5}, "of the job"),
        ({}, "of the job"),
        (None, "of the job"),
    ],
)
def test_the_blueprint_is_named_where_the_contract_says(environment, blueprint_id):
    config = {"python_environment": {"packages": ["x"]}, "environment": environment}
    assert wanted_by(config, None, "of the job").blueprint_id == blueprint_id


def test_the_key_is_the_hash_of_everything_it_was_made_from():
    wanted = Wanted("bp", "r.txt", b"a==1\n", ["b==2", "\u00fc"])
    text = b'mirror-neuron-python-env-v2\0bp\0Python 3.11.9\0a==1\n\0["b==2","\xc3\xbc"]'
    assert wanted.key("Python 3.11.9") == sha256(text).hexdigest()


def wheel(folder, name="tinypackage", version="1.0"):
    """Make the smallest wheel there is."""
    info = f"{name}-{version}.dist-info"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    files = {
        f"{name}.py": f"WHO = '{name} {version}'\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},,\n" for file in files) + f"{info}/RECORD,,\n"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(file, text)
    return path


ASK = "import tinypackage, sys; print(tinypackage.WHO, sys.prefix)"


@pytest.fixture
def node(bench, tmp_path):
    def make(path, **environ):
        settings = {
            "PIP_NO_INDEX": "1",
            "PIP_LOG": str(tmp_path / "pip.log"),
            "MN_BLUEPRINT_PYTHON_ENVS_DIR": str(tmp_path / "envs"),
            "PATH": f"{path}:/usr/bin:/bin",
            **environ,
        }
        made = bench(environ=settings)
        (made.payloads / "wheels").mkdir()
        wheel(made.payloads / "wheels")
        made.write("wheels/requirements.txt", "./tinypackage-1.0-py3-none-any.whl\n")
        return made

    return make


@pytest.mark.live
async def test_a_worker_runs_in_its_environment(node, tmp_path):
    made = node(Path(sys.executable).parent)
    outcome = await made.run(
        {
            **MINE,
            "command": ["python3.11", "-c", ASK + "; import os; print(os.environ['PATH'])"],
            "python_environment": {"requirements": "wheels/requirements.txt"},
        }
    )
    assert outcome.status is OutcomeStatus.SUCCEEDED, outcome.error
    first, path = outcome.result["stdout"].splitlines()
    who, prefix = first.rsplit(" ", 1)
    assert who == "tinypackage 1.0"
    folder = Path(prefix)
    assert folder.parent == tmp_path / "envs"
    assert path.startswith(f"{folder}/bin:")
    resource = json.loads((folder / ".mn-blueprint-resource.json").read_text())
    content = (made.payloads / "wheels/requirements.txt").read_bytes()
    used_at = resource.pop("last_used_at")
    assert used_at.endswith("Z")
    assert resource == {
        "schema_version": 1,
        "resource_type": "python_venv",
        "blueprint_id": "bp",
        "fingerprint": folder.name,
        "python_version": "Python " + sys.version.split()[0],
        "requirements": {
            "path": "wheels/requirements.txt",
            "sha256": sha256(content).hexdigest(),
        },
        "packages": [],
    }
    assert (folder / ".ready").read_text().endswith("Z\n")
    assert not (tmp_path / "envs" / f"{folder.name}.lock").exists()


INTERPRETER = """#!/bin/sh
case "$1 $2 $3" in
  "-I -S -c") echo "Python 3.11.9" ;;
  "-m venv "*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
  "-m pip install")
    echo "$@" >> "$PIP_LOG"
    case "$*" in
      *no-such*) echo "nothing is called no-such-package" >&2; exit 1 ;;
      *slow*) sleep 300 ;;
    esac ;;
  *) echo "$VIRTUAL_ENV" ;;
esac
"""
VERSION = "Python 3.11.9"


@pytest.mark.live
class TestWithAnInterpreterOfOurOwn:
    """A real environment takes seconds to make; what is tested here is who makes it when."""

    @pytest.fixture
    def made(self, node, tmp_path):
        programs = tmp_path / "bin"
        programs.mkdir()
        (programs / "python3.11").write_text(INTERPRETER)
        (programs / "python3.11").chmod(0o755)
        return lambda **environ: node(programs, **environ)

    def wants(self, *packages):
        return {"command": ["python3"], "python_environment": {"packages": list(packages)}}

    def folder(self, made, config, tmp_path):
        wanted = wanted_by(config, str(made.payloads), "my_blueprint")
        return tmp_path / "envs" / wanted.key(VERSION)

    def installs(self, tmp_path):
        log = tmp_path / "pip.log"
        return log.read_text().splitlines() if log.exists() else []

    async def test_fifty_first_uses_at_once_build_it_once(self, made, tmp_path):
        node = made(MN_EXECUTOR_MAX_CONCURRENCY="50").open(self.wants("a==1"))
        outcomes = []

        async def run(number):
            order = node.order(attempt=f"w:{number}")
            outcomes.append(await node.executor.run(order, node.notes.append))

        async with trio.open_nursery() as nursery:
            for number in range(50):
                nursery.start_soon(run, number)
        folder = self.folder(node, self.wants("a==1"), tmp_path)
        assert {outcome.result.get("stdout") for outcome in outcomes} == {f"{folder}\n"}
        assert len(outcomes) == 50
        assert self.installs(tmp_path) == ["-m pip install a==1"]

    async def test_one_that_a_client_made_on_this_machine_is_used_as_it_is(self, made, tmp_path):
        node = made()
        asked = self.wants("a==1")
        theirs = tmp_path / "client" / "envs" / "key"
        asked["python_environment"]["path"] = str(theirs)
        outcome = await node.run(asked)  # it is not there: ours is made
        assert outcome.result["stdout"] == f"{self.folder(node, self.wants('a==1'), tmp_path)}\n"
        ours = self.folder(node, self.wants("a==1"), tmp_path)
        shutil.copytree(ours, theirs, symlinks=True)
        outcome = await node.run(asked)
        assert outcome.result["stdout"] == f"{theirs}\n"
        assert len(self.installs(tmp_path)) == 1

    async def test_what_is_asked_for_decides_which_environment_it_is(self, made, tmp_path):
        node = made()
        for packages in (["a==1"], ["a==2"], ["a==1"]):
            outcome = await node.run(self.wants(*packages))
            expected = self.folder(node, self.wants(*packages), tmp_path)
            assert outcome.result["stdout"] == f"{expected}\n"
        assert len(self.installs(tmp_path)) == 2

    async def test_a_failure_is_an_error_of_the_attempt_and_leaves_nothing(self, made, tmp_path):
        outcome = await made().run(self.wants("no-such-package==1"))
        assert outcome.error["error"] == (
            "install python_environment dependencies failed with exit code 1: "
            "nothing is called no-such-package"
        )
        assert [path for path in (tmp_path / "envs").iterdir() if path.is_dir()] == []

    async def test_being_cancelled_leaves_no_lock_and_no_half_environment(self, made, tmp_path):
        node = made()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.run, self.wants("slow"))
            with trio.fail_after(10):
                while not self.installs(tmp_path):
                    await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
        assert [path for path in (tmp_path / "envs").iterdir() if path.is_dir()] == []

    async def test_a_lock_is_respected_while_its_holder_lives(self, made, tmp_path):
        node, config = made(), self.wants("a")
        folder = self.folder(node, config, tmp_path)
        folder.parent.mkdir()
        lock = folder.with_name(f"{folder.name}.lock")
        with subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(lock)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        ) as other:
            assert other.stdout.readline() == "held\n"
            with trio.move_on_after(0.7) as waited:
                await node.run(config)
            assert waited.cancelled_caught
            assert self.installs(tmp_path) == []
            other.kill()
        assert lock.exists()
        with trio.fail_after(10):
            outcome = await node.run(config)
        assert outcome.result["stdout"] == f"{folder}\n", "a dead holder blocks nobody"
        assert not lock.exists()

    async def test_a_lock_that_names_no_holder_is_waited_for_only_so_long(self, made, tmp_path):
        node, config = made(MN_BLUEPRINT_PYTHON_ENV_SETUP_TIMEOUT_MS="500"), self.wants("a")
        folder = self.folder(node, config, tmp_path)
        lock = folder.with_name(f"{folder.name}.lock")
        lock.mkdir(parents=True)
        (lock / "something").touch()
        outcome = await node.run(config)
        assert outcome.error["error"] == f"timed out waiting for python_environment lock {lock}"
        assert lock.exists()

    async def test_an_environment_whose_interpreter_is_gone_is_made_again(self, made, tmp_path):
        node, config = made(), self.wants("a")
        await node.run(config)
        (self.folder(node, config, tmp_path) / "bin" / "python").unlink()
        outcome = await node.run(config)
        assert outcome.status is OutcomeStatus.SUCCEEDED, outcome.error
        assert len(self.installs(tmp_path)) == 2

    async def test_without_a_python_there_is_no_environment(self, node):
        outcome = await node("/nowhere", PATH="/nowhere").run(self.wants("a"))
        assert outcome.error["error"] == "python_environment needs a Python 3.11 or newer on PATH"


HOLDER = """
import sys
from pathlib import Path
from mnedge.execution.folder_lock import take
assert take(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.mark.live
class TestWithTheInterpreterThatCameAlong:
    """A frozen mnedge has one of its own, for machines without Python or with an old one."""

    @pytest.fixture
    def ours(self, tmp_path, monkeypatch):
        """Have a Python that says that it is ours."""
        path = tmp_path / "brought" / "python3"
        path.parent.mkdir()
        path.write_text(f'#!/bin/sh\nexport OURS=1\nexec {sys.executable} "$@"\n')
        path.chmod(0o755)
        monkeypatch.setattr("mnedge.shipped.bundled_python", lambda: str(path))
        return path

    @pytest.fixture
    def programs(self, tmp_path):
        """Have a machine with a shell, and nothing else."""
        folder = tmp_path / "programs"
        folder.mkdir()
        for name in ("bash", "sh"):
            (folder / name).symlink_to(shutil.which(name))
        return folder

    def python(self, folder, version):
        text = INTERPRETER.replace("3.11.9", version).replace('"$VIRTUAL_ENV"', f"box {version}")
        (folder / "python3").write_text(text)
        (folder / "python3").chmod(0o755)

    async def said(self, bench, programs, command):
        outcome = await bench(environ={"PATH": str(programs)}).run({"command": command})
        assert outcome.status is OutcomeStatus.SUCCEEDED, outcome.error
        return outcome.result["stdout"].strip()

    @pytest.mark.parametrize(
        "command",
        [
            ["python3", "-c", "import os; print(os.environ['OURS'])"],
            ["python", "-c", "import os; print(os.environ['OURS'])"],
            ["python3.11", "-c", "import os; print(os.environ['OURS'])"],
            ["sh", "-c", "python3 -c 'import os; print(os.environ[\"OURS\"])'"],
        ],
    )
    async def test_a_machine_without_python_runs_python(self, bench, programs, ours, command):
        assert await self.said(bench, programs, command) == "1"

    async def test_a_login_shell_which_sets_its_path_anew_finds_it_too(self, bench, programs, ours):
        environment = {"PATH": str(programs)}
        python = bench(environ=environment).executor.equipment.python
        settled = await python.settle("./run.sh", environment, "job")
        assert settled == f'export PATH="$PATH":{ours.parent}; ./run.sh'
        settled = await python.settle("python3 run.py", environment, "job")
        assert settled == f'export PATH="$PATH":{ours.parent}; {ours} run.py'

    async def test_the_machines_own_is_used_if_it_is_new_enough(self, bench, programs, ours):
        self.python(programs, "3.12.1")
        assert await self.said(bench, programs, ["python3", "x.py"]) == "box 3.12.1"

    async def test_ours_stands_in_for_one_that_is_too_old(self, bench, programs, ours):
        self.python(programs, "3.9.2")
        code = "import os; print(os.environ['OURS'])"
        assert await self.said(bench, programs, ["python3", "-c", code]) == "1"

    async def test_a_script_gets_what_its_machine_calls_python3(self, bench, programs, ours):
        self.python(programs, "3.9.2")
        assert await self.said(bench, programs, ["sh", "-c", "python3 x.py"]) == "box 3.9.2"

    async def test_a_version_that_was_asked_for_and_is_there_stays(self, bench, programs, ours):
        self.python(programs, "3.9.2")
        (programs / "python3").rename(programs / "python3.9")
        assert await self.said(bench, programs, ["python3.9", "x.py"]) == "box 3.9.2"

    async def test_an_environment_that_cannot_be_made_fails_the_attempt(
        self, bench, programs, ours
    ):
        ours.write_text(
            f'#!/bin/sh\n[ "$1" = -m ] && {{ echo no venv here >&2; exit 1; }}\n'
            f'exec {sys.executable} "$@"\n'
        )
        made = bench(environ={"PATH": str(programs)})
        outcome = await made.run(
            {"command": ["python3"], "python_environment": {"packages": ["a"]}}
        )
        error = "create python_environment failed with exit code 1: no venv here"
        assert outcome.error["error"] == error
