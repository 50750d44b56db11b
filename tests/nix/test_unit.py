"""The unit that NixOS gets is the one that `mnedge install` writes."""

import re

import msgspec
import pytest

from mnedge.installation.unit import Service, filled, template

pytestmark = pytest.mark.live

SERVICES = {
    "as it is installed": Service(),
    "as NixOS has it": Service(
        program="/nix/store/00000000000000000000000000000000-mnedge-0.1.0/bin/mnedge",
        environment=(("MN_HOME", "/var/lib/mnedge/mn"),),
        kill="/nix/store/00000000000000000000000000000000-coreutils-9.7/bin/kill",
    ),
    "another place": Service(
        program="/srv/edge/mnedge",
        config_file="/srv/edge/config.yaml",
        user="edge",
        group="machines",
        data_dir="/var/lib/edge/node-1",
        state="edge/node-1",
        writable=("/var/lib/edge/node-1", "/srv/results"),
        networks=("localhost", "10.0.0.0/8", "fe80::/10"),
    ),
    "names that need care": Service(
        program="/opt/my apps/mnedge$1",
        config_file='/etc/100%/con"fig\\.yaml',
        data_dir="/var/lib/two words",
        writable=("/var/lib/two words", "/srv/50%"),
        environment=(("A", "b c"), ("D", "e=f"), ("G", "$HOME/%h")),
        kill="/usr/bin/env kill",
    ),
    "letters beyond ASCII": Service(data_dir="/var/lib/größe", writable=("/var/lib/größe",)),
    "nothing to set": Service(writable=(), environment=(), networks=()),
}


def arguments(service: Service) -> dict[str, object]:
    """Return what `unit.nix` calls the same things."""
    held = msgspec.to_builtins(service)
    held["environment"] = [{"name": name, "value": value} for name, value in service.environment]
    return {
        {"config_file": "configFile", "data_dir": "dataDir"}.get(name, name): value
        for name, value in held.items()
    }


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_both_renderings_are_the_same(nix, service):
    rendered = nix.value('import (nix + "/unit.nix") given', given=arguments(service))
    assert rendered == filled(template(), service)
    assert not re.search(r"@[A-Z_]+@", rendered)


def test_what_nobody_says_is_what_install_writes(nix):
    assert nix.value('import (nix + "/unit.nix") { }') == filled(template(), Service())


def test_a_line_break_is_refused(nix):
    said = nix.refusal('import (nix + "/unit.nix") given', given={"user": "root\nExecStart=x"})
    assert "cannot stand in a systemd unit" in said
