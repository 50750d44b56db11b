"""What `install` and `uninstall` have in common: the machine, what is asked, the plan on screen."""

import re
from collections.abc import Iterable
from contextlib import nullcontext
from ipaddress import ip_network
from pathlib import Path
from tempfile import TemporaryDirectory

import mnedge
from mnedge.cli.completion import SHELLS, script
from mnedge.cli.one_file import Hints, called_file
from mnedge.cli.options import OptionInvalidError
from mnedge.cli.screen import Screen
from mnedge.cli.show import Cell, columns, counted
from mnedge.cli.verbs import Asked
from mnedge.config.layout import ENVIRON, Layout
from mnedge.config.problem import ConfigInvalidError
from mnedge.config.read import Flags, load_config
from mnedge.durable import sha256_of
from mnedge.errors import ConflictError
from mnedge.installation import unit
from mnedge.installation.box import Box, Program, found_at
from mnedge.installation.doing import do
from mnedge.installation.plan import DATA, UNIT_FILE, Plan, Settings, Wanted
from mnedge.installation.steps import AnyStep
from mnedge.installation.texts import config_text
from mnedge.node_socket import health_of
from mnedge.updates.prepare import locked

_UPDATE_UNIT_TEXT = Path(mnedge.__file__).parent / "updates" / "mnedge-update.service"

HINTS = Hints(
    nix="services.mnedge.enable = true; in the machine's configuration",
    source="`make binary` makes one file of it (dist/mnedge); to supervise source yourself: "
    "mnedge docs daemon",
    folder="run the one file, not the unpacked folder: `sudo ./mnedge install`",
)
NAME = re.compile(r"[a-z_][a-z0-9_-]{0,30}")
NETWORKS = ("any", "localhost", "link-local", "multicast")
"""What systemd knows by name."""


class NodeRunsError(ConflictError):
    """The node that is to be taken away runs."""

    code = "install.node_runs"


def layout_of(root: Path | None) -> Layout:
    """Return the places of this machine, or of an image."""
    return Layout(root.absolute()) if root else Layout()


def settings_of(layout: Layout, *, even_if_bad: bool = False) -> Settings:
    """Return what the configuration that is there says; the defaults if there is none.

    Raises: ConfigInvalidError, unless it is taken `even_if_bad`.
    """
    try:
        if not layout.config_file.exists():
            return Settings()
        config = load_config(ENVIRON, Flags(file=str(layout.config_file))).config
    except PermissionError:
        return Settings()
    except ConfigInvalidError:
        if even_if_bad:
            return Settings()
        raise
    folders = (str(config.data_dir), str(config.runs_root), *config.daemon.skill_folders)
    outer = tuple(f for f in dict.fromkeys(folders) if not _is_below(f, folders))
    return Settings(
        data_dir=str(config.data_dir),
        runs_root=str(config.runs_root),
        socket=str(config.socket),
        writable=outer,
    )


def update_unit() -> str:
    """Return the unit that carries an update to its end."""
    return _UPDATE_UNIT_TEXT.read_text(encoding="utf-8")


def wanted_of(
    settings: Settings,
    *,
    no_start: bool,
    http: str | None,
    grpc: str | None,
    user: str | None,
    networks: tuple[str, ...],
    replace: bool,
) -> Wanted:
    """Return what is asked, with the program that runs and all it writes.

    Raises: NotOneFileError; OptionInvalidError.
    """
    _judge(user, networks)
    _judge_addresses(http, grpc)
    return Wanted(
        program=_program(),
        user=user,
        http=http,
        grpc=grpc,
        networks=networks,
        start=not no_start,
        replace=replace,
        settings=settings,
        completions={shell: script(shell) for shell in SHELLS},
        update_unit=update_unit(),
    )


def _judge(user: str | None, networks: tuple[str, ...]) -> None:
    if user is not None and not NAME.fullmatch(user):
        raise OptionInvalidError(
            f"--user {user!r} is no name of a user",
            hint="small letters, digits, - and _, a letter first",
        )
    if user == "root":
        raise OptionInvalidError(
            "--user root: a node and its workers have none of root's rights",
            hint="leave it out: the user mnedge is made, with the groups of the usual devices",
        )
    for network in networks:
        if network in NETWORKS:
            continue
        try:
            ip_network(network, strict=False)
        except ValueError:
            raise OptionInvalidError(
                f"--network {network!r} is no network",
                hint=f"as in 10.0.0.0/8 or fd00::/8; or one of {', '.join(NETWORKS)}",
            ) from None


