"""Where things stand on the outside. Lower rooms know ids; only this room knows paths."""

from __future__ import annotations

import re

from gateway.canonical import ENTITIES, Entity
from gateway.ids import OPERATION

_COLLECTIONS = {entity.prefix: entity.collection for entity in ENTITIES}

#: What may stand behind a prefix. Whatever does not look like an id of ours is simply not there.
ID = "[0-9A-Za-z-]{1,60}"
_ID = re.compile(ID)


def of(thing: str) -> str:
    """The path of the record or operation with this id; a path is handed back as it is."""
    if thing.startswith("/"):
        return thing
    prefix, _, _ = thing.partition("_")
    if prefix + "_" == OPERATION:
        return f"/v1/operations/{thing}"
    return f"/v1/{_COLLECTIONS[prefix + '_']}/{thing}"


def record(entity: Entity, record_id: str) -> str:
    return f"/v1/{entity.collection}/{record_id}"


def is_id(text: str, prefix: str) -> bool:
    """Whether ``text`` has the form of an id with this prefix."""
    return text.startswith(prefix) and _ID.fullmatch(text, len(prefix)) is not None
