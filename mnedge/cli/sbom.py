"""`mnedge sbom`: what this program is made of, as the build wrote it down."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mnedge import shipped
from mnedge.cli.verbs import Asked, Verb
from mnedge.errors import NotFoundError

if TYPE_CHECKING:
    from rich.text import Text

FILE, LICENCES = "mnedge.cdx.json", "licences"


class SbomAbsentError(NotFoundError):
    """This program has no bill of materials: it runs from source, or was not built by
    `make binary`."""

    code = "sbom.absent"


class PartUnknownError(NotFoundError):
    """The bill of materials has no part of this name."""

    code = "sbom.part_unknown"


@click.command("sbom", cls=Verb)
@click.option("--licence", "part", metavar="PART", help="Print the licence of that part instead.")
@click.pass_obj
def sbom(asked: Asked, part: str | None) -> None:
    """Print what this program is made of: every part, its version and its licence.

    \b
    Examples:
      mnedge sbom
      mnedge sbom --licence trio
      mnedge sbom --json > mnedge.cdx.json    # CycloneDX, for scanners
    """
    from mnedge.cli.screen import Screen

    screen = Screen(asked)
    place = brought()
    if part is not None:
        found = licence(place / LICENCES, part)
        if asked.human:
            screen.stream.write(found["text"])
        else:
            screen.document(found)
    elif asked.output == "json":
        screen.stream.write((place / FILE).read_text(encoding="utf-8"))
    else:
        bill = json.loads((place / FILE).read_bytes())
        if asked.human:
            screen.say(*table(bill))
            screen.hint("mnedge sbom --licence PART; mnedge sbom --json is for scanners")
        else:
            screen.records(bill["components"])


def brought() -> Path:
    """Return the folder that holds the bill.

    Raises: SbomAbsentError.
    """
    place = shipped.folder()
    if place is None or not (place / FILE).is_file():
        raise SbomAbsentError(
            "this mnedge has no bill of materials",
            hint="`make binary` writes one; of an installation from source, `pip list` tells",
        )
    return place


def table(bill: dict[str, Any]) -> "list[Text]":
    """Return the bill for a person: the program, then its parts by name."""
    from rich.text import Text

    from mnedge.cli.show import Cell, columns

    subject = bill["metadata"]["component"]
    told = {one["name"]: one["value"] for one in subject.get("properties", [])}
    name = f"{subject['name']} {subject['version']}"
    about = f"{told.get('mnedge:flavour', '')}, {told.get('mnedge:platform', '')}"
    needs = f"needs glibc {told.get('mnedge:glibc', '?')} or newer"
    rows = []
    for component in bill["components"]:
        rows.append([Cell(cell) for cell in row(component)])
        rows += [
            [Cell(f"  {cell}" if i == 0 else cell, "dim") for i, cell in enumerate(row(inner))]
            for inner in component.get("components", [])
            if inner["type"] != "file"
        ]
    head = Text.assemble((name, "bold"), f" ({about}), {needs}, {len(bill['components'])} parts")
    return [head, Text(), *columns(rows)]


def row(component: dict[str, Any]) -> tuple[str, str, str]:
    """Return name, version and licence of a component."""
    said = [
        one.get("expression") or one["license"].get("id") or one["license"].get("name", "")
        for one in component.get("licenses", [])
    ]
    return component["name"], component["version"], " ".join(said) or "unknown"


def licence(folder: Path, part: str) -> dict[str, Any]:
    """Return a part's line of the index, with the texts of its licence.

    Raises: PartUnknownError with near names.
    """
    from mnedge.cli.verbs import near

    rows = {one["name"].lower(): one for one in json.loads((folder / "index.json").read_bytes())}
    found = rows.get(part.lower())
    if found is None:
        raise PartUnknownError(
            f"there is no part {part!r}",
            hint=f"there is {', '.join(near(part.lower(), rows) or list(rows))}",
        )
    texts = [
        (folder / name).read_text(encoding="utf-8", errors="replace") for name in found["texts"]
    ]
    head = f"{found['name']} {found['version']}: {found['licence']}\n"
    return {**found, "text": "\n".join([head, *texts])}
