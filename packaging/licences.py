"""Collect the licences of all that is shipped: `python licences.py FOLDER`.

Makes `_internal/licences/`: a folder per part, `index.json` for programs, `INDEX.txt` for people.
Exits with 1, and names them, if a part is under a licence that we may not ship it under.
"""

import json
import re
import shutil
import sys
from pathlib import Path

import parts

FOLDER = "licences"
REFUSED = re.compile(r"\bA?GPL-")
"""Whoever links it must give all of the program under it. `WITH` an exception it is allowed."""


def main(folder: Path) -> int:
    """Collect, and say what is missing."""
    found = parts.of(folder)
    refused = [part for part in every(found) if is_refused(part.licence)]
    if refused:
        named = ", ".join(f"{part.name} ({part.licence})" for part in refused)
        print(f"licences: may not be shipped: {named}", file=sys.stderr)
        return 1
    target = folder / parts.INTERNAL / FOLDER
    shutil.rmtree(target, ignore_errors=True)
    rows = [row(part, collect(part, target)) for part in found]
    (target / "index.json").write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    (target / "INDEX.txt").write_text("".join(map(line, rows)))
    for part in every(found):
        if part.licence == parts.UNKNOWN:
            print(f"licences: {part.name} {part.version} does not say its licence", file=sys.stderr)
    print(f"licences: {len(rows)} parts, {sum(len(row['texts']) for row in rows)} texts")
    return 0


def every(found: list[parts.Part]) -> list[parts.Part]:
    """Return the parts, and what is inside them."""
    return [each for part in found for each in (part, *part.inside)]


def is_refused(licence: str) -> bool:
    """Tell whether every way to use it would bind the whole program."""
    return all(
        REFUSED.search(choice) is not None and " WITH " not in choice
        for choice in licence.split(" OR ")
    )


def collect(part: parts.Part, target: Path) -> list[str]:
    """Copy the texts of a part; return their names below `target`."""
    names = []
    for text in part.texts:
        name = f"{part.name}-{part.version}/{text.name}"
        count = 2
        while name in names:
            name = f"{part.name}-{part.version}/{count}-{text.name}"
            count += 1
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(text, target / name)
        names.append(name)
    return names


def row(part: parts.Part, texts: list[str]) -> dict[str, object]:
    """Return a part for the index."""
    inside = [
        {"name": inner.name, "version": inner.version, "licence": inner.licence}
        for inner in part.inside
    ]
    told: dict[str, object] = {
        "name": part.name,
        "version": part.version,
        "licence": part.licence,
        "texts": texts,
    }
    return told | ({"inside": inside} if inside else {})


def line(row: dict[str, object]) -> str:
    """Return a part for a person."""
    texts = row["texts"]
    shown = ", ".join(texts) if isinstance(texts, list) and texts else "(no text)"
    return f"{row['name']} {row['version']}\n    {row['licence']}\n    {shown}\n"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
