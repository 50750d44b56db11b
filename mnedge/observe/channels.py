"""How alerts leave: the channels of `trace.notify`, each a skill with its settings."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from mnedge.config.settings import Notify, SecretRef
from mnedge.errors import MnedgeError, NotFoundError, UnavailableError, UsageError
from mnedge.ports import Delivery, Skill

ResolveSecret = Callable[[SecretRef], str]


class ChannelUnknownError(NotFoundError):
    """No channel of this name is configured."""

    code = "alert.channel_unknown"


class SkillChannels:
    """Sends through skills; secrets are looked up anew each time, and never kept."""

    def __init__(
        self,
        skills: Mapping[str, Skill],
        notify: Callable[[], Sequence[Notify]],
        secret: ResolveSecret,
    ) -> None:
        self._skills = skills
        self._notify = notify
        self._secret = secret

    def names(self, wanted: Sequence[str]) -> list[str]:
        """Return the channels of an alert: those that it names, or all."""
        known = [channel.name for channel in self._notify()]
        return [name for name in known if not wanted or name in wanted]

    async def send(self, channel: str, delivery: Delivery) -> None:
        """Return when it arrived.

        Raises: UnavailableError: try again; any other MnedgeError: never.
        """
        skill, settings = self._found(channel)
        try:
            shown = filled(settings, self._secret)
        except MnedgeError as error:
            raise UnavailableError(
                f"a secret of channel {channel} cannot be had: {error.message}"
            ) from error
        await skill.deliver(delivery, shown)

    def problems(self) -> list[str]:
        """Return what is wrong with the channels, one sentence each."""
        found: list[str] = []
        for channel in self._notify():
            try:
                skill, settings = self._found(channel.name)
                said = skill.check(filled(settings, self._secret))
            except MnedgeError as error:
                said = [error.message]
            found += [f"trace.notify: {channel.name}: {text}" for text in said]
        return found

    def _found(self, name: str) -> tuple[Skill, Mapping[str, Any]]:
        for channel in self._notify():
            if channel.name == name:
                skill = self._skills.get(channel.skill)
                if skill is None:
                    raise UsageError(
                        f"there is no skill {channel.skill!r}",
                        hint=f"this node has {', '.join(sorted(self._skills))}",
                    )
                return skill, channel.settings
        raise ChannelUnknownError(f"no channel {name!r} is configured")


def filled(tree: Any, secret: ResolveSecret) -> Any:
    """Return settings with every `{"secretRef": {"name", "key"}}` replaced by its value."""
    match tree:
        case {"secretRef": reference} if len(tree) == 1:
            try:
                return secret(msgspec.convert(reference, SecretRef))
            except msgspec.ValidationError as error:
                raise UsageError(f"a secretRef is not understood: {error}") from error
        case dict():
            return {key: filled(value, secret) for key, value in tree.items()}
        case list():
            return [filled(value, secret) for value in tree]
        case _:
            return tree
