"""The service document and the EDMX description, made from the tables."""

from __future__ import annotations

from functools import cache
from typing import assert_never

import msgspec

from adapters.sandbox.cloud.tables import TABLES
from adapters.sandbox.fields import (
    Amount,
    Code,
    Day,
    Field,
    Flag,
    Group,
    Number,
    Ref,
    Rows,
    Table,
    Text,
    Texts,
    Whole,
)

NAMESPACE = "Sandbox"
COMMON = (
    '<Property Name="ExternalId" Type="Edm.String" MaxLength="60"/>'
    '<Property Name="LastOperation" Type="Edm.String" MaxLength="60"/>'
    '<Property Name="CreatedAt" Type="Edm.DateTimeOffset" Precision="6"/>'
    '<Property Name="ModifiedAt" Type="Edm.DateTimeOffset" Precision="6"/>'
)


@cache
def service_document() -> bytes:
    sets = [{"name": table.path, "kind": "EntitySet", "url": table.path} for table in TABLES]
    return msgspec.json.encode({"@odata.context": "$metadata", "value": sets})


@cache
def edmx() -> bytes:
    types = "".join(map(_entity_type, TABLES))
    sets = "".join(
        f'<EntitySet Name="{table.path}" EntityType="{NAMESPACE}.{table.item}"/>' for table in TABLES
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"><edmx:DataServices>'
        f'<Schema Namespace="{NAMESPACE}" xmlns="http://docs.oasis-open.org/odata/ns/edm">{types}'
        f'<EntityContainer Name="Container">{sets}</EntityContainer></Schema></edmx:DataServices></edmx:Edmx>'
    ).encode()


def _entity_type(table: Table) -> str:
    complex_types = "".join(
        f'<ComplexType Name="{table.item}{field.name}">{_properties(table, field.kind.fields)}</ComplexType>'
        for field in table.fields
        if isinstance(field.kind, Rows | Group)
    )
    key = (
        f'<Key><PropertyRef Name="{table.key}"/></Key>'
        f'<Property Name="{table.key}" Type="Edm.String" Nullable="false"/>'
    )
    fields = _properties(table, table.fields)
    return f'{complex_types}<EntityType Name="{table.item}">{key}{fields}{COMMON}</EntityType>'


def _properties(table: Table, fields: tuple[Field, ...]) -> str:
    return "".join(_property(table, field) for field in fields)


def _property(table: Table, field: Field) -> str:
    return f'<Property Name="{field.name}" Type={_type(table, field)}/>'


def _type(table: Table, field: Field) -> str:
    kind = field.kind
    match kind:
        case Text(length=length):
            return f'"Edm.String" MaxLength="{length}"'
        case Amount():
            return '"Edm.Decimal" Precision="18" Scale="3"'
        case Number(places=places):
            return f'"Edm.Decimal" Precision="19" Scale="{places}"'
        case Whole():
            return '"Edm.Int32"'
        case Day():
            return '"Edm.Date"'
        case Flag():
            return '"Edm.Boolean"'
        case Code() | Ref():
            return '"Edm.String" MaxLength="30"'
        case Texts():
            return '"Collection(Edm.String)"'
        case Rows():
            return f'"Collection({NAMESPACE}.{table.item}{field.name})"'
        case Group():
            return f'"{NAMESPACE}.{table.item}{field.name}"'
        case _:
            assert_never(kind)
