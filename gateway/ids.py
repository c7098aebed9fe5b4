"""The port for identity: canonical ids, operation ids and markers, all minted here and never by an ERP."""

from __future__ import annotations

import base64
from typing import Protocol

from uuid_utils import uuid7

#: Prefixes of things that are not records; records carry the prefix of their entity (``cus_``, ``prj_`` …).
OPERATION = "op_"
DELIVERY = "dlv_"
DIFF = "dif_"
KEY = "key_"
AUDIT = "aud_"


class Ids(Protocol):
    def new(self, prefix: str) -> str:
        """``prefix`` and a UUIDv7: ids of one kind sort by the moment they were minted."""
        ...

    def marker(self) -> str:
        """The reference that one operation leaves in an ERP: ``T`` and 26 base-32 characters (128 bits),
        short enough for a 30-character reference field, safe in XML, URLs and file names."""
        ...


class SystemIds:
    def new(self, prefix: str) -> str:
        return prefix + str(uuid7())

    def marker(self) -> str:
        return "T" + base64.b32encode(uuid7().bytes).decode("ascii").rstrip("=")
