"""Every place of an installed node lies below the root that was named."""

from pathlib import Path

from mnedge.config.layout import Layout, release_id
from mnedge.config.read import SYSTEM_FILE


def test_the_configuration_lies_where_every_command_looks():
    assert Layout().config_file == SYSTEM_FILE


def test_the_places_of_an_image_lie_in_it():
    layout = Layout(Path("/mnt/image"))
    for name in ("releases", "current", "trial", "runtime", "command", "config_file", "unit"):
        assert getattr(layout, name).is_relative_to("/mnt/image")
    assert layout.at("/etc/passwd") == Path("/mnt/image/etc/passwd")


def test_a_release_is_named_by_version_and_content():
    assert release_id("0.5.0", "abcdef0123456789" * 4) == "0.5.0-abcdef012345"
    assert "/" not in release_id("../../x", "0" * 64)
