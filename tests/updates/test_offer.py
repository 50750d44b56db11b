"""Whether a release may take the place of what runs."""

import msgspec
import pytest

from mnedge.updates.envelope import Release
from mnedge.updates.offer import (
    SPARE_BYTES,
    Build,
    DowngradeError,
    NoRoomError,
    ReleaseUnfitError,
    SchemaBehindError,
    needed_bytes,
    require_room,
    this_build,
    warnings,
    weighed,
)

HAVE = Build(version="1.2.0", flavour="lean", platform="linux-x86_64", schema=3, engine_revision=2)
SAME = Release(
    name="mnedge",
    version="1.2.0",
    flavour="lean",
    platform="linux-x86_64",
    file="mnedge",
    size=10,
    sha256="aa",
    schema=3,
    engine_revision=2,
)


def release(**changed):
    return msgspec.structs.replace(SAME, **changed)


@pytest.mark.parametrize(
    "changed, standing",
    [
        ({}, "same"),
        ({"sha256": "bb"}, "rebuilt"),
        ({"version": "1.2.1", "sha256": "bb"}, "newer"),
        ({"version": "1.10.0", "sha256": "bb"}, "newer"),
        ({"version": "1.3.0rc1", "sha256": "bb"}, "newer"),
        ({"version": "2.0", "schema": 9, "engine_revision": 9}, "newer"),
    ],
)
def test_it_stands_somehow_to_what_runs(changed, standing):
    assert weighed(HAVE, "aa", release(**changed)) == standing


@pytest.mark.parametrize("version", ["1.1.9", "1.2.0rc1", "0.9"])
def test_an_older_one_is_taken_only_if_that_is_meant(version):
    with pytest.raises(DowngradeError, match=r"1\.2\.0, which runs here"):
        weighed(HAVE, "aa", release(version=version))
    older = weighed(HAVE, "aa", release(version=version), allow_downgrade=True)
    assert older == "older"


def test_one_that_cannot_read_the_data_is_never_taken():
    with pytest.raises(SchemaBehindError, match="up to schema 2"):
        weighed(HAVE, "aa", release(version="1.1", schema=2), allow_downgrade=True)
    with pytest.raises(SchemaBehindError):
        weighed(HAVE, "aa", release(version="1.3", schema=2))


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"name": "other"}, "release of 'other'"),
        ({"platform": "linux-aarch64"}, "for linux-aarch64"),
        ({"flavour": "full"}, "what runs here is lean"),
        ({"version": "newest"}, "is no version"),
    ],
)
def test_what_is_made_for_something_else_is_refused(changed, said):
    with pytest.raises(ReleaseUnfitError, match=said):
        weighed(HAVE, "aa", release(**changed), allow_downgrade=True)


def test_jobs_that_an_older_engine_cannot_run_are_told_of():
    assert warnings(HAVE, release(engine_revision=2)) == []
    (told,) = warnings(HAVE, release(version="1.1", engine_revision=1))
    assert "engine revision 2 wait" in told


def test_a_disk_that_would_be_full_afterwards_is_refused_before():
    needed = needed_bytes(25 << 20)
    assert needed > (25 << 20) + SPARE_BYTES
    require_room(25 << 20, needed, "/opt")
    with pytest.raises(NoRoomError, match="/opt has 188 MiB free; the update needs 189 MiB"):
        require_room(25 << 20, needed - 1, "/opt")


def test_this_program_says_what_it_is():
    assert this_build().name == "mnedge"
    assert weighed(
        this_build(), "aa", release(**msgspec.structs.asdict(this_build()))
    ) == "same"  # fmt: skip
