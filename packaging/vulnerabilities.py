"""Look up known vulnerabilities of everything in the locks: `python vulnerabilities.py LOCK…`.

Asks a database that speaks OSV's protocol (`OSV_URL` names another one than the public one). Exits
with 0 if none is known, with 1 if some are, with 3 if no database can be reached.
Source: OSV API v1.
"""

import json
import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

PUBLIC = "https://api.osv.dev"
WITHIN_S = 20.0
AT_ONCE = 500
"""Packages in one question; the public database takes a thousand."""
CLEAN, FOUND, WRONG, UNREACHABLE = 0, 1, 2, 3
_PINNED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE)


class Package(NamedTuple):
    """Something that is installed as the locks say."""

    name: str
    version: str


class Known(NamedTuple):
    """A vulnerability of a package."""

    package: Package
    number: str
    summary: str
    fixed_in: str


def pinned(texts: Iterable[str]) -> list[Package]:
    """Return every package that the locks pin, once."""
    found = {
        Package(name.lower().replace("_", "-"), version)
        for text in texts
        for name, version in _PINNED.findall(text)
    }
    return sorted(found)


def asked(address: str, question: object | None = None) -> Any:
    """Return what the database answers.

    Raises: OSError if it cannot be reached; ValueError if it does not speak the protocol.
    """
    body = None if question is None else json.dumps(question).encode()
    request = urllib.request.Request(  # noqa: S310  (an operator's own address)
        address, data=body, headers={"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=WITHIN_S) as answer:  # noqa: S310
        return json.load(answer)


def known(base: str, packages: list[Package]) -> Iterator[Known]:
    """Yield what the database knows of these packages; raises as `asked`."""
    for start in range(0, len(packages), AT_ONCE):
        some = packages[start : start + AT_ONCE]
        question = [
            {"package": {"name": one.name, "ecosystem": "PyPI"}, "version": one.version}
            for one in some
        ]
        answer = asked(f"{base}/v1/querybatch", {"queries": question})
        for package, result in zip(some, answer["results"], strict=True):
            for number in sorted(each["id"] for each in result.get("vulns", [])):
                told = asked(f"{base}/v1/vulns/{number}")
                if "withdrawn" not in told:
                    yield Known(package, number, told.get("summary", ""), fixed_in(told, package))


def fixed_in(told: dict[str, Any], package: Package) -> str:
    """Return the versions that a vulnerability is gone in."""
    fixed = {
        event["fixed"]
        for affected in told.get("affected", [])
        if affected.get("package", {}).get("name", "").lower() == package.name
        for span in affected.get("ranges", [])
        if span.get("type") == "ECOSYSTEM"
        for event in span.get("events", [])
        if "fixed" in event
    }
    return ", ".join(sorted(fixed))


def main(locks: list[str]) -> int:
    """Ask, and say what was found."""
    packages = pinned(Path(lock).read_text(encoding="utf-8") for lock in locks)
    if not packages:
        print("vulnerabilities: name files that pin packages", file=sys.stderr)
        return WRONG
    base = os.environ.get("OSV_URL", PUBLIC).rstrip("/")
    try:
        found = list(known(base, packages))
    except (OSError, urllib.error.URLError) as error:
        reason = getattr(error, "reason", None) or error
        print(
            f"vulnerabilities: {base} cannot be reached: {reason}\n"
            f"  nothing was checked; OSV_URL names another database of that kind",
            file=sys.stderr,
        )
        return UNREACHABLE
    except (ValueError, KeyError, TypeError) as error:
        print(f"vulnerabilities: {base} is no such database: {error!r}", file=sys.stderr)
        return UNREACHABLE
    for one in found:
        mend = f"; mended in {one.fixed_in}" if one.fixed_in else ""
        print(f"{one.package.name} {one.package.version}: {one.number} {one.summary}{mend}")
    print(f"vulnerabilities: {len(packages)} packages, {len(found)} known vulnerabilities")
    return FOUND if found else CLEAN


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
