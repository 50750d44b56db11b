"""What stands in the file, fitted to the structs of `settings`: every misfit at once. Pure."""

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from msgspec import inspect

from mnedge.config import settings
from mnedge.config.document import Keyed, Marked
from mnedge.config.problem import Problem, Rule
from mnedge.config.written import DURATION_FORMS, SIZE_FORMS, seconds, size_bytes

CHART_KEYS: Mapping[str, tuple[type, ...]] = {
    "replicas": (int,),
    "image": (dict, str),
    "resources": (dict,),
    "nodeSelector": (dict,),
    "tolerations": (list,),
    "affinity": (dict,),
    "hpa": (dict,),
    "keda": (dict,),
    "service": (dict,),
    "ingress": (dict,),
    "imagePullSecrets": (list,),
    "persistence": (dict,),
}
"""What only Kubernetes can honour, and what it looks like; a pasted block may hold it."""
FACULTIES = ("relay", "soul", "trace")
"""Sections that may be pasted from the chart."""
LATER = ("genome", "cortex", "neuron", "engram", "wraith", "synkron", "cradle", "gitops", "global")
"""Sections of the platform that this version has nothing for."""

_FORMS: Mapping[str, tuple[Callable[[str], float | None], str]] = {
    "duration": (seconds, DURATION_FORMS),
    "size": (size_bytes, SIZE_FORMS),
}
_SHAPES = {dict: "a mapping", list: "a list", str: "a text", int: "a whole number"}
_MISFIT = object()


def fitted(
    document: Marked, source: str
) -> tuple[dict[str, Any], dict[str, Marked], list[Problem]]:
    """Return values by key, the place of each path, and what does not fit.

    A value that does not fit is left out.
    """
    fit = _Fit(source)
    kind = _root()
    value = fit.value(kind, document, "")
    return (value if isinstance(value, dict) else {}), fit.places, fit.problems


@lru_cache(maxsize=1)
def _root() -> inspect.Type:
    return inspect.type_info(settings.FileSettings)


