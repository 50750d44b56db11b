"""Judge one measurement: answer the proposer, or end the run with the report."""

import exchange


def report(goal, history, converged):
    best = min(history, key=lambda entry: (abs(entry["error"]), entry["round"]))
    outcome = "within" if converged else "the nearest was"
    return {
        "type": "lab_report",
        "executive_summary": (
            f"{best['power']:g} % power gives {best['temperature']:g} degrees, {outcome} "
            f"{abs(best['error']):g} of the target {goal['target']:g}, after {len(history)} rounds."
        ),
        "recommended_action": f"Set the kiln to {best['power']:g} % power."
        if converged
        else "Widen bounds or tolerance.",
        "confidence": 1.0 if converged else 0.0,
        "evidence": {"history": history},
        "next_steps": [],
        "source_refs": ["proposer", "experiment", "analyst"],
        "converged": converged,
        "power": best["power"],
        "temperature": best["temperature"],
        "error": best["error"],
        "rounds": len(history),
        "goal": goal,
    }


def main():
    exchange.note_launch()
    measured = exchange.body()
    goal = measured["goal"]
    history = [] if measured["round"] == 1 else exchange.state().get("history", [])
    error = round(measured["temperature"] - goal["target"], 4)
    entry = {key: measured[key] for key in ("round", "run", "power", "temperature")}
    history = [*history, {**entry, "error": error}]
    judged = {
        "next_state": {"history": history},
        "events": exchange.event("trial_judged", **entry, error=error),
    }
    converged = abs(error) <= goal["tolerance"]
    if converged or measured["round"] >= goal["max_rounds"]:
        exchange.say(**judged, complete_run=report(goal, history, converged))
        return
    verdict = {
        "round": measured["round"],
        "verdict": "too_cold" if error < 0 else "too_hot",
        "error": error,
    }
    exchange.say(**judged, emit_messages=exchange.send("proposer", "verdict_given", verdict))


main()
