"""The repository as the house tests see it: modules, their syntax trees, the files git knows."""

import ast
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TOP = ("mnedge", "plugins", "native", "blueprints", "packaging", "tests", ".ci")


@cache
def modules() -> tuple[Path, ...]:
    """Return every module of mnedge and of the bundled plugins, relative to the repository."""
    return tuple(file for file in files() if file.suffix == ".py" and is_ours(file.parts))


def is_ours(parts: tuple[str, ...]) -> bool:
    """Tell whether mnedge or a bundled plugin is made of it."""
    return parts[0] == "mnedge" or (parts[0] == "plugins" and parts[1].startswith("mnedge_"))


def dotted(module: Path) -> str:
    """Return the name to import: `mnedge/store/sqlite.py` → `mnedge.store.sqlite`."""
    parts = module.with_suffix("").parts
    return ".".join(parts[1:] if parts[0] == "plugins" else parts)


@cache
def parsed(module: Path) -> ast.Module:
    """Return the module's syntax tree."""
    return ast.parse((ROOT / module).read_text(encoding="utf-8"), filename=str(module))


@cache
def files() -> tuple[Path, ...]:
    """Return what git tracks or would track; without git, what lies in the known folders."""
    asked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if asked.returncode == 0 and asked.stdout:
        found = {Path(name.decode()) for name in asked.stdout.split(b"\0") if name}
    else:
        found = {path.relative_to(ROOT) for top in TOP for path in (ROOT / top).rglob("*")}
        found |= {path.relative_to(ROOT) for path in ROOT.iterdir()}
    skipped = {"__pycache__", ".venv", "build", "dist", "_blueprints"}
    return tuple(sorted(p for p in found if (ROOT / p).is_file() and not skipped & set(p.parts)))


def text_of(file: Path) -> str | None:
    """Return the file's text; None if it is not text, or was removed since files were listed."""
    try:
        return (ROOT / file).read_text(encoding="utf-8")
    except (UnicodeDecodeError, FileNotFoundError):
        return None
