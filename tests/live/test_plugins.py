"""Plugins from outside, on a whole node: they work, and those that do not stop nobody."""

import hashlib
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mnedge.plugins.depot import Depot
from tests.live.box import Box, until
from tests.live.service_manager import Manager
from tests.plugins.wheels import RUNNER, wheel

pytestmark = pytest.mark.live
HOOK = "from mnedge.hookspecs import hookimpl\n@hookimpl\ndef runners():\n    "
HOSTILE = {
    "import-fails": "raise RuntimeError('boom')",
    "hook-raises": HOOK + "raise BaseException('no')",
    "import-hangs": "import select\nselect.select([], [], [])",
    "asked-hangs": HOOK + "while True: pass",
    "lies": RUNNER.replace('"acme"', "42"),
    "exits": "import os\nos._exit(0)",
    "crashes": "import ctypes\nctypes.string_at(0)",
    "clashes": RUNNER.replace('"acme"', '"host_local"'),
}
"""Broken ones that a probe finds out."""
AT_LAST = "import os\nLAST = os.environ.get('ACME_LAST')\n"
"""Good ones that are broken only once that variable is set."""


@pytest.fixture
def box(tmp_path) -> Iterator[Box]:
    made = Box(tmp_path)
    yield made
    made.close()


@pytest.fixture
def node(box) -> Iterator[object]:
    """Return a function that starts a daemon under a service manager."""
    managers: list[Manager] = []

    def start(*words: str, **environ: str) -> Manager:
        manager = Manager(box, *words, **environ)
        managers.append(manager)
        return manager

    yield start
    for manager in managers:
        manager.close()


def tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and "crashes" not in path.parts
    }


def acme(box, text=RUNNER, name="acme-runner", **more) -> str:
    module = name.replace("-", "_")
    modules = {f"{module}.py": text}
    made = wheel(box.folder / "wheels", name, modules=modules, points={"x": module}, **more)
    return str(made)


def states(box) -> dict[str, str]:
    return {one["name"]: one["state"] for one in box.json("plugin", "list")}


def until_ready(manager: Manager) -> None:
    manager.until(lambda: "READY=1" in manager.said or manager.process.poll() is not None)
    assert manager.process.poll() is None, manager.words


@pytest.mark.drives("mnedge plugin install")
@pytest.mark.drives("mnedge plugin list")
@pytest.mark.drives("mnedge plugin remove")
def test_a_plugin_comes_works_and_goes_without_a_trace(box):
    before = tree(box.home)
    bundle = str(box.bundle("unused", runner_module="Acme.Runner"))
    box.call("blueprint", "validate", bundle, code=None)
    told = box.call("plugin", "install", acme(box))
    assert "acme-runner 1.0 is installed, and off" in told.stdout
    assert (
        "Acme.Runner is not installed here"
        in box.call("blueprint", "run", bundle, code=None).stderr
    )
    assert "and on" in box.call("plugin", "install", "acme-runner", "--allow").stdout
    (one,) = box.json("plugin", "list")
    assert (one["state"], one["brings"]["runners"]) == ("on", ["acme"])
    done = box.json("blueprint", "run", bundle)
    assert done["job"]["status"] == "completed"
    assert "acme" in json.dumps(done["result"])
    box.call("plugin", "remove", "acme-runner", code=2)  # nobody says yes
    assert "removed acme-runner 1.0" in box.call("plugin", "remove", "acme-runner", "-y").stdout
    assert not (box.home / "mnedge" / "plugins").exists()
    left = {path for path in tree(box.home) if not path.startswith(("runs", "mnedge/"))}
    assert left == set(before)
    assert (
        "Acme.Runner is not installed here"
        in box.call("blueprint", "run", bundle, code=None).stderr
    )


@pytest.mark.drives("mnedge plugin show")
@pytest.mark.drives("mnedge plugin check")
@pytest.mark.drives("mnedge plugin probe")
def test_what_is_known_of_a_plugin_is_told(box):
    box.call("plugin", "install", acme(box), "--allow")
    shown = box.call("plugin", "show", "Acme_Runner").stdout
    assert "runners: acme" in shown
    assert "let in" in shown
    assert "is good (on)" in box.call("plugin", "check").stdout
    whole = box.json("plugin", "show", "acme-runner")
    file = box.home / "mnedge" / "plugins" / whole["folder"] / "acme_runner.py"
    file.write_text(file.read_text() + "\nraise ValueError('altered')\n")
    told = box.json("plugin", "check", "acme-runner", code=1)
    assert "acme_runner.py was changed" in json.dumps(told)
    assert "acme-runner" in box.call("plugin", "show", "nobody", code=2).stderr


