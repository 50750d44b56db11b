"""The NixOS module, evaluated: three lines make a node, bad values are refused, all fits together.

With the stub's module system always, with nixpkgs' own where NIXPKGS names a copy of it.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mnedge.config.file import read_text
from mnedge.config.schema import schema
from mnedge.installation.unit import Service, filled, template
from tests.house.tree import ROOT
from tests.nix.workbench import Workbench

pytestmark = pytest.mark.live

MACHINE = """
let
  stub = nix + "/../../../stub";
  lib = import LIB;
  nixosSystem = { modules, system }: lib.evalModules {
    modules = [ (stub + "/nixos.nix") ] ++ modules;
    specialArgs.pkgs = pkgs;
  };
  pkgs = import (stub + "/packages.nix") {
    lib = lib // { inherit nixosSystem; };
    system = "x86_64-linux";
  };
  text = package: builtins.unsafeDiscardStringContext package.text;
  place = package: builtins.unsafeDiscardStringContext "${package}";
  machine = nixosSystem {
    system = "x86_64-linux";
    modules = [ (nix + "/module.nix") ({ lib, pkgs, ... }: MODULE) ];
  };
  inherit (machine) config;
in
"""
SHOWN = """
{
  unit = text (builtins.head config.systemd.packages);
  file = text config.environment.etc."mnedge/config.yaml".source;
  inherit (config.environment.etc."mnedge/config.yaml") group mode;
  journal = builtins.readFile config.environment.etc."systemd/journald@mnedge.conf".source;
  ports = config.networking.firewall.allowedTCPPorts;
  user = config.users.users.mnedge;
  groups = builtins.attrNames config.users.groups;
  inherit (config.systemd.services.mnedge) wantedBy serviceConfig;
  path = map (one: one.name) config.systemd.services.mnedge.path;
  programs = map place config.environment.systemPackages;
  kill = place pkgs.coreutils;
  built = builtins.unsafeDiscardStringContext config.system.build.toplevel.drvPath;
}
"""


class Machine:
    """A NixOS machine of one module system."""

    def __init__(self, nix: Workbench, lib: str) -> None:
        self._nix = nix
        self._lib = lib

    def shown(self, module: str, shown: str = SHOWN) -> Any:
        """Return what a machine with this module comes to."""
        return self._nix.value(self._expression(module) + shown)

    def refusal(self, module: str) -> str:
        """Return the words with which it is refused."""
        told = self._nix.refusal(self._expression(module) + "config.system.build.toplevel.drvPath")
        return " ".join(told.split())

    def _expression(self, module: str) -> str:
        return MACHINE.replace("LIB", self._lib).replace("MODULE", module)


NIXPKGS = os.environ.get("NIXPKGS")
LIBS = {"stub": '(stub + "/lib.nix")'}
if NIXPKGS:
    LIBS["nixpkgs"] = str(Path(NIXPKGS).absolute() / "lib")


@pytest.fixture(params=LIBS)
def machine(nix, request):
    """A machine with the stub's module system, and one with nixpkgs' own if there is one."""
    return Machine(nix, LIBS[request.param])


def test_three_lines_make_a_node(machine):
    node = machine.shown("{ services.mnedge.enable = true; }")
    program = node["programs"][0]
    assert node["unit"] == filled(
        template(),
        Service(
            program=f"{program}/bin/mnedge",
            environment=(("MN_HOME", "/var/lib/mnedge/mn"),),
            kill=f"{node['kill']}/bin/kill",
        ),
    )
    held = read_text(node["file"], "config.yaml")
    assert held.problems == ()
    assert held.settings.data_dir == "/var/lib/mnedge"
    assert held.settings.runs_root == "/var/lib/mnedge/runs"
    assert held.settings.relay.listen.http is None
    assert (node["mode"], node["group"]) == ("0640", "mnedge")
    assert node["journal"] == (ROOT / "mnedge/installation/journald.conf").read_text()
    assert node["wantedBy"] == ["multi-user.target"]
    assert node["ports"] == []
    assert node["user"]["isSystemUser"]
    assert node["user"]["group"] == "mnedge"
    assert node["groups"] == ["mnedge"]
    assert {"bubblewrap", "python3-3.13.0"} <= set(node["path"])


def test_without_enable_nothing_happens(machine):
    nothing = machine.shown(
        "{ }",
        """{
          packages = builtins.length config.systemd.packages;
          users = builtins.attrNames config.users.users;
          services = builtins.attrNames config.systemd.services;
          etc = builtins.attrNames config.environment.etc;
        }""",
    )
    assert nothing == {"packages": 0, "users": [], "services": [], "etc": []}


def test_every_setting_of_the_file_is_an_option(machine):
    assert machine.shown("{ }", "builtins.attrNames machine.options.services.mnedge") == [
        "credentials", "enable", "grpcPort", "host", "httpPort", "networks", "openFirewall",
        "package", "path", "plugins", "settings",
    ]  # fmt: skip
    node = machine.shown(
        "{ services.mnedge.enable = true; }",
        "let deep = value: if builtins.isAttrs value then builtins.mapAttrs (_: deep) value"
        " else null; in deep config.services.mnedge.settings",
    )
    assert keys(node) == keys_of(schema()["$defs"]["FileSettings"])


def keys(value: Mapping[str, Any], path: str = "") -> set[str]:
    found = set()
    for name, inner in value.items():
        found |= keys(inner, f"{path}{name}.") if isinstance(inner, dict) else {f"{path}{name}"}
    return found


def keys_of(kind: Mapping[str, Any], path: str = "") -> set[str]:
    """Return the path of every setting outside of lists."""
    found = set()
    for name, one in kind["properties"].items():
        if one.get("description") == "Read by the Helm chart only.":
            continue
        inner = schema()["$defs"].get(one.get("$ref", "").removeprefix("#/$defs/"))
        found |= keys_of(inner, f"{path}{name}.") if inner else {f"{path}{name}"}
    return found


GOOD = """
{
  services.mnedge = {
    enable = true;
    host = "0.0.0.0";
    httpPort = 8080;
    grpcPort = 50051;
    openFirewall = true;
    networks = [ "localhost" "10.0.0.0/8" "192.168.1.7" "fd00::/8" "::1" ];
    credentials.model-key = "/run/secrets/model-key";
    path = [ pkgs.gcc ];
    plugins = python: [ python.rich ];
    settings = {
      data_dir = "/var/lib/edge";
      snapshot_bytes = "8Mi";
      relay = {
        listen.tls = { };
        limits.requestTimeout = "1m";
        adapters = [ {
          name = "model";
          baseUrl = "https://models.example/v1";
          auth.secretRef = { name = "cred"; key = "model-key"; };
        } ];
        replicas = 2;
      };
      trace.otel.headers.key = { name = "env"; key = "KEY"; };
      daemon.skillFolders = [ "/srv/results" ];
    };
  };
}
"""


def test_everything_that_is_said_reaches_its_place(machine):
    node = machine.shown(GOOD)
    held = read_text(node["file"], "config.yaml")
    assert [one.message for one in held.problems] == ["read by the Helm chart only"]
    settings = held.settings
    assert settings.relay.listen.http == "0.0.0.0:8080"
    assert settings.relay.listen.grpc == "0.0.0.0:50051"
    assert settings.relay.listen.tls is not None
    assert settings.relay.limits.request_timeout == 60.0
    assert settings.relay.adapters[0].auth.secret_ref is not None
    assert settings.snapshot_bytes == 8 << 20
    assert settings.plugins == ("rich",)
    assert settings.runs_root == "/var/lib/edge/runs"
    assert node["ports"] == [8080, 50051]
    assert node["serviceConfig"] == {"LoadCredential": ["model-key:/run/secrets/model-key"]}
    assert "gcc" in node["path"]
    assert node["unit"] == filled(
        template(),
        Service(
            program=f"{node['programs'][0]}/bin/mnedge",
            data_dir="/var/lib/edge",
            state="edge",
            writable=("/var/lib/edge", "/srv/results"),
            environment=(("MN_HOME", "/var/lib/edge/mn"),),
            networks=("localhost", "10.0.0.0/8", "192.168.1.7", "fd00::/8", "::1"),
            kill=f"{node['kill']}/bin/kill",
        ),
    )


REFUSED = {
    'settings.durability = "SOMETIMES";': 'is not of type `null or one of "FULL", "NORMAL"\'',
    'settings.relay.limits.maxBody = "lots";': "null or a size: 16Ki, 10Mi, 1Gi, or a number",
    'settings.daemon.grace = "ten";': "null or a duration: 500ms, 30s, 5m, 1h, 2d, or a number",
    'settings.relay.rateLimit.burst = "7";': "services.mnedge.settings.relay.rateLimit.burst' is",
    "settings.inherit_environment = 1;": "null or true or false",
    'settings.plugins = "x";': "services.mnedge.settings.plugins' is not of type",
    'settings.trace.slos = [ { name = "a"; } ];': "target' was accessed but has no value defined",
    "settings.relay.limits.maxBodi = 3;": "nobody knows this option; did you mean maxBody?",
    'settings.dataDir = "/x";': "dataDir: nobody knows this option; did you mean data_dir?",
    'settings.relay.replicas = "x";': 'settings.relay.replicas: is "x"; expected a whole number',
    'settings.relay.listen.http = "8080";': "expected HOST:PORT with a port from 0 to 65535",
    'host = "0.0.0.0"; httpPort = 80;': "others can reach 0.0.0.0:80, and what goes there would",
    "httpPort = 70000;": "httpPort' is not of type `null or 16 bit unsigned integer",
    "openFirewall = true;": "services.mnedge.openFirewall: there is nothing to open; expected",
    "httpPort = 80; openFirewall = true;": "openFirewall: there is nothing to open; expected",
    'settings.data_dir = "/srv/x";': 'data_dir: is "/srv/x"; expected a folder below /var/lib',
    'networks = [ "a\\nb" ];': "is no network; expected any, localhost, link-local, multicast, or",
    'networks = [ "300.0.0.0/8" ];': 'services.mnedge.networks: "300.0.0.0/8" is no network',
    'networks = [ "any" "10.0.0.0/33" ];': '"10.0.0.0/33" is no network',
    "setings = { };": "The option `services.mnedge.setings' does not exist",
}


@pytest.mark.parametrize("given", REFUSED)
def test_a_bad_option_is_refused_with_words(machine, given):
    said = machine.refusal(f"{{ services.mnedge = {{ enable = true; {given} }}; }}")
    assert REFUSED[given] in said


def test_all_bad_settings_are_told_together(machine):
    said = machine.refusal(
        """{ services.mnedge = { enable = true; settings = {
          relay.limits.maxBodi = 1; trace.log.level = "info"; relay.listen.tsl = { };
        }; }; }"""
    )
    assert said.count("nobody knows this option") == 3
    assert "did you mean logs?" in said
    assert "did you mean tls?" in said


def test_values_of_several_modules_come_together(machine):
    node = machine.shown(
        """{
          imports = [
            { services.mnedge.settings.relay.rateLimit.burst = lib.mkDefault 3; }
            { services.mnedge.settings.relay.limits.maxStreams = 9; }
            { services.mnedge.settings.trusted = lib.mkIf false "never"; }
          ];
          services.mnedge.enable = true;
          services.mnedge.settings.relay.rateLimit.burst = 7;
          services.mnedge.settings.node = lib.mkForce "press";
        }"""
    )
    settings = read_text(node["file"], "config.yaml").settings
    assert settings.relay.rate_limit.burst == 7
    assert settings.relay.limits.max_streams == 9
    assert settings.node == "press"


BLOCKS = re.findall(
    r"```nix\n(.*?)```", (ROOT / "mnedge/docs/nixos.md").read_text(encoding="utf-8"), re.DOTALL
)


def test_the_three_lines_of_the_manual_are_a_system(nix, tmp_path):
    (tmp_path / "flake.nix").write_text(BLOCKS[0])
    (tmp_path / "machine.nix").write_text("{ }")
    done = nix.run(
        "nix", "eval", "--raw",
        f"path:{tmp_path}#nixosConfigurations.edge.config.systemd.services.mnedge.wantedBy",
        "--apply", "builtins.head", "--no-write-lock-file",
        "--override-input", "mnedge", f"path:{nix.tree}",
        "--override-input", "nixpkgs", f"path:{nix.stub}",
        "--override-input", "mnedge/nixpkgs", f"path:{nix.stub}",
    )  # fmt: skip
    assert done.stdout == "multi-user.target"


def test_the_other_examples_of_the_manual_hold(nix, machine):
    (nix.folder / "my-plugin").mkdir(exist_ok=True)
    modules = " ".join(f"({block})" for block in BLOCKS[1:])
    node = machine.shown(f"{{ imports = [ {modules} ]; services.mnedge.enable = true; }}")
    settings = read_text(node["file"], "config.yaml").settings
    assert settings.plugins == ("mnedge-plugin-template",)
    assert settings.relay.limits.max_body == 16 << 20
    assert node["ports"] == [8443]
    assert len(BLOCKS) == 4


@pytest.mark.skipif(
    not NIXPKGS, reason="NIXPKGS names no copy of nixpkgs: the stub stood in for it"
)
def test_the_flake_evaluates_with_nixpkgs_itself(nix):
    given = Path(str(NIXPKGS)).absolute()
    if not (given / "nixos").is_dir():
        pytest.skip(f"{given} is nixpkgs' lib alone")
    nix.flake("flake", "check", "--no-build", nixpkgs=given)
