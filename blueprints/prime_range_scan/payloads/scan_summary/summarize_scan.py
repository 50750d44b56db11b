"""Add up the collected ranges; refuse them if a worker or a number is missing or there twice.

Reads the aggregate `{messages, count, last_message}` from the input file; prints the result that
completes the run.
"""

import json
import os
import sys
from itertools import pairwise


def note_launch():
    path = os.environ.get("MNEDGE_LAUNCH_LOG")
    if path:
        log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(log, (os.environ.get("MNEDGE_LAUNCH", "") + "\n").encode())
        os.close(log)


def answers_in(collection, expected):
    messages = collection["messages"]
    workers = {message["agent_id"] for message in messages}
    if len(messages) != expected or len(workers) != expected:
        sys.exit(f"{len(messages)} answers of {len(workers)} workers, not {expected} of {expected}")
    answers = [json.loads(message["sandbox"]["stdout"]) for message in messages]
    for message, answer in zip(messages, answers, strict=True):
        if answer["worker"] != message["agent_id"]:
            sys.exit(f"{message['agent_id']} delivered the answer of {answer['worker']!r}")
    answers.sort(key=lambda answer: answer["first"])
    for before, after in pairwise(answers):
        if after["first"] != before["last"] + 1:
            sys.exit(f"{after['worker']} starts at {after['first']}, after {before['last']}")
    return answers


def main():
    note_launch()
    expected = int(os.environ.get("EXPECTED_WORKERS", "100"))
    with open(os.environ["MN_INPUT_FILE"], encoding="utf-8") as file:
        answers = answers_in(json.load(file), expected)
    first, last = answers[0]["first"], answers[-1]["last"]
    primes = sum(answer["primes"] for answer in answers)
    largest = [answer["largest_prime"] for answer in answers if answer["largest_prime"] is not None]
    summary = {
        "type": "prime_scan_summary",
        "executive_summary": f"{primes} primes from {first} to {last}, by {expected} workers.",
        "recommended_action": "none",
        "confidence": 1.0,
        "evidence": {
            "workers": expected,
            "primes_per_worker": [answer["primes"] for answer in answers],
        },
        "next_steps": [],
        "source_refs": [answer["worker"] for answer in answers],
        "first": first,
        "last": last,
        "numbers": last - first + 1,
        "primes": primes,
        "prime_sum": sum(answer["prime_sum"] for answer in answers),
        "largest_prime": largest[-1] if largest else None,
    }
    print(json.dumps({"complete_run": summary}))


main()
