"""The stand-in gives way to the published package."""

import subprocess
import sys

import pytest

from mnedge.bundle.source.sdk_package import elsewhere, give_way
from mnedge.bundle.source.stand_in import laid_out


@pytest.fixture
def published(tmp_path):
    """Stand in for the published package."""
    package = tmp_path / "published" / "mn_sdk"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("__version__ = '1.2.31'")
    (package / "step_graph.py").write_text("real = True")
    (package / "step_runtime.py").write_text("print('real runtime')")
    return package.parent


def told(*words, path):
    return subprocess.run(
        [sys.executable, "-S", *words],
        env={"PYTHONPATH": ":".join(map(str, path)), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


CODE = "import mn_sdk, mn_sdk.step_graph as g; print(mn_sdk.__version__, getattr(g, 'real', False))"


@pytest.mark.parametrize("first", [True, False])
def test_the_published_package_is_taken_wherever_the_stand_in_stands(tmp_path, published, first):
    stand_in = laid_out(tmp_path / "sdk")
    path = [stand_in, published] if first else [published, stand_in]
    assert told("-c", CODE, path=path) == "1.2.31 True"
    assert told("-m", "mn_sdk.step_runtime", path=path) == "real runtime"


def test_without_it_the_stand_in_stays(tmp_path):
    stand_in = laid_out(tmp_path / "sdk")
    assert told("-c", CODE, path=[stand_in]) == "0+mnedge False"


def test_only_what_stands_elsewhere_counts(tmp_path, monkeypatch):
    (tmp_path / "odd_package").mkdir()
    (tmp_path / "odd_package" / "__init__.py").write_text("found = 1")
    monkeypatch.syspath_prepend(tmp_path)
    assert elsewhere(str(tmp_path), "odd_package") is None
    assert elsewhere("/nowhere", "odd_package").origin == str(tmp_path / "odd_package/__init__.py")
    assert str(tmp_path) in sys.path
    assert give_way(str(tmp_path), "odd_package") is False


def test_a_published_package_that_is_broken_is_told_and_nothing_is_left_of_it(
    tmp_path, monkeypatch
):
    (tmp_path / "odd_broken").mkdir()
    (tmp_path / "odd_broken" / "__init__.py").write_text("raise ValueError('no')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "odd_broken", pytest)
    with pytest.raises(ValueError, match="no"):
        give_way("/nowhere", "odd_broken")
    assert sys.modules["odd_broken"] is pytest


def test_a_package_that_loads_takes_the_place(tmp_path, monkeypatch):
    (tmp_path / "odd_good").mkdir()
    (tmp_path / "odd_good" / "__init__.py").write_text("found = 1")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "odd_good", pytest)
    assert give_way("/nowhere", "odd_good")
    assert sys.modules["odd_good"].found == 1