def _judge_addresses(http: str | None, grpc: str | None) -> None:
    """Refuse an address with which no node starts, before anything is done."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "config.yaml")
        file.write_text(config_text(DATA, "root", http, grpc), encoding="utf-8")
        try:
            load_config(ENVIRON, Flags(file=str(file)))
        except ConfigInvalidError as error:
            wrong = next(one for one in error.problems if one.severity == "error")
            option, value = ("--grpc", grpc) if "grpc" in wrong.path else ("--http", http)
            expected = f"expected {wrong.expected}" if wrong.expected else ""
            raise OptionInvalidError(
                f"{option} {value}: {wrong.message}", hint=wrong.hint or expected
            ) from None


def refuse_running(box: Box, settings: Settings) -> None:
    """Refuse to take away a node that runs and that we cannot stop.

    Raises: NodeRunsError.
    """
    if box.systemd_runs or box.is_image or health_of(Path(settings.socket)) is None:
        return
    raise NodeRunsError(
        f"a node runs here ({settings.socket}), and it is not systemd that started it",
        hint="stop it where it is started, then uninstall again",
    )


def tell_plan(asked: Asked, plan: Plan, layout: Layout, *, verb: str, dry_run: bool) -> int:
    """Show the plan, and do it unless it is only to be shown; return the exit code.

    Raises: StepFailedError; UnderWayError, since an update changes the same files.
    """
    screen = Screen(asked)
    width = max((len(step.told()[0]) for step in plan.steps), default=0)

    def line(number: int, step: AnyStep) -> None:
        deed, what = step.told()
        screen.say(f"  {number:>2}  {deed:<{width}}  {what}")
        screen.flush()

    if not dry_run and plan.steps:
        with locked(layout.home) if layout.home.is_dir() else nullcontext():
            do(plan, layout, verb=verb, begun=line)
    elif plan.steps:
        rows = [
            [Cell(f"{number}", "dim"), Cell(step.told()[0], "bold"), Cell(step.told()[1])]
            for number, step in enumerate(plan.steps, 1)
        ]
        screen.say(*columns(rows))
    if not asked.human:
        tell_document(screen, plan, dry_run=dry_run)
        return 0
    for note in plan.notes:
        screen.note(note)
    _tell_end(screen, plan, layout, verb=verb, dry_run=dry_run)
    return 0


def tell_document(screen: Screen, plan: Plan, *, dry_run: bool) -> None:
    """Print the plan for a program."""
    steps = [
        {
            "number": number,
            "step": type(step).__struct_config__.tag,
            "does": " ".join(step.told()),
            "done": not dry_run,
        }
        for number, step in enumerate(plan.steps, 1)
    ]
    if screen.asked.output == "ndjson":
        screen.records(steps)
        return
    screen.document(
        {
            "changed": bool(steps) and not dry_run,
            "dry_run": dry_run,
            "steps": steps,
            "notes": list(plan.notes),
            "by_hand": list(plan.by_hand),
        }
    )


def _tell_end(screen: Screen, plan: Plan, layout: Layout, *, verb: str, dry_run: bool) -> None:
    if not plan.steps:
        screen.good("nothing to do: mnedge is installed as this version would install it")
    elif dry_run:
        screen.note(f"{counted(len(plan.steps), 'step')}, none of them done: --dry-run")
    elif verb != "install":
        screen.good("mnedge is gone")
    else:
        screen.good("mnedge is installed" + (f" in {layout.root}" if layout.is_image else ""))
        if not plan.by_hand and not layout.is_image:
            screen.hint("a first run        mnedge blueprint run message_routing_trace")
            screen.hint("how it is          mnedge doctor; systemctl status mnedge")
            screen.hint("its log            journalctl --namespace=mnedge -f")
            screen.hint(f"let others use it  usermod -aG {group_of_node(layout)} SOMEBODY")
    for words in plan.by_hand:
        screen.say(words)


def group_of_node(layout: Layout) -> str:
    """Return the group whose members may use the node."""
    text = found_at(layout.at(UNIT_FILE)).text
    return unit.group_of(text) or unit.user_of(text) or "mnedge"


def _program() -> Program:
    file = called_file(HINTS)
    return Program(file=str(file), version=mnedge.__version__, sha256=sha256_of(file))


def _is_below(folder: str, folders: Iterable[str]) -> bool:
    return any(one != folder and Path(folder).is_relative_to(one) for one in folders)
