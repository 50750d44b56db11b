"""What `mnedge update` says of an offer, of a trial that goes on, and of what came of it. Pure."""

from pathlib import Path

import mnedge
from mnedge.config.layout import Layout
from mnedge.config.settings import Updates
from mnedge.updates.alone import old_of
from mnedge.updates.envelope import Release
from mnedge.updates.prepare import Offer
from mnedge.updates.trial import Outcome, Trial

STANDINGS = {
    "newer": "is newer than",
    "same": "is",
    "rebuilt": "is another build of",
    "older": "is older than",
}
PHASES = {
    "ready": "it is taken over by {trial.old.version}, which carries the update",
    "trying": "{trial.new.version} takes over and proves itself for {trial.settle_s:g} s",
    "confirming": "it is well",
    "returning": "back to {trial.old.version}: {trial.why}",
}


def offer_told(offer: Offer) -> str:
    """Return how a release stands to what runs here."""
    told = f"mnedge {offer.release.version} {STANDINGS[offer.standing]} what runs here"
    return told if offer.standing == "same" else f"{told} ({mnedge.__version__})"


def phase_told(trial: Trial) -> str:
    """Return what is done just now."""
    return PHASES[trial.phase].format(trial=trial)


def outcome_told(outcome: Outcome) -> str:
    """Return what came of an update, in one sentence."""
    if outcome.result == "confirmed":
        place = "runs" if outcome.runs else "is in its place, the node stopped as it was"
        told = f"mnedge {outcome.to_version} {place}; before: {outcome.from_version}"
        return told if outcome.well else f"{told}; BUT IT IS NOT WELL NOW: {outcome.unwell}"
    if outcome.result == "abandoned":
        return f"mnedge {outcome.from_version} stays: {outcome.why}"
    told = f"mnedge {outcome.to_version} was not taken: {outcome.why}; "
    if not outcome.runs:
        return f"{told}{outcome.from_version} is back, the node stopped as it was"
    if outcome.well:
        return f"{told}{outcome.from_version} runs again, and is well"
    return f"{told}{outcome.from_version} is back, AND NOT WELL EITHER: {outcome.unwell}"


def steps_of_node(offer: Offer, layout: Layout, settings: Updates) -> list[str]:
    """Return what an update of an installed node would do."""
    return [
        f"{_fetched(offer.release)}, place them in {layout.releases / offer.id}",
        "unpack it, run its self-test without rights",
        "let new data be written as this version can read them",
        f"switch {layout.current}, restart the node",
        f"wait until it is well (at most {settings.health_timeout:g} s), and stays so for "
        f"{settings.settle:g} s; else switch back and restart the old one",
        "confirm; remove releases older than this one",
    ]


def steps_of_file(offer: Offer, file: Path) -> list[str]:
    """Return what an update of a file that nobody installed would do."""
    return [
        _fetched(offer.release),
        "run its self-test",
        f"keep {file} as {old_of(file).name}, and put the new file in its place",
    ]


def _fetched(release: Release) -> str:
    return f"fetch {release.size >> 20} MiB, compare them with what was signed"
