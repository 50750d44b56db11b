"""Blueprints that can be run by name: those that come with mnedge, and those in MN_BUNDLES_DIR."""

import json
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import mnedge
from mnedge.errors import NotFoundError

INSTALLED = "_blueprints"
"""Beside the package's modules, where a wheel puts them."""


class BlueprintNotFoundError(NotFoundError):
    """No blueprint has this name; the hint offers near ones and the way to run a folder."""

    code = "blueprint.not_found"


class Entry(NamedTuple):
    """A blueprint that can be run by name."""

    blueprint_id: str
    folder: Path
    name: str = ""
    job_name: str = ""
    category: str = ""
    description: str = ""

    def record(self) -> dict[str, Any]:
        """Return it for programs."""
        return {**self._asdict(), "folder": str(self.folder)}


def places(environ: Mapping[str, str]) -> list[Path]:
    """Return the folders that are searched, in order."""
    package = Path(mnedge.__file__).resolve().parent
    candidates = [package / INSTALLED, package.parent / "blueprints"]
    own = environ.get("MN_BUNDLES_DIR")
    if own:
        candidates.insert(0, Path(own).expanduser())
    return [place for place in candidates if place.is_dir()]


def listed(environ: Mapping[str, str]) -> list[Entry]:
    """Return every blueprint, in the order of its catalogue; the first of a name wins."""
    found: dict[str, Entry] = {}
    for place in places(environ):
        for entry in _in(place):
            found.setdefault(entry.blueprint_id, entry)
    return list(found.values())


def find(name: str, environ: Mapping[str, str]) -> Path:
    """Return the folder of the blueprint of this name, or the path itself if it is one.

    Raises: BlueprintNotFoundError.
    """
    entries = listed(environ)
    for entry in entries:
        if name in (entry.blueprint_id, entry.job_name):
            return entry.folder
    path = Path(name).expanduser()
    if "/" in name or (path / "manifest.json").is_file():
        return path
    offered = get_close_matches(name, [entry.blueprint_id for entry in entries], n=3, cutoff=0.55)
    meant = f"did you mean {' or '.join(offered)}? " if offered else ""
    raise BlueprintNotFoundError(
        f"no blueprint is called {name!r}",
        hint=f"{meant}`mnedge blueprint list` shows them; --folder runs one of your own",
        details={"near": offered},
    )


def _in(place: Path) -> Iterator[Entry]:
    rows = {str(row.get("id")): row for row in _rows(place / "index.json")}
    folders = {str(row.get("path") or name): name for name, row in rows.items()}
    for folder in [*folders, *sorted(child.name for child in place.iterdir())]:
        if not (place / folder / "manifest.json").is_file():
            continue
        blueprint_id = folders.get(folder, folder)
        row = rows.get(blueprint_id) or _object(place / folder / "manifest.json")
        yield Entry(
            blueprint_id,
            place / folder,
            *(str(row.get(key) or "") for key in ("name", "job_name", "category", "description")),
        )


def _rows(index: Path) -> list[dict[str, Any]]:
    rows = _object(index).get("blueprints")
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _object(file: Path) -> dict[str, Any]:
    """Return what the file holds; nothing if it cannot be read: the validator says why."""
    try:
        value = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
