"""A copy of the repository that Debian's Nix evaluates without a network, in a store of its own.

`python -m tests.nix.workbench flake check --no-build` does by hand what the tests do.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import copyfile
from typing import Any

from tests.house.tree import ROOT, files

NIX = Path("packaging/nix")
STUB = NIX / "stub"
LOCKS = ("requirements.lock", "packaging/lean.lock", "packaging/full.lock")
CONFIG = """\
experimental-features = nix-command flakes
sandbox = false
substituters =
build-users-group =
flake-registry = /dev/null
warn-dirty = false
"""


class Workbench:
    """A folder with the tree, the stub beside it, and all that Nix writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tree = folder / "tree"
        self.stub = folder / "stub"
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder / "home"),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "NIX_STORE_DIR": str(folder / "store"),
            "NIX_STATE_DIR": str(folder / "state"),
            "NIX_LOG_DIR": str(folder / "log"),
            "NIX_CONF_DIR": str(folder / "conf"),
            "NIX_CONFIG": CONFIG,
        }
        for file in files():
            place = self.tree / file
            place.parent.mkdir(parents=True, exist_ok=True)
            copyfile(ROOT / file, place)
        self.lay_stub({})

    def lay_stub(self, other: Mapping[str, str | None]) -> None:
        """Make the stub hold what the locks pin, but for `other`; None: it lacks that package."""
        self.stub.mkdir(exist_ok=True)
        for file in (ROOT / STUB).iterdir():
            copyfile(file, self.stub / file.name)
        held = {name: version for name, version in {**pinned(), **other}.items() if version}
        (self.stub / "python-packages.json").write_text(json.dumps(held))

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one of Nix's programs."""
        done = subprocess.run(
            words, env=self.environ, cwd=self.folder, capture_output=True, text=True, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(words)}\n{done.stdout}{done.stderr}")
        return done

    def flake(
        self,
        *words: str,
        at: str | None = None,
        check: bool = True,
        nixpkgs: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run `nix WORDS` on the flake at `at`, the tree as a plain folder unless given.

        `nixpkgs`: a copy of nixpkgs instead of the stub.
        """
        verb = 2 if words[0] == "flake" else 1
        where = at or f"path:{self.tree}"
        return self.run(
            "nix", *words[:verb], where + ("" if verb == 2 else words[1]), *words[2:],
            "--override-input", "nixpkgs", f"path:{nixpkgs or self.stub}", "--no-write-lock-file",
            check=check,
        )  # fmt: skip

    def value(self, expression: str, **arguments: Any) -> Any:
        """Return what an expression comes to; `arguments` are its variables."""
        laid = "".join(
            f"{name} = builtins.fromJSON {_quoted(json.dumps(value))};\n"
            for name, value in arguments.items()
        )
        done = self.run(
            "nix-instantiate", "--eval", "--strict", "--json",
            "--expr", f"let nix = {self.tree / NIX}; {laid} in {expression}",
        )  # fmt: skip
        return json.loads(done.stdout)

    def refusal(self, expression: str, **arguments: Any) -> str:
        """Return the words with which an expression is refused."""
        try:
            found = self.value(expression, **arguments)
        except AssertionError as error:
            return str(error).partition("error:")[2].strip()
        raise AssertionError(f"it was not refused: {found}")


def pinned() -> dict[str, str]:
    """Return normalised name → version of everything in the locks."""
    found: dict[str, str] = {}
    for lock in LOCKS:
        text = (ROOT / lock).read_text(encoding="utf-8")
        for name, version in re.findall(r"^([\w.-]+)==([^ ;\\]+)", text, re.MULTILINE):
            found.setdefault(normal(name), version)
    return found


def normal(name: str) -> str:
    """Return the name as package sets call it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _quoted(text: str) -> str:
    """Return it as a text of the Nix language."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${")
    return f'"{escaped}"'


def main(words: Sequence[str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        done = Workbench(Path(folder)).flake(*words, check=False)
    print(done.stdout, done.stderr, sep="")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
