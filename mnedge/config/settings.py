"""Every setting of a node, as the configuration file spells it (in camelCase) and as code reads it.

The sections carry the names and keys of the platform's own values, so that a block of those can be
pasted. Durations are written `30s`, `5m`, `1h`, `2d`; sizes `64Ki`, `10Mi`, `1Gi`.
Source: platform 0.2, 1, 7 and 9.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from mnedge.config.written import DURATION_PATTERN, SIZE_PATTERN

Duration = Annotated[
    float,
    Meta(
        ge=0,
        extra={"written": "duration"},
        extra_json_schema={"pattern": DURATION_PATTERN},
    ),
]
"""Seconds; written `500ms`, `30s`, `5m`, `1h`, `2d`, or as a number of seconds."""
Size = Annotated[
    int,
    Meta(
        ge=0,
        extra={"written": "size"},
        extra_json_schema={"pattern": SIZE_PATTERN},
    ),
]
"""Bytes; written `16Ki`, `10Mi`, `1Gi`, or as a number of bytes."""


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """A part of the configuration file; a key that is not listed is an error."""


class SecretRef(Section, frozen=True, kw_only=True):
    """Where a secret is found; the value itself never stands in the configuration.

    `name`: `env`, `file`, `cred` (systemd's credentials); `key`: the variable, path or credential.
    """

    name: str
    key: str


class Tls(Section, frozen=True, kw_only=True):
    """What a TCP listener shows to clients; without files the node makes its own certificate."""

    cert_file: str | None = None
    key_file: str | None = None


class Listen(Section, frozen=True, kw_only=True):
    """Where the gateway listens. `http` and `grpc` are `HOST:PORT`, off unless given; the same
    server answers on all."""

    socket: str | None = None
    """Path of the unix socket; `mnedge.sock` in the data directory unless given."""
    socket_group: str | None = None
    """Its members may use the socket, with the scopes `read` and `operate`."""
    http: str | None = None
    grpc: str | None = None
    tls: Tls | None = None
    """Given: `http` and `grpc` speak TLS only."""
    allow_plain: bool = False
    """Let an address that others can reach do without TLS; loopback may always."""


class RateLimit(Section, frozen=True, kw_only=True):
    """A token bucket for each principal, or for each address that has none."""

    requests_per_second: float = 50.0
    burst: int = 100
    exempt: tuple[str, ...] = ("unix",)
    """Kinds of caller without a limit."""


class Filter(Section, frozen=True, kw_only=True):
    """What malformed and hostile requests meet."""

    waf: Literal["enabled", "detect", "disabled"] = "enabled"


class GatewayLimits(Section, frozen=True, kw_only=True):
    """Bounds of one request, and of all together."""

    max_body: Size = 64 << 20
    header_bytes: Size = 16 << 10
    request_timeout: Duration = 30.0
    """Until the whole request has arrived, and between two bytes of it."""
    idle_timeout: Duration = 60.0
    max_connections: int = 1024
    max_streams: int = 600
    """Event streams that are open at once."""
    stream_backlog: int = 1000
    """Events that may wait for a slow reader before it is told and cut."""


class Route(Section, frozen=True, kw_only=True):
    """A path of an adapter."""

    match: str
    timeout: Duration = 60.0
    idle_timeout: Duration = 30.0
    retries: int = 1
    methods: tuple[str, ...] = ("POST",)
    max_body: Size = 10 << 20


class AdapterAuth(Section, frozen=True, kw_only=True):
    """How the upstream is told who asks; the caller's own credentials never go there."""

    secret_ref: SecretRef | None = None
    header: str = "Authorization"
    scheme: str = "Bearer"


class AdapterLimits(Section, frozen=True, kw_only=True):
    """What one upstream takes."""

    rps: float | None = None
    burst: int = 100
    concurrency: int = 16
    tokens_per_minute: int | None = None
    queue: int = 64
    queue_timeout: Duration = 5.0


class Breaker(Section, frozen=True, kw_only=True):
    """When an upstream that fails is left alone."""

    failures: int = 5
    window: Duration = 30.0
    open: Duration = 15.0


class Adapter(Section, frozen=True, kw_only=True):
    """An upstream that speaks the OpenAI dialect."""

    name: str
    type: Literal["http"] = "http"
    base_url: str = ""
    """May be empty if `mock` is on."""
    allow_plain: bool = False
    auth: AdapterAuth = AdapterAuth()
    routes: tuple[Route, ...] = ()
    models: dict[str, str] = field(default_factory=dict)
    """What callers say → what the upstream is told; empty: any name, as it is."""
    limits: AdapterLimits = AdapterLimits()
    breaker: Breaker = Breaker()
    fallback: tuple[str, ...] = ()
    """Adapters that are tried when this one is away."""
    mock: bool = False
    log_bodies: bool = False


class Relay(Section, frozen=True, kw_only=True):
    """The gateway."""

    listen: Listen = Listen()
    rate_limit: RateLimit = RateLimit()
    security: Filter = Filter()
    limits: GatewayLimits = GatewayLimits()
    adapters: tuple[Adapter, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks whose `X-Forwarded-For` is believed."""
    cors: tuple[str, ...] = ()
    """Origins whose pages may call the API; none unless given."""


class Jwt(Section, frozen=True, kw_only=True):
    """Tokens that the node signs."""

    issuer: str = "soul.mnemos"
    audience: str | None = None
    """`mnedge:<node id>` unless given."""
    rotate_hours: float = 24.0


class Policies(Section, frozen=True, kw_only=True):
    """What tokens may be."""

    token_ttl: Duration = field(default=3600.0, name="tokenTTL")


class Audit(Section, frozen=True, kw_only=True):
    """The record of every change."""

    keep_days: int = 365
    max_size: Size = 256 << 20


class Soul(Section, frozen=True, kw_only=True):
    """Identity: who may do what, and the record of what they did."""

    jwt: Jwt = Jwt()
    policies: Policies = Policies()
    audit: Audit = Audit()


class Otel(Section, frozen=True, kw_only=True):
    """Where traces are sent; takes the `otel` extra."""

    endpoint: str | None = None
    headers: dict[str, str | SecretRef] = field(default_factory=dict)
    ratio: float = 1.0
    """Share of jobs whose traces are sent."""
    service_name: str = "mnedge"


class Prometheus(Section, frozen=True, kw_only=True):
    """Whether figures may be scraped."""

    scrape: bool = True
    path: str = "/metrics"
    auth: Literal["read", "none"] = "read"


class Metrics(Section, frozen=True, kw_only=True):
    """Figures."""

    prometheus: Prometheus = Prometheus()


class Logs(Section, frozen=True, kw_only=True):
    """What the daemon writes to stderr, and how."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "text"] = "json"


class Slo(Section, frozen=True, kw_only=True):
    """A goal; `target` is `99.5%`, `0.995` or, for a percentile in the name, a duration."""

    name: str
    target: str
    window: Duration = 30 * 86400.0
    sli: str | None = None
    percentile: float | None = None
    min_events: int = 10


class Alert(Section, frozen=True, kw_only=True):
    """A threshold on our own series; `expr` is a small part of PromQL."""

    name: str
    expr: str
    for_: Duration = field(default=0.0, name="for")
    severity: str = "warning"
    labels: dict[str, str] = field(default_factory=dict)
    notify: tuple[str, ...] = ()
    """Names in `trace.notify`; empty: all of them."""


class Notify(Section, frozen=True, kw_only=True):
    """Where alerts go: a skill, and what it is told about the place."""

    name: str
    skill: str
    settings: dict[str, Any] = field(default_factory=dict)


class Trace(Section, frozen=True, kw_only=True):
    """Logs, figures, traces, goals and alerts."""

    otel: Otel = Otel()
    metrics: Metrics = Metrics()
    logs: Logs = Logs()
    evaluate_every: Duration = 15.0
    """How often goals and alerts are looked at, and how finely events are counted for that."""
    slos: tuple[Slo, ...] = ()
    alerts: tuple[Alert, ...] = ()
    notify: tuple[Notify, ...] = ()


class Daemon(Section, frozen=True, kw_only=True):
    """How the daemon itself behaves."""

    grace: Duration = 10.0
    """How long a stop lets attempts finish that are under way; the others are run again later."""
    skill_folders: tuple[str, ...] = ()
    """Folders outside of the data directory into which skills may write."""
    endpoint_files: bool = True
    """Write the files in `MN_HOME` by which the published client finds this node."""


class Devices(Section, frozen=True, kw_only=True):
    """Where devices are looked for."""

    sys_root: str = "/sys"
    dev_root: str = "/dev"
    disabled: tuple[str, ...] = ()
    """Names of probes that are not asked."""


class Connectors(Section, frozen=True, kw_only=True):
    """Where blueprints may read from."""

    folders: tuple[str, ...] = ()
    """Folders, besides a bundle's own, from which connectors may read."""


class Updates(Section, frozen=True, kw_only=True):
    """Which releases may replace this program, and how long a new one may take to prove itself."""

    keys: tuple[str, ...] = ()
    """Ed25519 public keys (base64 of the 32 bytes) trusted beside those that came along."""
    health_timeout: Duration = 60.0
    """A new program that is not healthy by then is replaced by the one before it."""
    settle: Duration = 10.0
    """It must stay healthy for so long before the update is confirmed."""


class FileSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The configuration file of a node; what it leaves out keeps its default."""

    data_dir: str | None = None
    runs_root: str | None = None
    node: str | None = None
    durability: Literal["FULL", "NORMAL"] = "FULL"
    inherit_environment: bool = False
    openshell_fallback: bool = True
    keep_workspaces: bool = False
    snapshot_bytes: Size = 4 << 20
    plugins: tuple[str, ...] = ()
    relay: Relay = Relay()
    soul: Soul = Soul()
    trace: Trace = Trace()
    daemon: Daemon = Daemon()
    devices: Devices = Devices()
    connectors: Connectors = Connectors()
    updates: Updates = Updates()


class Config(Struct, frozen=True, kw_only=True):
    """Everything this process was told; `environ` is what workers see some of."""

    data_dir: Path
    runs_root: Path
    home: Path
    environ: Mapping[str, str]
    node: str = "localhost"
    """How this machine is called in events and results; its host name unless MNEDGE_NODE says."""
    durability: Literal["FULL", "NORMAL"] = "FULL"
    """`FULL`: an acknowledgement survives a power cut. `NORMAL`: it survives a crash of the
    process."""
    inherit_environment: bool = False
    """Give workers the whole environment of the host instead of the allow-list."""
    openshell_fallback: bool = True
    keep_workspaces: bool = False
    snapshot_bytes: int = 4 << 20
    """A job's state is kept whole when its journal has grown so much, or by the last one's size."""
    plugins: tuple[str, ...] = ()
    """Modules of third-party plugins that the operator trusts."""
    file: Path | None = None
    """The configuration file this came from."""
    relay: Relay = Relay()
    soul: Soul = Soul()
    trace: Trace = Trace()
    daemon: Daemon = Daemon()
    devices: Devices = Devices()
    connectors: Connectors = Connectors()
    updates: Updates = Updates()

    @property
    def socket(self) -> Path:
        """Where the daemon of this data directory listens."""
        return Path(self.relay.listen.socket or self.data_dir / "mnedge.sock")
