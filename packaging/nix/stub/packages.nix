# Packages in name only: every one is a derivation that could not be built.
{ lib, system, overlays ? [ ] }:

let
  named = name: attributes: derivation ({
    inherit name system;
    builder = "/bin/sh";
    args = [ "-c" "echo this is a stub >&2; exit 1" ];
  } // attributes) // attributes;
  package = name: named name { };

  text = name: content: named name { text = content; };

  # What Python packages there are, and their versions: whoever uses the stub lays them beside it.
  versions = builtins.fromJSON (builtins.readFile ./python-packages.json);
  interpreter = "3.13.0";

  python = named "python3-${interpreter}" { version = interpreter; } // {
    pkgs = builtins.mapAttrs
      (name: version: if version == "removed" then throw "${name} has been removed" else named "python3-${name}-${version}" { inherit version; } // {
        pname = name;
        optional-dependencies = if name == "hypercorn" then { trio = [ python.pkgs.trio ]; } else { };
      })
      versions // {
      buildPythonPackage = asked:
        named "python3-${asked.pname}-${asked.version}" {
          inherit (asked) version src pname;
          inputs = asked.build-system ++ asked.dependencies or [ ];
          imports = asked.pythonImportsCheck or [ ];
        } // { dependencies = asked.dependencies or [ ]; };
    };
    withPackages = choose: named "python3-${interpreter}-env" { paths = choose python.pkgs; };
  };

  set = {
    inherit lib;
    python3 = python;
    stdenv = {
      hostPlatform = { inherit system; };
      buildPlatform = { inherit system; canExecute = other: other.system == system; };
    };
    runCommand = name: { passthru ? { }, meta ? { }, passAsFile ? [ ], ... }@attributes: script:
      named name (removeAttrs attributes [ "passthru" "meta" "passAsFile" ] // { inherit script; })
      // passthru // { inherit meta; };
    writeTextDir = path: content: text (baseNameOf path) content;
    mkShell = { packages }: named "shell" { inherit packages; };
    testers.runNixOSTest = { name, nodes, testScript }: named "vm-test-run-${name}" {
      inherit testScript;
      machines = builtins.attrValues (builtins.mapAttrs
        (_: node: (lib.nixosSystem { inherit system; modules = [ node ]; }).config.system.build.toplevel)
        nodes);
    };
    callPackage = path: extra:
      let make = if builtins.isFunction path then path else import path; in
      make (builtins.intersectAttrs (builtins.functionArgs make) final // extra)
      // { override = more: final.callPackage path (extra // more); };
    extend = overlay: import ./packages.nix { inherit lib system; overlays = overlays ++ [ overlay ]; };
  } // lib.genAttrs
    [ "bashInteractive" "bubblewrap" "coreutils" "findutils" "gcc" "git" "gnumake" "gnutar" "gzip" "nix" "procps"
      "systemd" "util-linux" ]
    package;

  final = builtins.foldl' (below: overlay: below // overlay final below) set overlays;
in
final
