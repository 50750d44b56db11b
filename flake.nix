{
  description = "mnedge, an edge agent that runs MirrorNeuron blueprints durably";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs = { self, nixpkgs }:
    let
      systems = [ "x86_64-linux" "aarch64-linux" ];
      eachSystem = make: nixpkgs.lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system});
      packageOf = pkgs: pkgs.callPackage ./packaging/nix/package.nix { mnedgeSource = self; };
    in
    {
      packages = eachSystem (pkgs: rec {
        default = packageOf pkgs;
        # With compiled batch scoring and OpenTelemetry.
        full = default.override { mnedgeExtras = [ "accel" "otel" ]; };
      });

      apps = eachSystem (pkgs: {
        default = { type = "app"; program = "${self.packages.${pkgs.stdenv.hostPlatform.system}.default}/bin/mnedge"; };
      });

      overlays.default = final: prev: { mnedge = packageOf final; };

      nixosModules.default = { lib, pkgs, ... }: {
        imports = [ ./packaging/nix/module.nix ];
        services.mnedge.package = lib.mkDefault self.packages.${pkgs.stdenv.hostPlatform.system}.default;
      };

      # `nix develop`, then the words of the Makefile. They install the tools of requirements.lock into .venv;
      # those are ordinary Linux binaries, so on NixOS itself this takes programs.nix-ld.enable.
      devShells = eachSystem (pkgs: {
        default = pkgs.mkShell {
          packages = [
            pkgs.bubblewrap pkgs.findutils pkgs.gcc pkgs.git pkgs.gnumake pkgs.nix pkgs.procps pkgs.python3
            pkgs.systemd pkgs.util-linux
          ];
        };
      });

      checks = eachSystem (pkgs: {
        package = self.packages.${pkgs.stdenv.hostPlatform.system}.default;
        module = import ./packaging/nix/module-test.nix {
          inherit pkgs;
          inherit (nixpkgs.lib) nixosSystem;
          module = self.nixosModules.default;
        };
        vm = import ./packaging/nix/vm-test.nix { inherit pkgs; module = self.nixosModules.default; };
      });
    };
}
