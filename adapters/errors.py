"""What an adapter can say about a call that did not succeed; the class tells what the caller may do next.

Every error carries the system's own words (``message``, already cut to a sane length), its code where it
gave one, and the canonical field it is about where the profile can tell.
"""

from __future__ import annotations


class AdapterError(Exception):
    """The system did not do what it was asked."""

    def __init__(
        self,
        message: str = "",
        *,
        system: str = "",
        code: str | None = None,
        field: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message or type(self).__doc__)
        self.message = message
        self.system = system
        self.code = code
        self.field = field
        self.retry_after_s = retry_after_s


class Unavailable(AdapterError):
    """The request was certainly not taken. Sending it again is safe."""


class Throttled(Unavailable):
    """The system asks to be left alone for ``retry_after_s`` seconds. The request was not taken."""


class OutcomeUnknown(AdapterError):
    """The system may have done it. Look it up by its marker before sending anything again."""


class Rejected(AdapterError):
    """The system refused on its own rules. Sending the same again will be refused again."""


class NotFound(Rejected):
    """The system holds no such record."""


class Conflict(Rejected):
    """The record was changed meanwhile, or one with the same key exists. Read it before deciding."""


class Unauthorised(Unavailable):
    """The system does not accept our credentials. Nothing was taken; a person must look at the settings."""


class Unreadable(OutcomeUnknown):
    """The answer does not fit the profile. A read failed; a write may have happened."""


class Misconfigured(AdapterError):
    """The profile or the settings of this system are wrong; nothing was sent."""
