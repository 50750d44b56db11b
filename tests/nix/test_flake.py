"""The flake as Debian's Nix evaluates it against a stub of nixpkgs: what it offers and refuses."""

import ast
import json
import re
import subprocess
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from mnedge import __version__
from tests.house.tree import ROOT, files
from tests.nix.workbench import normal, pinned

pytestmark = pytest.mark.live

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SYSTEMS = ("x86_64-linux", "aarch64-linux")
CODE = [file for file in files() if file.suffix == ".nix"]
PACKAGE = "#packages.x86_64-linux.default"
LOCK = """
import (nix + "/lock.nix") {
  pyproject = builtins.readFile (nix + "/../../pyproject.toml");
  brought = builtins.readFile (nix + "/../lean.in");
  locks = map builtins.readFile [ (nix + "/../../requirements.lock") (nix + "/../lean.lock") ];
}
"""


def wanted(*extras: str) -> list[Requirement]:
    """Return what the package must depend on, as Python's own reader of requirements sees it."""
    optional = PROJECT["project"]["optional-dependencies"]
    brought = [
        line.partition("#")[0].strip()
        for line in (ROOT / "packaging/lean.in").read_text().splitlines()
    ]
    lines = [*PROJECT["project"]["dependencies"], *filter(None, brought)]
    return [
        Requirement(line) for line in lines + [line for name in extras for line in optional[name]]
    ]


@pytest.fixture(scope="module")
def git_tree(nix):
    """The same tree as a git checkout with nothing committed yet."""
    tree = nix.folder / "checkout"
    subprocess.run(["cp", "-r", nix.tree, tree], check=True)
    for words in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *words], cwd=tree, env=nix.environ, check=True)
    return f"git+file://{tree}"


def test_every_file_parses(nix):
    assert len(CODE) > 10
    nix.run("nix-instantiate", "--parse", *(str(nix.tree / file) for file in CODE))


def test_a_checkout_and_a_plain_copy_offer_the_same(nix, git_tree):
    shown = [
        json.loads(nix.flake("flake", "show", "--json", at=at).stdout) for at in (None, git_tree)
    ]
    assert shown[0] == shown[1]
    offered = shown[0]
    for system in SYSTEMS:
        name = f"mnedge-{__version__}"
        assert offered["packages"][system]["default"]["name"] == name
        assert offered["packages"][system]["full"]["name"] == name
        assert offered["apps"][system]["default"] == {"type": "app"}
        assert set(offered["checks"][system]) == {"module", "package", "vm"}
        assert "default" in offered["devShells"][system]
    assert offered["overlays"]["default"]["type"] == "nixpkgs-overlay"
    assert offered["nixosModules"]["default"]["type"] == "nixos-module"


def test_a_checkout_and_a_plain_copy_pass_their_checks(nix, git_tree):
    for at in (None, git_tree):
        nix.flake("flake", "check", "--no-build", at=at)


def test_the_app_is_the_package(nix):
    app = nix.flake("eval", "#apps.x86_64-linux.default", "--json").stdout
    package = nix.flake("eval", f"{PACKAGE}.outPath", "--raw").stdout
    assert json.loads(app) == {"program": f"{package}/bin/mnedge", "type": "app"}


def test_the_overlay_brings_the_package(nix):
    of_overlay = nix.flake(
        "eval", "#overlays.default", "--raw", "--apply",
        'overlay: (overlay { callPackage = _: _: { name = "made"; }; } { }).mnedge.name',
    ).stdout  # fmt: skip
    assert of_overlay == "made"


def test_a_package_depends_on_what_the_project_asks_for(nix):
    for package, extras in ((PACKAGE, ()), ("#packages.x86_64-linux.full", ("accel", "otel"))):
        held = json.loads(
            nix.flake(
                "eval", f"{package}.library.dependencies", "--json",
                "--apply", "map (one: { inherit (one) pname version; })",
            ).stdout
        )  # fmt: skip
        names = {normal(requirement.name) for requirement in wanted(*extras)}
        assert {one["pname"] for one in held} == names
        versions = pinned()
        assert {one["pname"]: one["version"] for one in held} == {
            name: versions[name] for name in names
        }


