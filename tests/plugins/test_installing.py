"""Plugins come into the depot whole or not at all, and go without a trace."""

import hashlib
import os
from pathlib import Path

import msgspec
import pytest

from mnedge.plugins import installing
from mnedge.plugins.asking import Report, Trouble
from mnedge.plugins.depot import Depot, PluginUnknownError, Quarantine, hold
from mnedge.plugins.installing import check, install, permit, remove
from mnedge.plugins.outside import Terms, key_of
from mnedge.plugins.probe import Probing
from mnedge.plugins.problem import PluginRefusedError
from tests.plugins.wheels import RUNNER, files_of, packed, unpacked, wheel

GOOD = Report(brings={"runners": ("acme",)}, took_s=0.1)


@pytest.fixture
def terms(tmp_path):
    return Terms(
        depot=Depot(tmp_path / "node" / "plugins"),
        configured=(),
        version="0.1.0",
        probing=Probing(program=("false",)),
        now=lambda: 1_000_000.0,
    )


@pytest.fixture(autouse=True)
def probes(monkeypatch):
    """What probes answer, and what they were asked."""
    answers, asked = {}, []

    def answer(request, by):
        asked.append(request)
        given = answers.get(request.label.partition(" ")[0], GOOD)
        if isinstance(given, Exception):
            raise given
        return given

    monkeypatch.setattr(installing, "probe", answer)
    monkeypatch.setattr(
        installing,
        "probed",
        lambda record, records, depot, by: answers.get(record.name, GOOD),
    )
    return answers, asked


def tree(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in folder.rglob("*")
        if p.is_file()
    }


def put(terms, *sources, allow=None):
    return install(sources, terms, allow=allow, by="somebody")


def refused(terms, *sources):
    before = tree(terms.depot.folder.parent)
    with pytest.raises(PluginRefusedError) as told:
        put(terms, *sources)
    assert tree(terms.depot.folder.parent) == before, "nothing was changed"
    return [problem.message for problem in told.value.reasons]


def states(terms):
    return {record.name: record.state(terms.configured) for record in terms.depot.records()}


def test_a_new_plugin_is_off_until_it_is_allowed(terms, tmp_path, probes):
    (outcome,) = put(terms, wheel(tmp_path))
    record = outcome.record
    assert states(terms) == {"acme-runner": "off"}
    assert (record.installed_by, record.allowed_by) == ("somebody", "")
    assert record.verdict.brings == {"runners": ("acme",)}
    assert (terms.depot.place(record) / "acme_runner.py").read_text().strip() == RUNNER.strip()
    (request,) = probes[1]
    assert ".staging-" in request.folders[0], "it is probed before it is in its place"
    (again,) = put(terms, wheel(tmp_path), allow=True)
    assert states(terms) == {"acme-runner": "on"}
    assert again.record.allowed_by == "somebody"
    assert len(probes[1]) == 1, "what is known to be good is not probed again"


def test_the_same_again_changes_nothing(terms, tmp_path):
    put(terms, wheel(tmp_path), allow=True)
    before = tree(terms.depot.folder)
    put(terms, wheel(tmp_path))
    after = tree(terms.depot.folder)
    assert {k: v for k, v in after.items() if k != "depot.json"} == {
        k: v for k, v in before.items() if k != "depot.json"
    }
    assert states(terms) == {"acme-runner": "on"}


def test_one_that_its_probe_finds_bad_is_kept_in_quarantine(terms, tmp_path, probes):
    probes[0]["acme-runner"] = Report(trouble=Trouble(stage="probe", message="it hangs"))
    (outcome,) = put(terms, wheel(tmp_path), allow=True)
    assert outcome.record.quarantine.reason == "it hangs"
    assert states(terms) == {"acme-runner": "quarantined"}
    probes[0]["acme-runner"] = GOOD
    put(terms, wheel(tmp_path), allow=True)
    assert states(terms) == {"acme-runner": "on"}


def test_a_probe_that_cannot_be_made_is_told(terms, tmp_path, probes):
    probes[0]["acme-runner"] = PermissionError("no")
    (outcome,) = put(terms, wheel(tmp_path))
    assert "cannot be probed" in outcome.record.quarantine.reason


def test_a_newer_version_takes_its_place_and_is_as_allowed_as_the_old_one(terms, tmp_path):
    put(terms, wheel(tmp_path), allow=True)
    old = terms.depot.place(terms.depot.find("acme-runner"))
    newer = wheel(tmp_path, version="1.1", modules={"acme_runner.py": "x = 1\n"})
    (outcome,) = put(terms, newer)
    assert (outcome.was.version, outcome.record.version) == ("1.0", "1.1")
    assert states(terms) == {"acme-runner": "on"}
    assert not old.exists()


