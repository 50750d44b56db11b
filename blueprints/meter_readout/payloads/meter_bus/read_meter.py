"""Ask the meter; fail while its telegram arrives spoiled.

Which telegram the line spoils depends on the attempt alone, so a launch that is repeated after a
crash meets the same line.
"""

import os
import sys

from step import begin, finish


def checksum(text):
    return sum(text.encode()) % 256


def telegram(order, attempt):
    """Return what arrives: the reading with its checksum, one bit of it turned by the line."""
    text = f"{order['meter']}:{order['reading_kwh']}"
    noise = 1 if attempt <= order["spoiled"] else 0
    return text, checksum(text) ^ noise


def main():
    order, _ = begin()
    attempt = int(os.environ["MN_WORKFLOW_ATTEMPT"])
    text, received = telegram(order, attempt)
    if received != checksum(text):
        sys.exit(f"telegram {attempt}: checksum {received}, expected {checksum(text)}")
    meter, _, reading = text.rpartition(":")
    finish({"meter": meter, "reading_kwh": int(reading), "attempt": attempt}, "meter_read")


main()
