"""SHA-256 of the shipped files: `python checksums.py OUT` writes OUT/SHA256SUMS.

`sha256sum -c SHA256SUMS` checks them.
"""

import sys
from hashlib import sha256
from pathlib import Path

FILE = "SHA256SUMS"
UNSHIPPED = (".release.json", FILE)
"""Envelopes check themselves, and may be made later."""


def main(out: Path) -> None:
    """Write the sums of the plain files that stand there, by name."""
    files = [path for path in sorted(out.iterdir()) if path.is_file() and not path.is_symlink()]
    lines = [
        f"{sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in files
        if not path.name.endswith(UNSHIPPED) and not path.name.startswith(".")
    ]
    (out / FILE).write_text("".join(lines))
    print(f"checksums: {len(lines)} files")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
