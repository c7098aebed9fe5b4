"""XML bodies as plain dicts: an element with children is a dict, a repeated child is a list, a leaf is its
text.

Attributes are ``@name``. Namespaces are dropped when reading. The answer of a system is untrusted: no
document type, no entities, nothing fetched, and lxml's own limits on depth and size stay on.
"""

from __future__ import annotations

from typing import Any, cast
from xml.sax.saxutils import escape, quoteattr

from lxml import etree

from adapters.wire import Broken

#: A reader of XML makes a line feed of a carriage return, unless it is spelled out.
_KEPT = {"\r": "&#13;"}

_parser = etree.XMLParser(
    resolve_entities=False,
    no_network=True,
    load_dtd=False,
    dtd_validation=False,
    huge_tree=False,
    remove_comments=True,
    remove_pis=True,
    remove_blank_text=False,
)


def decode(content: bytes) -> tuple[str, Any]:
    """Name of the root element, and what is in it."""
    try:
        root = etree.fromstring(content, _parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise Broken(f"the answer is not XML: {error}") from error
    if root.getroottree().docinfo.doctype:
        raise Broken("the answer carries a document type")
    return _local(root.tag), _value(root)


def _local(tag: Any) -> str:
    if type(tag) is not str:
        raise Broken("the answer carries an entity")
    return tag.rpartition("}")[2] if tag[0] == "{" else tag


def _value(element: Any) -> Any:
    attributes = element.attrib
    if not len(element):
        if not attributes:
            return element.text
        leaf = {f"@{_local(name)}": text for name, text in attributes.items()}
        if leaf.get("@nil") in {"true", "1"}:
            return None
        if element.text and element.text.strip():
            leaf["#text"] = element.text
        return leaf
    found: dict[str, Any] = (
        {f"@{_local(name)}": text for name, text in attributes.items()} if attributes else {}
    )
    for child in element:
        tag = child.tag
        if type(tag) is not str or tag[0] == "{":
            tag = _local(tag)
        # ``keys()`` rather than ``attrib``, which makes an object for each element.
        value = _value(child) if len(child) or child.keys() else child.text
        if tag not in found:
            found[tag] = value
        elif type(held := found[tag]) is list:
            cast("list[Any]", held).append(value)
        else:
            found[tag] = [held, value]
    return found


def encode(root: str, record: dict[str, Any], namespace: str | None = None) -> bytes:
    parts = ['<?xml version="1.0" encoding="UTF-8"?>']
    name = f"{root} xmlns={quoteattr(namespace)}" if namespace else root
    parts.append(f"<{name}>")
    _children(parts, record)
    parts.append(f"</{root}>")
    return "".join(parts).encode()


def _children(parts: list[str], record: dict[str, Any]) -> None:
    for name, value in record.items():
        if type(value) is list:
            for item in cast("list[Any]", value):
                _element(parts, name, item)
        else:
            _element(parts, name, value)


def _element(parts: list[str], name: str, value: Any) -> None:
    if value is None or value == "":
        parts.append(f"<{name}/>")
    elif type(value) is dict:
        parts.append(f"<{name}>")
        _children(parts, cast("dict[str, Any]", value))
        parts.append(f"</{name}>")
    else:
        text = value if type(value) is str else str(value).lower() if type(value) is bool else str(value)
        parts.append(f"<{name}>{escape(text, _KEPT)}</{name}>")
