"""The scanner counts what a sieve counts; the summary accepts nothing but the whole."""

import json

import pytest

FIRST, WIDTH, WORKERS = 1_000_000, 1_000, 100


def sieve(limit):
    """Return the primes below `limit`."""
    is_prime = bytearray([1]) * limit
    is_prime[:2] = b"\0\0"
    for number in range(2, int(limit**0.5) + 1):
        if is_prime[number]:
            is_prime[number * number :: number] = bytes(len(is_prime[number * number :: number]))
    return [number for number, prime in enumerate(is_prime) if prime]


@pytest.fixture(scope="module")
def primes():
    return [number for number in sieve(FIRST + WIDTH * WORKERS) if number >= FIRST]


def answer(index, primes):
    first = FIRST + index * WIDTH
    mine = [number for number in primes if first <= number < first + WIDTH]
    return {
        "index": index,
        "worker": f"scan_{index + 1:03d}",
        "first": first,
        "last": first + WIDTH - 1,
        "primes": len(mine),
        "prime_sum": sum(mine),
        "largest_prime": mine[-1],
    }


def collected(answers):
    messages = [
        {"agent_id": each["worker"], "sandbox": {"stdout": json.dumps(each) + "\n"}, "input": {}}
        for each in answers
    ]
    return {"messages": messages, "count": len(messages), "last_message": messages[-1]}


@pytest.fixture(scope="module")
def answers(primes):
    return [answer(index, primes) for index in range(WORKERS)]


@pytest.mark.parametrize("index", [0, 41, 99])
def test_a_worker_finds_the_primes_of_its_range(bench, answers, index):
    ran = bench("prime_range_scan").run(f"scan_{index + 1:03d}", {"first": FIRST, "width": WIDTH})
    assert ran.answer == answers[index]


def test_without_a_request_a_worker_scans_the_default_range(bench, answers):
    ran = bench("prime_range_scan").run("scan_008", {}, environment={"MN_INPUT_FILE": ""})
    assert ran.answer == answers[7]


def test_a_range_of_small_numbers_is_counted_right(bench):
    ran = bench("prime_range_scan").run("scan_001", {"first": 0, "width": 30})
    assert ran.answer["primes"] == 10
    assert ran.answer["prime_sum"] == 129
    assert ran.answer["largest_prime"] == 29


def test_a_range_without_a_prime_says_so(bench):
    ran = bench("prime_range_scan").run("scan_001", {"first": 24, "width": 5})
    assert (ran.answer["primes"], ran.answer["largest_prime"]) == (0, None)


def test_the_hundred_workers_differ_only_in_their_index(bench):
    blueprint = bench("prime_range_scan")
    workers = [name for name in blueprint.agents if name.startswith("scan_")]
    configs = [blueprint.agents[name]["config"] for name in workers]
    assert workers == [f"scan_{number:03d}" for number in range(1, WORKERS + 1)]
    assert [config["command"][-1] for config in configs] == [str(i) for i in range(WORKERS)]
    others = [{**config, "command": config["command"][:-1]} for config in configs]
    assert all(other == others[0] for other in others)
    assert len(blueprint.agents) == WORKERS + 3


def test_the_summary_adds_up_all_ranges_in_whatever_order_they_came(bench, answers, primes):
    shuffled = sorted(answers, key=lambda each: each["index"] * 37 % WORKERS)
    ran = bench("prime_range_scan").run("summary", collected(shuffled))
    result = ran.answer["complete_run"]
    assert result["primes"] == len(primes) == 7216
    assert result["prime_sum"] == sum(primes) == 7575351672
    assert result["largest_prime"] == primes[-1] == 1099997
    assert (result["first"], result["last"], result["numbers"]) == (FIRST, 1_099_999, 100_000)
    assert result["source_refs"] == [each["worker"] for each in answers]
    assert result["evidence"]["primes_per_worker"] == [each["primes"] for each in answers]


def one_missing(answers):
    return answers[:50] + answers[51:]


def one_twice(answers):
    return [*answers[:-1], answers[0]]


def two_of_one_range(answers):
    return [*answers[:-1], {**answers[0], "worker": answers[-1]["worker"]}]


@pytest.mark.parametrize(
    "spoilt, complaint",
    [
        (one_missing, "99 answers of 99 workers, not 100 of 100"),
        (one_twice, "100 answers of 99 workers, not 100 of 100"),
        (two_of_one_range, "starts at 1000000, after 1000999"),
    ],
)
def test_the_summary_refuses_a_collection_that_is_not_whole(bench, answers, spoilt, complaint):
    ran = bench("prime_range_scan").run("summary", collected(spoilt(answers)))
    assert ran.exit_code == 1
    assert complaint in ran.stderr
    assert ran.stdout == ""


def test_the_summary_refuses_an_answer_under_a_wrong_name(bench, answers):
    collection = collected(answers)
    collection["messages"][3]["agent_id"] = "scan_999"
    ran = bench("prime_range_scan").run("summary", collection)
    assert ran.exit_code == 1
    assert "scan_999 delivered the answer of 'scan_004'" in ran.stderr


@pytest.mark.parametrize("agent_id", ["scan_001", "summary"])
def test_each_program_notes_its_launch_once(bench, answers, agent_id):
    body = collected(answers) if agent_id == "summary" else {}
    assert bench("prime_range_scan").run(agent_id, body).launches == f"job/{agent_id}:1/1\n"
