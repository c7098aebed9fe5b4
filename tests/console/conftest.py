"""A real browser in front of the console, in a thread of the test's own process, so that a test can change
what it shows."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import socket
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Error, Page, expect, sync_playwright

from tests.console.fakes import FULL, FakeGateway
from tests.systems.plugin import leave_out

#: Without these a browser asks its maker's hosts at every start.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
#: What the policy of a page forbids is written on the browser's console, whatever else the browser makes of it.
TELL_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) => {
  console.error(`policy: ${event.effectiveDirective} forbids ${event.blockedURI} at ${event.sourceFile}`);
});
"""
#: The viewer of the API's description asks once whether it may compile code, and does without.
VIEWER_TRIES = "policy: script-src forbids eval at "
#: A loaded machine takes its time; a state is waited for, never slept for.
expect.set_options(timeout=20_000)

AXE = "axe-core@4.14.1"
AXE_SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"


class Served:
    """An ASGI application on a free port of this machine, in a thread with a loop of its own."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._server: uvicorn.Server | None = None
        self._failed: BaseException | None = None
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._held, daemon=True)

    def start(self) -> Served:
        """Returns when it answers."""
        self._thread.start()
        if not self._up.wait(60) or self._failed is not None:
            raise RuntimeError("the application did not start") from self._failed
        return self

    def stop(self) -> None:
        if self._server is not None:
            self._server.should_exit = True
        self._thread.join(timeout=40)
        self._listener.close()

    async def serve(self, app: Any) -> None:
        up = self._up

        class Told(uvicorn.Server):
            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                await super().startup(sockets)
                up.set()

        config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1)
        self._server = Told(config)
        await self._server.serve(sockets=[self._listener])

    def _run(self) -> None:
        asyncio.run(self.serve(self._app))

    def _held(self) -> None:
        try:
            self._run()
        except BaseException as failed:  # noqa: BLE001 - told to the thread that waits for the start
            self._failed = failed
        finally:
            self._up.set()


class Watch:
    """What a browser complained about while a test ran."""

    def __init__(self, address: str) -> None:
        self._host = urlsplit(address).netloc
        self.complaints: list[str] = []
        #: Statuses that a test provokes; the browser writes each of them on its console.
        self.provoked: set[int] = set()
        self.levels = {"error", "warning"}
        #: What a script of somebody else tries, is forbidden by the policy, and does without.
        self.tried: set[str] = set()

    def on(self, page: Page) -> None:
        page.add_init_script(TELL_VIOLATIONS)
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(f"script: {error}"))
        page.on("request", self._asked)

    def _said(self, message: Any) -> None:
        text = str(message.text)
        if any(f"status of {status}" in text for status in self.provoked):
            return
        if any(text.startswith(one) for one in self.tried):
            return
        if message.type in self.levels:
            self.complaints.append(f"{message.type}: {text} {message.location}")

    def _asked(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.netloc != self._host:
            self.complaints.append(f"asked another host: {request.url}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Started for each module anew: while it is there, a loop runs in this thread, and no test may run another."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        try:
            if path is None:
                raise FileNotFoundError("no chromium on the path")
            launched = playwright.chromium.launch(executable_path=path, args=FLAGS)
        except (Error, FileNotFoundError) as cause:
            leave_out("Chromium", cause)
        yield launched
        launched.close()


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
def served(gateway: FakeGateway) -> Iterator[Served]:
    running = Served(gateway.asgi()).start()
    yield running
    running.stop()


@pytest.fixture
def watch(served: Served) -> Iterator[Watch]:
    """Whatever a page complains about fails the test that opened it."""
    watching = Watch(served.address)
    yield watching
    assert watching.complaints == []


@pytest.fixture
def context(browser: Browser, served: Served) -> Iterator[BrowserContext]:
    opened = browser.new_context(base_url=served.address, viewport={"width": 1440, "height": 1000})
    opened.set_default_timeout(20_000)
    yield opened
    opened.close()


@pytest.fixture
def page(context: BrowserContext, watch: Watch) -> Page:
    opened = context.new_page()
    watch.on(opened)
    return opened


@pytest.fixture
def enter() -> Callable[..., None]:
    """Signs in and stands on the asked page."""

    def go(page: Page, address: str = "/console", key: str = FULL) -> None:
        page.goto(address)
        page.get_by_label("API key").fill(key)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"**{address}")

    return go


@pytest.fixture(scope="session")
def axe(pytestconfig: pytest.Config) -> str:
    """The accessibility checker's script; fetched once by npm, held to its hash, and kept with pytest's
    cache."""
    kept = Path(pytestconfig.cache.mkdir("axe-core")) / "axe.min.js"
    if not kept.exists():
        npm = shutil.which("npm")
        try:
            if npm is None:
                raise FileNotFoundError("no npm on the path")
            subprocess.run(
                [npm, "pack", "--silent", AXE], cwd=kept.parent, check=True, capture_output=True, timeout=120
            )
            (tarball,) = kept.parent.glob("*.tgz")
            with tarfile.open(tarball) as archive:
                member = archive.extractfile("package/axe.min.js")
                assert member is not None
                kept.write_bytes(member.read())
            tarball.unlink()
        except (OSError, subprocess.SubprocessError, ValueError) as cause:
            leave_out("axe-core", cause)
    script = kept.read_bytes()
    assert hashlib.sha256(script).hexdigest() == AXE_SHA256
    return script.decode()
