"""Modules that export a step, loaded in another process."""

import os
import time
from contextlib import suppress

import psutil
import pytest

from mnedge.bundle.files import FolderFiles, ListedFiles
from mnedge.bundle.source import definitions
from mnedge.bundle.source.definitions import file_of, interpreter, load
from tests.bundle.source.making import STEP

WITH_SDK = """
from mn_sdk.step_graph import *
STEP = StepSpec(
    input=InputSpec(fields={"gauge": run_input("gauge")}, hook="prep"),
    flow=sequence(agent("a", as_="x"), parallel(agent("b"), agent("c"))),
    output=OutputSpec(fields={"level": flow_output("b", "level")}),
)
def prep(context): ...
"""


def files(**modules):
    return ListedFiles(
        [],
        {f"payloads/{name.replace('__', '/')}.py": text.encode() for name, text in modules.items()},
    )


def test_a_module_may_export_the_serialized_form():
    loaded = load(["steps.one"], files(steps__one=f"STEP = {STEP!r}"))
    assert loaded.steps == {"steps.one": STEP}
    assert (loaded.errors, loaded.unchecked) == ({}, {})


def test_a_module_may_be_written_in_the_words_of_the_sdk():
    loaded = load(["one"], files(one=WITH_SDK))
    assert loaded.errors == {}
    step = loaded.steps["one"]
    assert step["input"] == {
        "fields": {"gauge": {"$ref": "run_input", "path": ["gauge"]}},
        "hook": "prep",
    }
    assert [item["type"] for item in step["flow"]["items"]] == ["agent", "parallel"]


def test_a_folder_is_used_where_it_is_and_left_as_it_was(tmp_path):
    (tmp_path / "payloads" / "steps").mkdir(parents=True)
    (tmp_path / "payloads" / "steps" / "one.py").write_text("import shared\nSTEP = shared.STEP")
    (tmp_path / "shared.py").write_text(f"import os\nSTEP = dict({STEP!r}, cwd=os.getcwd())")
    loaded = load(["steps.one"], FolderFiles(tmp_path))
    assert loaded.errors == {}
    assert loaded.steps["steps.one"]["cwd"] == os.path.realpath(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "one.py",
        "payloads",
        "shared.py",
        "steps",
    ]


@pytest.mark.parametrize(
    "text, says",
    [
        ("x = 1", "it exports no STEP"),
        ("import nowhere_to_be_found", "ModuleNotFoundError: No module named"),
        ("STEP = 3", "neither a step nor its serialized form"),
        ("STEP = {'x': object()}", "TypeError"),
        ("STEP = {'x': float('nan')}", "ValueError"),
        ("raise SystemExit(0)", "SystemExit"),
        ("STEP = {'input': {'hook': 'gone'}}", "its input hook 'gone' is no function"),
        ("STEP = {'output': {'hook': 'STEP'}}", "its output hook 'STEP' is no function"),
        ("def broken(:", "SyntaxError"),
    ],
)
def test_what_is_no_definition_is_told(text, says):
    loaded = load(["one"], files(one=text))
    assert loaded.steps == {}
    assert says in loaded.errors["one"]


def test_what_a_module_prints_is_no_answer():
    loaded = load(
        ["one"], files(one=f"print('{{}}')\nimport os\nos.write(1, b'[]\\n')\nSTEP = {STEP!r}")
    )
    assert loaded.steps == {"one": STEP}


def test_a_module_that_ends_the_interpreter_or_hangs_costs_only_itself():
    made = files(
        good=f"STEP = {STEP!r}",
        ends="import os, sys\nsys.stderr.write('oh\\n')\nsys.stderr.flush()\nos._exit(3)",
        hangs="import threading\nthreading.Event().wait()",
        last=f"STEP = {STEP!r}",
    )
    loaded = load(["good", "ends", "hangs", "last"], made, limit_s=1)
    assert list(loaded.steps) == ["good", "last"]
    assert loaded.errors["ends"] == "the interpreter ended with code 3: oh"
    assert loaded.errors["hangs"] == "it did not load within 1 s"


def test_what_a_module_started_does_not_outlive_it():
    made = files(
        one="import subprocess, os\n"
        "child = subprocess.Popen(['sleep', '60'])\n"
        "STEP = {'child': child.pid}"
    )
    child = load(["one"], made).steps["one"]["child"]
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(child)
        until = time.monotonic() + 10
        while process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < until:
            pass  # killed already, and about to end
        assert process.status() == psutil.STATUS_ZOMBIE


def test_nothing_of_the_environment_is_shown_to_modules_but_what_they_need(monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "secret")
    loaded = load(["one"], files(one="import os\nSTEP = {'seen': sorted(os.environ)}"))
    assert "MY_TOKEN" not in loaded.steps["one"]["seen"]
    assert "PATH" in loaded.steps["one"]["seen"]


def test_what_is_not_there_or_not_at_hand_or_not_to_be_run_is_not_loaded():
    made = ListedFiles(["payloads/away.py"], {"payloads/one.py": b"raise SystemExit"})
    loaded = load(["gone", "away", "one", "one"], made, run_code=False)
    assert loaded.errors == {"gone": "no such module in payloads/ or in the bundle"}
    assert loaded.unchecked == dict.fromkeys(("away", "one"), "its code was not run")
    assert load(["away"], made).unchecked == {"away": "its content is not at hand"}
    assert load([], made).steps == {}


def test_without_a_python_nothing_is_checked(monkeypatch):
    monkeypatch.setattr(definitions, "interpreter", lambda: None)
    assert load(["one"], files(one="STEP = {}")).unchecked == {"one": "no Python 3 is on PATH"}
    monkeypatch.setattr(definitions, "interpreter", lambda: "/no/such/python")
    assert "cannot be started" in load(["one"], files(one="STEP = {}")).errors["one"]


def test_the_interpreter_is_a_real_python(monkeypatch, tmp_path):
    assert interpreter()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("mnedge.shipped.python", lambda: None)
    assert interpreter() is None


@pytest.mark.parametrize("version, expected", [("3.9", "ours"), ("3.11", "theirs")])
def test_the_one_that_came_along_stands_in_for_one_that_is_too_old(
    monkeypatch, tmp_path, version, expected
):
    old = version == "3.9"
    (tmp_path / "python3").write_text(f"#!/bin/sh\nexit {int(old)}\n")
    (tmp_path / "python3").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/nowhere")
    monkeypatch.setattr("mnedge.shipped.python", lambda: "/brought/python3")
    monkeypatch.setattr("mnedge.shipped.bundled_python", lambda: "/brought/python3")
    found = {"ours": "/brought/python3", "theirs": str(tmp_path / "python3")}
    assert interpreter() == found[expected]


@pytest.mark.parametrize(
    "name",
    ["payloads/steps/one.py", "payloads/steps/one/__init__.py", "steps/one.py"],
)
def test_a_module_is_found_in_payloads_or_in_the_bundle(name):
    assert file_of("steps.one", ListedFiles([name])) == name
    assert file_of("steps.two", ListedFiles([name])) is None
