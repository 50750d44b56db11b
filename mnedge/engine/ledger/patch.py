"""Changes of the graph while it runs: patches, checkpoints of controllers, fan-outs that end.

Source: bundle format 3.10.
"""

from typing import Any

from mnedge.engine.ledger.settle import attempt_failed
from mnedge.engine.ledger.state import StepState
from mnedge.engine.ledger.telling import tell_step
from mnedge.engine.turn import Turn


def patch(turn: Turn, step: StepState, payload: dict[str, Any]) -> None:
    """Apply a patch that the region's controller asks for, wholly or not at all."""
    reason = "dynamic graphs are not enabled"
    tell_step(turn, "workflow_graph_patch_rejected", step, reason=reason)
    attempt_failed(turn, step, reason)


def checkpoint(turn: Turn, step: StepState, payload: dict[str, Any]) -> None:
    """Let a controller rest until what it fanned out is done."""
    tell_step(turn, "workflow_controller_checkpoint_rejected", step, reason="not a controller")
