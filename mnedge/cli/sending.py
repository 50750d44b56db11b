"""A blueprint on its way to a daemon: what the options say, and the files, as `POST /jobs` takes
it."""

from pathlib import Path
from typing import Any

import msgspec

from mnedge.bundle.config import Setting, with_setting
from mnedge.bundle.load import Bundle
from mnedge.cli.remote import sent
from mnedge.errors import UsageError

PAYLOADS = "payloads"
MOST_BYTES = 44 << 20
"""Of files; in JSON they must fit into what a daemon takes."""


class TooLargeError(UsageError):
    """The blueprint has more files than can be sent."""

    code = "blueprint.too_large"


def by_name(
    name: str, overrides: dict[str, Any] | None, settings: list[Setting], run_id: str | None
) -> dict[str, Any]:
    """Return the request for a blueprint that the node has itself."""
    config: dict[str, Any] = dict(overrides or {})
    for setting in settings:
        config = with_setting(config, setting)
    return _without_nothing({"blueprint": name, "config": config or None, "run_id": run_id})


def by_files(bundle: Bundle, run_id: str | None) -> dict[str, Any]:
    """Return the request with manifest, files and config of a bundle that was opened here.

    Raises: TooLargeError.
    """
    manifest, payloads = files_of(bundle)
    return _without_nothing(
        {
            "manifest": manifest,
            "payloads": sent(payloads),
            "config": bundle.config,
            "run_id": run_id,
        }
    )


def files_of(bundle: Bundle) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the manifest, expanded if it is an authoring source, and the payload files.

    Raises: TooLargeError.
    """
    found: dict[str, bytes] = {}
    size_bytes = 0
    root = bundle.root / PAYLOADS
    for path in _below(root):
        size_bytes += path.stat().st_size
        if size_bytes > MOST_BYTES:
            raise TooLargeError(
                f"the payloads of '{bundle.label}' are larger than {MOST_BYTES >> 20} MiB",
                hint="copy the folder to the node, and run it there",
            )
        found[path.relative_to(root).as_posix()] = path.read_bytes()
    manifest: dict[str, Any] = msgspec.to_builtins(bundle.subject.graph or bundle.manifest)
    return manifest, found


def _below(root: Path) -> list[Path]:
    return sorted(
        path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    )


def _without_nothing(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}
