"""What `install` writes besides the unit: the configuration, the journal's bounds."""

import json
from pathlib import Path

CONFIG = """\
# The settings of this node. `mnedge docs configuration` explains each, `mnedge config check` says
# whether they are good, `systemctl reload mnedge` takes up those that are hot.
# What is commented out is the default. Never overwritten by `mnedge install` and `mnedge update`.

data_dir: @DATA_DIR@
runs_root: @DATA_DIR@/runs
#node: edge1
#durability: FULL
#plugins: []

relay:
  listen:
    # Members of this group may use the node without a token: usermod -aG @GROUP@ SOMEBODY
    socketGroup: @GROUP@
@LISTEN@
#  limits:
#    maxBody: 64Mi
#    maxConnections: 1024
#    maxStreams: 600

#soul:
#  policies:
#    tokenTTL: 1h
#  audit:
#    keepDays: 365
#    maxSize: 256Mi

#trace:
#  logs:
#    level: info
#    format: json
#  metrics:
#    prometheus:
#      scrape: true

#daemon:
#  grace: 10s
#  skillFolders: []

#devices:
#  disabled: []

#connectors:
#  folders: []

#updates:
#  keys: []
#  healthTimeout: 1m
#  settle: 10s
"""
HTTP = "127.0.0.1:8080"
GRPC = "127.0.0.1:50051"

JOURNAL = Path(__file__).with_name("journald.conf")


def journal() -> str:
    """Return the bounds of the node's own journal; Nix writes the same ones."""
    return JOURNAL.read_text(encoding="utf-8")


def config_text(data_dir: str, group: str, http: str | None, grpc: str | None) -> str:
    """Return a first configuration, which says its defaults."""
    listen = "\n".join(
        f"    {name}: {json.dumps(value)}" if value else f"    #{name}: {default}"
        for name, value, default in (("http", http, HTTP), ("grpc", grpc, GRPC))
    )
    text = CONFIG.replace("@LISTEN@", listen)
    return text.replace("@DATA_DIR@", data_dir).replace("@GROUP@", group)


def by_hand(supervisor: str, user: str, command: str) -> tuple[str, ...]:
    """Return what a person does where no systemd starts the node."""
    start = f"{command} daemon --config /etc/mnedge/config.yaml"
    ways = {
        "openrc": (
            "OpenRC: an /etc/init.d/mnedge of supervise-daemon with",
            f'  command="{command}" command_args="daemon --config /etc/mnedge/config.yaml"',
            f'  command_user="{user}:{user}" supervisor=supervise-daemon',
            "then: rc-update add mnedge default; rc-service mnedge start",
        ),
        "runit": (
            "runit: an executable /etc/sv/mnedge/run with",
            f"  #!/bin/sh\n  exec chpst -u {user} env HOME=/var/lib/mnedge {start} 2>&1",
            "then: ln -s /etc/sv/mnedge /var/service/ (or where your runit looks)",
        ),
        "sysv": (
            "sysv init: a line in /etc/inittab starts it, and again whenever it ends:",
            f"  mn:2345:respawn:/bin/su -s /bin/sh {user} -c '{start}'",
            "then: telinit q",
        ),
    }
    return (
        "no systemd runs here: mnedge is installed, and somebody else has to start it",
        f"as {user}, with HOME=/var/lib/mnedge MN_HOME=/var/lib/mnedge/mn "
        "MNEDGE_RUNTIME_DIR=/opt/mnedge/runtime:",
        f"  {start}",
        "SIGTERM ends it; start it again whenever it ends (code 2: the configuration is wrong)",
        *ways.get(supervisor, ()),
    )