class _Fit:
    def __init__(self, source: str) -> None:
        self._source = source
        self.places: dict[str, Marked] = {}
        self.problems: list[Problem] = []

    def value(self, kind: inspect.Type, given: Marked, path: str) -> Any:
        """Return the value as the struct wants it, or `_MISFIT` once that was told."""
        self.places[path] = given
        written = None
        if isinstance(kind, inspect.Metadata):
            written, kind = (kind.extra or {}).get("written"), kind.type
        match kind:
            case inspect.StructType():
                return self._struct(kind, given, path)
            case inspect.DictType():
                return self._mapping(kind, given, path)
            case inspect.VarTupleType() | inspect.ListType():
                return self._list(kind, given, path)
            case inspect.UnionType():
                return self._union(kind, given, path)
            case inspect.AnyType():
                return plain(given)
            case _:
                return self._scalar(kind, written, given, path)

    def _struct(self, kind: inspect.StructType, given: Marked, path: str) -> Any:
        if given.value is None and path in ("", *FACULTIES, "daemon"):
            return {}
        if not isinstance(given.value, dict):
            return self._misfit(given, path, "a mapping")
        fields = {field.encode_name: field for field in kind.fields}
        found: dict[str, Any] = {}
        for key, keyed in given.value.items():
            inner = f"{path}.{key}" if path else key
            if key in fields:
                value = self.value(fields[key].type, keyed.member, inner)
                if value is not _MISFIT:
                    found[key] = value
            else:
                self._unknown(key, keyed, path, inner, fields)
        for name, field in fields.items():
            if field.required and name not in given.value:
                self._tell("CFG-E04", f"lacks the key {name!r}", path, given)
                return _MISFIT
        return _MISFIT if any(f.required and n not in found for n, f in fields.items()) else found

    def _unknown(self, key: str, keyed: Keyed, path: str, inner: str, known: Iterable[str]) -> None:
        if path in FACULTIES and key in CHART_KEYS:
            shapes = CHART_KEYS[key]
            if isinstance(keyed.member.value, shapes):
                self._tell("CFG-I01", "read by the Helm chart only", inner, keyed)
            else:
                self._misfit(keyed.member, inner, " or ".join(_SHAPES[one] for one in shapes))
            return
        if not path and key in LATER:
            self._tell(
                "CFG-E03",
                "this version of mnedge has no such section",
                inner,
                keyed,
                hint="leave it out",
            )
            return
        names = list(known)
        near = get_close_matches(key, names, n=1, cutoff=0.5) or [
            name for name in names if name.lower() == key.replace("_", "").lower()
        ]
        self._tell(
            "CFG-E03",
            f"nobody knows this key; did you mean {near[0]}?" if near else "nobody knows this key",
            inner,
            keyed,
            expected="" if near else f"one of {', '.join(sorted(names))}",
        )

    def _mapping(self, kind: inspect.DictType, given: Marked, path: str) -> Any:
        if not isinstance(given.value, dict):
            return self._misfit(given, path, "a mapping")
        values = {
            key: self.value(kind.value_type, keyed.member, f"{path}.{key}")
            for key, keyed in given.value.items()
        }
        return {key: value for key, value in values.items() if value is not _MISFIT}

    def _list(self, kind: inspect.VarTupleType | inspect.ListType, given: Marked, path: str) -> Any:
        if not isinstance(given.value, list):
            return self._misfit(given, path, "a list")
        values = [
            self.value(kind.item_type, item, f"{path}[{number}]")
            for number, item in enumerate(given.value)
        ]
        return [value for value in values if value is not _MISFIT]

    def _union(self, kind: inspect.UnionType, given: Marked, path: str) -> Any:
        if kind.includes_none and given.value is None:
            return None
        kinds = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
        structs = [one for one in kinds if isinstance(one, inspect.StructType)]
        if structs and (isinstance(given.value, dict) or len(kinds) == 1):
            return self.value(structs[0], given, path)
        return self.value(next(one for one in kinds if one not in structs), given, path)

    def _scalar(self, kind: inspect.Type, written: str | None, given: Marked, path: str) -> Any:
        value = given.value
        number = isinstance(value, int | float) and not isinstance(value, bool)
        match kind:
            case inspect.BoolType():
                return (
                    value if isinstance(value, bool) else self._misfit(given, path, "true or false")
                )
            case inspect.LiteralType(values=choices):
                if value in choices:
                    return value
                return self._misfit(given, path, f"one of {', '.join(map(str, choices))}")
            case inspect.StrType():
                if isinstance(value, str):
                    return value
                if number:
                    return given.text
                return self._misfit(given, path, "a text", hint="put it in quotes")
            case _:
                pass
        if written is not None:
            return self._written(written, given, path)
        if isinstance(kind, inspect.IntType) and not isinstance(value, int):
            number = False
        if number:
            return self._bounded(kind, value, given, path)
        whole = "whole " if isinstance(kind, inspect.IntType) else ""
        return self._misfit(given, path, f"a {whole}number")

    def _written(self, form: str, given: Marked, path: str) -> Any:
        read, forms = _FORMS[form]
        found = read(given.text) if isinstance(given.value, int | float | str) else None
        if found is None:
            negative = given.text.strip().startswith("-")
            return self._misfit(given, path, "zero or more" if negative else forms)
        return found

    def _bounded(self, kind: inspect.Type, value: Any, given: Marked, path: str) -> Any:
        if isinstance(kind, inspect.IntType | inspect.FloatType):
            if kind.ge is not None and value < kind.ge:
                return self._misfit(given, path, f"{kind.ge:g} or more")
            if kind.gt is not None and value <= kind.gt:
                return self._misfit(given, path, f"more than {kind.gt:g}")
            if kind.le is not None and value > kind.le:
                return self._misfit(given, path, f"{kind.le:g} or less")
        return value

    def _misfit(self, given: Marked, path: str, expected: str, hint: str = "") -> Any:
        found = "nothing" if given.value is None else _SHAPES.get(type(given.value), "")
        if not found or isinstance(given.value, str):
            found = repr(given.text)
        self._tell("CFG-E04", f"is {found}", path, given, expected=expected, hint=hint)
        return _MISFIT

    def _tell(
        self,
        rule: Rule,
        message: str,
        path: str,
        place: Marked | Keyed,
        *,
        expected: str = "",
        hint: str = "",
    ) -> None:
        self.problems.append(
            Problem(
                rule=rule,
                message=message,
                path=path,
                source=self._source,
                line=place.line,
                column=place.column,
                expected=expected,
                hint=hint,
            )
        )


def plain(given: Marked) -> Any:
    """Return the value without places."""
    if isinstance(given.value, dict):
        return {key: plain(keyed.member) for key, keyed in given.value.items()}
    if isinstance(given.value, list):
        return [plain(item) for item in given.value]
    return given.value
