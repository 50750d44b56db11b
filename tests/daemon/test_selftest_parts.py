"""What the self-test sees of the program, and what it misses."""

import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

import mnedge
from mnedge.daemon import selftest_parts as parts


def test_every_module_of_the_source_tree_is_seen():
    root = Path(mnedge.__file__).parent
    on_disk = {
        ".".join(("mnedge", *path.relative_to(root).with_suffix("").parts))
        for path in root.rglob("*.py")
        if path.name != "__init__.py"
    }
    on_disk = {name for name in on_disk if not name.startswith(parts.APART)}
    assert on_disk <= set(parts.all_modules())
    assert len(on_disk) > parts.LEAST_MODULES


def test_bundled_plugins_are_seen():
    assert {"mnedge_runners.host_local", "mnedge_skills.webhook"} <= set(parts.all_modules())


def test_modules_inside_the_executable_are_seen(monkeypatch):
    archive = ModuleType("pyimod02_importers")
    archive.get_pyz_toc_tree = lambda: {
        "mnedge": {"cli": {"root": ""}, "bus": "", "testing": {"medium": ""}},
        "mnedge_runners": {"host_local": ""},
        "other": {},
    }
    monkeypatch.setitem(sys.modules, "pyimod02_importers", archive)
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    seen = parts.all_modules()
    assert {"mnedge.cli.root", "mnedge.bus", "mnedge_runners.host_local"} <= set(seen)
    assert not [name for name in seen if name.startswith(("mnedge.testing", "other"))]


def test_a_module_that_is_missing_is_named():
    [wrong] = parts.unimportable(["json", "no_such_module"])
    assert wrong == "no_such_module: ModuleNotFoundError: No module named 'no_such_module'"


def test_what_is_expected_of_others_is_here():
    assert parts.unimportable(parts.libraries()) == []


def test_libraries_are_used_where_an_import_alone_proves_little(monkeypatch):
    assert parts.broken_libraries() == []
    monkeypatch.setattr(parts, "_USES", {"one": lambda: 1 / 0, "two": lambda: None})
    assert parts.broken_libraries() == ["one: ZeroDivisionError: division by zero"]


def test_a_frozen_program_answers_for_what_it_brings(monkeypatch):
    monkeypatch.setattr("sys.frozen", True, raising=False)
    assert set(parts.BROUGHT) <= set(parts.libraries())


@pytest.mark.parametrize("name", parts.FILES)
def test_a_file_that_is_missing_or_empty_is_named(name, tmp_path):
    root = Path(mnedge.__file__).parent
    for each in parts.FILES:
        (tmp_path / each).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / each, tmp_path / each)
    assert parts.unreadable_files(tmp_path) == []
    (tmp_path / name).write_bytes(b"")
    assert parts.unreadable_files(tmp_path) == [f"{name} is empty"]
    (tmp_path / name).unlink()
    assert parts.unreadable_files(tmp_path) == [f"{name}: No such file or directory"]


def test_the_program_says_what_it_is():
    assert parts.described().startswith(f"mnedge {mnedge.__version__}, from source, CPython 3.")
