import platform

import pytest

from mnedge.plugins.fitting import (
    Neighbour,
    bundled,
    here,
    needed_by,
    python_problems,
    requirement_problems,
    shadow_problems,
    supported_tags,
    tag_problems,
    where_found,
)

OURS = {
    "mnedge": Neighbour(name="mnedge", version="0.1.0"),
    "trio": Neighbour(name="trio", version="0.31.0"),
    "web": Neighbour(name="web", version="2.0", requires=("h9>=1; extra == 'fast'",)),
}


def part(name="acme", version="1.0", *requires, **more):
    return Neighbour(name=name, version=version, requires=requires, **more)


def unmet(*parts):
    found = requirement_problems({one.name: one for one in parts}, OURS)
    return [problem.message for problem in found]


def test_what_is_here_is_no_problem():
    assert (
        unmet(part("acme", "1.0", "mnedge>=0.1,<1", "trio", "lib~=1.2"), part("lib", "1.4")) == []
    )


@pytest.mark.parametrize(
    "line, said",
    [
        ("mnedge>=9", "acme 1.0 needs mnedge>=9, and mnedge brings 0.1.0"),
        ("gone", "acme 1.0 needs gone, which is not here"),
        ("Lib_X<1", "acme 1.0 needs Lib_X<1, and the depot has 1.4"),
        ("web[fast]", "web 2.0 needs h9>=1, which is not here"),
        ("what is this", "acme 1.0 needs 'what is this', which cannot be read"),
        ("a; nonsense == 'x'", "acme 1.0 needs \"a; nonsense == 'x'\", which cannot be read"),
    ],
)
def test_what_is_not_here_is_told(line, said):
    assert unmet(part("acme", "1.0", line), part("lib-x", "1.4")) == [said]


def test_what_is_for_others_is_passed_over():
    lines = ('gone; extra == "test"', 'gone; sys_platform == "win32"', 'gone; python_version<"3"')
    assert unmet(part("acme", "1.0", *lines)) == []


def test_all_is_told_at_once_and_everything_only_once():
    assert len(unmet(part("a", "1", "x", "y"), part("b", "1", "x"))) == 3
    assert len(unmet(part("a", "1", "x", "x"))) == 1


def test_who_needs_a_library():
    parts = [part("a", "1", "Lib.X>1"), part("b", "1", "other"), part("c", "1", "lib_x")]
    assert needed_by("lib-x", parts) == ["a", "c"]


def test_a_wheel_for_another_machine_is_told_with_what_this_one_is():
    assert [*tag_problems("a 1", ["py3-none-any"], supported_tags())] == []
    (problem,) = tag_problems("a 1", ["cp27-cp27m-win32"], supported_tags())
    assert platform.machine() in problem.message
    assert platform.python_version() in problem.message
    assert "cp27-cp27m-win32" in problem.message


def test_tags_of_this_interpreter_are_taken_and_newer_libraries_are_not():
    tags = supported_tags()
    machine = platform.machine()
    assert f"cp39-abi3-manylinux_2_17_{machine}" in tags
    assert f"cp311-cp311-manylinux_2_99_{machine}" not in tags
    assert here().startswith("Python 3")


def test_another_python_is_told():
    assert [*python_problems(part(requires_python=">=3.11"))] == []
    assert [*python_problems(part())] == []
    (problem,) = python_problems(part(requires_python=">=4"))
    assert "wants Python >=4" in problem.message
    for nonsense in ("three", ">=" + "9" * 5000):
        (problem,) = python_problems(part(requires_python=nonsense))
        assert "no version" in problem.message


def test_a_version_of_more_digits_than_python_reads_is_not_met():
    (said,) = unmet(part("acme", "1.0", "trio>=" + "9" * 5000))
    assert said.endswith("and mnedge brings 0.31.0")


def test_names_that_something_else_has_are_told():
    found_here = where_found(())

    def said(*tops, others=(), **more):
        return [p.message for p in shadow_problems(part(tops=tops, **more), others, found_here)]

    assert said("acme_nowhere") == []
    assert "one of Python's own" in said("json")[0]
    assert "bundled with mnedge" in said("msgspec")[0]
    assert "bundled with mnedge" in said("mnedge")[0]
    assert said("__main__")
    other = part("other", tops=("shared", "theirs"), namespaces=("shared",))
    assert said("shared", others=[other]) == ["acme 1.0 and other 1.0 both bring a module 'shared'"]
    assert said("shared", others=[other], namespaces=("shared",)) == []
    assert said("theirs", others=[part("acme", "2.0", tops=("theirs",))]) == []


def test_what_is_bundled_is_found_with_its_version():
    found = bundled("9.9")
    assert found["mnedge"].version == "9.9"
    assert found["msgspec"].version


def test_a_folder_of_plugins_is_not_bundled(tmp_path, monkeypatch):
    (tmp_path / "acme_there.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    assert "bundled" in where_found(())("acme_there")
    assert where_found((str(tmp_path),))("acme_there") == ""
