"""The steps of which an installation, or its end, is made. Data: what does them is `doing`."""

from msgspec import Struct


class Step(Struct, frozen=True, kw_only=True, tag_field="step", tag=str.lower):
    """One thing that is done, and need not be if it is so already.

    `told` returns it as people read it: what is done, and to what.
    """


class AddGroup(Step, frozen=True, kw_only=True):
    """A system group."""

    name: str

    def told(self) -> tuple[str, str]:
        return "add group", self.name


class AddUser(Step, frozen=True, kw_only=True):
    """A system user that nobody can log in as."""

    name: str
    group: str
    home: str

    def told(self) -> tuple[str, str]:
        return "add user", f"{self.name} (no login, home {self.home})"


class Join(Step, frozen=True, kw_only=True):
    """The user becomes a member of groups."""

    user: str
    groups: tuple[str, ...]

    def told(self) -> tuple[str, str]:
        return "add to groups", f"{self.user}: {' '.join(self.groups)}"


class Folder(Step, frozen=True, kw_only=True):
    """A folder with this mode and owner."""

    path: str
    mode: int
    owner: str = "root"
    group: str = "root"

    def told(self) -> tuple[str, str]:
        return "folder", f"{self.path}/ ({self.owner}:{self.group} {self.mode:04o})"


class CopyProgram(Step, frozen=True, kw_only=True):
    """A release: there completely, or not at all."""

    source: str
    path: str
    sha256: str

    def told(self) -> tuple[str, str]:
        return "copy program", f"{self.source} → {self.path}"


class Unpack(Step, frozen=True, kw_only=True):
    """What the one file carries is laid out, so that the service itself need not write programs."""

    program: str
    folder: str

    def told(self) -> tuple[str, str]:
        return "unpack", f"{self.folder}/"


class Link(Step, frozen=True, kw_only=True):
    """A symbolic link, changed in one moment."""

    path: str
    target: str

    def told(self) -> tuple[str, str]:
        return "link", f"{self.path} → {self.target}"


class Write(Step, frozen=True, kw_only=True):
    """A file with this text."""

    path: str
    text: str
    mode: int = 0o644
    owner: str = "root"
    group: str = "root"
    is_new: bool = True

    def told(self) -> tuple[str, str]:
        return (
            "write" if self.is_new else "rewrite",
            f"{self.path} ({self.owner}:{self.group} {self.mode:04o})",
        )


class Systemctl(Step, frozen=True, kw_only=True):
    """The service manager is asked; `may_fail`: what is not there need not be stopped."""

    words: tuple[str, ...]
    may_fail: bool = False

    def told(self) -> tuple[str, str]:
        return "systemctl", " ".join(self.words)


class AwaitHealth(Step, frozen=True, kw_only=True):
    """The node answers and says that it is well."""

    socket: str
    within_s: float

    def told(self) -> tuple[str, str]:
        return "wait", f"until the node is well ({self.socket})"


class Remove(Step, frozen=True, kw_only=True):
    """A file, link or folder is there no more; `is_pattern`: all folders that the path matches."""

    path: str
    is_tree: bool = False
    is_pattern: bool = False

    def told(self) -> tuple[str, str]:
        return "remove", f"{self.path}/" if self.is_tree else self.path


class RemoveUser(Step, frozen=True, kw_only=True):
    """The user is there no more."""

    name: str

    def told(self) -> tuple[str, str]:
        return "remove user", self.name


class RemoveGroup(Step, frozen=True, kw_only=True):
    """The group is there no more."""

    name: str

    def told(self) -> tuple[str, str]:
        return "remove group", self.name


AnyStep = (
    AddGroup
    | AddUser
    | Join
    | Folder
    | CopyProgram
    | Unpack
    | Link
    | Write
    | Systemctl
    | AwaitHealth
    | Remove
    | RemoveUser
    | RemoveGroup
)
