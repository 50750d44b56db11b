# The module in a system of its own, looked at without building it: what it comes to, as a file.
{ pkgs, nixosSystem, module }:

let
  machine = nixosSystem {
    inherit (pkgs.stdenv.hostPlatform) system;
    modules = [
      module
      {
        services.mnedge = { enable = true; host = "0.0.0.0"; httpPort = 8080; openFirewall = true; };
        services.mnedge.settings.relay.listen.tls = { };
        boot.isContainer = true;
        system.stateVersion = "24.05";
      }
    ];
  };
  inherit (machine) config;
  units = builtins.filter (one: one.name == "mnedge.service") config.systemd.packages;
  failed = builtins.filter (one: !one.assertion) config.assertions;
in
assert failed == [ ];
assert config.networking.firewall.allowedTCPPorts == [ 8080 ];
assert config.systemd.services.mnedge.wantedBy == [ "multi-user.target" ];
pkgs.runCommand "mnedge-module"
  { unit = builtins.head units; file = config.environment.etc."mnedge/config.yaml".source; } ''
  grep --quiet '^ExecStart=.*/bin/mnedge daemon' "$unit/lib/systemd/system/mnedge.service"
  cp "$file" "$out"
''
