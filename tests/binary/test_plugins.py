"""The shipped file with plugins from outside: the same as from source, and compiled ones."""

import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from tests.live import box as boxes
from tests.live import service_manager
from tests.live.box import Box
from tests.live.service_manager import Manager
from tests.live.test_plugins import (
    AT_LAST,
    acme,
    states,
    test_a_plugin_comes_works_and_goes_without_a_trace,
    test_hostile_plugins_cannot_stop_a_node,
    test_one_that_holds_up_the_loop_is_named_and_left_out_at_the_next_start,
    test_one_that_is_broken_only_in_the_daemon_itself_is_found_out,
    until_ready,
)
from tests.plugins.wheels import RUNNER, packed

pytestmark = pytest.mark.live
__all__ = (
    "test_a_plugin_comes_works_and_goes_without_a_trace",
    "test_hostile_plugins_cannot_stop_a_node",
    "test_one_that_holds_up_the_loop_is_named_and_left_out_at_the_next_start",
    "test_one_that_is_broken_only_in_the_daemon_itself_is_found_out",
)
"""What holds from source holds here: the same tests, on the file."""
COMPILED = "greenlet"
"""A compiled distribution that the tests' environment has, and the file does not bring."""


@pytest.fixture
def box(tmp_path, binary, runtime, monkeypatch) -> Iterator[Box]:
    """A machine that has the file and nothing of the source."""
    for module in (boxes, service_manager):
        monkeypatch.setattr(module, "MNEDGE", [str(binary)])
    made = Box(tmp_path)
    del made.environ["PYTHONPATH"], made.environ["PYTHONWARNINGS"]
    made.environ["MNEDGE_RUNTIME_DIR"] = str(runtime)
    yield made
    made.close()


@pytest.fixture
def node(box) -> Iterator[object]:
    """Return a function that starts a daemon under a service manager."""
    managers: list[Manager] = []

    def start(*words: str, **environ: str) -> Manager:
        managers.append(Manager(box, *words, **environ))
        return managers[-1]

    yield start
    for manager in managers:
        manager.close()


def as_wheel(name: str, folder: Path) -> Path:
    """Make a wheel of an installed distribution."""
    found = metadata.distribution(name)
    inside = {
        str(path): Path(str(found.locate_file(path))).read_bytes()
        for path in found.files or ()
        if not str(path).startswith("..") and path.suffix != ".pyc"
    }
    record = next(path for path in inside if path.endswith(".dist-info/RECORD"))
    lines = inside[record].decode().splitlines(keepends=True)
    kept = [line for line in lines if line.partition(",")[0] in inside]
    inside[record] = "".join(kept).encode()
    told = (found.read_text("WHEEL") or "").splitlines()
    tags = [line.removeprefix("Tag: ") for line in told if line.startswith("Tag: ")]
    python, abi, _ = tags[0].split("-")
    machine = ".".join(tag.split("-")[2] for tag in tags)
    wheel = folder / f"{name}-{found.version}-{python}-{abi}-{machine}.whl"
    wheel.write_bytes(packed(inside))
    return wheel


def test_a_compiled_library_comes_with_a_plugin_and_goes_with_it(box):
    text = RUNNER.replace("from mnedge.ports", f"import {COMPILED}\nfrom mnedge.ports", 1)
    text = text.replace(
        '"said": "acme"', '"said": "\' + greenlet.greenlet(lambda: "x").switch() + b\'"'
    )
    plugin = Path(acme(box, text.replace('"x"', 'b"compiled"'), requires=(COMPILED,)))
    told = box.call("plugin", "install", str(plugin), code=2).stderr
    assert f"acme-runner 1.0 needs {COMPILED}, which is not here" in told
    together = box.folder / "together"
    together.mkdir()
    shutil.copy(plugin, together)
    as_wheel(COMPILED, together)
    box.call("plugin", "install", str(together), "--allow")
    assert states(box) == {"acme-runner": "on", COMPILED: "library"}
    bundle = str(box.bundle("unused", runner_module="Acme.Runner"))
    done = box.json("blueprint", "run", bundle)
    assert "compiled" in str(done["result"])
    assert (
        f"removed acme-runner 1.0, {COMPILED}"
        in box.call("plugin", "remove", "-y", "acme-runner").stdout
    )
    assert not (box.home / "mnedge" / "plugins").exists()


def test_one_that_hangs_only_in_the_daemon_itself_is_ended_and_found_out(box, node):
    """Python's lock in its hand, so that nothing but C code of ours can still act."""
    hangs = "if LAST: import ctypes; ctypes.PyDLL(None).sleep(60)\n"
    box.call("plugin", "install", "--allow", acme(box, AT_LAST + hangs + RUNNER))
    assert node(ACME_LAST="1").ended() == 1
    manager = node(ACME_LAST="1")
    until_ready(manager)
    assert "is quarantined: it did not come back within 10 s while it was loaded" in manager.words
    assert states(box) == {"acme-runner": "quarantined"}


def test_what_the_file_brings_is_never_hidden_by_a_plugin(box):
    told = box.call(
        "plugin",
        "install",
        acme(box, requires=("msgspec>=99",)),
        acme(box, name="trio"),
        acme(box, name="acme-shadow", text="x = 1\n"),
        code=2,
    ).stderr
    assert "trio is bundled with mnedge" in told
    shadow = acme(box, name="sqlite3")
    assert (
        "'sqlite3', which is one of Python's own"
        in box.call("plugin", "install", shadow, code=2).stderr
    )
    assert (
        "needs msgspec>=99, and mnedge brings"
        in box.call("plugin", "install", acme(box, requires=("msgspec>=99",)), code=2).stderr
    )
