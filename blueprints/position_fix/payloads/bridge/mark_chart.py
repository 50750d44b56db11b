"""Mark the position, and say how it was found."""

from step import begin, finish


def main():
    fix, _ = begin()
    latitude, longitude = fix["position"]
    place = f"{latitude:.4f} N {longitude:.4f} E"
    words = f"{place} by {fix['method']}, within {fix['uncertainty_m']} m."
    finish({"type": "position_report", "executive_summary": words, **fix}, "chart_marked")


main()
