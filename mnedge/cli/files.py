"""`job artifacts` and `job artifact get`: files that a job left, wherever it ran."""

import os
import sys
from pathlib import Path

from mnedge.cli.reach import desk
from mnedge.cli.screen import Screen
from mnedge.cli.show import Cell, columns
from mnedge.cli.verbs import Asked
from mnedge.errors import ConflictError
from mnedge.model.amounts import size


class FileThereError(ConflictError):
    """The file that should be written is there already."""

    code = "artifact.file_there"


async def tell_files(asked: Asked, job_id: str) -> None:
    """Print the files with size and type."""
    async with desk(asked) as there:
        found_id, files = await there.artifacts(job_id)
    screen = Screen(asked)
    if not asked.human:
        screen.records(files)
        return
    rows = [
        (
            Cell(str(one["path"])),
            Cell(size(float(one["size_bytes"])), "dim", right=True),
            Cell(str(one.get("content_type") or ""), "dim"),
        )
        for one in files
    ]
    screen.say(*columns(rows, width=screen.width))
    if files:
        screen.hint(f"mnedge job artifact get {found_id} PATH")
    else:
        screen.say(f"job {found_id} left no files")


async def get_file(asked: Asked, job_id: str, path: str, out: str | None, force: bool) -> None:
    """Write a file to stdout, or to a place: whole, or not at all."""
    async with desk(asked) as there:
        if out is None or out == "-":
            await there.fetch(job_id, path, sys.stdout.buffer.write)
            sys.stdout.buffer.flush()
            return
        target = Path(out).expanduser()
        target = target / Path(path).name if target.is_dir() else target
        if target.exists() and not force:
            raise FileThereError(f"{target} is there already", hint="--force replaces it")
        fresh = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            with open(fresh, "xb") as stream:
                await there.fetch(job_id, path, stream.write)
            os.replace(fresh, target)
        finally:
            fresh.unlink(missing_ok=True)
    screen = Screen(asked)
    size_bytes = target.stat().st_size
    if asked.human:
        screen.good(f"{target}, {size(size_bytes)}")
    else:
        screen.document({"path": str(target), "size_bytes": size_bytes})
