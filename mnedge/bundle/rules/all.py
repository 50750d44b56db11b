"""Every rule there is: importing this module imports the modules that declare them."""

from mnedge.bundle.rules import files
from mnedge.bundle.rules.registry import declared

MODULES = (files,)
RULES = declared()
"""In the order they run and are listed."""