def test_other_contents_wipe_out_a_quarantine(terms, tmp_path):
    put(terms, wheel(tmp_path), allow=True)
    bad = Quarantine(reason="x", stage="loop", at=0.0, program="0.1.0")
    terms.depot.change("acme-runner", quarantine=bad)
    put(terms, wheel(tmp_path, version="1.1"))
    assert states(terms) == {"acme-runner": "on"}


def test_everything_that_does_not_fit_is_told_at_once(terms, tmp_path):
    path = wheel(
        tmp_path,
        modules={"acme_runner.py": "", "json.py": "", "msgspec/__init__.py": ""},
        tag="cp27-cp27m-win32",
        requires=("mnedge>=99", "gone"),
        headers="Requires-Python: >=4\n",
    )
    told = "\n".join(refused(terms, path))
    for said in (
        "is made for cp27-cp27m-win32",
        "wants Python >=4",
        "needs mnedge>=99, and mnedge brings 0.1.0",
        "needs gone, which is not here",
        "'json', which is one of Python's own",
        "'msgspec', which is bundled with mnedge",
    ):
        assert said in told
    assert not terms.depot.folder.exists()


def test_a_damaged_wheel_changes_nothing(terms, tmp_path):
    put(terms, wheel(tmp_path / "good"))
    files = files_of(version="1.1")
    files["acme_runner.py"] = files["acme_runner.py"][:-1] + b"#"
    bad = tmp_path / "acme_runner-1.1-py3-none-any.whl"
    bad.write_bytes(packed(files))
    assert "acme_runner.py is not what RECORD says" in refused(terms, bad)
    assert terms.depot.find("acme-runner").version == "1.0"


def test_what_brings_no_plugin_or_is_not_there_is_refused(terms, tmp_path):
    assert "no entry point" in refused(terms, wheel(tmp_path, points={}))[0]
    assert "no such file" in refused(terms, tmp_path / "gone.whl")[0]
    bundled = wheel(tmp_path, "msgspec", "99.0", modules={"x.py": ""})
    assert "msgspec is bundled with mnedge" in refused(terms, bundled)[0]
    one, other = wheel(tmp_path / "1"), wheel(tmp_path / "2", version="2.0")
    assert "which one is meant" in refused(terms, one, other)[0]


def a_set(folder, version="1.0", needs="acme-library>=1"):
    """Make a folder: a plugin, its library, one that mnedge brings, one that nobody needs."""
    wheel(folder, requires=(needs, "msgspec"))
    wheel(folder, "acme-library", version, {"acme_library.py": f"v = '{version}'\n"}, points={})
    wheel(folder, "msgspec", "99.0", {"msgspec/__init__.py": ""}, points={})
    wheel(folder, "stray", "1.0", {"stray.py": ""}, points={})
    return folder


def test_a_folder_brings_the_plugin_with_the_libraries_it_needs(terms, tmp_path, probes):
    (outcome,) = put(terms, a_set(tmp_path / "set"))
    assert states(terms) == {"acme-runner": "off", "acme-library": "library"}
    assert terms.depot.find("acme-library").came_with == "acme-runner"
    notes = "\n".join(outcome.notes)
    assert "msgspec 99.0 is left out: mnedge brings" in notes
    assert "stray 1.0 is left out: nothing here needs it" in notes
    assert [Path(folder).name.rpartition("-")[0] for folder in probes[1][0].folders] == [
        "acme-runner-1.0",
        "acme-library-1.0",
    ]


def test_what_is_left_out_is_told_but_for_compiled_caches(terms, tmp_path):
    modules = {"acme_runner.py": RUNNER, "acme_runner-1.0.data/scripts/acme": "#!python\n"}
    (outcome,) = put(terms, wheel(tmp_path, modules=modules))
    [note] = outcome.notes
    assert note.endswith("left out, for it is no module: acme_runner-1.0.data/scripts/acme")
    caches = {"acme_runner.py": RUNNER, "__pycache__/acme_runner.cpython-311.pyc": "x"}
    (outcome,) = put(terms, wheel(tmp_path, version="1.1", modules=caches))
    assert outcome.notes == ()


