"""Runs in the executable before mnedge does: `pkgutil` sees the modules of the archive.

PyInstaller's own hook for this imports pkgutil at every start; this waits until somebody asks.
"""


def _see_modules() -> None:
    import pyimod02_importers as importers

    def iter_modules(finder, prefix=""):  # noqa: ANN001, ANN202  (to import types takes time)
        """Yield the name of every module in the finder's folder, and whether it is a package."""
        from pkgutil import iter_importer_modules

        tree = importers.get_pyz_toc_tree()
        for part in filter(None, finder._pyz_entry_prefix.split(".")):
            tree = tree.get(part)
            if not isinstance(tree, dict):
                tree = {}
        for name, inside in tree.items():
            yield prefix + name, isinstance(inside, dict)
        if finder.fallback_finder is not None:
            yield from iter_importer_modules(finder.fallback_finder, prefix)

    importers.PyiFrozenFinder.iter_modules = iter_modules


_see_modules()
