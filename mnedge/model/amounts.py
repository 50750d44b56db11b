"""Durations and sizes as people read them."""


def duration(seconds: float) -> str:
    """Return `0.4 s`, `42 s`, `3 min 05 s`, `2 h 10 min`, `5 d 3 h`."""
    seconds = max(seconds, 0.0)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def size(count_bytes: float) -> str:
    """Return `512 B`, `1.2 KiB`, `3.0 GiB`."""
    if count_bytes < 1024:
        return f"{int(count_bytes)} B"
    for unit in ("KiB", "MiB", "GiB"):
        count_bytes /= 1024
        if count_bytes < 1024:
            return f"{count_bytes:.1f} {unit}"
    return f"{count_bytes / 1024:.1f} TiB"
