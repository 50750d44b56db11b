"""The bill of materials of a frozen folder, as CycloneDX 1.6 wants it. Deterministic.

Run by the build, with the environment that was frozen: `python sbom.py FOLDER --out FILE`.
Source: CycloneDX 1.6; package URLs; SPDX licence ids.
"""

import argparse
import json
import os
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import floor
import parts

SPEC = "1.6"
FILE = "mnedge.cdx.json"
OURS = "mnedge"
_EXPRESSION = re.compile(r" (AND|OR|WITH) ")


def document(
    folder: Path, flavour: str, hashes: Mapping[str, str], epoch: int | None
) -> dict[str, Any]:
    """Return the bill. `hashes`: distribution → SHA-256 of the wheel that it came from.

    `epoch`: the moment of the sources; without one it tells no time.
    """
    found = parts.of(folder)
    mine = next(part for part in found if part.name == OURS)
    others = [part for part in found if part is not mine]
    subject = component(mine, folder, hashes, kind="application")
    subject["properties"] = properties(folder, flavour)
    metadata: dict[str, Any] = {"component": subject}
    if epoch is not None:
        moment = datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        metadata = {"timestamp": moment, **metadata}
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": SPEC,
        "version": 1,
        "metadata": metadata,
        "components": [component(part, folder, hashes) for part in others],
        "dependencies": dependencies(mine, others),
    }
    number = uuid5(NAMESPACE_URL, json.dumps(bill, sort_keys=True))
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPEC}.schema.json",
        "serialNumber": f"urn:uuid:{number}",
        **bill,
    }


def component(
    part: parts.Part, folder: Path, hashes: Mapping[str, str], kind: str = "library"
) -> dict[str, Any]:
    """Return a part as a component."""
    made: dict[str, Any] = {
        "type": kind,
        "bom-ref": part.purl,
        "name": part.name,
        "version": part.version,
        "purl": part.purl,
        "licenses": licences(part.licence),
    }
    digest = hashes.get(parts.normal(part.name))
    if part.purl.startswith("pkg:pypi/") and digest:
        made["hashes"] = [{"alg": "SHA-256", "content": digest}]
    if part.home:
        made["externalReferences"] = [{"type": "website", "url": part.home}]
    files = [file(path, folder) for path in part.files]
    inside = [component(inner, folder, {}) for inner in part.inside]
    for inner in inside:  # the same library may be inside of two
        inner["bom-ref"] = f"{part.purl}#{inner['name']}"
    if files or inside:
        made["components"] = [*inside, *files]
    return made


def file(path: Path, folder: Path) -> dict[str, Any]:
    """Return a file of a part."""
    name = str(path.relative_to(folder))
    digest = sha256(path.read_bytes()).hexdigest()
    return {
        "type": "file",
        "bom-ref": f"file:{name}",
        "name": name,
        "hashes": [{"alg": "SHA-256", "content": digest}],
    }


def licences(expression: str) -> list[dict[str, Any]]:
    """Return a licence as CycloneDX wants it: an id, or an expression; nothing if it is unknown."""
    if expression == parts.UNKNOWN:
        return []
    if _EXPRESSION.search(expression):
        return [{"expression": expression}]
    return [{"license": {"id": expression}}]


def properties(folder: Path, flavour: str) -> list[dict[str, str]]:
    """Return what else is to be known: flavour, platform, and the oldest system it runs on."""
    told = {
        "mnedge:flavour": flavour,
        "mnedge:glibc": floor.text(floor.of(folder)),
        "mnedge:platform": f"linux-{platform.machine()}",
        "mnedge:size-unpacked-bytes": str(unpacked_bytes(folder)),
    }
    return [{"name": name, "value": value} for name, value in sorted(told.items())]


def unpacked_bytes(folder: Path) -> int:
    """Return what the folder takes, its bill and licences apart: they come later."""
    late = {FILE, "licences"}
    internal = folder / parts.INTERNAL
    return sum(
        path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file()
        and not path.is_symlink()
        and not (internal in path.parents and path.relative_to(internal).parts[0] in late)
    )


def dependencies(mine: parts.Part, others: Sequence[parts.Part]) -> list[dict[str, Any]]:
    """Return who needs whom; what nobody asked for by name was put in by us."""
    by_name = {parts.normal(part.name): part for part in others}

    def needed(part: parts.Part) -> Iterator[str]:
        yield from (by_name[name].purl for name in part.requires if name in by_name)

    graph = {part.purl: sorted(set(needed(part))) for part in others}
    asked = {purl for wanted in graph.values() for purl in wanted}
    graph[mine.purl] = sorted({*needed(mine), *(purl for purl in graph if purl not in asked)})
    return [{"ref": purl, "dependsOn": graph[purl]} for purl in sorted(graph)]


def wheel_hashes(report: Path | None, wheel: Path | None) -> dict[str, str]:
    """Return distribution → SHA-256 of its wheel, as pip's report tells; ours is at hand."""
    hashes: dict[str, str] = {}
    if report is not None and report.is_file():
        for item in json.loads(report.read_bytes())["install"]:
            digest = item["download_info"].get("archive_info", {}).get("hashes", {}).get("sha256")
            if digest:
                hashes[parts.normal(item["metadata"]["name"])] = digest
    if wheel is not None and wheel.is_file():
        hashes[OURS] = sha256(wheel.read_bytes()).hexdigest()
    return hashes


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the bill beside the shipped file, and into the folder that it is about."""
    asked = argparse.ArgumentParser(prog="sbom.py", description=__doc__)
    asked.add_argument("folder", type=Path, help="what was frozen")
    asked.add_argument("--flavour", default="lean")
    asked.add_argument("--out", type=Path, help="write it there as well")
    asked.add_argument("--wheels", type=Path, help="folder of mnedge's own wheel")
    asked.add_argument("--report", type=Path, help="pip's report of what it installed")
    given = asked.parse_args(arguments)
    wheel = next(given.wheels.glob(f"{OURS}-*.whl"), None) if given.wheels else None
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    bill = document(
        given.folder,
        given.flavour,
        wheel_hashes(given.report, wheel),
        int(epoch) if epoch else None,
    )
    text = json.dumps(bill, indent=1, ensure_ascii=False) + "\n"
    for target in filter(None, (given.folder / parts.INTERNAL / FILE, given.out)):
        target.write_text(text, encoding="utf-8")
    needs = floor.text(floor.of(given.folder))
    print(f"sbom: {len(bill['components'])} parts, needs glibc {needs}")


if __name__ == "__main__":
    main()
