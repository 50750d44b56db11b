"""What a frozen folder is made of: distributions, shared libraries, the interpreter.

Run by the build, with the interpreter and the environment that were frozen.
"""

import ctypes
import importlib.metadata
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from email.message import Message
from email.parser import BytesHeaderParser
from functools import cache
from pathlib import Path
from typing import NamedTuple

import elf

UNKNOWN = "NOASSERTION"
INTERNAL = "_internal"
TEXTS = re.compile(r"(LICEN[CS]E|COPYING|COPYRIGHT|NOTICE|AUTHORS)", re.IGNORECASE)


class Part(NamedTuple):
    """Something that somebody wrote, and that we ship."""

    name: str
    version: str
    licence: str
    """As an SPDX expression; `NOASSERTION` if it says none that we understand."""
    purl: str
    texts: tuple[Path, ...] = ()
    """Files with its licence, on the machine that builds."""
    files: tuple[Path, ...] = ()
    """Its files in the folder, where they stand by themselves."""
    requires: tuple[str, ...] = ()
    """Names of other distributions that it asks for."""
    inside: "tuple[Part, ...]" = ()
    """What was compiled into it."""
    home: str = ""


def of(folder: Path) -> list[Part]:
    """Return the parts of the frozen folder, by name."""
    internal = folder / INTERNAL
    parts = [interpreter(internal), *distributions(internal), *shared_libraries(internal)]
    return sorted(parts, key=lambda part: (part.name.lower(), part.version))


# ---- distributions ----

CLASSIFIED = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.1-or-later",
    "GNU Library or Lesser General Public License (LGPL)": "LGPL-2.1-or-later",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
WRITTEN = {
    "3-clause bsd": "BSD-3-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "apache": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache-2.0": "Apache-2.0",
    "bsd": "BSD-3-Clause",
    "bsd-2-clause": "BSD-2-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "isc": "ISC",
    "lgpl": "LGPL-2.1-or-later",
    "lgpl-2.1": "LGPL-2.1-only",
    "mit": "MIT",
    "mit license": "MIT",
    "mpl-2.0": "MPL-2.0",
    "psf-2.0": "PSF-2.0",
}
_REQUIREMENT = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)(.*)$", re.DOTALL)


def distributions(internal: Path) -> Iterator[Part]:
    """Yield the distributions whose names were shipped along."""
    for place in sorted(internal.glob("*.dist-info")):
        said = BytesHeaderParser().parsebytes((place / "METADATA").read_bytes())
        name = str(said["Name"])
        yield Part(
            name=name,
            version=str(said["Version"]),
            licence=licence_of(said),
            purl=f"pkg:pypi/{normal(name)}@{said['Version']}",
            texts=tuple(texts_of(name)),
            requires=tuple(required_by(said)),
            inside=tuple(compiled_into(normal(name))),
            home=home_of(said),
        )


def normal(name: str) -> str:
    """Return a distribution's name as an index writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def licence_of(said: Message) -> str:
    """Return the licence that a distribution's METADATA declares, as SPDX writes it."""
    if expression := said["License-Expression"]:
        return WRITTEN.get(str(expression).lower(), str(expression))
    written = str(said["License"] or "").strip()
    if found := WRITTEN.get(written.lower()):
        return found
    classified = [
        CLASSIFIED[last]
        for line in said.get_all("Classifier", [])
        if str(line).startswith("License ::")
        and (last := str(line).split(" :: ")[-1]) in CLASSIFIED
    ]
    return " OR ".join(dict.fromkeys(classified)) or UNKNOWN


def home_of(said: Message) -> str:
    """Return where a distribution lives on the web, as it says itself."""
    if said["Home-page"]:
        return str(said["Home-page"])
    labelled = dict(str(line).split(", ", 1) for line in said.get_all("Project-URL", []))
    for label, address in labelled.items():
        if label.lower() in ("homepage", "source", "repository", "source code", "github"):
            return address
    return ""


def required_by(said: Message) -> Iterator[str]:
    """Yield the names that a distribution requires, its extras apart."""
    for line in said.get_all("Requires-Dist", []):
        found = _REQUIREMENT.match(str(line))
        if found is not None and "extra" not in found[2].partition(";")[2]:
            yield normal(found[1])


def texts_of(name: str) -> Iterator[Path]:
    """Yield the licence files of an installed distribution."""
    try:
        installed = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return
    for file in sorted(installed.files or [], key=str):
        beside = any(part.endswith(".dist-info") for part in file.parts)
        if beside and TEXTS.match(file.name):
            yield Path(str(installed.locate_file(file)))


