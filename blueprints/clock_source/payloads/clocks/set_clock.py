"""Take the answer that came first."""

from step import begin, finish


def main():
    answer, _ = begin()
    words = f"It is {answer['time']} by the {answer['clock']} clock, within {answer['error_s']} s."
    finish({"type": "clock_report", "executive_summary": words, **answer}, "clock_set")


main()
