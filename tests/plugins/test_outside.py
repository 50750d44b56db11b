"""Plugins from outside in this process: nothing that one of them does stops us."""

import hashlib
import os
import signal
import sys
from contextlib import suppress

import msgspec
import pytest

from mnedge.execution.processes import Processes
from mnedge.plugins import loading, outside, suspicion
from mnedge.plugins.asking import Report, Trouble
from mnedge.plugins.depot import Depot, Point, Quarantine, Record, Verdict, seen
from mnedge.plugins.outside import Terms, entered, key_of, libraries, prove, undisturbed
from mnedge.plugins.probe import Probing
from mnedge.plugins.suspicion import Blame
from mnedge.plugins.unpacking import digest_of
from tests.plugins.wheels import LAUNCH, RUNNER

NOW = 1_000_000.0


@pytest.fixture
def terms(tmp_path):
    return Terms(
        depot=Depot(tmp_path / "plugins"),
        configured=(),
        version="1.0",
        probing=Probing(program=("false",)),
        is_daemon=True,
        now=lambda: NOW,
    )


@pytest.fixture(autouse=True)
def _a_process_like_new(monkeypatch):
    """Forget what was imported, and let nobody watch: pytest has `faulthandler` itself."""
    path, modules = list(sys.path), set(sys.modules)
    monkeypatch.setattr(suspicion.Watch, "_open", lambda self: None)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.endswith("_runner"):
            del sys.modules[name]
    while outside._kept:
        with suppress(OSError):
            os.close(outside._kept.pop())


@pytest.fixture
def probes(monkeypatch):
    """What probes answer, and which were asked."""
    answers, asked = {}, []

    def answer(record, records, depot, by):
        asked.append(record.name)
        given = answers.get(record.name, Report(brings={"runners": ("acme",)}))
        if isinstance(given, Exception):
            raise given
        return given

    monkeypatch.setattr(outside, "probed", answer)
    return answers, asked


def put(terms, name="acme", text=RUNNER, *, proven=True, **more):
    """Put a plugin into the depot, on unless said otherwise."""
    module = f"{name}_runner"
    folder = terms.depot.folder / f"{name}-1.0-00000000"
    folder.mkdir(parents=True)
    (folder / f"{module}.py").write_text(text)
    files = {f"{module}.py": hashlib.sha256(text.encode()).hexdigest()}
    record = Record(
        **{
            "name": name,
            "version": "1.0",
            "folder": folder.name,
            "digest": digest_of(files),
            "files": files,
            "size_bytes": len(text),
            "source": "test",
            "installed_at": 0.0,
            "installed_by": "test",
            "entry_points": (Point("acme", module),),
            "tags": ("py3-none-any",),
            "allowed": True,
            "seen": seen(folder, list(files)),
            **more,
        }
    )
    with terms.depot.changing() as records:
        records[name] = record
        if proven:
            key = key_of(record, records, terms.version)
            records[name] = record = msgspec.structs.replace(
                record, verdict=Verdict(key=key, brings={"runners": ("acme",)})
            )
    return record


def runners_of(terms, extra=()):
    return loading.runners(loading.load(extra, terms), Processes())


def state_of(terms, name="acme"):
    return terms.depot.find(name).state(terms.configured)


def reason(terms, name="acme"):
    quarantine = terms.depot.find(name).quarantine
    return quarantine.reason if quarantine else ""


def test_a_proven_plugin_works_beside_the_bundled_ones(terms):
    put(terms)
    found = runners_of(terms)
    assert found["acme"] is found["Acme.Runner"]
    assert found["host_local"].name == "host_local"
    assert sys.path[-1].endswith("acme-1.0-00000000")
    assert found["acme"].available() is None


def test_one_that_is_off_or_unproven_is_not_loaded(terms):
    put(terms, allowed=False)
    put(terms, "other", RUNNER.replace("acme", "other"), proven=False)
    assert entered(terms) == []
    assert "acme_runner" not in sys.modules


def test_a_name_in_the_configuration_lets_it_in_and_is_not_taken_for_a_module(terms):
    put(terms, allowed=False)
    on = msgspec.structs.replace(terms, configured=("Acme",))
    assert "acme" in runners_of(on, ["Acme"])


