"""What ``[options]`` of a profile may say, one Struct per protocol.

These are facts about how a product uses its protocol: names of parameters, of paths in an answer, of
methods. What belongs to one installation (addresses, secrets, database and company numbers) is not here:
it comes from the settings, as ``auth`` and ``options`` of the system.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec


class CommonOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Keys that every protocol understands."""

    #: path that stands between the system's address and everything below, such as ``/odata/v4``
    root: str = ""
    probe: str | None = None  #: path (below the root) that answers quickly when the system is well
    headers: dict[str, str] = {}  #: sent with every request, such as ``Accept-Language``
    idempotency_header: str | None = None  #: class A: this header carries the marker
    unavailable_is_definite: bool = False  #: a 503 of this product means that nothing was taken
    error_code: tuple[str, ...] = ()  #: paths in an error body, the first that is there counts
    error_message: tuple[str, ...] = ()
    error_field: tuple[str, ...] = ()  #: a native path; it is turned back into the canonical field
    conflict_codes: tuple[str, ...] = ()  #: error codes that mean Conflict, whatever their status
    not_found_codes: tuple[str, ...] = ()
    transient_codes: tuple[str, ...] = ()  #: "record is locked" and its like: nothing was taken, try later


class RestOptions(CommonOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``protocol = "rest"``: ``resource`` of an entity is a path, a record lies at ``resource/key``."""

    format: Literal["json", "xml"] = "json"
    content_type: str | None = None  #: default ``application/json`` or ``application/xml``
    update_method: Literal["PUT", "PATCH", "POST"] = "PUT"
    paging: Literal["offset", "page", "cursor", "link", "none"] = "offset"
    #: paging = offset: records to skip; page: the page number; cursor: the cursor
    offset_parameter: str = "offset"
    limit_parameter: str | None = "limit"
    first_page: int = 1  #: paging = page
    items: str = ""  #: path of the list in a search answer; for XML, of what holds the entity's ``element``s
    total: str | None = None  #: path of the number of matches, where the product gives it
    next: str | None = None  #: path of the next cursor or link in a search answer
    #: takes the instant in the form of the entity's ``modified_convert``
    updated_since_parameter: str | None = None
    #: path of the record in the answer to fetch, create and update; default: the answer itself
    record: str | None = None
    xml_namespace: str | None = None


class OdataOptions(CommonOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``protocol = "odata"``: ``resource`` of an entity is an entity set."""

    namespace: str | None = None  #: bound actions are called as ``Set(key)/namespace.action``
    update_method: Literal["PATCH", "PUT"] = "PATCH"
    #: class B: a create is ``PATCH Set(ExternalId='…')`` on the entity's ``external_id``
    upsert: bool = False
    return_representation: bool = True  #: ask for the record in the answer to a write
    batch: str = "$batch"


class JsonRpcOptions(CommonOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``protocol = "jsonrpc"``: ``resource`` of an entity is a model."""

    path: str = "/"  #: where calls are posted; ``{database}`` stands for the settings' database
    method_prefix: str = "model."  #: a call is ``model.<resource>.<method>``
    login_method: str = "common.db.login"
    #: a method without side effects and parameters, such as ``common.server.version``
    probe_method: str | None = None
    context: dict[str, Any] = {}  #: last parameter of every call; the settings' ``context`` is laid over it
    read: str = "read"
    search: str = "search_read"
    create: str = "create"
    update: str = "write"
    #: key of the context that carries ``{"model,id": version}`` of a conditional write
    lock_context: str | None = None
    #: native path of a relation to one record -> its model. What the mapping puts beneath it
    #: (``currency.code``)
    #: is searched for, and the id of the first that is found goes in its place.
    relations: dict[str, str] = {}
    #: lists of which the mapping names single rows, as ``list.row.field``: list -> fields whose values,
    #: joined by
    #: ``:``, name a row. No fields: ``list.field`` is the first row.
    rows: dict[str, list[str]] = {}
    children: Literal["commands", "plain"] = "commands"  #: lists of records as create, write, delete commands
    conflict_errors: tuple[str, ...] = ()  #: names of errors inside HTTP 200 that mean Conflict
    unauthorised_errors: tuple[str, ...] = ()  #: and those that mean: log in again
    #: where an error has no name of its own, what its words hold; the profile's context must fix their
    #: language
    conflict_words: tuple[str, ...] = ()
    not_found_words: tuple[str, ...] = ()


ProtocolOptions = RestOptions | OdataOptions | JsonRpcOptions

#: protocol -> the Struct of its options
OPTIONS: dict[str, type[RestOptions] | type[OdataOptions] | type[JsonRpcOptions]] = {
    "rest": RestOptions,
    "odata": OdataOptions,
    "jsonrpc": JsonRpcOptions,
}
