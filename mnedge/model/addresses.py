"""Hosts as people write them."""

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Tell whether only this machine is reached under that name or address.

    Other names than `localhost` are not looked up: who answers for them may change.
    """
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
