"""`python -m tests.corpus.table`: every outcome of the corpus as one Markdown table."""

from collections.abc import Sequence

from tests.corpus.survey import CORPUS, COUNTED, expected, findings, folders, opened, uncounted

COLUMNS = (
    "Snapshot",
    "Bundle",
    "Gen",
    "Valid (default)",
    "E",
    "strict-only",
    "W",
    "as surveyed",
    "beyond the survey",
)
NONE = "-"


def table() -> str:
    """Return the table."""
    rows = []
    for folder in folders():
        bundle = opened(folder)
        found = findings(bundle)
        same = found.only(COUNTED) == expected(folder)
        missing = sorted(
            frozenset().union(*expected(folder)) - frozenset().union(*found.only(COUNTED))
        )
        cells = [
            folder.parent.name,
            folder.name,
            str(bundle.generation),
            "no" if bundle.errors else "yes",
            *(part or NONE for part in found.only(COUNTED).listed()),
            "yes" if same else f"but for {' '.join(missing)}",
            " ".join(uncounted(found)) or NONE,
        ]
        rows.append(_row(cells))
    return "\n".join([_row(COLUMNS), _row(["---"] * len(COLUMNS)), *rows])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    print(table() if CORPUS.is_dir() else f"there is no corpus at {CORPUS.name}")
