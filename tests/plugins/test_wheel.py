"""A wheel is somebody else's archive: what is good in it arrives whole, all else is refused."""

import io
import stat
import time
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnedge.plugins.depot import Point
from mnedge.plugins.problem import PluginRefusedError
from mnedge.plugins.unpacking import unpack
from mnedge.plugins.wheel import read_folder, read_wheel
from tests.plugins.wheels import NAME, RECORD, files_of, packed, unpacked, wheel, written


def taken(path, target):
    found = read_wheel(path)
    if target is not None:
        unpack(found, target)


def refused(path, target=None):
    """Return all that is said against it."""
    with pytest.raises(PluginRefusedError) as told:
        taken(path, target)
    return "\n".join(problem.message for problem in told.value.reasons)


def test_a_good_wheel_is_unpacked_whole(tmp_path):
    found = read_wheel(wheel(tmp_path, requires=("trio>=0.30",)))
    assert (found.metadata.name, found.metadata.version) == ("acme-runner", "1.0")
    assert found.metadata.requires == ("trio>=0.30",)
    assert found.entry_points == (Point("acme", "acme_runner"),)
    assert found.tags == ("py3-none-any",)
    assert found.tops == ("acme_runner",)
    written = unpack(found, tmp_path / "there")
    place = tmp_path / "there"
    there = {str(p.relative_to(place)) for p in place.rglob("*") if p.is_file()}
    assert set(written.files) == there
    assert (tmp_path / "there" / "acme_runner.py").read_text().startswith("\nfrom mnedge.hookspecs")
    assert written.size_bytes == sum(
        f.stat().st_size for f in (tmp_path / "there").rglob("*") if f.is_file()
    )


@pytest.mark.parametrize(
    "path, said",
    [
        ("/etc/passwd", "is absolute"),
        ("../outside.py", "leaves its folder"),
        ("a/../../b.py", "leaves its folder"),
        ("a//b.py", "leaves its folder"),
        ("./a.py", "leaves its folder"),
        ("a\\b.py", "no file name should"),
        ("a\nb.py", "no file name should"),
        ("C:/x.py", "is absolute"),
        ("x" * 500, "too long"),
    ],
)
def test_names_that_lead_elsewhere_are_refused(tmp_path, path, said):
    files = files_of(modules={"acme_runner.py": "", path: "x = 1\n"})
    assert said in refused(written(tmp_path, files), tmp_path / "there")
    assert not (tmp_path / "there").exists()


@given(st.binary(max_size=300), st.integers(0, 5000), st.integers(0, 255))
def test_a_damaged_archive_is_refused_and_never_half_taken(tmp_path_factory, junk, at, byte):
    """Whatever is changed in it, either nothing was changed that counts, or it is refused."""
    folder = tmp_path_factory.mktemp("damaged")
    whole = packed(files_of())
    good = unpack(read_wheel(written(folder / "good", whole)), folder / "was").files
    place = at % len(whole)
    damaged = whole[:place] + bytes([byte]) + junk + whole[place + 1 :]
    try:
        files = unpack(read_wheel(written(folder, damaged)), folder / "there").files
    except PluginRefusedError:
        return
    assert files == good


def test_what_record_does_not_list_or_lists_in_vain_is_named(tmp_path):
    files = files_of() | {"hidden.py": b"x"}
    assert "hidden.py is not listed in RECORD with a hash" in refused(written(tmp_path, files))
    files = files_of()
    del files["acme_runner.py"]
    assert "acme_runner.py is listed in RECORD and not there" in refused(written(tmp_path, files))
    files = files_of()
    del files[RECORD]
    assert "RECORD is missing" in refused(written(tmp_path, files))
    files = files_of()
    files[RECORD] = files[RECORD].replace(b"sha256=", b"md5=")
    assert "md5, which proves nothing" in refused(written(tmp_path, files))


def test_everything_that_is_wrong_is_told_at_once(tmp_path):
    files = files_of(modules={"acme_runner.py": "", "x.pth": "import os", "sitecustomize.py": ""})
    files["unlisted.py"] = b""
    told = refused(written(tmp_path, files))
    assert "x.pth changes where Python looks" in told
    assert "sitecustomize.py would be run" in told
    assert "unlisted.py is not listed" in told


def test_a_link_is_refused(tmp_path):
    files = files_of(modules={"acme_runner.py": "", "link": "/etc/passwd"})
    told = io.BytesIO()
    with zipfile.ZipFile(told, "w") as archive:
        for path, content in files.items():
            item = zipfile.ZipInfo(path)
            item.create_system = 3
            kind = stat.S_IFLNK if path == "link" else stat.S_IFREG
            item.external_attr = (kind | 0o644) << 16
            archive.writestr(item, content)
    assert "'link' is a link" in refused(written(tmp_path, told.getvalue()))


def test_a_bomb_is_refused_before_it_goes_off(tmp_path):
    files = files_of(modules={"acme_runner.py": "", "zeros": b"\0" * (64 << 20)})
    path = written(tmp_path, files)
    assert path.stat().st_size < 1 << 20
    assert "made to fill a disk" in refused(path, tmp_path / "x")


