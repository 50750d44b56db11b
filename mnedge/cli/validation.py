"""What `blueprint validate` says."""

from pathlib import Path
from typing import Any

from mnedge.bundle.load import Bundle, open_bundle, valid_text
from mnedge.cli import problems
from mnedge.cli.screen import Screen
from mnedge.cli.show import BAD, GOOD, counted


def tell(screen: Screen, path: Path, profile: str, *, run_code: bool = True) -> int:
    """Print every problem of the bundle; return 1 if there are errors, else 0.

    `run_code` as for `open_bundle`.
    """
    with open_bundle(path, profile=profile, run_code=run_code) as bundle:
        match screen.asked.output:
            case "json":
                screen.document(document(bundle, profile))
            case "ndjson":
                screen.records(problem.record() for problem in bundle.problems)
            case _:
                _tell_person(screen, bundle)
        return 1 if bundle.errors else 0


def document(bundle: Bundle, profile: str) -> dict[str, Any]:
    """Return the outcome for programs."""
    return {
        "bundle": bundle.label,
        "blueprint_id": bundle.blueprint_id,
        "valid": not bundle.errors,
        "profile": profile,
        "generation": bundle.generation,
        "fingerprint": bundle.fingerprint,
        "problems": [problem.record() for problem in bundle.problems],
    }


def _tell_person(screen: Screen, bundle: Bundle) -> None:
    records = [problem.record() for problem in bundle.problems]
    style, mark = ("bold red", BAD) if bundle.errors else ("bold green", GOOD)
    headline = valid_text(bundle)
    if bundle.errors:
        headline = f"Job bundle at '{bundle.label}' is not valid: {problems.totals(records)}"
    screen.mark(mark, style, headline)
    if records:
        screen.say("", *problems.report(records, every_warning=screen.asked.verbose))
    if bundle.spec is not None:
        spec = bundle.spec
        facts = f"{counted(len(spec.agents), 'agent')}, {counted(len(spec.edges), 'edge')}"
        screen.say("")
        screen.hint(f"generation {bundle.generation}, {facts}, {bundle.fingerprint}")
