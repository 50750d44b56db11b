"""The locks of what is shipped follow the lock that tests run with."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.house.tree import ROOT

PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)
SHIPPED = ("packaging/lean.lock", "packaging/full.lock")


def pins(lock):
    """Return all versions of every package of a lock: markers may pin several."""
    found = {}
    for name, version in PINNED.findall((ROOT / lock).read_text()):
        found.setdefault(canonicalize_name(name), set()).add(version)
    return found


@pytest.mark.parametrize("lock", SHIPPED)
def test_every_dependency_is_shipped_in_the_version_that_was_tested(lock):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {canonicalize_name(Requirement(d).name) for d in project["dependencies"]}
    shipped, tested = pins(lock), pins("requirements.lock")
    assert wanted <= set(shipped)
    assert {
        name for name in set(shipped) & set(tested) if not shipped[name] <= tested[name]
    } == set()


@pytest.mark.parametrize("lock", [*SHIPPED, "packaging/build.lock"])
def test_every_file_of_a_lock_has_its_hash(lock):
    blocks = re.split(r"\n(?=[A-Za-z0-9])", (ROOT / lock).read_text())
    bare = [block.splitlines()[0] for block in blocks if "==" in block and "--hash" not in block]
    assert bare == []


def test_the_full_flavour_holds_the_lean_one():
    lean, full = pins("packaging/lean.lock"), pins("packaging/full.lock")
    assert {name: full.get(name) for name in lean} == lean
