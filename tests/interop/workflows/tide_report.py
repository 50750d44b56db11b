"""A Python workflow as its author writes it, with the published SDK."""

from mn_sdk import agent, workflow

STATION = "K2"


class Agents:
    @agent.defn(name="read_gauge")
    def read_gauge(self, station):
        return {"station": station, "levels": [1.2, 1.9, 1.4]}

    @agent.defn(name="summarise")
    def summarise(self, reading):
        levels = reading["levels"]
        return {"station": reading["station"], "highest": max(levels), "count": len(levels)}


@workflow.defn(name="tide_report")
class TideReport:
    def __init__(self):
        self.agents = Agents()

    @workflow.run
    def run(self):
        reading = self.agents.read_gauge(workflow.input("station", default=STATION))
        return self.agents.summarise(reading)
