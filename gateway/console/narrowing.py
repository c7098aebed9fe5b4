"""What a list of the console is narrowed to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import urlencode

import msgspec

#: Characters of one filter that are read.
LONGEST = 255


class Narrowing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The filters of one page, as texts. The address carries them, so a view can be sent to a colleague."""

    PATH: ClassVar[str]

    @classmethod
    def given(cls, query: Mapping[str, str]) -> dict[str, str]:
        """What the address says, without what this page does not know."""
        names = cls.__struct_fields__
        return {name: value.strip()[:LONGEST] for name, value in query.items() if name in names}

    def link(self, path: str | None = None, **changed: str) -> str:
        """The address of this view with some filters changed."""
        query = {name: value for name, value in {**msgspec.structs.asdict(self), **changed}.items() if value}
        return f"{path or self.PATH}?{urlencode(query)}" if query else path or self.PATH

    @property
    def any(self) -> bool:
        return any(msgspec.structs.asdict(self).values())
