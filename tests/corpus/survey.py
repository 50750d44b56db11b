"""What a survey of the corpus found, and how our findings are compared with it.

The corpus holds manifests, configs and lists of files; the payload files themselves are not there.
A list of files stands in for the folder. The catalogues are not there either: for rule B-06 one is
made up that lacks the bundles which the survey calls unlisted.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mnedge.bundle.files import ListedFiles
from mnedge.bundle.load import Bundle, open_files
from mnedge.bundle.problem import Severity
from mnedge.bundle.rules.all import RULES
from mnedge.bundle.subject import Document

HERE = Path(__file__).resolve().parent
CORPUS = HERE.parents[2] / "shared" / "corpus"

LENT = frozenset({"C-03"})
"""Rules about config that `config.manifest_defaults` of an authoring source supplies."""

_PRODUCT = dict.fromkeys(
    ("problem", "input", "output", "how_it_works", "benefit", "target_users"), "…"
)


class Findings(NamedTuple):
    """Ids of the rules that a bundle breaks."""

    errors: frozenset[str]
    strict: frozenset[str]
    """Errors in the strict profile only."""
    warnings: frozenset[str]

    def only(self, rules: frozenset[str]) -> "Findings":
        """Return what concerns these rules."""
        return Findings(*(found & rules for found in self))

    def without(self, rules: frozenset[str]) -> "Findings":
        """Return what does not concern these rules."""
        return Findings(*(found - rules for found in self))

    def listed(self) -> list[str]:
        """Return the ids of each part as texts."""
        return [" ".join(sorted(found)) for found in self]


def survey() -> dict[tuple[str, str], Findings]:
    """Return the survey's rows: snapshot and bundle to what it found."""
    rows: dict[tuple[str, str], Findings] = {}
    snapshot = ""
    for line in (HERE / "survey.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            snapshot = line.removeprefix("#").strip()
        elif line:
            name, _, found = line.partition(":")
            rows[snapshot, name] = Findings(*(frozenset(part.split()) for part in found.split("|")))
    return rows


SURVEY = survey()
COUNTED = frozenset(rule for row in SURVEY.values() for found in row for rule in found) | {
    "B-07", "C-12", "C-14", "C-31", "C-39", "C-40", "C-42", "W-19"
}  # fmt: skip
"""The rules that the survey counted, also those that only bundles outside the corpus break."""


def folders() -> list[Path]:
    """Return every bundle folder of the corpus."""
    return sorted(path.parent for path in CORPUS.glob("*/*/manifest.json"))


def expected(folder: Path) -> Findings:
    """Return the survey's row for a bundle.

    The survey looked at the config of an authoring source before the source had lent it anything.
    Its identity is lent (bundle format 10.2), so rule C-03 has nothing to tell.
    """
    row = SURVEY[folder.parent.name, folder.name]
    return row.without(LENT) if folder.parent.name == "ob-2026-08" else row


def parts_of(folder: Path) -> tuple[list[str], dict[str, bytes]]:
    """Return the names of a bundle's files, and the content of those that are at hand."""
    names = (folder / "files.txt").read_text(encoding="utf-8").splitlines()
    contents = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.json")
    }
    return list(filter(None, names)), contents


def opened(folder: Path, profile: str = "default") -> Bundle:
    """Return a bundle of the corpus."""
    names, contents = parts_of(folder)
    manifest = json.loads(contents["manifest.json"])
    row = {**manifest.get("metadata", {}), **manifest, "id": folder.name, "product": _PRODUCT}
    listed = "B-06" not in expected(folder).strict
    return open_files(
        ListedFiles(names, contents),
        label=folder.name,
        root=folder,
        expected_id=folder.name,
        catalogue=Document(name="index.json", present=True, value=[row] if listed else []),
        profile=profile,
        environ={},
    )


def findings(bundle: Bundle) -> Findings:
    """Return what we find in a bundle that was opened in the default profile."""
    problems = bundle.problems
    errors = frozenset(p.rule for p in problems if p.severity is Severity.ERROR)
    strict = frozenset(p.rule for p in problems if p.strict)
    return Findings(errors, strict, frozenset(p.rule for p in problems) - errors - strict)


def uncounted(found: Findings) -> Iterator[str]:
    """Yield, in order, the ids of broken rules that the survey did not look at."""
    yield from sorted(frozenset().union(*found) - COUNTED)


def unknown() -> frozenset[str]:
    """Return the rules of the survey that do not exist here yet."""
    return COUNTED - {rule.rule_id for rule in RULES}
