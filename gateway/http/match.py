"""From a path as it was sent to the methods that are declared there. A tree of segments, walked once.

Segments are split before they are decoded, so an encoded slash in an id is part of the id. There is one
spelling of each path: an empty segment is a segment of its own and matches nothing. The last parameter
named ``native_id`` takes the rest of the path, because an ERP's id may hold slashes.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

from gateway.http.route import Route

REST = "{native_id}"


class Place:
    """One path: the routes at it by method, and what Allow says."""

    __slots__ = ("allow", "routes", "template")

    def __init__(self, template: str) -> None:
        self.template = template
        self.routes: dict[str, Route] = {}
        self.allow = ""


class _Node:
    __slots__ = ("literal", "name", "parameter", "place", "rest")

    def __init__(self) -> None:
        self.literal: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.name = ""
        self.rest = False
        self.place: Place | None = None


class Paths:
    """Every declared path. Raises ValueError for two routes of the same method at the same path."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._root = _Node()
        self.places: dict[str, Place] = {}
        for route in routes:
            place = self.places.get(route.path)
            if place is None:
                place = self.places[route.path] = self._put(route.path)
            if route.method in place.routes:
                raise ValueError(f"{route.method} {route.path} is declared twice")
            place.routes[route.method] = route
            if route.method == "GET":
                place.routes["HEAD"] = route
            place.allow = ", ".join(sorted(place.routes))

    def find(self, path: str) -> tuple[Place, dict[str, str]] | None:
        """The place of a raw path (percent-encoded, without the query) and the values of its parameters."""
        node = self._root
        values: dict[str, str] = {}
        segments = path.split("/")
        for index in range(1, len(segments)):
            segment = segments[index]
            following = node.literal.get(segment)
            if following is None:
                following = node.parameter
                if following is None:
                    return None
                if following.rest:
                    segment = "/".join(segments[index:])
                if not segment:
                    return None
                decoded = _decoded(segment)
                if decoded is None:
                    return None
                values[following.name] = decoded
                if following.rest:
                    node = following
                    break
            node = following
        return None if node.place is None else (node.place, values)

    def _put(self, template: str) -> Place:
        node = self._root
        for segment in template.split("/")[1:]:
            if segment.startswith("{"):
                if node.parameter is None:
                    node.parameter = _Node()
                    node.parameter.name = segment[1:-1]
                    node.parameter.rest = segment == REST
                elif node.parameter.name != segment[1:-1]:
                    raise ValueError(f"{template} names a parameter otherwise than the paths beside it")
                node = node.parameter
            else:
                node = node.literal.setdefault(segment, _Node())
        node.place = Place(template)
        return node.place


def _decoded(segment: str) -> str | None:
    if "%" not in segment:
        return segment
    try:
        return unquote_to_bytes(segment).decode("utf-8")
    except UnicodeDecodeError:
        return None
