"""Which of the manifest generations a document is, told from its shape alone."""

from enum import StrEnum
from typing import Any


class Generation(StrEnum):
    """Every shape of manifest that was ever published."""

    A = "A"
    """Root `nodes` and `edges`."""
    B_R = "B-r"
    """Steps, with agent nodes at the root."""
    B_F = "B-f"
    """Steps, with agent nodes inside `flow`; so looks the lowered form of the reference core."""
    C = "C"
    """`workflow` and `agents`."""
    S1 = "S1"
    S2 = "S2"
    """Authoring sources, expanded into C."""
    UNKNOWN = "?"

    @property
    def letter(self) -> str:
        """`A`, `B`, `C` or `S`. What cannot be told is read as the oldest, `A`."""
        return "A" if self is Generation.UNKNOWN else self.value[0]


WORKFLOW_VERSIONS = ("mn.workflow/v1", "mn.workflow/v2")
SOURCE_VERSIONS = ("mn.workflow.source/v1", "mn.workflow.source/v2")


def detect(manifest: dict[str, Any]) -> Generation:
    """Return the generation.

    Source: bundle format 2.1.
    """
    version = manifest.get("apiVersion")
    if isinstance(version, str) and version.startswith("mn.workflow.source/"):
        return Generation.S1 if version.endswith("/v1") else Generation.S2
    agents = manifest.get("agents")
    if isinstance(manifest.get("workflow"), dict) or (
        isinstance(agents, dict) and "nodes" in agents
    ):
        return Generation.C
    flow = manifest.get("flow")
    if isinstance(flow, dict):
        if isinstance(flow.get("nodes"), list):
            return Generation.B_F
        if isinstance(manifest.get("nodes"), list):
            return Generation.B_R
    if isinstance(manifest.get("nodes"), list):
        return Generation.A
    return Generation.UNKNOWN
