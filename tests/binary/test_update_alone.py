"""`mnedge update` of one file that nobody installed."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from mnedge.updates.envelope import SUFFIX, new_key
from tests.binary import builds

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(Path("/opt/mnedge/current").exists(), reason="a node is installed here"),
]
PEM, LINE = new_key()


class Owner:
    """Somebody with the one file in a folder of their own."""

    def __init__(self, folder: Path, runtime: Path) -> None:
        self.file = folder / "bin" / "mnedge"
        self.file.parent.mkdir()
        config = folder / "home" / "mnedge" / "config.yaml"
        config.parent.mkdir(parents=True)
        config.write_text(f'updates: {{keys: ["{LINE}"]}}\n')
        self._environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "MN_HOME": str(folder / "home"),
            "MNEDGE_RUNTIME_DIR": str(runtime),
        }

    def __call__(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            [self.file, *words], env=self._environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return (done.stdout + done.stderr).strip()


@pytest.fixture
def owner(binary: Path, runtime: Path, tmp_path: Path) -> Owner:
    made = Owner(tmp_path, runtime)
    shutil.copy(binary, made.file)
    return made


def test_it_is_replaced_where_it_stands_and_put_back(owner, binary, tmp_path):
    first = str(builds.described(binary)["version"])
    new = builds.newer(binary, tmp_path / "new", "0.8.0")
    builds.signed(new, PEM, binary, "0.8.0")
    assert f"{owner.file.name} is mnedge 0.8.0" in owner("update", str(new))
    assert owner("--version") == "mnedge 0.8.0"
    assert sorted(path.name for path in owner.file.parent.iterdir()) == ["mnedge", "mnedge.old"]
    assert json.loads(owner("update", str(new), "--json"))["result"] == "same"
    owner("update", "--rollback")
    assert owner("--version") == f"mnedge {first}"


def test_what_does_not_work_or_is_not_signed_leaves_it_alone(owner, binary, tmp_path):
    before = owner.file.stat().st_mtime_ns
    failing = builds.bad(binary, tmp_path / "bad", "0.9.0", "crashes", selftest=3)
    builds.signed(failing, PEM, binary, "0.9.0")
    assert "ended with 3" in owner("update", str(failing), code=1)
    builds.signed(failing, new_key()[0], binary, "0.9.0")
    assert "not pinned here" in owner("update", str(failing), code=13)
    Path(f"{failing}{SUFFIX}").unlink()
    assert "nobody says whose" in owner("update", str(failing), code=2)
    assert owner.file.stat().st_mtime_ns == before
    assert [path.name for path in owner.file.parent.iterdir()] == ["mnedge"]