def test_hostile_plugins_cannot_stop_a_node(box, node):
    good = acme(box)
    wheels = [acme(box, text, f"acme-{name}") for name, text in HOSTILE.items()]
    told = box.call("plugin", "install", "--allow", good, *wheels, code=1)
    bad = {f"acme-{name}" for name in HOSTILE}
    assert states(box) == {"acme-runner": "on", **dict.fromkeys(bad, "quarantined")}
    assert "it crashes the process: SIGSEGV" in told.stdout
    assert "it hangs: it did not come back within 5 s" in told.stdout
    depot = Depot(box.home / "mnedge" / "plugins")
    for name in ("acme-import-fails", "acme-crashes", "acme-lies", "acme-exits"):
        depot.change(name, quarantine=None, verdict=None)  # as if nobody had met them yet
    manager = node()
    until_ready(manager)
    for name in ("acme-import-fails", "acme-crashes", "acme-lies", "acme-exits"):
        assert f"plugin {name} 1.0 is quarantined" in manager.words
    assert states(box) == {"acme-runner": "on", **dict.fromkeys(bad, "quarantined")}
    doctor = box.call("doctor", code=None).stdout
    assert "1.0 is quarantined: it hangs" in doctor
    figures = manager.get("/metrics")
    assert f'mnedge_plugins{{state="quarantined"}} {len(bad)}' in figures
    bundle = str(box.bundle("unused", runner_module="Acme.Runner"))
    assert box.json("blueprint", "run", bundle)["job"]["status"] == "completed"
    manager.tell(signal.SIGTERM)
    assert manager.ended() == 0
    assert not [*depot.folder.glob("suspect-*")]


@pytest.mark.parametrize(
    "does, code, starts, said",
    [
        ("raise SystemExit(0)", None, 1, "SystemExit"),
        ("import ctypes; ctypes.string_at(0)", -signal.SIGSEGV, 2, "crashed the process"),
        ("os._exit(0)", 0, 3, "nobody knows why"),
    ],
)
def test_one_that_is_broken_only_in_the_daemon_itself_is_found_out(
    box, node, does, code, starts, said
):
    """Its probe was good. The service manager starts the node anew, which then does without."""
    box.call("plugin", "install", "--allow", acme(box, f"{AT_LAST}if LAST: {does}\n{RUNNER}"))
    for _ in range(starts - 1):
        manager = node(ACME_LAST="1")
        assert manager.ended() == code
    manager = node(ACME_LAST="1")
    until_ready(manager)
    assert "plugin acme-runner 1.0 is quarantined" in manager.words
    assert said in manager.words
    assert states(box) == {"acme-runner": "quarantined"}


@pytest.mark.parametrize(
    "does",
    [
        "import select; select.select([], [], [])",
        "import threading, trio; threading.Thread(target=keep, daemon=True).start();"
        " await trio.sleep_forever()",
    ],
    ids=["in the loop", "in a thread that keeps Python's lock"],
)
def test_one_that_holds_up_the_loop_is_named_and_left_out_at_the_next_start(box, node, does):
    text = RUNNER.replace('on_line(b"hello")', does).replace(
        "class Echo",
        "def keep():\n    import ctypes\n    ctypes.PyDLL(None).sleep(60)\n\n\nclass Echo",
    )
    box.call("plugin", "install", "--allow", acme(box, text))
    manager = node(WATCHDOG_USEC="4000000")
    until_ready(manager)
    bundle = str(box.bundle("unused", runner_module="Acme.Runner"))
    box.call("blueprint", "run", bundle, "--detach")
    suspects = box.home / "mnedge" / "plugins"
    until(lambda: any(b"Timeout (" in path.read_bytes() for path in suspects.glob("suspect-*")))
    heard = time.monotonic()
    manager.until(lambda: time.monotonic() - heard > 1.0)  # silence: the manager's turn
    manager.tell(signal.SIGABRT)
    assert manager.ended() == -signal.SIGABRT
    again = node(WATCHDOG_USEC="4000000")
    until_ready(again)
    assert "plugin acme-runner 1.0 is quarantined: it held up the loop" in again.words
    shown = box.call("plugin", "show", "acme-runner").stdout
    assert "acme_runner.py" in shown, "it says where"
    until(lambda: box.status() == "failed")
    again.tell(signal.SIGTERM)
    assert again.ended() == 0


def test_a_node_that_runs_goes_on_with_what_it_loaded(box, node):
    box.call("plugin", "install", "--allow", acme(box))
    manager = node()
    until_ready(manager)
    newer = acme(box, RUNNER.replace("said", "told"), version="1.1")
    assert "counts from its next start" in box.call("plugin", "install", newer).stdout
    told = box.call("plugin", "remove", "-y", "acme-runner").stdout
    assert "a node that runs still uses it" not in told, "1.1 was never loaded"
    folders = [path.name for path in (box.home / "mnedge" / "plugins").iterdir() if path.is_dir()]
    assert [name.rpartition("-")[0] for name in folders] == ["acme-runner-1.0"]
    bundle = str(box.bundle("unused", runner_module="Acme.Runner"))
    done = box.json("blueprint", "run", bundle)
    assert done["job"]["status"] == "completed"
    manager.tell(signal.SIGTERM)
    assert manager.ended() == 0


def test_a_broken_plugin_that_is_trusted_stops_the_start_with_its_name(box):
    (box.folder / "acme_trusted.py").write_text("raise ValueError('no')")
    done = box.call("daemon", code=2, MNEDGE_PLUGINS="acme_trusted")
    assert "plugin acme_trusted cannot be imported" in done.stderr
