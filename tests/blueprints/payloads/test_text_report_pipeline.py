"""The shell script and the Python program agree on every text, and say so in a report."""

import pytest

TEXTS = {
    "plain": "One gate, two gates: the gate is open. The door is not.",
    "no word": " ... !\n",
    "not ASCII": "Prüfung at 20°C, the café door (Tür) is 2 cm open; naïve, naïve.",
    "odd spacing": "tab\tnew\nline\r\nand  two   spaces, CAPITALS and capitals",
    "quotes": 'it\'s "quoted" and `ticked` and $HOME and \\n stays',
}


def counted(blueprint, text):
    return blueprint.run("word_counter", text, raw=text.encode())


def handed_over(ran, text):
    return {"agent_id": "word_counter", "sandbox": {"stdout": ran.stdout}, "input": text}


def reported(blueprint, text, **environment):
    body = handed_over(counted(blueprint, text), text)
    return blueprint.run("report_writer", body, environment=environment)


def test_the_counter_prints_a_sorted_table(bench):
    ran = counted(bench("text_report_pipeline"), TEXTS["plain"])
    rows = [line.split("\t") for line in ran.stdout.splitlines()]
    assert [row for row in rows if row[0] == "input"] == [
        ["input", "door", "1"],
        ["input", "gate", "2"],
        ["input", "gates", "1"],
        ["input", "is", "2"],
        ["input", "not", "1"],
        ["input", "one", "1"],
        ["input", "open", "1"],
        ["input", "the", "2"],
        ["input", "two", "1"],
    ]
    assert ["reference", "door", "2"] in rows


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_both_programs_count_alike(bench, text):
    ran = reported(bench("text_report_pipeline"), text)
    assert ran.exit_code == 0, ran.stderr
    (message,) = ran.sent
    assert message["type"] == "report_written"
    assert "to" not in message


def test_the_report_holds_figures_frequent_and_shared_words(bench):
    report = reported(bench("text_report_pipeline"), TEXTS["plain"], TOP_WORDS="2").sent[0]["body"]
    assert report["figures"] == {
        "words": 12,
        "distinct": 9,
        "average_length": 3.33,
        "longest": "gates",
    }
    assert report["top_words"] == [{"word": "gate", "count": 2}, {"word": "is", "count": 2}]
    assert report["shared_words"] == ["door", "gate", "the"]
    assert report["text"] == (
        "12 words, 9 different; longest: 'gates'.\n"
        "Most frequent: gate (2), is (2).\n"
        "Shared with the reference: door, gate, the.\n"
    )


def test_the_report_of_a_text_without_words_is_a_report_too(bench):
    report = reported(bench("text_report_pipeline"), TEXTS["no word"]).sent[0]["body"]
    assert report["figures"]["words"] == 0
    assert report["text"].splitlines()[1] == "Most frequent: nothing."


def test_the_text_that_comes_along_gives_the_report_of_the_specification(bench):
    blueprint = bench("text_report_pipeline")
    seed = blueprint.manifest["initial_inputs"]["word_counter"][0]
    assert seed["content_type"] == "application/octet-stream"
    report = reported(blueprint, seed["body"]).sent[0]["body"]
    assert report["executive_summary"] == "71 words, 43 different; longest: 'temperature'."


def test_the_writer_refuses_a_table_that_is_not_of_this_text(bench):
    blueprint = bench("text_report_pipeline")
    table = counted(blueprint, TEXTS["plain"])
    ran = blueprint.run("report_writer", handed_over(table, TEXTS["plain"] + " More."))
    assert ran.exit_code == 1
    assert "does not match the text" in ran.stderr


def test_the_counter_fails_when_its_reference_is_missing(bench):
    blueprint = bench("text_report_pipeline")
    config = blueprint.agents["word_counter"]["config"]
    config["command"] = config["command"].replace("house_rules", "no_rules")
    ran = counted(blueprint, "text")
    assert ran.exit_code == 66
    assert "no reference text: texts/reference/no_rules.txt" in ran.stderr


def test_each_program_notes_its_launch_once(bench):
    blueprint = bench("text_report_pipeline")
    assert counted(blueprint, "word").launches == "job/word_counter:1/1\n"
    assert reported(blueprint, "word").launches == "job/report_writer:1/1\n"
