"""`python -m mnedge.bundle.rules`: write the list of rules into the manual."""

from pathlib import Path

import mnedge
from mnedge.bundle.rules.manual import text

PAGE = Path(mnedge.__file__).parent / "docs" / "rules.md"


def main() -> None:
    """Write the page."""
    PAGE.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
