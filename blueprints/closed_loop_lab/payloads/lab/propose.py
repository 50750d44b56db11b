"""Propose the power for the next round: the middle of what can still hold the target."""

import exchange


def start(goal):
    return {
        "goal": {
            "target": float(goal.get("target", 400.0)),
            "tolerance": float(goal.get("tolerance", 2.0)),
            "max_rounds": int(goal.get("max_rounds", 20)),
        },
        "low": float(goal.get("low", 0.0)),
        "high": float(goal.get("high", 100.0)),
        "round": 0,
        "power": None,
    }


def narrowed(search, verdict):
    bound = "low" if verdict["verdict"] == "too_cold" else "high"
    return {**search, bound: search["power"]}


def main():
    exchange.note_launch()
    given = exchange.body()
    search = exchange.state()
    if exchange.message_type() != "verdict_given":
        search = start(given)
    elif not search or given["round"] != search["round"]:
        exchange.say(events=exchange.event("stale_verdict_ignored", round=given["round"]))
        return
    else:
        search = narrowed(search, given)
    search["round"] += 1
    search["power"] = (search["low"] + search["high"]) / 2
    trial = {"round": search["round"], "power": search["power"], "goal": search["goal"]}
    exchange.say(
        next_state=search, emit_messages=exchange.send("experiment", "trial_proposed", trial)
    )


main()
