"""What the self-test looks for in the program: modules, libraries, files. Nothing is started."""

import platform
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import mnedge
from mnedge import shipped
from mnedge.plugins.loading import BUNDLED

LEAST_MODULES = 300
"""So many modules mnedge has at least: a walk that finds fewer does not see what is there."""
APART = ("mnedge.testing", "mnedge.bundle.rules.__main__", "mnedge.__main__")
"""Meant for other programs: test suites of plugin authors, and what runs when it is imported."""
LIBRARIES = (
    "_cffi_backend",
    "anyio._backends._trio",
    "certifi",
    "cryptography.hazmat.primitives.asymmetric.ed25519",
    "h2.connection",
    "httpcore._backends.trio",
    "httpx",
    "hypercorn.trio",
    "jinja2",
    "jwt",
    "markdown_it",
    "msgspec",
    "psutil",
    "rich.console",
    "starlette.applications",
    "trio",
    "wsproto",
    "yaml",
)
"""What is imported only when it is needed, or by other libraries behind our back."""
BROUGHT = ("hiredis", "paramiko", "redis")
"""What the frozen program brings beyond that."""
STANDARD = (
    "ctypes", "decimal", "hashlib", "lzma", "multiprocessing", "sqlite3", "ssl", "unittest", "uuid",
    "venv", "xml.etree.ElementTree", "zoneinfo",
)  # fmt: skip
"""Modules of the standard library that plugins may expect; some are compiled."""
TEMPLATES, STATIC = "gateway/console/templates", "gateway/console/static"
FILES = (
    "bundle/source/step_host.py",
    "bundle/source/sdk_package.py",
    "execution/module_host.py",
    "hot/become.py",
    "docs/cli.md",
    f"{TEMPLATES}/base.html",
)
"""Files of the package that are read, or run by another interpreter, where they stand."""


def described() -> str:
    """Return in one line which program this is, and what it runs on."""
    how = "frozen" if shipped.frozen() else "from source"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    library, version = platform.libc_ver()
    machine = f"{platform.system()} {platform.machine()}"
    libc = f", {library} {version}" if library else ""
    return f"mnedge {mnedge.__version__}, {how}, {python}, {machine}{libc}"


def all_modules() -> list[str]:
    """Return the names of all modules of mnedge and of its bundled plugins."""
    packages = ["mnedge", *sorted({name.partition(".")[0] for name in BUNDLED})]
    below = _below_frozen if shipped.frozen() else _below
    found = [name for package in packages for name in (package, *below(package))]
    return [name for name in found if not name.startswith(APART)]


def _below(package: str) -> Iterator[str]:
    for info in walk_packages(import_module(package).__path__, f"{package}."):
        yield info.name


def _below_frozen(package: str) -> Iterator[str]:
    """Ask the archive inside the executable: its modules are nowhere on a disk."""
    tree = import_module("pyimod02_importers").get_pyz_toc_tree()
    for part in package.split("."):
        tree = tree.get(part, {})
    for name, node in tree.items() if isinstance(tree, Mapping) else ():
        yield f"{package}.{name}"
        if isinstance(node, Mapping):
            yield from _below_frozen(f"{package}.{name}")


def unimportable(names: Sequence[str]) -> list[str]:
    """Import them all; return what is wrong with those that cannot be."""
    wrong = []
    for name in names:
        try:
            import_module(name)
        except Exception as error:  # a module may raise what it likes
            wrong.append(f"{name}: {type(error).__name__}: {error}")
    return wrong


def libraries() -> list[str]:
    """Return the modules of others that must be here."""
    return [*LIBRARIES, *STANDARD, *(BROUGHT if shipped.frozen() else ())]


def broken_libraries() -> list[str]:
    """Use what loads data, or modules with made-up names, behind our back; return what fails."""
    wrong = []
    for name, use in _USES.items():
        try:
            use()
        except Exception as error:  # a library may raise what it likes
            wrong.append(f"{name}: {type(error).__name__}: {error}")
    return wrong


def _certificates() -> None:
    import ssl

    import certifi

    ssl.create_default_context(cafile=certifi.where())


def _encodings() -> None:
    "é".encode("cp1252")
    "é.example".encode("idna")


def _pages() -> None:
    from io import StringIO

    from rich.console import Console
    from rich.markdown import Markdown

    console = Console(file=StringIO(), force_terminal=True)
    console.print(Markdown("# 漢字\n\n```json\n{}\n```\n"))


def _time_zones() -> None:
    from zoneinfo import ZoneInfo

    if shipped.frozen():  # from source, they are the system's
        ZoneInfo("Europe/Paris")


_USES = {
    "certificates": _certificates,
    "encodings": _encodings,
    "pages on a terminal": _pages,
    "time zones": _time_zones,
}


def unreadable_files(root: Path | None = None) -> list[str]:
    """Return the files of the package that are not there or empty."""
    root = root or Path(mnedge.__file__).resolve().parent
    wrong = []
    for name in FILES:
        try:
            if not (root / name).read_bytes():
                wrong.append(f"{name} is empty")
        except OSError as error:
            wrong.append(f"{name}: {error.strerror}")
    return wrong
