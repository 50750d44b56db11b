# The configuration file, looked at by the program itself while it is built.
{ lib, pkgs, program, settings }:

let
  yaml = import ./yaml.nix;
  head = "# Made from services.mnedge.settings; change it there.\n";
  listen = settings.relay.listen or { };
  # Files that only the machine has cannot be looked for while building.
  portable =
    if listen.tls or null == null then settings
    else settings // { relay = settings.relay // { listen = listen // { tls = { }; }; }; };
  runs = pkgs.stdenv.buildPlatform.canExecute pkgs.stdenv.hostPlatform;
in
pkgs.runCommand "mnedge-config.yaml"
  {
    text = head + yaml settings;
    checked = yaml portable;
    passAsFile = [ "text" "checked" ];
  }
  (lib.optionalString runs ''
    HOME=$TMPDIR ${program}/bin/mnedge config check "$checkedPath"
  '' + ''
    cp "$textPath" $out
  '')
