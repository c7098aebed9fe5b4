"""Brings the browser files that the console ships into ``gateway/console/static/vendor``, byte for byte.

Run ``python docker/vendor.py`` with npm at hand after a change of the table below. The package's tarball must
have the integrity written here, or nothing is written. ``vendor.lock`` then says of every file where it came
from and what its SHA-256 is, and the tests hold the tree to it: nobody needs Node to install, run or test
the project, and no page ever loads a file from elsewhere.
"""

# ruff: noqa: S603, T201 - a script for a person: it runs npm by its own table, and says what it did
from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

VENDOR = Path(__file__).resolve().parent.parent / "gateway" / "console" / "static" / "vendor"

MIT = """MIT License

Copyright (c) {holder}

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""


@dataclass(frozen=True, kw_only=True)
class Package:
    """One published package: what of it is taken, under which name, and the tarball that it must come
    from."""

    name: str
    version: str
    licence: str
    integrity: str
    files: dict[str, str]  #: path in the package -> file name here
    licence_text: str | None = None  #: for a package whose tarball carries no licence file

    @property
    def folder(self) -> str:
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}"


PACKAGES = (
    Package(
        name="htmx.org",
        version="4.0.1",
        licence="0BSD",
        integrity="sha512-oF7JgXhDW9UXCy/k1ZYFUQgzu/rm19ORWPSPNL91vPluB2PB9+MV55tyQdH/w7o2EAbTYUG5SDW1R60mdkdqGg==",
        files={"dist/htmx.min.js": "htmx.min.js", "LICENSE": "LICENSE"},
    ),
    # The newest version whose engines admit Node 20; later ones were not tried against the policy of /docs.
    Package(
        name="@scalar/api-reference",
        version="1.46.4",
        licence="MIT",
        integrity="sha512-EpCcOG15Ry8DKNs/f5AdRA97s1B5kGPekzANpnK0j1IpyU4Sb/mfdyfB00WC+vUo7hfc4BFRSkkiPa5SSM7fng==",
        files={"dist/browser/standalone.js": "standalone.js"},
        licence_text=MIT.format(holder="2023-present Scalar"),
    ),
)


def main() -> int:
    npm = shutil.which("npm")
    if npm is None:
        print("npm is needed to bring the files anew; it is not on the path.", file=sys.stderr)
        return 3
    fetched: dict[Path, bytes] = {}
    lock: list[dict[str, object]] = []
    for package in PACKAGES:
        with tempfile.TemporaryDirectory() as folder:
            spec = f"{package.name}@{package.version}"
            subprocess.run(
                [npm, "pack", "--silent", "--pack-destination", folder, spec],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            (tarball,) = Path(folder).glob("*.tgz")
            digest = hashlib.sha512(tarball.read_bytes()).digest()
            integrity = "sha512-" + base64.b64encode(digest).decode("ascii")
            if integrity != package.integrity:
                print(
                    f"{spec} has integrity {integrity}; the table says {package.integrity}.", file=sys.stderr
                )
                return 1
            contents = {target: _member(tarball, source) for source, target in package.files.items()}
        if package.licence_text is not None:
            contents["LICENSE"] = package.licence_text.encode()
        for target, content in contents.items():
            fetched[VENDOR / package.folder / target] = content
        lock.append(
            {
                "name": package.name,
                "version": package.version,
                "licence": package.licence,
                "integrity": package.integrity,
                "folder": package.folder,
                "files": {
                    name: hashlib.sha256(content).hexdigest() for name, content in sorted(contents.items())
                },
            }
        )
    shutil.rmtree(VENDOR, ignore_errors=True)
    for path, content in fetched.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (VENDOR / "vendor.lock").write_text(json.dumps(lock, indent=2) + "\n", encoding="utf-8")
    print(f"{len(fetched)} files of {len(lock)} packages in {VENDOR}")
    return 0


def _member(tarball: Path, source: str) -> bytes:
    with tarfile.open(tarball) as archive:
        stream = archive.extractfile(f"package/{source}")
        if stream is None:
            raise FileNotFoundError(f"{tarball.name} holds no file {source}")
        return stream.read()


if __name__ == "__main__":
    raise SystemExit(main())
