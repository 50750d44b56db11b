"""What a wheel gets beyond the Python packages: the compiled module and the bundled blueprints.

setuptools finds both command classes through `tool.setuptools.cmdclass` in pyproject.toml. The
extension is optional: without a C compiler or Python's headers the build says so and goes on,
and `mnedge.hot` uses its plain-Python twins.
"""

from pathlib import Path

from cffi import FFI
from setuptools import Extension
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

MODULE = "mnedge.hot._native"
HEADER = "mnedge_native.h"
HERE = Path(__file__).resolve().parent
ROOT = HERE.parent


def _relative(files: list[Path]) -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in sorted(files)]


def sources() -> list[str]:
    """Return the C files to compile, relative to the repository."""
    return _relative(list(HERE.glob("*.c")))


def headers() -> list[str]:
    """Return the header files, relative to the repository."""
    return _relative(list(HERE.glob("*.h")))


def declarations() -> str:
    """Return the header's declarations, without the preprocessor lines that cffi cannot read."""
    lines = (HERE / HEADER).read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))


def ffibuilder() -> FFI:
    """Return the cffi builder of the compiled module, API mode."""
    builder = FFI()
    builder.cdef(declarations())
    builder.set_source(
        MODULE,
        f'#include "{HEADER}"',
        sources=sources(),
        include_dirs=[HERE.relative_to(ROOT).as_posix()],
        depends=headers(),
        extra_compile_args=["-std=c11", "-O2", "-Wall", "-Wextra", "-Wno-unused-parameter"],
    )
    return builder


class BuildNative(build_ext):
    """Compile the module that cffi generates from the header."""

    def build_extension(self, ext: Extension) -> None:
        """Build `mnedge.hot._native`, the one extension there is."""
        made = ffibuilder().distutils_extension(tmpdir=self.build_temp, verbose=False)
        ext.sources, ext.depends = made.sources, made.depends
        ext.include_dirs, ext.extra_compile_args = made.include_dirs, made.extra_compile_args
        super().build_extension(ext)

    def get_source_files(self) -> list[str]:
        """Return what a source distribution must carry to build this."""
        return [*sources(), *headers(), "native/build.py", "native/README.md"]


class BuildPackages(build_py):
    """Copy `blueprints/` into the wheel as `mnedge/_blueprints`."""

    def get_data_files_without_manifest(self) -> list[tuple[str, str, str, list[str]]]:
        """Return what a source distribution carries: the packages' own files and the blueprints."""
        return [*super().get_data_files_without_manifest(), self._blueprints()]

    def _get_data_files(self) -> list[tuple[str, str, str, list[str]]]:
        return self.get_data_files_without_manifest()  # what setuptools asks when it makes a wheel

    def _blueprints(self) -> tuple[str, str, str, list[str]]:
        folder = ROOT / "blueprints"
        bundled = [
            path.relative_to(folder).as_posix()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts
        ]
        return "mnedge", "blueprints", str(Path(self.build_lib) / "mnedge" / "_blueprints"), bundled
