"""The decorators of Python workflows, where the work runs."""

from mnedge.bundle.source.sdk_workflows import agent, workflow


def test_what_is_decorated_stays_what_it_was():
    @workflow.defn("tides", recovery_mode="local_restart")
    class Tides:
        @agent.defn(name="read", timeout_seconds=5)
        def read(self, station):
            return {"station": station}

        @workflow.run
        def run(self):
            return self.read(workflow.input("station", default="K2"))

    assert Tides().run() == {"station": "K2"}
