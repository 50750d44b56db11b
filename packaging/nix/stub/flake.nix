{
  description = "As much of nixpkgs as it takes to evaluate mnedge's flake without a network; builds nothing";

  outputs = { self }:
    let
      lib = import ./lib.nix;
      nixosSystem = { modules, system ? null }: lib.evalModules {
        modules = [ ./nixos.nix ] ++ modules;
        specialArgs.pkgs = packages system;
      };
      packages = system: import ./packages.nix { lib = lib // { inherit nixosSystem; }; inherit system; };
    in
    {
      lib = lib // { inherit nixosSystem; };
      legacyPackages = lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] packages;
    };
}
