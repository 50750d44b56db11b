"""What things from a plugin outside must look like, and what of them can be trusted to be text.

Nothing here trusts what it looks at, not even that it can be shown.
"""

import re
from inspect import isclass
from typing import Any, TypeGuard

import msgspec

from mnedge.model.resources import Device

METHODS: dict[str, tuple[str, ...]] = {
    "runners": ("available", "run", "sweep"),
    "skills": ("check", "deliver"),
    "devices": ("probe", "environment"),
    "connectors": ("check", "read"),
}
"""Hook → what each thing that it returns must be able to do."""
ISOLATIONS = ("none", "process", "sandbox", "vm")
MOST_NAMES = 64
MOST_LETTERS = 200
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,99}")


def shape_problem(hook: str, thing: object) -> str:
    """Return why a thing is not what the hook promises, or nothing. May raise what `thing` does."""
    if isclass(thing):
        return f"{hook} returned the class {thing.__name__}, not an instance of it"
    name = getattr(thing, "name", None)
    if type(name) is not str or not _NAME.fullmatch(name):
        return f"{hook} returned something whose name is {short(name)}, not a short text"
    for method in METHODS[hook]:
        if not callable(getattr(thing, method, None)):
            return f"{hook} returned {name!r}, which has no method {method}"
    if hook == "runners":
        modules: Any = getattr(thing, "modules", None)
        if not are_texts(modules) or not all(map(_is_wire_name, modules)):
            return f"{hook} returned {name!r}, whose modules are {short(modules)}, not texts"
        isolation = getattr(thing, "isolation", None)
        if isolation not in ISOLATIONS:
            return f"{hook} returned {name!r}, whose isolation is {short(isolation)}"
    if hook == "devices" and not are_texts(watched := getattr(thing, "watched", None)):
        return f"{hook} returned {name!r}, whose watched is {short(watched)}, not folders"
    return ""


def names_of(hook: str, thing: Any) -> tuple[str, ...]:
    """Return the names that no other plugin may have."""
    return (thing.name, *thing.modules) if hook == "runners" else (thing.name,)


def _is_wire_name(text: str) -> bool:
    return 0 < len(text) <= MOST_LETTERS and text.isprintable() and text == text.strip()


def said(error: BaseException) -> str:
    """Return kind and text of an error in one line, even if its text cannot be had."""
    try:
        text = " ".join(str(error).split())[:300].encode(errors="replace").decode()
    except KeyboardInterrupt:
        raise
    except BaseException:
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def is_json(value: object) -> bool:
    """Tell whether it is an object that JSON can hold."""
    if not isinstance(value, dict) or not all(type(key) is str for key in value):
        return False
    try:
        msgspec.json.encode(value)
    except (TypeError, ValueError, RecursionError, OverflowError):
        return False
    return True


def device_problem(device: Device) -> str:
    """Return why a device cannot be listed, asked for or lent, or nothing. Pure."""
    for what, text in (("id", device.id), ("kind", device.kind)):
        if not text or text != text.strip() or not text.isprintable():
            return f"its {what} is {short(text)}, not a short text"
    if "," in device.id:
        return "its id holds a comma, which stands between ids"
    if device.memory_total_mb < 0 or device.shares < 0:
        return "memory_total_mb and shares are 0 or more"
    return "" if device.path.isprintable() else f"its path is {short(device.path)}"


def is_table(value: object, *kinds: type) -> bool:
    """Tell whether it leads from texts to values of these types, to no others."""
    return isinstance(value, dict) and all(
        type(key) is str and type(one) in kinds for key, one in value.items()
    )


def is_text(value: object) -> TypeGuard[str]:
    """Tell whether it is a text that can be written down: half a surrogate pair cannot."""
    if type(value) is not str:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def are_texts(value: object) -> bool:
    """Tell whether it is a short list of texts."""
    return (
        isinstance(value, list | tuple)
        and len(value) <= MOST_NAMES
        and all(is_text(text) for text in value)
    )


def is_variable(name: object, value: object) -> bool:
    """Tell whether an environment can hold it."""
    if not is_text(name) or not is_text(value):
        return False
    return bool(name) and "=" not in name and "\0" not in name + value


def short(value: object) -> str:
    """Return a value in a few words; a value that cannot even be shown is called by its type."""
    try:
        text = repr(value)
    except KeyboardInterrupt:
        raise
    except BaseException:
        text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"a {type(value).__name__}"
