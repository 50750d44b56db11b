# The NixOS module: services.mnedge.
{ config, lib, pkgs, ... }:

let
  cfg = config.services.mnedge;
  schema = builtins.fromJSON (builtins.readFile ./config-schema.json);
  options = import ./options.nix { inherit lib schema; };
  inherit (import ./check.nix { inherit schema; at = "services.mnedge.settings"; }) address check;
  inherit (lib) literalExpression mkDefault mkEnableOption mkIf mkOption types unique;

  settings = options.written cfg.settings;
  listen = settings.relay.listen or { };
  plugins = cfg.plugins (cfg.package.pythonPackages or pkgs.python3.pkgs);
  program = if plugins == [ ] then cfg.package else cfg.package.withPlugins cfg.plugins;

  inherit (settings) data_dir runs_root;
  state = builtins.match "/var/lib/(.*[^/])/?" data_dir;

  # What lies in another one of the folders goes with that.
  outermost = folders:
    let inside = folder: other: builtins.substring 0 (builtins.stringLength other + 1) folder == "${other}/"; in
    unique (builtins.filter (folder: !(builtins.any (inside folder) folders)) folders);

  file = import ./config-file.nix { inherit lib pkgs program settings; };

  unit = import ./unit.nix {
    program = "${program}/bin/mnedge";
    configFile = "/etc/mnedge/config.yaml";
    dataDir = data_dir;
    state = if state == null then "mnedge" else builtins.head state;
    writable = outermost ([ data_dir runs_root ] ++ settings.daemon.skillFolders or [ ]);
    environment = [ { name = "MN_HOME"; value = "${data_dir}/mn"; } ];
    kill = "${pkgs.coreutils}/bin/kill";
    inherit (cfg) networks;
  };

  # systemd passes over what it cannot read, and everything stays forbidden.
  isNetwork = written:
    let
      byte = "(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])";
      v4 = "${byte}(\\.${byte}){3}(/([12]?[0-9]|3[0-2]))?";
      v6 = "[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*(/([1-9]?[0-9]|1[01][0-9]|12[0-8]))?";
    in
    builtins.match "any|localhost|link-local|multicast|${v4}|${v6}" written != null;

  addresses = builtins.filter (one: one != null)
    (map (name: address (listen.${name} or null)) [ "http" "grpc" ]);
  open = builtins.filter (one: !one.loopback) addresses;