def compiled_into(name: str) -> Iterator[Part]:
    """Yield the libraries of others that were compiled into a distribution, where it tells."""
    for inner, licence, ask in _COMPILED_IN.get(name, ()):
        try:
            version = ask()
        except (ImportError, AttributeError):
            continue
        yield Part(inner, version, licence, f"pkg:generic/{inner}@{version}")


def _openssl_of_cryptography() -> str:
    from cryptography.hazmat.backends.openssl.backend import backend

    return backend.openssl_version_text().split()[1]


def _libyaml() -> str:
    from yaml import _yaml

    return str(_yaml.get_version_string())


def _llvm() -> str:
    from llvmlite import binding

    return ".".join(map(str, binding.llvm_version_info))


_COMPILED_IN: dict[str, list[tuple[str, str, Callable[[], str]]]] = {
    "cryptography": [("openssl", "Apache-2.0", _openssl_of_cryptography)],
    "pyyaml": [("libyaml", "MIT", _libyaml)],
    "llvmlite": [("llvm", "Apache-2.0 WITH LLVM-exception", _llvm)],
}


# ---- the interpreter ----


def interpreter(internal: Path) -> Part:
    """Return CPython, with what its own sources contain of others."""
    version = platform.python_version()
    libraries = tuple(sorted(internal.rglob("libpython*.so*")))
    text = Path(sys.base_prefix, "lib", f"python{version.rpartition('.')[0]}", "LICENSE.txt")
    return Part(
        name="cpython",
        version=version,
        licence="PSF-2.0",
        purl=f"pkg:generic/cpython@{version}",
        texts=(text,) if text.is_file() else (),
        files=tuple(path for path in libraries if not path.is_symlink()),
        inside=tuple(_vendored(internal)),
        home="https://www.python.org/",
    )


def _vendored(internal: Path) -> Iterator[Part]:
    """Yield what comes with CPython's sources, unless the system's library is used for it."""
    import decimal
    import pyexpat

    mpdecimal = getattr(decimal, "__libmpdec_version__", "")
    for name, licence, version, library in (
        ("expat", "MIT", pyexpat.EXPAT_VERSION.removeprefix("expat_"), "libexpat"),
        ("mpdecimal", "BSD-2-Clause", mpdecimal, "libmpdec"),
    ):
        if version and not list(internal.rglob(f"{library}.so*")):
            yield Part(name, version, licence, f"pkg:generic/{name}@{version}")


# ---- shared libraries ----

_GCC = "GPL-3.0-or-later WITH GCC-exception-3.1"
_LIBRARIES = {
    "libbz2": ("bzip2", "bzip2-1.0.6", "BZ2_bzlibVersion"),
    "libcom_err": ("e2fsprogs", "MIT", ""),
    "libcrypt": ("libxcrypt", "LGPL-2.1-or-later", ""),
    "libcrypto": ("openssl", "Apache-2.0", ""),
    "libdb": ("berkeley-db", "AGPL-3.0-only", ""),
    "libexpat": ("expat", "MIT", "XML_ExpatVersion"),
    "libffi": ("libffi", "MIT", ""),
    "libgcc_s": ("gcc-runtime", _GCC, ""),
    "libgdbm": ("gdbm", "GPL-3.0-or-later", ""),
    "libgdbm_compat": ("gdbm", "GPL-3.0-or-later", ""),
    "libgfortran": ("gcc-runtime", _GCC, ""),
    "libgomp": ("gcc-runtime", _GCC, ""),
    "libgssapi_krb5": ("krb5", "MIT", ""),
    "libk5crypto": ("krb5", "MIT", ""),
    "libkeyutils": ("keyutils", "LGPL-2.1-or-later", ""),
    "libkrb5": ("krb5", "MIT", ""),
    "libkrb5support": ("krb5", "MIT", ""),
    "liblzma": ("xz", "0BSD", "lzma_version_string"),
    "libmpdec": ("mpdecimal", "BSD-2-Clause", ""),
    "libncurses": ("ncurses", "X11-distribute-modifications-variant", ""),
    "libncursesw": ("ncurses", "X11-distribute-modifications-variant", ""),
    "libnsl": ("libnsl", "LGPL-2.1-or-later", ""),
    "libpanel": ("ncurses", "X11-distribute-modifications-variant", ""),
    "libpanelw": ("ncurses", "X11-distribute-modifications-variant", ""),
    "libquadmath": ("gcc-runtime", "LGPL-2.1-or-later", ""),
    "libreadline": ("readline", "GPL-3.0-or-later", ""),
    "libscipy_openblas64_": ("openblas", "BSD-3-Clause", "scipy_openblas_get_config64_"),
    "libsqlite3": ("sqlite", "blessing", "sqlite3_libversion"),
    "libssl": ("openssl", "Apache-2.0", ""),
    "libstdc++": ("gcc-runtime", _GCC, ""),
    "libtbb": ("onetbb", "Apache-2.0", ""),
    "libtinfo": ("ncurses", "X11-distribute-modifications-variant", ""),
    "libtirpc": ("libtirpc", "BSD-3-Clause", ""),
    "libuuid": ("libuuid", "BSD-3-Clause", ""),
    "libz": ("zlib", "Zlib", "zlibVersion"),
}
"""Beginning of the file's name → whose it is, its licence, the function that tells its version."""
_LIBRARY_NAME = re.compile(r"(lib[\w+]+?)(?:-[0-9a-f]{8})?(?:-[\d.]+)?\.so(?:\.([\d.]+))?$")


