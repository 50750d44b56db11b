"""Every rule there is: importing this module imports the modules that declare them."""

from mnedge.bundle.rules import (
    agents,
    completion,
    config_behaviour,
    config_sections,
    config_surfaces,
    files,
    graph,
    inputs,
    manifest,
    metadata,
    running,
    runtime,
    schedule,
    secrets,
)
from mnedge.bundle.rules.registry import declared

MODULES = (
    files,
    manifest,
    metadata,
    graph,
    agents,
    completion,
    runtime,
    schedule,
    config_sections,
    config_surfaces,
    config_behaviour,
    secrets,
    inputs,
    running,
)
RULES = declared()
"""In the order they run and are listed."""