def test_a_library_may_be_there_already_and_goes_with_the_last_who_needs_it(terms, tmp_path):
    put(terms, a_set(tmp_path / "set"))
    other = wheel(tmp_path, "other", modules={"other.py": ""}, requires=("acme-library",))
    put(terms, other)
    done = remove("acme-runner", terms)
    assert done.libraries == ()
    assert states(terms) == {"other": "off", "acme-library": "library"}
    with pytest.raises(PluginRefusedError, match="other needs it"):
        remove("acme-library", terms)
    assert [part.name for part in remove("other", terms).libraries] == ["acme-library"]
    assert not terms.depot.folder.exists()


def test_a_library_that_would_break_another_plugin_is_refused(terms, tmp_path):
    put(terms, a_set(tmp_path / "set", needs="acme-library<2"))
    folder = tmp_path / "newer"
    wheel(folder, "other", modules={"other.py": ""}, requires=("acme-library>=2",))
    wheel(folder, "acme-library", "2.0", {"acme_library.py": ""}, points={})
    told = refused(terms, folder)
    assert told == ["acme-runner 1.0 needs acme-library<2, and the depot has 2.0"]


def test_two_plugins_with_one_module_are_refused(terms, tmp_path):
    put(terms, wheel(tmp_path))
    other = wheel(tmp_path, "other", modules={"acme_runner.py": "x = 1\n"})
    assert "both bring a module 'acme_runner'" in refused(terms, other)[0]


def test_an_unpacked_distribution_is_as_good_as_a_wheel(terms, tmp_path):
    (outcome,) = put(terms, unpacked(tmp_path / "site", files_of()))
    put(terms, wheel(tmp_path))
    assert terms.depot.find("acme-runner").digest == outcome.record.digest


@pytest.mark.parametrize("allow", [None, True])
def test_removing_restores_the_former_state(terms, tmp_path, allow):
    other = wheel(tmp_path, "other", modules={"other.py": ""})
    put(terms, other, allow=allow)
    before = tree(tmp_path / "node")
    put(terms, a_set(tmp_path / "set"), allow=True)
    assert tree(tmp_path / "node") != before
    remove("acme-runner", terms)
    assert tree(tmp_path / "node") == before
    remove("other", terms)
    assert tree(tmp_path / "node") == {}
    assert not terms.depot.folder.exists()


def test_one_that_is_in_use_goes_when_it_is_not(terms, tmp_path):
    put(terms, wheel(tmp_path))
    record = terms.depot.find("acme-runner")
    number = hold(terms.depot.place(record))
    done = remove("acme-runner", terms)
    assert done.in_use
    assert (terms.depot.place(record) / "acme_runner.py").exists()
    os.close(number)
    put(terms, wheel(tmp_path, "other", modules={"other.py": ""}))
    assert not terms.depot.place(record).exists()


def test_one_that_the_configuration_names_stays(terms, tmp_path):
    put(terms, wheel(tmp_path))
    named = msgspec.structs.replace(terms, configured=("Acme.Runner",))
    with pytest.raises(PluginRefusedError) as told:
        remove("acme-runner", named)
    assert "plugins:" in told.value.hint
    with pytest.raises(PluginUnknownError):
        remove("nobody", terms)


def test_a_name_that_another_one_has_is_noticed_when_it_is_let_in(terms, tmp_path):
    put(terms, wheel(tmp_path), allow=True)
    twin = wheel(tmp_path, "zulu", modules={"zulu.py": RUNNER}, points={"zulu": "zulu"})
    (outcome,) = put(terms, twin)
    assert outcome.report.trouble is None, "as long as it is off nobody minds"
    told = "its hook runners brings 'acme', a name that acme-runner has already"
    outcome = permit("zulu", terms, allow=True, by="me")
    assert outcome.report.trouble.stage == "clash"
    assert told in outcome.record.quarantine.reason
    assert told in check(terms.depot.find("zulu"), terms).problems[0].message
    (outcome,) = put(terms, twin, allow=True)
    assert told in outcome.report.trouble.message
    assert check(terms.depot.find("acme-runner"), terms).problems == ()
    remove("acme-runner", terms)
    assert permit("zulu", terms, allow=True, by="me").report.trouble is None
    assert states(terms) == {"zulu": "on"}


