"""A small `mn_sdk` for payloads on machines where the published one is not installed.

It has what step definitions, step handlers and Python workflows import: `mn_sdk.step_graph`,
`mn_sdk.step_runtime`, and the decorators `mn_sdk.agent` and `mn_sdk.workflow`.
It gives way to the published package, so it may stand first on PYTHONPATH as well as last.
"""

from pathlib import Path

PACKAGE = "mn_sdk"
_HERE = Path(__file__).parent
_MODULES = {
    "__init__.py": "sdk_package.py",
    "step_graph.py": "sdk_step_graph.py",
    "step_runtime.py": "sdk_step_runtime.py",
    "workflows.py": "sdk_workflows.py",
}


def laid_out(folder: Path) -> Path:
    """Write the package into the folder, and return the folder: it belongs on PYTHONPATH.

    What stands there already and is the same stays untouched, so that many may call this at once.
    """
    package = folder / PACKAGE
    package.mkdir(parents=True, exist_ok=True)
    for name, content in contents().items():
        file = package / name
        if not file.is_file() or file.read_bytes() != content:
            unfinished = file.with_suffix(".new")
            unfinished.write_bytes(content)
            unfinished.replace(file)
    return folder


def contents() -> dict[str, bytes]:
    """Return the files of the package by name."""
    return {name: (_HERE / source).read_bytes() for name, source in _MODULES.items()}
