"""Why nobody was recognised; every one is a denial."""

from mnedge.errors import NotAllowedError, UnavailableError

UNAUTHENTICATED = 401


class TokenInvalidError(NotAllowedError):
    """The bearer token was not signed by this node, is not meant for it, or is not one at all."""

    code = "auth.invalid"
    http_status = UNAUTHENTICATED


class TokenMissingError(TokenInvalidError):
    """The request carries no credential, and what it asks for needs one."""

    code = "auth.missing"


class TokenExpiredError(TokenInvalidError):
    """The bearer token was good once; its time is over."""

    code = "auth.expired"


class TokenRevokedError(TokenInvalidError):
    """The bearer token was taken back before its time was over."""

    code = "auth.revoked"


class ClockImplausibleError(TokenInvalidError):
    """This machine's date is before mnedge was built, so the time of a token cannot be judged."""

    code = "auth.clock"


class ScopeTooSmallError(NotAllowedError):
    """The caller is known, and may not do this."""

    code = "auth.scope"


class KeyFileUnsafeError(UnavailableError):
    """A private key can be read by others, or is no plain file; nothing uses it until mended."""

    code = "identity.key_unsafe"


class KeyFileDamagedError(UnavailableError):
    """The file that holds the signing keys cannot be understood."""

    code = "identity.key_damaged"