in
{
  options.services.mnedge = {
    enable = mkEnableOption "mnedge, an edge agent that runs MirrorNeuron blueprints durably";

    package = mkOption {
      type = types.package;
      default = pkgs.callPackage ./package.nix { };
      defaultText = literalExpression "mnedge, built with the packages of this system";
      description = "The package to run.";
    };

    plugins = mkOption {
      type = types.functionTo (types.listOf types.package);
      default = _: [ ];
      defaultText = literalExpression "_: [ ]";
      example = literalExpression "python: [ (python.callPackage ./my-plugin.nix { }) ]";
      description = ''
        Python packages that stand beside mnedge and whose plugins are on. A plugin runs with all rights of the
        node: name only what you trust.
      '';
    };

    settings = mkOption {
      type = options.type;
      default = { };
      example = { relay.listen.http = "127.0.0.1:8080"; trace.logs.level = "debug"; };
      description = ''
        The configuration file. Names, values and meanings are those of `mnedge docs configuration`; durations and
        sizes are written "30s" and "10Mi". It ends up where everybody on the machine can read it: secrets are
        named there (`secretRef`), never written.
      '';
    };

    host = mkOption {
      type = types.str;
      default = "127.0.0.1";
      example = "0.0.0.0";
      description = "The address that `httpPort` and `grpcPort` are listened on.";
    };

    httpPort = mkOption {
      type = types.nullOr types.port;
      default = null;
      example = 8080;
      description = "Where REST, events and the console are served; not at all unless given.";
    };

    grpcPort = mkOption {
      type = types.nullOr types.port;
      default = null;
      example = 50051;
      description = "Where gRPC is served; not at all unless given.";
    };

    openFirewall = mkOption {
      type = types.bool;
      default = false;
      description = "Open the ports of this node's listeners that others can reach.";
    };

    networks = mkOption {
      type = types.listOf types.str;
      default = [ "any" ];
      example = [ "localhost" "10.0.0.0/8" ];
      description = "Which addresses the node and its workers may reach, and be reached from.";
    };

    path = mkOption {
      type = types.listOf types.package;
      default = [ ];
      example = literalExpression "[ pkgs.ffmpeg ]";
      description = ''
        Programs for workers, beside a shell, the usual small tools, Python, git and bubblewrap.
      '';
    };

    credentials = mkOption {
      type = types.attrsOf types.str;
      default = { };
      example = { model-key = "/run/secrets/model-key"; };
      description = ''
        Secrets: name and file. Settings reach one by `secretRef = { name = "cred"; key = "model-key"; };`.
      '';
    };
  };

  config = mkIf cfg.enable {
    services.mnedge.settings = {
      data_dir = mkDefault "/var/lib/mnedge";
      runs_root = mkDefault "${cfg.settings.data_dir}/runs";
      # Its members may use the node without a token.
      relay.listen.socketGroup = mkDefault "mnedge";
      plugins = mkIf (plugins != [ ]) (map (plugin: plugin.pname) plugins);
      relay.listen.http = mkIf (cfg.httpPort != null) (mkDefault "${cfg.host}:${toString cfg.httpPort}");
      relay.listen.grpc = mkIf (cfg.grpcPort != null) (mkDefault "${cfg.host}:${toString cfg.grpcPort}");
    };

    assertions = map (message: { assertion = false; inherit message; }) (check settings)
      ++ map
        (written: {
          assertion = isNetwork written;
          message = "services.mnedge.networks: ${builtins.toJSON written} is no network; expected any, localhost,"
            + " link-local, multicast, or an address like 10.0.0.7 or fd00::/8";
        })
        cfg.networks ++ [
      {
        assertion = state != null;
        message = "services.mnedge.settings.data_dir: is ${builtins.toJSON data_dir}; expected a folder below"
          + " /var/lib, where systemd makes it; mount another disk there if the jobs are to live on one";
      }
      {
        assertion = !cfg.openFirewall || open != [ ];
        message = "services.mnedge.openFirewall: there is nothing to open; expected a listener that others can"
          + " reach: set services.mnedge.httpPort and services.mnedge.host = \"0.0.0.0\"";
      }
    ];

    users.users.mnedge = {
      isSystemUser = true;
      group = "mnedge";
      home = data_dir;
      description = "mnedge node";
      # Whose devices workers may open; a group that this machine lacks says nothing.
      extraGroups = [ "audio" "dialout" "gpio" "i2c" "plugdev" "render" "spi" "video" ];
    };
    users.groups.mnedge = { };

    environment.systemPackages = [ program ];
    environment.etc = {
      "mnedge/config.yaml" = { source = file; mode = "0640"; group = "mnedge"; };
      # Bounds of the journal that the unit writes into: journalctl --namespace=mnedge
      "systemd/journald@mnedge.conf".source = ../../mnedge/installation/journald.conf;
    };

    # The very unit that `mnedge install` writes; what NixOS adds stands in a drop-in.
    systemd.packages = [ (pkgs.writeTextDir "lib/systemd/system/mnedge.service" unit) ];
    systemd.services.mnedge = {
      wantedBy = [ "multi-user.target" ];
      path = [ pkgs.bashInteractive pkgs.bubblewrap pkgs.git pkgs.gnutar pkgs.gzip pkgs.python3 program ] ++ cfg.path;
      restartTriggers = [ file ];
      serviceConfig = mkIf (cfg.credentials != { }) {
        LoadCredential = map (name: "${name}:${cfg.credentials.${name}}") (builtins.attrNames cfg.credentials);
      };
    };

    networking.firewall.allowedTCPPorts = mkIf cfg.openFirewall (map (one: one.port) open);
  };
}
