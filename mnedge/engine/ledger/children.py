"""Rounds of planned steps inside a parent step.

Source: bundle format 3.11.
"""

from typing import Any

from mnedge.engine.ledger.state import StepState
from mnedge.engine.turn import Turn


def takes_over(turn: Turn, step: StepState, output: Any) -> bool:
    """Tell whether the step's child workflow goes on where its own work ends."""
    return False
