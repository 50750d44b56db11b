"""`{"$file": PATH}` and its relatives: files of the bundle that stand in for values.

Source: bundle format 2.6, rule S-06.
"""

import json
from typing import Any

from mnedge.bundle.files import Files, tidy, unsafe_path
from mnedge.bundle.json_text import JsonInvalidError, read
from mnedge.bundle.problem import At
from mnedge.bundle.source.outcome import SourceProblem

TEXT, JSON, JSON_TEXT = "$file", "$json_file", "$json_string_file"


def resolved(value: Any, files: Files) -> tuple[Any, list[SourceProblem]]:
    """Return a copy in which every reference is replaced by what it names."""
    problems: list[SourceProblem] = []
    return _resolved(value, files, (), problems), problems


def canonical(value: Any) -> str:
    """Return the value as JSON that is the same whatever order its keys were written in."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def bundle_path(path: Any) -> str:
    """Return a path relative to the bundle's root, `@/` taken off and tidied.

    Raises: ValueError with the reason if it is none.
    """
    if not isinstance(path, str):
        raise TypeError("is not a string")
    name = path.removeprefix("@/")
    reason = unsafe_path(name)
    if reason:
        raise ValueError(reason)
    return tidy(name)


def _resolved(value: Any, files: Files, at: At, problems: list[SourceProblem]) -> Any:
    if isinstance(value, list):
        return [_resolved(item, files, (*at, index), problems) for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((name, path),) = value.items()
        if name in (TEXT, JSON, JSON_TEXT):
            return _content(name, path, files, (*at, name), problems)
    return {name: _resolved(member, files, (*at, name), problems) for name, member in value.items()}


def _content(kind: str, path: Any, files: Files, at: At, problems: list[SourceProblem]) -> Any:
    try:
        name = bundle_path(path)
    except (TypeError, ValueError) as error:
        problems.append(
            _wrong(at, f"{kind} {path!r} {error}", "name a file inside the bundle", path)
        )
        return None
    try:
        content = files.read(name) if files.is_file(name) else None
    except OSError as error:
        problems.append(_wrong(at, f"{name} cannot be read: {error.strerror}", "mend it", path))
        return None
    if content is None:
        problems.append(
            _wrong(at, f"{name} is not in the bundle", "add the file, or name another", path)
        )
        return None
    try:
        if kind == TEXT:
            return content.decode("utf-8")
        document = read(content).value
    except UnicodeDecodeError:
        problems.append(_wrong(at, f"{name} is not UTF-8 text", "save it as UTF-8", path))
        return None
    except JsonInvalidError as error:
        place = f" (line {error.line}, column {error.column})" if error.line else ""
        problems.append(
            _wrong(at, f"{name} is not JSON: {error.message}{place}", "mend the file", path)
        )
        return None
    return document if kind == JSON else canonical(document)


def _wrong(at: At, message: str, hint: str, actual: Any) -> SourceProblem:
    return SourceProblem(rule="S-06", at=at, message=message, hint=hint, actual=actual)
