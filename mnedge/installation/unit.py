"""The systemd unit of a node: one template, filled in. Nix fills in the same one.

Source: systemd.syntax(7), systemd.exec(5), systemd.service(5).
"""

import re
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from mnedge.errors import UsageError

TEMPLATE = Path(__file__).with_name("mnedge.service")
_PLACE = re.compile(r"@([A-Z_]+)@")
_PLAIN = re.compile(r"[\w./:=@%+,~\[\]$-]+", re.ASCII)


class UnitValueError(UsageError):
    """A value cannot stand in a systemd unit."""

    code = "install.unit_value"


class Service(Struct, frozen=True, kw_only=True):
    """What differs between the units of two machines; the defaults are what `install` writes."""

    program: str = "/usr/local/bin/mnedge"
    config_file: str = "/etc/mnedge/config.yaml"
    user: str = "mnedge"
    group: str = "mnedge"
    data_dir: str = "/var/lib/mnedge"
    state: str = "mnedge"
    """The data directory as systemd makes it: a folder below `/var/lib`."""
    writable: tuple[str, ...] = ("/var/lib/mnedge",)
    """All else is read-only; a folder that is not there is passed over."""
    environment: tuple[tuple[str, str], ...] = (
        ("MN_HOME", "/var/lib/mnedge/mn"),
        ("MNEDGE_RUNTIME_DIR", "/opt/mnedge/runtime"),
    )
    networks: tuple[str, ...] = ("any",)
    """Which addresses the node and its workers may reach, and be reached from."""
    kill: str = "/bin/kill"


def template() -> str:
    """Return the text with its places: `@EXEC@` and so on."""
    return TEMPLATE.read_text(encoding="utf-8")


def filled(text: str, service: Service) -> str:
    """Return the unit.

    Raises: UnitValueError for a value with a line break in it.
    """
    values = places(service)
    return _PLACE.sub(lambda found: values[found[1]], text)


def places(service: Service) -> Mapping[str, str]:
    """Return what stands at each place of the template."""
    return {
        "EXEC": _command(service.program),
        "CONFIG": _command(service.config_file),
        "USER": _line(service.user),
        "GROUP": _line(service.group),
        "DATA_DIR": _words(service.data_dir),
        "STATE": _words(service.state),
        "WRITABLE": _words(*(f"-{folder}" for folder in service.writable)),
        "ENVIRONMENT": _words(*(f"{name}={value}" for name, value in service.environment)),
        "NETWORKS": _words(*service.networks),
        "KILL": _command(service.kill),
    }


def user_of(text: str) -> str | None:
    """Return the user that a unit names."""
    return _value(text, "User")


def group_of(text: str) -> str | None:
    """Return the group that a unit names."""
    return _value(text, "Group")


def networks_of(text: str) -> tuple[str, ...]:
    """Return the addresses that a unit lets through; empty if it does not say."""
    return tuple((_value(text, "IPAddressAllow") or "").split())


def _value(text: str, key: str) -> str | None:
    found = re.search(rf"^{key}=(\S.*)$", text, re.MULTILINE)
    return found[1].strip() if found else None


def _words(*words: str) -> str:
    return " ".join(_word(word) for word in words)


def _word(text: str) -> str:
    """Return a word as systemd reads it: specifiers told apart, quoted where it has to be."""
    told = _line(text).replace("%", "%%")
    if _PLAIN.fullmatch(told):
        return told
    escaped = told.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _command(text: str) -> str:
    """Return a word of a command line, where `$` begins a variable."""
    return _word(text.replace("$", "$$"))


def _line(text: str) -> str:
    if not text or not text.isprintable():
        raise UnitValueError(
            f"{text!r} cannot stand in a systemd unit",
            hint="choose a name without line breaks and control characters",
        )
    return text
