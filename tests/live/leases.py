"""What the lease events of a run say about the slots it held."""

from collections.abc import Iterable, Mapping
from typing import Any


def peak_slots(events: Iterable[Mapping[str, Any]]) -> int:
    """Return the most slots that were held at one moment.

    Raises: KeyError if a lease is released that nobody acquired; ValueError if one stays.
    """
    held: dict[str, int] = {}
    peak = 0
    for event in events:
        payload = event["payload"]
        match event["type"]:
            case "executor_lease_acquired":
                held[payload["lease_id"]] = payload["slots"]
                peak = max(peak, sum(held.values()))
            case "executor_lease_released":
                del held[payload["lease_id"]]
            case _:
                pass
    if held:
        raise ValueError(f"never released: {sorted(held)}")
    return peak
