"""What every test gets: its own home, hypothesis profiles, and a look at what it left behind."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
SOAK = os.environ.get("MNEDGE_SOAK") == "1"

settings.register_profile(
    "fixed", max_examples=60, derandomize=True, deadline=None, database=None, print_blob=True
)
settings.register_profile("soak", max_examples=3000, deadline=None, print_blob=True)
settings.load_profile("soak" if SOAK else "fixed")

# Run in the background (nohup, a shell's &) these are ignored, which what we start inherits.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def soak() -> bool:
    """True under `make soak`: do the full counts, not the fixed share."""
    return SOAK


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The real manifests beside the repository; the test is skipped where there are none."""
    folder = ROOT.parent / "shared" / "corpus"
    if not folder.is_dir():
        pytest.skip("no corpus beside the repository")
    return folder


@pytest.fixture(autouse=True, scope="session")
def _a_home_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test reads or writes what belongs to the person who runs it."""
    for name in [name for name in os.environ if name.startswith(("MN_", "MNEDGE_"))]:
        if name != "MNEDGE_SOAK":
            del os.environ[name]
    os.environ["MN_HOME"] = str(tmp_path_factory.mktemp("home"))


@pytest.fixture(autouse=True)
def _nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test ends with no thread of its own, a live one also with no child process."""
    live = request.node.get_closest_marker("live") is not None
    threads_before = set(threading.enumerate())
    children_before = set(psutil.Process().children()) if live else set()
    yield
    threads = [t for t in set(threading.enumerate()) - threads_before if not _idle_worker(t.name)]
    for thread in threads:
        thread.join(timeout=2)
    left = [t.name for t in threads if t.is_alive()]
    assert not left, f"threads left behind: {left}"
    if live:
        children = [p for p in psutil.Process().children() if p not in children_before]
        _, alive = psutil.wait_procs(children, timeout=2)
        assert not alive, f"processes left behind: {alive}"


def _idle_worker(thread_name: str) -> bool:
    """trio keeps idle worker threads for ten seconds, under this name."""
    return thread_name.startswith("Trio thread ")
