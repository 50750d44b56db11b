"""Licences and bill of materials of what was frozen: `python supply.py FOLDER OUT NAME`.

FOLDER holds the executable and `_internal`; OUT gets `NAME.cdx.json`. Run by the build, with the
environment that was frozen. REPORT (pip's) and WHEEL (ours) name files that hashes come from.
"""

import sys
from pathlib import Path

import licences
import sbom


def main(folder: Path, out: Path, name: str) -> int:
    """Write both; return 1 if something may not be shipped."""
    if code := licences.main(folder):
        return code
    flavour = "full" if name.endswith("-full") else "lean"
    bill = sbom.write(folder, flavour, out / f"{name}.cdx.json")
    told = {one["name"]: one["value"] for one in bill["metadata"]["component"]["properties"]}
    print(f"sbom: {len(bill['components'])} parts, needs glibc {told['mnedge:glibc']}")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
