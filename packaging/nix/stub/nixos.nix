# The options of NixOS that the module and its tests set, each with a type like the real one's.
{ config, lib, pkgs, ... }:

let
  inherit (lib) mkOption types;
  option = type: default: mkOption { inherit type default; };
  failed = map (one: one.message) (builtins.filter (one: !one.assertion) config.assertions);
  free = types.attrsOf types.anything;
in
{
  options = {
    assertions = option (types.listOf free) [ ];
    boot.isContainer = option types.bool false;
    environment.systemPackages = option (types.listOf types.package) [ ];
    environment.etc = option (types.attrsOf (types.submodule {
      options = {
        source = mkOption { type = types.raw; };
        mode = option types.str "symlink";
        group = option types.str "+0";
      };
    })) { };
    networking.firewall.allowedTCPPorts = option (types.listOf types.port) [ ];
    specialisation = option free { };
    system.stateVersion = option types.str "";
    system.build.toplevel = mkOption { type = types.package; };
    systemd.packages = option (types.listOf types.package) [ ];
    systemd.services = option (types.attrsOf (types.submodule {
      options = {
        wantedBy = option (types.listOf types.str) [ ];
        path = option (types.listOf types.package) [ ];
        restartTriggers = option (types.listOf types.raw) [ ];
        serviceConfig = option free { };
      };
    })) { };
    users.users = option (types.attrsOf free) { };
    users.groups = option (types.attrsOf free) { };
  };

  config.system.build.toplevel =
    if failed != [ ]
    then throw "\nFailed assertions:\n${builtins.concatStringsSep "\n" (map (message: "- ${message}") failed)}"
    else pkgs.runCommand "nixos-system"
      {
        etc = map (name: "${config.environment.etc.${name}.source}") (builtins.attrNames config.environment.etc);
        units = config.systemd.packages;
        programs = config.environment.systemPackages;
      } "";
}
