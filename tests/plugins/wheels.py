"""Wheels made by hand: good ones, and such as nobody should ever meet."""

import base64
import hashlib
import io
import textwrap
import zipfile
from collections.abc import Mapping
from pathlib import Path

from mnedge.ports import Launch

GROUP = "mnedge.plugins"
RECORD = "acme_runner-1.0.dist-info/RECORD"
NAME = "acme_runner-1.0-py3-none-any.whl"
LAUNCH = Launch(
    token="j/a/1",
    name="x",
    command=("true",),
    workspace="/",
    workdir="/",
    environment={},
    timeout_s=5.0,
    grace_s=1.0,
    max_output_bytes=100,
)
RUNNER = """
from mnedge.hookspecs import hookimpl
from mnedge.model.states import OutcomeStatus
from mnedge.ports import Finished


class Echo:
    name = "acme"
    modules = ("Acme.Runner",)
    isolation = "process"

    def available(self):
        return None

    async def run(self, launch, on_line):
        on_line(b"hello")
        return Finished(status=OutcomeStatus.SUCCEEDED, exit_code=0, stdout=b'{"said": "acme"}')

    async def sweep(self, tokens):
        return 0


@hookimpl
def runners():
    return [Echo()]
"""


def hashed(content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest())
    return "sha256=" + digest.decode().rstrip("=")


def files_of(
    name: str = "acme-runner",
    version: str = "1.0",
    modules: Mapping[str, str | bytes] | None = None,
    *,
    requires: tuple[str, ...] = (),
    points: Mapping[str, str] | None = None,
    tags: tuple[str, ...] = ("py3-none-any",),
    headers: str = "",
) -> dict[str, bytes]:
    """Return the files of a distribution, RECORD last."""
    modules = {"acme_runner.py": RUNNER} if modules is None else modules
    points = {"acme": "acme_runner"} if points is None else points
    folder = f"{name.replace('-', '_')}-{version}.dist-info"
    found = {
        path: textwrap.dedent(text).encode() if isinstance(text, str) else text
        for path, text in modules.items()
    }
    needs = "".join(f"Requires-Dist: {line}\n" for line in requires)
    found[f"{folder}/METADATA"] = (
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        f"Summary: made by a test\n{needs}{headers}\n"
    ).encode()
    told = "".join(f"Tag: {tag}\n" for tag in tags)
    found[f"{folder}/WHEEL"] = f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\n{told}".encode()
    if points:
        lines = "".join(f"{key} = {value}\n" for key, value in points.items())
        found[f"{folder}/entry_points.txt"] = f"[{GROUP}]\n{lines}".encode()
    return with_record(found, f"{folder}/RECORD")


def with_record(files: Mapping[str, bytes], record: str) -> dict[str, bytes]:
    """Return the files and a RECORD that fits them."""
    lines = [f"{path},{hashed(content)},{len(content)}" for path, content in files.items()]
    return {**files, record: "".join(f"{line}\n" for line in (*lines, f"{record},,")).encode()}


def packed(files: Mapping[str, bytes]) -> bytes:
    """Return a zip archive of the files."""
    told = io.BytesIO()
    with zipfile.ZipFile(told, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return told.getvalue()


def wheel(
    folder: Path,
    name: str = "acme-runner",
    version: str = "1.0",
    modules: Mapping[str, str | bytes] | None = None,
    *,
    tag: str = "py3-none-any",
    **more: object,
) -> Path:
    """Write a wheel, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    files = files_of(name, version, modules, tags=(tag,), **more)  # type: ignore[arg-type]
    path = folder / f"{name.replace('-', '_')}-{version}-{tag}.whl"
    path.write_bytes(packed(files))
    return path


def unpacked(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write the files of a distribution into a folder, as an installer leaves them."""
    for path, content in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    return folder


def written(folder: Path, files: Mapping[str, bytes] | bytes, name: str = NAME) -> Path:
    """Write a wheel with these files, or whatever else under its name."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(files if isinstance(files, bytes) else packed(files))
    return path