def test_a_name_twice_is_refused(tmp_path):
    told = io.BytesIO(packed(files_of()))
    with zipfile.ZipFile(told, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("acme_runner.py", "other = 1\n")
    assert "stands in it twice" in refused(written(tmp_path, told.getvalue()))


def test_scripts_headers_and_compiled_caches_are_left_out_and_libraries_come_to_their_place(
    tmp_path,
):
    files = files_of(
        modules={
            "acme_runner.py": "",
            "acme_runner-1.0.data/scripts/acme": "#!python\n",
            "acme_runner-1.0.data/purelib/acme_more/__init__.py": "",
            "acme_runner-1.0.data/platlib/acme_fast.so": b"\x7fELF",
            "__pycache__/acme_runner.cpython-311.pyc": b"junk",
        }
    )
    found = read_wheel(written(tmp_path, files))
    assert found.left_out == (
        "__pycache__/acme_runner.cpython-311.pyc",
        "acme_runner-1.0.data/scripts/acme",
    )
    assert found.tops == ("acme_fast", "acme_more", "acme_runner")
    got = unpack(found, tmp_path / "there").files
    assert {"acme_more/__init__.py", "acme_fast.so"} <= set(got)
    assert not any("scripts" in path or "__pycache__" in path for path in got)


def test_a_pth_is_refused_wherever_it_hides(tmp_path):
    files = files_of(modules={"acme_runner.py": "", "acme_runner-1.0.data/purelib/a.pth": "x"})
    assert "a.pth changes where Python looks" in refused(written(tmp_path, files))


def test_what_speaks_for_another_distribution_is_refused_wherever_it_hides(tmp_path):
    hidden = "acme_runner-1.0.data/purelib/mnedge-9.dist-info/METADATA"
    files = files_of(modules={"acme_runner.py": "", hidden: "Name: mnedge\nVersion: 9\n"})
    assert "speaks for another distribution" in refused(written(tmp_path, files))


def test_two_files_for_one_place_are_refused(tmp_path):
    files = files_of(
        modules={"acme_runner.py": "", "acme_runner-1.0.data/purelib/acme_runner.py": "x = 1\n"}
    )
    assert "two files in it are both for acme_runner.py" in refused(written(tmp_path, files))


def test_a_file_where_another_one_needs_a_folder_is_refused(tmp_path):
    files = files_of(modules={"a/b.py": "", "acme_runner-1.0.data/purelib/a": ""})
    assert "a/b.py lies in what is a file" in refused(written(tmp_path, files))


def test_a_version_that_is_none_is_refused(tmp_path):
    for version in ("soon", "1" * 80):
        path = written(tmp_path, files_of(version=version), NAME)
        assert "its version is" in refused(path)


def test_very_many_files_are_judged_quickly(tmp_path):
    files = files_of(modules={f"acme/m{number}.py": "" for number in range(6000)})
    began = time.monotonic()
    assert len(read_wheel(written(tmp_path, files)).places) > 6000
    assert time.monotonic() - began < 10


def test_a_file_name_that_says_something_else_is_refused(tmp_path):
    path = written(tmp_path, files_of(), "other-2.0-py3-none-any.whl")
    assert "its file says other 2.0, inside it is acme-runner 1.0" in refused(path)
    with pytest.raises(PluginRefusedError, match="is no wheel"):
        read_wheel(written(tmp_path, files_of(), "acme.whl"))


@pytest.mark.parametrize("value", ["no module", "a-b", "a:", "a:b.", "", "a b:c"])
def test_an_entry_point_that_names_no_module_is_refused(tmp_path, value):
    assert "names no module" in refused(wheel(tmp_path, points={"acme": value}))


def test_a_folder_as_an_installer_leaves_it_is_taken_by_its_record(tmp_path):
    files = files_of(modules={"acme_runner.py": "x = 1\n"})
    record = files.pop(RECORD)
    files[RECORD] = record + b"../../bin/acme,sha256=abc,3\nacme_runner/__pycache__/x.pyc,,\n"
    folder = unpacked(tmp_path / "site", files)
    (folder / "somebody_elses.py").write_text("not ours")
    (found,) = read_folder(folder)
    assert found.tags == ("py3-none-any",)
    assert "somebody_elses.py" not in unpack(found, tmp_path / "there").files
    (folder / "acme_runner.py").write_text("x = 2\n")
    with pytest.raises(PluginRefusedError, match="acme_runner\\.py is not what RECORD says"):
        unpack(read_folder(folder)[0], tmp_path / "again")


def test_a_folder_without_a_record_is_refused(tmp_path):
    folder = unpacked(tmp_path / "site", files_of())
    (folder / RECORD).unlink()
    with pytest.raises(PluginRefusedError, match="RECORD is missing"):
        read_folder(folder)
    (folder / RECORD).write_text('"' + "x" * 200_000)
    with pytest.raises(PluginRefusedError, match="cannot be read"):
        read_folder(folder)


def test_a_link_in_a_folder_is_refused(tmp_path):
    folder = unpacked(tmp_path / "site", files_of(modules={"acme_runner.py": "x = 1\n"}))
    (tmp_path / "secret").write_text("x = 1\n")
    (folder / "acme_runner.py").unlink()
    (folder / "acme_runner.py").symlink_to(tmp_path / "secret")
    with pytest.raises(PluginRefusedError, match="is a link"):
        read_folder(folder)


def test_a_folder_of_wheels_is_all_of_them(tmp_path):
    wheel(tmp_path)
    wheel(tmp_path, "acme-library", modules={"acme_library.py": ""}, points={})
    assert [one.metadata.name for one in read_folder(tmp_path)] == ["acme-library", "acme-runner"]


def test_a_source_tree_says_how_to_make_a_wheel(tmp_path):
    (tmp_path / "pyproject.toml").write_text("")
    with pytest.raises(PluginRefusedError) as told:
        read_folder(tmp_path)
    assert "pip wheel" in told.value.hint


def test_a_namespace_is_told_from_a_package(tmp_path):
    files = files_of(modules={"shared/acme.py": "", "whole/__init__.py": ""})
    found = read_wheel(written(tmp_path, files))
    assert found.tops == ("shared", "whole")
    assert found.namespaces == ("shared",)
