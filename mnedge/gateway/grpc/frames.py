"""A stream of gRPC messages, cut out of the body of a request."""

from mnedge.errors import UsageError
from mnedge.gateway.grpc.status import NotOfferedError

PREFIX_BYTES = 5


class FrameError(UsageError):
    """The body of the request is not as gRPC has it."""

    code = "grpc.frame_malformed"


class TooLargeError(UsageError):
    """A message is larger than this node takes."""

    code = "grpc.message_too_large"
    http_status = 413


class Frames:
    """Takes chunks of a body as they come; knows what came of them."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._kept = bytearray()
        self.messages: list[bytes] = []

    def feed(self, chunk: bytes) -> None:
        """Take in what came.

        Raises: FrameError, TooLargeError, NotOfferedError; nothing may be fed afterwards.
        """
        self._kept += chunk
        while len(self._kept) >= PREFIX_BYTES:
            size_bytes = int.from_bytes(self._kept[1:PREFIX_BYTES])
            if self._kept[0] == 1:
                raise NotOfferedError(
                    "compressed messages are not taken", hint="send them as they are: identity"
                )
            if self._kept[0]:
                raise FrameError(
                    f"a message begins with {self._kept[0]}", hint="0 marks one that is as it is"
                )
            if size_bytes > self._most_bytes:
                raise TooLargeError(
                    f"a message of {size_bytes} bytes is larger than {self._most_bytes}",
                    hint="relay.limits.maxBody says what this node takes",
                )
            end = PREFIX_BYTES + size_bytes
            if len(self._kept) < end:
                return
            self.messages.append(bytes(self._kept[PREFIX_BYTES:end]))
            del self._kept[:end]
            if len(self.messages) > 1:
                raise FrameError("one message is enough", hint="no call here takes a stream")

    def only(self) -> bytes:
        """Return the message, now that the request is over.

        Raises: FrameError.
        """
        if self._kept:
            raise FrameError(f"the request ends {len(self._kept)} bytes into a message")
        if not self.messages:
            raise FrameError("the request has no message")
        return self.messages[0]


def framed(message: bytes) -> bytes:
    """Return the message as it is sent."""
    return b"\0" + len(message).to_bytes(4) + message
