"""Run one experiment: what temperature does the kiln settle at with this power?

The kiln is a model: a rise in proportion to the power, less what a hotter kiln loses.
"""

import exchange


def settled_temperature(power):
    return round(20.0 + 7.5 * power - 0.0125 * power * power, 4)


def main():
    exchange.note_launch()
    trial = exchange.body()
    before = exchange.state()
    measured = {**trial, "temperature": settled_temperature(trial["power"])}
    # The instrument counts its runs: a round that is run twice would show.
    after = {"runs": before.get("runs", 0) + 1, "temperature": measured["temperature"]}
    exchange.say(
        next_state=after,
        emit_messages=exchange.send(
            "analyst", "trial_measured", {**measured, "run": after["runs"]}
        ),
    )


main()
