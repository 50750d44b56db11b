"""Count the primes of one range: `scan_range.py INDEX`, INDEX being 0 to 99.

Range INDEX starts at `first + INDEX * width`; both come from the request, or are 1000000 and 1000
without one. Prints one JSON object.
"""

import json
import os
import sys


def note_launch():
    path = os.environ.get("MNEDGE_LAUNCH_LOG")
    if path:
        log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(log, (os.environ.get("MNEDGE_LAUNCH", "") + "\n").encode())
        os.close(log)


def is_prime(number):
    if number < 4:
        return number > 1
    if number % 2 == 0 or number % 3 == 0:
        return False
    divisor = 5
    while divisor * divisor <= number:
        if number % divisor == 0 or number % (divisor + 2) == 0:
            return False
        divisor += 6
    return True


def request():
    path = os.environ.get("MN_INPUT_FILE")
    if not path:
        return {}
    with open(path, encoding="utf-8") as file:
        body = json.load(file)
    return body if isinstance(body, dict) else {}


def main():
    note_launch()
    index = int(sys.argv[1])
    asked = request()
    width = int(asked.get("width", 1000))
    first = int(asked.get("first", 1000000)) + index * width
    if index < 0 or width < 1 or first < 0:
        sys.exit(f"range {index} of width {width} starting at {first} makes no sense")
    primes = [number for number in range(first, first + width) if is_prime(number)]
    answer = {
        "index": index,
        "worker": os.environ.get("MN_AGENT_ID", ""),
        "first": first,
        "last": first + width - 1,
        "primes": len(primes),
        "prime_sum": sum(primes),
        "largest_prime": primes[-1] if primes else None,
    }
    print(json.dumps(answer))


main()
