"""Documents with one thing changed: every kind of change at every place; a seed fixes the rest."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mnedge.bundle.subject import At

DEEP = 200

RETYPED: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1 << 63,
    -(1 << 63),
    1.5,
    -1e300,
    "",
    "x",
    "../../etc/passwd",
    "/etc/passwd",
    "a\0b",
    "é\u202e😀",
    "${config.identity.name}${env.HOME}",
    "x" * 5000,
    "nan",
    "-1",
    [],
    [None],
    [[]],
    [1, "a", None, {"node_id": 3}],
    {},
    {"": None},
    {"node_id": ["a"], "name": {}, "type": [], "id": None},
)
_MARK = "a mark that stands nowhere else"
KINDS = ("delete", "repeat", "retype", "nest", "bury", "graft")


class Mutant(NamedTuple):
    """One change of one file of one bundle."""

    bundle: str
    file: str
    at: At
    kind: str
    salt: int

    def __str__(self) -> str:
        return f"{self.bundle} {self.file} {'/'.join(map(str, self.at))} {self.kind} {self.salt}"


Shape = tuple[str, ...]
"""A place without its list positions."""


def shape_of(at: At) -> Shape:
    """Return the shape of a place: of a list, all members count as one."""
    return tuple("*" if isinstance(step, int) else step for step in at)


def places(document: Any) -> list[At]:
    """Return every place of a document, one of each shape."""
    found: dict[Shape, At] = {}
    pending: list[tuple[At, Any]] = [((), document)]
    while pending:
        at, value = pending.pop()
        found.setdefault(shape_of(at), at)
        if isinstance(value, dict):
            pending.extend(((*at, key), member) for key, member in value.items())
        elif isinstance(value, list):
            pending.extend(((*at, index), member) for index, member in enumerate(value))
    return list(found.values())


def mutants(bundle: str, file: str, document: Any, seed: int) -> Iterator[Mutant]:
    """Yield every change of a document; the seed fixes the details."""
    rng = random.Random(f"{seed} {bundle} {file}")
    for at in places(document):
        for kind in KINDS:
            yield Mutant(bundle, file, at, kind, rng.randrange(1 << 30))


def changed(document: Any, mutant: Mutant) -> bytes:
    """Return the document as text, the change made."""
    rng = random.Random(mutant.salt)
    copy = json.loads(json.dumps(document))
    root = [copy]
    holder: Any = root
    step: Any = 0
    for next_step in mutant.at:
        holder, step = holder[step], next_step
    old = holder[step]
    match mutant.kind:
        case "delete":
            del holder[step]
            root = root or [None]
        case "repeat" if isinstance(holder, list):
            holder.insert(step, json.loads(json.dumps(old)))
        case "repeat":
            return _with_key_twice(root[0], holder, step)
        case "retype":
            holder[step] = rng.choice(RETYPED)
        case "nest":
            holder[step] = rng.choice(([old], {"value": old}, [[old]], {step: {step: old}}))
        case "bury":
            return _buried(root, holder, step, rng.choice((DEEP, DEEP * 50)))
        case "graft":
            other: Any = document
            while isinstance(other, dict | list) and other and rng.random() < 0.8:
                other = other[
                    rng.choice(list(other) if isinstance(other, dict) else range(len(other)))
                ]
            holder[step] = other
    return json.dumps(root[0]).encode()


def _with_key_twice(document: Any, holder: Any, step: Any) -> bytes:
    holder[_MARK] = holder[step]
    return json.dumps(document).replace(json.dumps(_MARK), json.dumps(step)).encode()


def _buried(root: list[Any], holder: Any, step: Any, depth: int) -> bytes:
    old = json.dumps(holder[step])
    holder[step] = _MARK
    return json.dumps(root[0]).replace(json.dumps(_MARK), "[" * depth + old + "]" * depth).encode()


def own_bundles(root: Path) -> list[Path]:
    """Return the bundles of the repository itself."""
    return sorted(path.parent for path in (root / "blueprints").glob("*/manifest.json"))
