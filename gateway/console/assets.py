"""The files that pages load: read once, named by their content, so that a browser keeps them for good and
never sees an old one."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

from litestar import Response, get
from litestar.enums import MediaType
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from gateway.console.guard import AnyRequest
from gateway.errors import RouteNotFound

STATIC = Path(__file__).parent / "static"
#: Below this a compressed answer is not worth its header.
SMALLEST_GZIP = 1024

_KINDS = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class Asset:
    """One file as it is served. What has no kind in the table above (licences, the lock) is not served."""

    def __init__(self, path: Path, kind: str) -> None:
        self.kind = kind
        self.content = path.read_bytes()
        self.version = hashlib.sha256(self.content).hexdigest()[:16]
        self._gzipped: bytes | None = None

    def gzipped(self) -> bytes | None:
        """The compressed content, made when first asked for; None where it would not be smaller by much."""
        if len(self.content) < SMALLEST_GZIP:
            return None
        if self._gzipped is None:
            self._gzipped = gzip.compress(self.content, compresslevel=6, mtime=0)
        return self._gzipped


@cache
def packaged() -> Assets:
    """The files of the console itself, read once in a process."""
    return Assets(STATIC)


class Assets:
    """All servable files below a folder, by their path in it."""

    def __init__(self, folder: Path) -> None:
        self._files = {
            path.relative_to(folder).as_posix(): Asset(path, _KINDS[path.suffix])
            for path in sorted(folder.rglob("*"))
            if path.suffix in _KINDS
        }

    def url(self, name: str, *, prefix: str) -> str:
        """Where a page finds the file. Raises KeyError for a file that is not there, so that no page ships a
        dead link."""
        return f"{prefix}/{name}?v={self._files[name].version}"

    def answer(self, name: str, request: AnyRequest) -> Response[bytes]:
        found = self._files.get(name)
        if found is None:
            raise RouteNotFound(f"no file is served at {request.url.path}")
        etag = f'"{found.version}"'
        named = request.query_params.get("v") == found.version
        headers = {
            "ETag": etag,
            "Cache-Control": "public, max-age=31536000, immutable" if named else "no-cache",
            "Vary": "Accept-Encoding",
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
        if request.headers.get("if-none-match") == etag:
            return Response(b"", status_code=304, headers=headers, media_type=found.kind)
        content = found.content
        if "gzip" in request.headers.get("accept-encoding", ""):
            packed = found.gzipped()
            if packed is not None:
                content = packed
                headers["Content-Encoding"] = "gzip"
        return Response(content, headers=headers, media_type=found.kind)

    def handler(self, path: str) -> HTTPRouteHandler:
        @get(path + "/{name:path}", include_in_schema=False, media_type=MediaType.TEXT, sync_to_thread=False)
        def static_file(name: FromPath[str], request: AnyRequest) -> Response[bytes]:
            return self.answer(name.lstrip("/"), request)

        return static_file

    def linker(self, prefix: str) -> Callable[[str], str]:
        return lambda name: self.url(name, prefix=prefix)
