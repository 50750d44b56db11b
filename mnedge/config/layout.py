"""Where an installed node keeps what: one place, known to what installs and to what updates."""

import re
from pathlib import Path

from msgspec import Struct

UNIT = "mnedge.service"
UPDATE_UNIT = "mnedge-update.service"
JOURNAL = "mnedge"
"""The journal's namespace."""
ACCOUNT = "mnedge"
ENVIRON = {"HOME": "/var/lib/mnedge", "MN_HOME": "/var/lib/mnedge/mn"}
"""What the service's configuration is read with."""
_UNFIT = re.compile(r"[^\w.+-]")


class Layout(Struct, frozen=True):
    """The places of an installed node; `root` is another machine's root folder, for images."""

    root: Path = Path("/")

    @property
    def is_image(self) -> bool:
        """Tell whether it is a folder that will be a machine later."""
        return self.root != Path("/")

    def at(self, path: str | Path) -> Path:
        """Return where a path of the installed machine lies as seen from here."""
        return self.root / str(path).lstrip("/")

    @property
    def home(self) -> Path:
        """All programs."""
        return self.at("/opt/mnedge")

    @property
    def releases(self) -> Path:
        """One folder for each release: `release_id`, with the program `mnedge` in it."""
        return self.home / "releases"

    @property
    def current(self) -> Path:
        """A link to the release that runs."""
        return self.home / "current"

    @property
    def previous(self) -> Path:
        """A link to the release before it."""
        return self.home / "previous"

    @property
    def trial(self) -> Path:
        """There while a new release proves itself."""
        return self.home / "trial.json"

    @property
    def runtime(self) -> Path:
        """What the one file unpacked, a folder for each file."""
        return self.home / "runtime"

    @property
    def command(self) -> Path:
        """What people and units call."""
        return self.at("/usr/local/bin/mnedge")

    @property
    def config_file(self) -> Path:
        """The configuration, which root's command line finds as well."""
        return self.at("/etc/mnedge/config.yaml")

    @property
    def data_dir(self) -> Path:
        """Jobs and all that belongs to them."""
        return self.at("/var/lib/mnedge")

    @property
    def unit(self) -> Path:
        """The service."""
        return self.at("/etc/systemd/system") / UNIT

    @property
    def update_unit(self) -> Path:
        """What ends a trial after the power went."""
        return self.at("/etc/systemd/system") / UPDATE_UNIT


def release_id(version: str, sha256: str) -> str:
    """Return the name of a release's folder: `0.5.0-1f0c6c5c2d0a`."""
    return f"{_UNFIT.sub('_', version)}-{sha256[:12]}"
