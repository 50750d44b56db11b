"""A small `mn_sdk` for payloads on machines where the published one is not installed.

It has what step definitions, step handlers and Python workflows import: `mn_sdk.step_graph`,
`mn_sdk.step_runtime`, and the decorators `mn_sdk.agent` and `mn_sdk.workflow`.
"""

from pathlib import Path

PACKAGE = "mn_sdk"
_HERE = Path(__file__).parent
_MODULES = {
    "step_graph.py": "sdk_step_graph.py",
    "step_runtime.py": "sdk_step_runtime.py",
    "workflows.py": "sdk_workflows.py",
}
_INIT = '''"""A stand-in: step_graph, step_runtime and the decorators of the published package."""
from .workflows import agent, workflow
__version__ = "0+mnedge"
'''


def laid_out(folder: Path) -> Path:
    """Write the package into the folder, and return the folder: it belongs on PYTHONPATH, last."""
    package = folder / PACKAGE
    package.mkdir(parents=True, exist_ok=True)
    for name, content in contents().items():
        (package / name).write_bytes(content)
    return folder


def contents() -> dict[str, bytes]:
    """Return the files of the package by name."""
    return {
        "__init__.py": _INIT.encode(),
        **{name: (_HERE / source).read_bytes() for name, source in _MODULES.items()},
    }
