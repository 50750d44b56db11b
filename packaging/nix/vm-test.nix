# A machine with the module: it comes up, runs a blueprint, loses its node to kill -9, takes new settings.
{ pkgs, module }:

pkgs.testers.runNixOSTest {
  name = "mnedge";

  nodes.machine = {
    imports = [ module ];
    services.mnedge.enable = true;
    services.mnedge.httpPort = 8080;
    specialisation.talkative.configuration.services.mnedge.settings.trace.logs.level = "debug";
  };

  testScript = ''
    def process() -> str:
        return machine.succeed("systemctl show --property MainPID --value mnedge.service").strip()


    def goes_on(job: str) -> None:
        machine.wait_until_succeeds(f"mnedge job show {job} | grep running", timeout=60)


    machine.wait_for_unit("mnedge.service")
    machine.wait_for_open_port(8080)

    with subtest("systemd runs it as itself, hardened"):
        shown = machine.succeed("systemctl show --property User,NoNewPrivileges,Type mnedge.service")
        assert set(shown.split()) == {"User=mnedge", "NoNewPrivileges=yes", "Type=notify"}, shown
        machine.succeed("mnedge config check")
        machine.succeed("mnedge doctor")

    with subtest("it runs a blueprint"):
        machine.succeed("mnedge blueprint run text_report_pipeline --run-id first")
        machine.succeed("mnedge job show first | grep completed")

    with subtest("a job outlives a node that is killed"):
        machine.succeed("mnedge blueprint run live_telemetry --run-id steady --detach")
        goes_on("steady")
        killed = process()
        machine.succeed(f"kill -9 {killed}")
        machine.wait_until_succeeds(
            "systemctl is-active mnedge.service"
            f" && test \"$(systemctl show --property MainPID --value mnedge.service)\" != {killed}",
            timeout=60,
        )
        goes_on("steady")

    with subtest("new settings make a new node, and the job goes on"):
        before = process()
        machine.succeed("/run/current-system/specialisation/talkative/bin/switch-to-configuration test")
        machine.wait_for_unit("mnedge.service")
        assert process() != before
        machine.succeed("mnedge config show | grep debug")
        goes_on("steady")

    with subtest("it ends when it is told to"):
        machine.succeed("mnedge job cancel steady")
        machine.succeed("systemctl stop mnedge.service")
        result = machine.succeed("systemctl show --property Result --value mnedge.service").strip()
        assert result == "success", result
  '';
}
