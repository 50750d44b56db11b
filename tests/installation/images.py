"""A small image of a machine in a folder, and a program to install in it."""

from hashlib import sha256
from pathlib import Path

from mnedge.installation.box import Program

STUB = """#!/bin/sh
mkdir -p "$MNEDGE_RUNTIME_DIR/key/mnedge"
: > "$MNEDGE_RUNTIME_DIR/key/complete"
echo mnedge 0.5.0
"""


def image(folder: Path) -> Path:
    """Return the root of a machine with systemd, root and a group that opens cameras."""
    root = folder / "image"
    for path in ("etc/systemd/system", "usr/lib/systemd", "usr/sbin", "var/lib", "usr/local/bin"):
        (root / path).mkdir(parents=True)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nvideo:x:44:\n")
    (root / "etc/shadow").write_text("root:*:19000:0:99999:7:::\n")
    (root / "etc/gshadow").write_text("root:*::\nvideo:*::\n")
    (root / "etc/login.defs").write_text("SYS_UID_MAX 999\nSYS_GID_MAX 999\n")
    (root / "usr/sbin/nologin").write_text("")
    (root / "usr/lib/systemd/systemd").write_text("")
    return root


def program(folder: Path, text: str = STUB) -> Program:
    """Return a file that unpacks itself as the one file does."""
    file = folder / "mnedge-file"
    file.write_text(text)
    file.chmod(0o755)
    return Program(file=str(file), version="0.5.0", sha256=sha256(text.encode()).hexdigest())
