{
  description = "mnedge, an edge agent that runs MirrorNeuron blueprints durably";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs = { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      systems = [ "x86_64-linux" "aarch64-linux" ];
      eachSystem = make: lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system});
      # The one place that knows the version.
      version = builtins.head (builtins.match ".*__version__ = \"([^\"]+)\".*"
        (builtins.readFile ./mnedge/__init__.py));
    in
    {
      packages = eachSystem (pkgs:
        let python = pkgs.python311Packages; in
        {
          default = python.buildPythonApplication {
            pname = "mnedge";
            inherit version;
            pyproject = true;
            src = self;
            build-system = [ python.setuptools python.cffi ];
            dependencies = [
              python.cffi
              python.click
              python.msgspec
              python.pluggy
              python.psutil
              python.pyyaml
              python.rich
              python.trio
            ];
            pythonImportsCheck = [ "mnedge" "mnedge.hot._native" "mnedge_runners" "mnedge_skills" ];
            # The tests start processes, fill disks and kill themselves: `make test` in the dev shell.
            doCheck = false;
            meta = {
              description = "Edge agent that runs MirrorNeuron blueprints durably";
              license = lib.licenses.asl20;
              mainProgram = "mnedge";
              platforms = systems;
            };
          };
        });

      # `nix develop`, then the words of the Makefile. They install the tools of requirements.lock into .venv;
      # those are ordinary Linux binaries, so on NixOS itself this takes programs.nix-ld.enable.
      devShells = eachSystem (pkgs: {
        default = pkgs.mkShell {
          packages = [ pkgs.python311 pkgs.gcc pkgs.gnumake pkgs.git pkgs.procps pkgs.util-linux ];
        };
      });

      checks = eachSystem (pkgs: { package = self.packages.${pkgs.system}.default; });
    };
}