def shared_libraries(internal: Path) -> Iterator[Part]:
    """Yield libraries that are no part of a Python package; files of one project are one part."""
    found: dict[str, list[Path]] = {}
    for path in elf.programs_and_libraries(internal):
        if path.parent != internal and path.parent.suffix != ".libs":
            continue  # its distribution's own
        named = _LIBRARY_NAME.match(path.name)
        if named is not None and named[1] != f"libpython{_python()}"[: len(named[1])]:
            found.setdefault(_LIBRARIES.get(named[1], (named[1],))[0], []).append(path)
    for project, paths in sorted(found.items()):
        stems = [_stem(path) for path in paths]
        licences = {_LIBRARIES[stem][1] for stem in stems if stem in _LIBRARIES}
        version = next(filter(None, map(_version, paths)), "") or "unknown"
        texts = {text for path in paths for text in _copyright(path)}
        yield Part(
            name=project,
            version=version,
            licence=" AND ".join(sorted(licences)) or UNKNOWN,
            purl=f"pkg:generic/{project}@{version}",
            texts=tuple(sorted(texts)),
            files=tuple(paths),
        )


def _python() -> str:
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def _stem(path: Path) -> str:
    named = _LIBRARY_NAME.match(path.name)
    return named[1] if named else path.name


def _version(path: Path) -> str:
    """Ask the library, then the system's packages, then the file's name."""
    stem = _stem(path)
    if stem in ("libssl", "libcrypto"):
        return _openssl(path)
    ask = _LIBRARIES.get(stem, ("", "", ""))[2]
    if ask:
        return _text(path, ask)
    if package := _package(path.name):
        return package[1]
    named = _LIBRARY_NAME.match(path.name)
    return (named and named[2]) or ""


def _openssl(path: Path) -> str:
    library = path if _stem(path) == "libcrypto" else path.with_name(_crypto_beside(path))
    return _text(library, "OpenSSL_version", 0).removeprefix("OpenSSL ").partition(" ")[0]


def _crypto_beside(path: Path) -> str:
    return path.name.replace("libssl", "libcrypto")


def _text(path: Path, function: str, *arguments: int) -> str:
    """Return what the library says of itself: `3.40.1`, `1.0.8, 13-Jul-2019`, `expat_2.5.0`."""
    try:
        ask = getattr(ctypes.CDLL(str(path)), function)
    except (OSError, AttributeError):
        return ""
    ask.restype = ctypes.c_char_p
    said = (ask(*arguments) or b"").decode()
    said = said.partition(",")[0].removeprefix("expat_")
    return (
        said.removeprefix("OpenBLAS ").partition(" ")[0] if function != "OpenSSL_version" else said
    )


@cache
def _package(file: str) -> tuple[str, str] | None:
    """Return Debian's package of a library, and the version of what it packages."""
    try:
        owner = subprocess.run(
            ["dpkg-query", "-S", f"*/{file}"], capture_output=True, text=True, check=False
        ).stdout.partition(":")[0]
        if not owner:
            return None
        version = subprocess.run(
            ["dpkg-query", "-W", "-f", "${Version}\\n", owner],
            capture_output=True,
            text=True,
            check=False,
        ).stdout.partition("\n")[0]
    except OSError:
        return None
    upstream = version.partition(":")[2] or version
    return owner, upstream.rpartition("-")[0] or upstream


def _copyright(path: Path) -> Iterator[Path]:
    if path.parent.suffix == ".libs":  # a wheel brought it, and says for it
        yield from texts_of(path.parent.stem)
        return
    package = _package(path.name)
    if package is not None:
        text = Path("/usr/share/doc", package[0], "copyright")
        if text.is_file():
            yield text
