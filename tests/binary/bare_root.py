"""A machine with a shell and the C library, and without Python: the one file meets only that."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

PROGRAMS = (
    "awk", "base64", "basename", "bash", "cat", "chmod", "cksum", "cp", "cut", "date", "dirname",
    "env", "expr", "false", "find", "grep", "gzip", "head", "id", "kill", "ln", "ls", "mkdir",
    "mktemp", "mv", "od", "printf", "readlink", "rm", "rmdir", "sed", "seq", "sh", "sha256sum",
    "sleep", "sort", "stat", "tail", "tar", "tee", "test", "touch", "tr", "true", "uname", "uniq",
    "wc", "xargs",
)  # fmt: skip
"""What the smallest Debian, or a busybox, brings; no Python, no Perl."""
LOADED_LATE = ("libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2", "libm.so.6",
               "libdl.so.2", "libpthread.so.0", "librt.so.1", "libutil.so.1")  # fmt: skip
"""Parts of the C library that programs open by name."""
WITHIN_S = 120.0


def laid_out(root: Path, programs: Sequence[str] = PROGRAMS) -> Path:
    """Make the root file system."""
    for name in ("bin", "dev", "etc", "opt", "proc", "srv", "tmp", "usr", "var"):
        (root / name).mkdir(parents=True)
    (root / "usr" / "bin").symlink_to("../bin")
    (root / "etc" / "passwd").write_text("root:x:0:0:root:/srv:/bin/sh\n")
    libraries = set()
    for name in programs:
        found = shutil.which(name)
        if found is None:
            continue
        shutil.copy(os.path.realpath(found), root / "bin" / name)
        libraries |= set(needed(found))
    places = {os.path.dirname(path) for path in libraries if path.endswith("libc.so.6")}
    libraries |= {f"{place}/{name}" for place in places for name in LOADED_LATE}
    for path in sorted(libraries):
        if os.path.exists(path):
            target = root / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(os.path.realpath(path), target)
    return root


def needed(program: str) -> list[str]:
    """Return the libraries that the loader finds for a program."""
    said = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    words = [word for line in said.splitlines() for word in line.split()]
    return [word for word in words if word.startswith("/")]


class BareRoot:
    """Runs programs in the root, alone in their process namespace, as its root user."""

    def __init__(self, root: Path, *options: str) -> None:
        self.root = root
        self._options = options

    def bring(self, file: Path, name: str) -> None:
        """Copy a file into it."""
        shutil.copy(file, self.root / name.lstrip("/"))

    def run(
        self, *words: str, code: int | None = 0, within_s: float = WITHIN_S, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end; `code` None: whatever the exit code."""
        bound = [
            *("bwrap", "--bind", str(self.root), "/", "--proc", "/proc", "--dev", "/dev"),
            *("--tmpfs", "/tmp", "--chdir", "/srv", "--unshare-pid", "--die-with-parent"),
            *self._options,
        ]
        done = subprocess.run(
            [*bound, *words],
            capture_output=True,
            text=True,
            env={"PATH": "/bin", "HOME": "/srv", **environ},
            timeout=within_s,
            check=False,
        )
        if code is not None:
            assert done.returncode == code, done.stdout + done.stderr
        return done
