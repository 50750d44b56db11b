"""Turn the shell worker's table into a report, after counting the text a second time.

Reads `{agent_id, sandbox: {stdout}, input}` from the input file; sends the report along its edge
as `report_written`.
"""

import json
import os
import sys

from figures.words import count_again, figures, most_frequent, read_table


def note_launch():
    path = os.environ.get("MNEDGE_LAUNCH_LOG")
    if path:
        log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(log, (os.environ.get("MNEDGE_LAUNCH", "") + "\n").encode())
        os.close(log)


def as_text(report):
    shown = report["figures"]
    top = ", ".join(f"{entry['word']} ({entry['count']})" for entry in report["top_words"])
    lines = [
        f"{shown['words']} words, {shown['distinct']} different; longest: {shown['longest']!r}.",
        f"Most frequent: {top or 'nothing'}.",
        f"Shared with the reference: {', '.join(report['shared_words']) or 'nothing'}.",
    ]
    return "\n".join(lines) + "\n"


def main():
    note_launch()
    with open(os.environ["MN_INPUT_FILE"], encoding="utf-8") as file:
        handed_over = json.load(file)
    counts = read_table(handed_over["sandbox"]["stdout"])
    if counts["input"] != count_again(handed_over["input"]):
        sys.exit("the counter's table does not match the text it was given")
    shared = sorted(counts["input"].keys() & counts["reference"].keys())
    report = {
        "type": "text_report",
        "figures": figures(counts["input"]),
        "top_words": most_frequent(counts["input"], int(os.environ.get("TOP_WORDS", "5"))),
        "reference_figures": figures(counts["reference"]),
        "shared_words": shared,
    }
    text = as_text(report)
    report |= {"executive_summary": text.splitlines()[0], "text": text}
    message = {
        "type": "report_written",
        "class": "event",
        "content_type": "application/json",
        "content_encoding": "identity",
        "body": report,
    }
    print(json.dumps({"emit_messages": [message]}))


main()