def test_permission_is_given_and_taken_by_name(terms, tmp_path, probes):
    put(terms, a_set(tmp_path / "set"))
    permit("Acme_Runner", terms, allow=True, by="me")
    assert states(terms)["acme-runner"] == "on"
    permit("acme-runner", terms, allow=False, by="me")
    assert states(terms)["acme-runner"] == "off"
    assert terms.depot.find("acme-runner").allowed_by == ""
    bad = Quarantine(reason="x", stage="loop", at=0.0, program="0.1.0")
    terms.depot.change("acme-runner", quarantine=bad, allowed=True)
    permit("acme-runner", terms, allow=False, by="me")
    assert states(terms)["acme-runner"] == "quarantined", "that is no pardon"
    permit("acme-runner", terms, allow=True, by="me")
    assert states(terms)["acme-runner"] == "on"
    probes[0]["acme-runner"] = Report(trouble=Trouble(stage="hook", message="broken"))
    outcome = permit("acme-runner", terms, allow=True, by="me")
    assert outcome.record.quarantine.reason == "broken"
    with pytest.raises(PluginRefusedError, match="a library"):
        permit("acme-library", terms, allow=True, by="me")


def test_what_was_altered_is_not_let_in_by_its_name_and_mended_from_its_wheel(terms, tmp_path):
    put(terms, wheel(tmp_path))
    record = terms.depot.find("acme-runner")
    file = terms.depot.place(record) / "acme_runner.py"
    file.write_text("altered\n")
    with pytest.raises(PluginRefusedError, match=r"acme_runner\.py was changed"):
        permit("acme-runner", terms, allow=True, by="me")
    bad = Quarantine(reason="x", stage="altered", at=0.0, program="0.1.0")
    terms.depot.change("acme-runner", quarantine=bad, verdict=None)
    put(terms, wheel(tmp_path))
    assert file.read_text().strip() == RUNNER.strip()
    assert states(terms) == {"acme-runner": "off"}
    assert [p.name for p in terms.depot.folder.iterdir() if p.is_dir()] == [record.folder]
    assert check(terms.depot.find("acme-runner"), terms).problems == ()


def test_a_check_tells_all_and_changes_nothing(terms, tmp_path, probes):
    put(terms, a_set(tmp_path / "set"), allow=True)
    record = terms.depot.find("acme-runner")
    before = tree(terms.depot.folder)
    assert check(record, terms).problems == ()
    probes[0]["acme-runner"] = Report(trouble=Trouble(stage="hook", message="broken"))
    assert [p.message for p in check(record, terms).problems] == ["broken"]
    assert tree(terms.depot.folder) == before
    library = terms.depot.find("acme-library")
    (terms.depot.place(library) / "acme_library.py").write_text("altered\n")
    (terms.depot.place(record) / "acme_runner.py").unlink()
    old = msgspec.structs.replace(terms, version="9.0")
    told = [p.message for p in check(record, old).problems]
    assert "acme-library 1.0: acme_library.py was changed" in told
    assert "acme-runner 1.0: acme_runner.py is missing" in told


def test_a_verdict_is_about_the_contents(terms, tmp_path):
    put(terms, a_set(tmp_path / "set"))
    records = {record.name: record for record in terms.depot.records()}
    record = records["acme-runner"]
    assert record.verdict.key == key_of(record, records, "0.1.0")
    assert key_of(record, records, "0.2.0") != record.verdict.key


def test_one_who_was_quicker_is_not_overrun(terms, tmp_path, probes, monkeypatch):
    """Between the judgement and the move another one brings a module of the same name."""
    other = wheel(tmp_path, "other", modules={"acme_runner.py": "x = 1\n"})
    quick = []

    def answer(request, by):
        if not quick:
            quick.append(1)
            put(terms, other)
        return GOOD

    monkeypatch.setattr(installing, "probe", answer)
    with pytest.raises(PluginRefusedError, match="both bring a module"):
        put(terms, wheel(tmp_path))
    assert states(terms) == {"other": "off"}


def test_a_verdict_is_about_what_was_probed_not_about_what_lies_there_by_then(
    terms, tmp_path, monkeypatch
):
    """While one version is let in, another one is put in its place, or in that of its library."""
    put(terms, a_set(tmp_path / "set"))
    newer = wheel(tmp_path, version="2.0", requires=("acme-library",))

    def is_proven():
        records = {record.name: record for record in terms.depot.records()}
        record = records["acme-runner"]
        return record.verdict.key == key_of(record, records, terms.version)

    def probed(record, records, depot, by):
        put(terms, newer)
        return GOOD

    monkeypatch.setattr(installing, "probed", probed)
    permit("acme-runner", terms, allow=True, by="me")
    assert terms.depot.find("acme-runner").version == "2.0"
    assert not is_proven()
    put_in = []

    def answer(request, by):
        if not put_in:
            put_in.append(1)
            terms.depot.change("acme-library", digest="f" * 64)
        return GOOD

    monkeypatch.setattr(installing, "probe", answer)
    put(terms, wheel(tmp_path, version="3.0", requires=("acme-library",)))
    assert not is_proven()
