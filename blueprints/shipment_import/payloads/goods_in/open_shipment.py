"""Refuse an empty packing list; hand the rest on."""

import sys

from step import begin, finish


def main():
    shipment, _ = begin()
    if not shipment["rows"]:
        sys.exit(f"packing list {shipment['shipment']} has no row")
    finish(shipment, "shipment_opened")


main()
