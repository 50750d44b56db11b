"""Lay the turns out as the table that hangs in the harbour office."""

from step import begin, finish


def line(turn):
    minutes = round(turn["hour"] * 60) % (24 * 60)
    return f"{minutes // 60:02}:{minutes % 60:02}  {turn['water']:<4}  {turn['height_m']:6.2f} m"


def main():
    found, _ = begin()
    rows = [line(turn) for turn in found["turns"]]
    table = {
        "type": "tide_table",
        "executive_summary": f"{found['station']}: {len(rows)} turns of the tide.",
        "station": found["station"],
        "turns": found["turns"],
        "text": "\n".join([found["station"], *rows, ""]),
    }
    finish(table, "table_printed")


main()
