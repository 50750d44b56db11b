"""Put the reading into words."""

from step import begin, finish


def main():
    reading, _ = begin()
    where = f"{reading['meter']} stands at {reading['reading_kwh']} kWh"
    words = f"{where}, read on attempt {reading['attempt']}."
    finish({"type": "meter_reading", "executive_summary": words, **reading}, "reading_booked")


main()
