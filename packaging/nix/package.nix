# mnedge from nixpkgs' Python packages: callPackage this file.
#
# What it depends on is read from pyproject.toml, packaging/lean.in and the locks; nothing is listed here. A nixpkgs
# that lacks one of them, or has one that is too old, is refused, and everything amiss is told at once.
# `mnedgeExtras`: names of [project.optional-dependencies], such as "accel" and "otel". (nixpkgs has packages called
# `src` and the like, which callPackage would bring in their place.)
{ lib
, python3
, runCommand
, stdenv
, mnedgeSource ? import ./source.nix { inherit lib; }
, mnedgeExtras ? [ ]
}:

let
  text = import ./text.nix;
  lock = import ./lock.nix {
    pyproject = builtins.readFile ../../pyproject.toml;
    brought = builtins.readFile ../lean.in;
    locks = map builtins.readFile [ ../../requirements.lock ../lean.lock ../full.lock ];
  };
  inherit (builtins) concatLists concatStringsSep elem filter;

  # The one place that knows the version.
  version = builtins.head (concatLists (filter (found: found != null)
    (map (builtins.match "__version__ = \"([^\"]+)\"") (text.lines (builtins.readFile ../../mnedge/__init__.py)))));

  extra = name: lock.extras.${name} or (throw
    "mnedge has no extra ${text.quoted name}; there are ${concatStringsSep ", " (builtins.attrNames lock.extras)}");
  wanted = lock.dependencies ++ lock.brought ++ concatLists (map extra mnedgeExtras);

  # A name that nixpkgs has given up is there, and an error.
  inNixpkgs = { attribute, ... }:
    let tried = builtins.tryEval (python3.pkgs.${attribute} or null); in
    if tried.success then tried.value else null;

  amiss = requirement:
    let
      package = inNixpkgs requirement;
      unmet = lock.unmet package.version requirement.conditions;
    in
    if package == null then [ "it has no ${requirement.attribute} for Python ${python3.version}" ]
    else if unmet != "" then [ "it has ${requirement.attribute} ${package.version}, where mnedge needs ${unmet}" ]
    else [ ];

  unmetByPython = lock.unmet python3.version lock.python;
  complaints =
    (if unmetByPython == "" then [ ] else [ "it has Python ${python3.version}, where mnedge needs ${unmetByPython}" ])
    ++ concatLists (map amiss (wanted ++ filter (one: !(elem one wanted)) lock.build));

  # Forced by whatever is built, so that no part of it begins in vain.
  checked = value:
    if complaints == [ ] then value
    else throw (concatStringsSep "\n  - " ([ "mnedge ${version} cannot be built with this nixpkgs:" ] ++ complaints)
      + "\nTake a newer one: nix flake update nixpkgs");

  # A package and what its extras bring: hypercorn[trio].
  packages = requirement:
    let package = inNixpkgs requirement; in
    [ package ] ++ concatLists (map (name: package.optional-dependencies.${name} or [ ]) requirement.extras);

  plugins = filter (text.hasPrefix "mnedge_") (builtins.attrNames (builtins.readDir ../../plugins));

  meta = {
    description = "Edge agent that runs MirrorNeuron blueprints durably";
    license = lib.licenses.asl20;
    mainProgram = "mnedge";
    platforms = [ "x86_64-linux" "aarch64-linux" ];
  };

  library = checked (python3.pkgs.buildPythonPackage {
    pname = "mnedge";
    inherit version meta;
    src = mnedgeSource;
    pyproject = true;
    build-system = concatLists (map packages lock.build);
    dependencies = concatLists (map packages wanted);
    pythonImportsCheck = [ "mnedge" "mnedge.hot._native" ] ++ plugins;
    # The tests start machines and kill themselves: `make test` in the development shell. The program
    # that comes out of this tests itself below.
    doCheck = false;
  });

  # The program starts itself and Python payloads with the interpreter that runs it, so it lives in an
  # environment whose interpreter knows all of it; plugins stand beside it there.
  program = beside:
    let
      environment = python3.withPackages (set: [ library ] ++ beside set);
      runs = stdenv.buildPlatform.canExecute stdenv.hostPlatform;
    in
    runCommand "mnedge-${version}"
      {
        inherit meta version;
        pname = "mnedge";
        passthru = {
          inherit environment library lock;
          pythonPackages = python3.pkgs;
          withPlugins = program;
        };
      } (''
      mkdir -p $out/bin
      ln -s ${environment}/bin/mnedge $out/bin/mnedge
    '' + lib.optionalString runs ''
      export HOME=$TMPDIR
      complete() {
        mkdir -p "$out/share/$2"
        $out/bin/mnedge completion "$1" > "$out/share/$2/$3"
      }
      complete bash bash-completion/completions mnedge
      complete zsh zsh/site-functions _mnedge
      complete fish fish/vendor_completions.d mnedge.fish
      $out/bin/mnedge selftest
    '');
in
program (_: [ ])