@pytest.mark.parametrize(
    "text, said",
    [
        ("raise BaseException('late')", "cannot be imported: BaseException: late"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        (RUNNER.replace("return [Echo()]", "raise SystemExit"), "its hook runners failed"),
        (RUNNER.replace('"acme"', "None"), "whose name is None"),
        (RUNNER.replace('"acme"', '"host_local"'), "'host_local', a name that is bundled already"),
    ],
)
def test_one_that_breaks_in_this_process_is_quarantined_and_all_others_work(
    terms, caplog, text, said
):
    put(terms, text=text)
    put(terms, "other", RUNNER.replace("acme", "other").replace("Acme", "Other"))
    found = runners_of(terms)
    assert "acme" not in found
    assert {"other", "host_local"} <= set(found)
    assert found["host_local"].modules == ("MirrorNeuron.Runner.HostLocal",)
    assert said in reason(terms)
    assert "plugin acme 1.0 is quarantined" in caplog.text
    assert state_of(terms) == "quarantined"
    assert state_of(terms, "other") == "on"


def test_the_first_of_two_with_one_name_wins(terms):
    put(terms)
    put(terms, "zulu", RUNNER)
    assert runners_of(terms)["acme"]
    assert state_of(terms) == "on"
    assert "a name that is that of plugin acme already" in reason(terms, "zulu")


def test_what_it_brought_before_it_broke_is_not_used_any_more(terms):
    text = RUNNER + ("\n@hookimpl\ndef skills():\n    raise ValueError('too late')\n")
    put(terms, text=text)
    plugins = loading.load((), terms)
    runner = loading.runners(plugins, Processes())["acme"]
    assert runner.available() is None
    assert set(loading.skills(plugins, "/x")) == {"file", "webhook"}
    assert "quarantined" in runner.available()


def test_an_interrupt_stops_us_as_it_should_and_quarantines_nobody(terms):
    put(terms, text="raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        entered(terms)
    assert state_of(terms) == "on"


def test_a_thing_that_changes_when_it_is_looked_at_again_is_refused(terms):
    """Its name was good in the probe, and when it was asked; not any more."""
    text = RUNNER.replace('    name = "acme"', """    looks = 0

    @property
    def name(self):
        Echo.looks += 1
        if Echo.looks > 1:
            raise SystemExit
        return 'acme'
""")  # fmt: skip
    put(terms, text=text)
    assert "acme" not in runners_of(terms)
    assert "what its hook runners returned changes: SystemExit" in reason(terms)
    put(terms, "other", text.replace("raise SystemExit", "return 42").replace("acme", "other"))
    assert "other" not in runners_of(terms)
    assert "whose name is 42" in reason(terms, "other")


def test_one_that_fits_a_newer_mnedge_no_more_says_so_instead_of_breaking(terms, probes):
    put(terms, requires=("mnedge<1.5", "lib"), proven=False)
    put(terms, "lib", "x = 1\n", entry_points=(), proven=False)
    prove(terms)
    assert state_of(terms) == "on"
    prove(msgspec.structs.replace(terms, version="2.0"))
    assert reason(terms) == "acme 1.0 needs mnedge<1.5, and mnedge brings 2.0"
    prove(msgspec.structs.replace(terms, version="1.1"))
    assert state_of(terms) == "on", "after going back it is good again"


def test_what_an_import_changes_in_the_process_is_put_back(capsys):
    before = (signal.getsignal(signal.SIGTERM), os.getcwd(), list(sys.path))
    with undisturbed():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.chdir("/")
        os.umask(0)
        sys.path.insert(0, "/nowhere")
        print("hello")
    mask = os.umask(0o022)
    os.umask(mask)
    assert (signal.getsignal(signal.SIGTERM), os.getcwd(), list(sys.path)) == before
    assert mask != 0
    assert capsys.readouterr() == ("", "hello\n")


# ---- proving ----


def test_one_that_is_known_is_not_probed_again(terms, probes):
    put(terms)
    prove(terms)
    assert probes[1] == []


def test_one_that_is_new_is_probed_and_its_verdict_kept(terms, probes):
    put(terms, proven=False)
    prove(terms)
    prove(terms)
    assert probes[1] == ["acme"]
    assert [plugin.label for plugin in entered(terms)] == ["acme 1.0"]


def test_another_version_of_mnedge_or_of_a_library_probes_anew(terms, probes):
    lib = put(terms, "lib", "x = 1\n", entry_points=(), proven=False)
    put(terms, requires=("lib>=1",))
    prove(terms)
    assert probes[1] == []
    prove(msgspec.structs.replace(terms, version="2.0"))
    assert probes[1] == ["acme"]
    terms.depot.change("lib", digest="another")
    prove(msgspec.structs.replace(terms, version="2.0"))
    assert probes[1] == ["acme", "acme"]
    assert lib.is_plugin is False


def test_one_that_its_probe_finds_bad_is_quarantined(terms, probes, caplog):
    put(terms, proven=False)
    probes[0]["acme"] = Report(trouble=Trouble(stage="probe", message="it hangs", trace="there"))
    prove(terms)
    assert reason(terms) == "it hangs"
    assert terms.depot.find("acme").quarantine.trace == "there"
    assert entered(terms) == []
    caplog.clear()
    prove(terms)
    assert "stays quarantined: it hangs" in caplog.text


def test_a_probe_that_cannot_be_made_is_no_verdict(terms, probes, caplog):
    put(terms, proven=False)
    probes[0]["acme"] = PermissionError("no")
    prove(terms)
    assert state_of(terms) == "on"
    assert entered(terms) == []
    assert "cannot be probed, and is not loaded" in caplog.text


def test_another_mnedge_tries_again_what_this_one_found_bad_but_not_who_held_it_up(terms, probes):
    for name, stage in (("acme", "probe"), ("other", "loop")):
        bad = Quarantine(reason="bad", stage=stage, at=0.0, program="0.9")
        put(terms, name, proven=False, quarantine=bad)
    prove(terms)
    assert probes[1] == ["acme"]
    assert state_of(terms) == "on"
    assert state_of(terms, "other") == "quarantined"


def test_files_that_were_altered_are_not_loaded(terms, probes):
    record = put(terms)
    (terms.depot.place(record) / "acme_runner.py").write_text("import os\n")
    prove(terms)
    assert "acme_runner.py was changed" in reason(terms)
    assert entered(terms) == []


def test_files_that_were_only_copied_are_good(terms, probes):
    record = put(terms)
    os.utime(terms.depot.place(record) / "acme_runner.py", (1, 1))
    prove(terms)
    assert state_of(terms) == "on"
    assert terms.depot.find("acme").seen != record.seen
    assert probes[1] == []


def test_who_is_blamed_is_quarantined_and_a_suspicion_counts_the_second_time(
    terms, probes, monkeypatch
):
    put(terms)
    put(terms, "other", RUNNER.replace("acme", "other").replace("Acme", "Other"))
    sure = Blame(plugin="acme", stage="loop", reason="it held up the loop", trace="here")
    maybe = Blame(plugin="other", stage="crash", reason="it ended", is_certain=False)
    gone = Blame(plugin="gone", stage="loop", reason="x")
    monkeypatch.setattr(suspicion, "collect", lambda folder: [sure, maybe, gone])
    prove(terms)
    assert reason(terms) == "it held up the loop"
    assert terms.depot.find("other").strikes == 1
    monkeypatch.setattr(suspicion, "collect", lambda folder: [maybe])
    prove(terms)
    assert reason(terms, "other") == "it ended"


def test_a_start_that_went_well_wipes_out_a_suspicion(terms, probes):
    put(terms, strikes=1)
    entered(terms)
    assert terms.depot.find("acme").strikes == 0


def test_a_depot_that_cannot_be_written_still_quarantines_for_now(terms, caplog, monkeypatch):
    put(terms, text="raise ValueError('x')")
    monkeypatch.setattr(Depot, "change", raising(PermissionError("read-only")))
    assert entered(terms) == []
    assert "cannot be kept" in caplog.text


def raising(error):
    def raises(*_, **__):
        raise error

    return raises


def test_a_depot_that_cannot_be_read_costs_its_plugins_and_not_the_start(terms, caplog):
    put(terms)
    (terms.depot.folder / "depot.json").write_text("?")
    named = msgspec.structs.replace(terms, configured=("acme",))
    plugins = loading.load(["acme"], named)
    assert plugins.outside == ()
    assert "host_local" in loading.runners(plugins, Processes())
    assert "no plugin from outside is loaded" in caplog.text


def test_libraries_are_found_through_others_and_never_twice():
    def one(name, *requires):
        return Record(
            name=name, version="1", folder=name, digest="", files={}, size_bytes=0, source="",
            installed_at=0.0, installed_by="", requires=requires,
        )  # fmt: skip

    records = {r.name: r for r in (one("a", "B>=1", "z"), one("b", "c; x=='1'"), one("c", "a"))}
    assert [r.name for r in libraries(records["a"], records)] == ["b", "c"]


def test_nothing_is_looked_at_where_nothing_was_ever_installed(terms):
    prove(terms)
    assert loading.load((), terms).outside == ()
    assert loading.load((), terms).watch is None
    assert not terms.depot.folder.exists()


async def test_a_runner_that_raises_is_a_failed_attempt_of_the_plugin(terms):
    put(terms, text=RUNNER.replace('on_line(b"hello")', "raise ValueError('in run')"))
    got = await runners_of(terms)["acme"].run(LAUNCH, lambda line: True)
    assert got.error == "plugin acme 1.0: runner acme: run() raised ValueError: in run"
