"""Words, columns and JSON."""

import json
from datetime import UTC
from pathlib import Path

import pytest
from rich.cells import cell_len

from mnedge.cli import show
from mnedge.model.body import BlobRef


def test_one_thing_is_not_many():
    assert [show.counted(n, "agent") for n in (0, 1, 2)] == ["0 agents", "1 agent", "2 agents"]
    assert show.counted(2, "entry", "entries") == "2 entries"


def test_moments_are_local_and_exact():
    assert show.moment(1700000000.25, UTC) == "2023-11-14 22:13:20"
    assert show.clock(1700000000.25, UTC) == "22:13:20.250"


@pytest.mark.parametrize(
    "age_s,said",
    [(-5, "just now"), (1, "just now"), (59, "59 s ago"), (61, "1 min ago"), (7200, "2 h ago"),
     (200_000, "2 d ago")],
)  # fmt: skip
def test_an_age_is_told_in_one_unit(age_s, said):
    assert show.ago(1000.0, 1000.0 + age_s) == said


def test_columns_are_aligned_and_end_without_blanks():
    rows = [["a", show.Cell("12", right=True), "x"], ["bcd", show.Cell("3", right=True), ""]]
    assert [line.plain for line in show.columns(rows)] == ["a    12  x", "bcd   3"]


def test_wide_characters_count_as_two_cells():
    lines = show.columns([["日本", "x"], ["ab", "y"]])
    assert cell_len(lines[0].plain.partition("x")[0]) == cell_len(lines[1].plain.partition("y")[0])


def test_only_the_last_column_is_cut_to_fit():
    (line,) = show.columns(
        [["a-long-id-that-stays-whole", "a description of some length"]], width=40
    )
    assert line.plain.startswith("a-long-id-that-stays-whole  a desc")
    assert line.plain.endswith("…")
    assert cell_len(line.plain) <= 40


def test_empty_fields_are_left_out():
    lines = show.fields([("job", "j1"), ("step", ""), ("run folder", "r")])
    assert [line.plain for line in lines] == ["  job         j1", "  run folder  r"]


def test_a_long_value_is_shown_in_part_and_the_rest_is_counted():
    lines, missing = show.bounded({str(i): i for i in range(100)}, lines=10)
    assert len(lines) == 10
    assert missing == 92
    assert show.bounded("text\nand more") == (["text", "and more"], 0)


def test_what_fits_stands_on_one_line():
    value = {"numbers": list(range(5)), "long": ["word " * 10, "word " * 10], "none": {}}
    assert show.bounded(list(range(100, 140)), width=60)[0] == [
        "[",
        "  " + " ".join(f"{n}," for n in range(100, 111)),
        "  " + " ".join(f"{n}," for n in range(111, 122)),
        "  " + " ".join(f"{n}," for n in range(122, 133)),
        "  " + ", ".join(str(n) for n in range(133, 140)),
        "]",
    ]
    assert show.bounded(value, width=60)[0] == [
        "{",
        '  "numbers": [0, 1, 2, 3, 4],',
        '  "long": [',
        f'    "{"word " * 10}",',
        f'    "{"word " * 10}"',
        "  ],",
        '  "none": {}',
        "}",
    ]
    assert show.bounded({"a": BlobRef("sha256:0", 9)})[0] == [
        '{"a": {"blob": "sha256:0", "size_bytes": 9}}'
    ]


def test_what_is_laid_out_is_the_same_json():
    value = {"a": [{"b": "é" * 50, "c": [None, True, 1.5, "x" * 90]}], "d": 'quote " and \\'}
    lines, missing = show.bounded(value, lines=1000, width=40)
    assert missing == 0
    assert json.loads("\n".join(lines)) == value


def test_a_line_of_json_holds_anything_a_job_can_hold():
    ref = BlobRef("sha256:00", 70000)
    assert show.as_line({"body": ref, "path": Path("/a")}) == (
        '{"body":{"blob":"sha256:00","size_bytes":70000},"path":"/a"}'
    )


def test_a_value_becomes_one_line():
    assert show.one_line("a\n b\t c") == "a b c"
    assert show.one_line({"a": [1]}) == '{"a":[1]}'
    assert show.one_line("x" * 50, 10) == "x" * 9 + "…"
    assert show.shortened("abc", 0) == ""


def test_of_an_id_that_does_not_fit_both_ends_are_shown():
    assert show.middle("message_routing-1795", 9) == "mess…1795"
    assert show.middle("short", 9) == "short"


def test_a_last_cell_without_room_is_left_out():
    (line,) = show.columns([["abc", "def", "more"]], width=9)
    assert line.plain == "abc  def"
