"""Licences and bill of materials of what was frozen: `python supply.py FOLDER OUT NAME`.

FOLDER holds the executable and `_internal`; OUT gets `NAME.cdx.json`. Run by the build, with the
environment that was frozen. REPORT (pip's) and WHEEL (ours) name files that hashes come from.
"""

import os
import sys
from pathlib import Path

import floor
import licences
import sbom


def main(folder: Path, out: Path, name: str) -> int:
    """Write both; return 1 if something may not be shipped."""
    if code := licences.main(folder):
        return code
    report, wheel = (Path(value) if (value := os.environ.get(one)) else None for one in _NAMED)
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    bill = sbom.document(
        folder,
        "full" if name.endswith("-full") else "lean",
        sbom.wheel_hashes(report, wheel),
        int(epoch) if epoch else None,
    )
    sbom.write(bill, folder, out / f"{name}.cdx.json")
    needs = floor.text(floor.of(folder))
    print(f"supply: {len(bill['components'])} parts, needs glibc {needs}")
    return 0


_NAMED = ("REPORT", "WHEEL")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
