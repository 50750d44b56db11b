"""`mnedge daemon` hands over to the daemon; tests/live drives the real one."""

from mnedge.daemon import main


def test_the_daemon_serves_the_configured_data_directory(mnedge, home, monkeypatch):
    served = []

    def serve(load):
        served.append(load().config)
        return 0

    monkeypatch.setattr(main, "serve", serve)
    mnedge("daemon")
    mnedge("--data-dir", str(home / "elsewhere"), "daemon")
    assert [config.data_dir for config in served] == [home / "mnedge", home / "elsewhere"]
