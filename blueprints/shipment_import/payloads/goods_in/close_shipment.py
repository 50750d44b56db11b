"""Put the booking into words."""

from step import begin, finish


def main():
    done, _ = begin()
    words = f"{done['shipment']}: {done['rows']} rows in {done['batches']} batches."
    finish({"type": "stock_booking", "executive_summary": words, **done}, "shipment_closed")


main()