def test_nix_reads_requirements_as_python_does(nix):
    read = nix.value(f"let lock = {LOCK}; in {{ inherit (lock) dependencies brought; }}")
    versions = pinned()
    seen = {}
    for one in read["dependencies"] + read["brought"]:
        conditions = {f"{c['operator']}{c['version']}" for c in one["conditions"]}
        seen[one["name"]] = (one["attribute"], set(one["extras"]), conditions)
        assert versions[one["attribute"]] in one["pinned"]
    assert seen == {
        one.name: (normal(one.name), one.extras, {str(s) for s in one.specifier})
        for one in wanted()
    }


VERSIONS = (
    "0.9", "1", "1.0", "1.0.0", "1.0rc1", "1.0.dev2", "1.0.post1", "1.0.1", "1.2", "1.2.9", "1.3",
    "1.10", "2", "2.0b1", "10.0", "2026.10.19.post1",
)  # fmt: skip
CONDITIONS = (
    ">=1", ">=1.0", ">=1.0.0", ">=1.2,<2", ">=1.10", "<=1.0", "==1.0", "!=1.0.0", "~=1.2",
    "~=1.2.1", ">1.2", "<2", ">=2026.10.19",
)  # fmt: skip


def test_nix_judges_versions_as_python_does(nix):
    cases = [[version, condition] for version in VERSIONS for condition in CONDITIONS]
    parsed = [
        {
            "version": version,
            "conditions": [
                {"operator": one.operator, "version": one.version} for one in SpecifierSet(text)
            ],
        }
        for version, text in cases
    ]
    unmet = nix.value(
        f"let lock = {LOCK}; in map (case: lock.unmet case.version case.conditions) cases",
        cases=parsed,
    )
    differing = [
        case
        for case, found in zip(cases, unmet, strict=True)
        if (found == "") != SpecifierSet(case[1]).contains(case[0], prereleases=True)
    ]
    assert differing == []


@pytest.mark.parametrize(
    "project, said",
    [
        ('dependencies = ["trio @ file:///x"]', "no condition on a version"),
        ('dependencies = ["-r others"]', "no requirement"),
        ("dependencies = [\"trio; python_version < '3.12'\"]", "reads no markers"),
        ('dependencies = ["trio===1"]', "no condition on a version"),
        ('dependencies = ["unheard-of>=1"]', "no lock pins unheard-of"),
    ],
)
def test_what_it_cannot_read_is_refused_and_named(nix, project, said):
    text = f'[build-system]\nrequires = []\n[project]\nrequires-python = ">=3.11"\n{project}\n'
    expression = 'import (nix + "/lock.nix") { inherit pyproject; locks = [ "trio==0.35.0" ]; }'
    assert said in nix.refusal(f"({expression}).dependencies", pyproject=text)


@pytest.fixture
def another_nixpkgs(nix):
    """Lay another nixpkgs for one test."""
    yield nix.lay_stub
    nix.lay_stub({})


def test_a_nixpkgs_that_is_too_old_is_refused_with_all_that_is_amiss(nix, another_nixpkgs):
    another_nixpkgs({"msgspec": "0.19.0", "trio": "0.30.0", "paramiko": None, "rich": "removed"})
    refused = nix.flake("flake", "check", "--no-build", check=False)
    assert refused.returncode != 0
    said = re.sub(r"\s+", " ", refused.stderr)
    assert f"mnedge {__version__} cannot be built with this nixpkgs" in said
    assert "it has msgspec 0.19.0, where mnedge needs >=0.20" in said
    assert "it has trio 0.30.0, where mnedge needs >=0.31" in said
    assert "it has no paramiko for Python" in said
    assert "it has no rich for Python" in said
    assert "Take a newer one: nix flake update nixpkgs" in said


def test_an_unknown_extra_is_refused_by_name(nix):
    refused = nix.flake(
        "eval",
        PACKAGE,
        "--apply",
        'one: (one.override { mnedgeExtras = [ "acel" ]; }).drvPath',
        check=False,
    )
    assert 'no extra "acel"; there are accel' in refused.stderr


def test_the_machine_test_is_a_script_that_compiles(nix):
    script = json.loads(nix.flake("eval", "#checks.x86_64-linux.vm.testScript", "--json").stdout)
    assert "kill -9" in script
    calls = [node for node in ast.walk(ast.parse(script)) if isinstance(node, ast.Call)]
    names = {call.func.id for call in calls if isinstance(call.func, ast.Name)}
    assert names == {"goes_on", "process", "set", "subtest"}
