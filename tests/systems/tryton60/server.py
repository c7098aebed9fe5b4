"""One run of the ERP: a server process on its own copy of the seeded database, started, frozen, killed.

Ready means that the server has answered, never that time has passed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.systems.tryton60.home import DATABASE, CannotInstall, Home, configure, environment_of
from tests.systems.tryton60.look import Look

PORTS = range(8800, 8900)
_SESSIONS = "FROM ir_session WHERE create_uid = (SELECT id FROM res_user WHERE login = ?)"
READY_DEADLINE_S = 120.0  #: measured: 1 s on a quiet machine


@dataclass(kw_only=True)
class Tryton:
    """One run: a server process on a database of its own."""

    home: Home
    folder: Path
    port: int = 0
    session_timeout_s: int = (
        300  #: the product's default; after so long without a call a session is no longer fresh
    )
    start_s: float = 0.0  #: how long the last start took
    _process: subprocess.Popen[bytes] | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def seed(self) -> dict[str, Any]:
        return self.home.seed

    @property
    def _database(self) -> Path:
        return self.folder / f"{DATABASE}.sqlite"

    def start(self) -> None:
        """Start on a free port (again: on the same one, with the same database); return when it answers."""
        began = time.monotonic()
        if not self._database.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.home.template / self._database.name, self._database)
        for port in [self.port] if self.port else _free_ports():
            configure(self.folder, port=port, session_timeout_s=self.session_timeout_s)
            with (self.folder / "server.log").open("ab") as log:
                self._process = subprocess.Popen(
                    [
                        str(self.home.python),
                        str(self.home.environment / "bin" / "trytond"),
                        *("-c", str(self.folder / "trytond.conf"), "-d", DATABASE),
                    ],
                    stdout=log,
                    stderr=log,
                    env=environment_of(self.folder),
                )
            self.port = port
            if self._ready():
                self.start_s = time.monotonic() - began
                return
        raise CannotInstall(f"the server ended before it answered; its log ends:\n{self._log_end()}")

    def _ready(self) -> bool:
        """True when the server answers, False when its process has ended (a port that was just taken)."""
        assert self._process is not None
        deadline = time.monotonic() + READY_DEADLINE_S
        with httpx.Client(base_url=self.base_url, timeout=5, trust_env=False) as client:
            while time.monotonic() < deadline:
                if self._process.poll() is not None:
                    return False
                with contextlib.suppress(httpx.TransportError):
                    call = {"id": 0, "method": "common.server.version", "params": []}
                    if "result" in client.post("/", json=call).json():
                        return self._process.poll() is None
                time.sleep(0.05)  # between two looks at the state that is waited for
        self.kill()
        raise CannotInstall(f"no answer within {READY_DEADLINE_S:.0f} s; the log ends:\n{self._log_end()}")

    def _log_end(self) -> str:
        return (self.folder / "server.log").read_text(errors="replace")[-1500:]

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End it as an operator would; a server that does not follow within ten seconds is killed."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """SIGKILL: requests in flight get no answer, what was not committed is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """The process holds still: connections are taken by the system, nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            if self.running:
                self._process.send_signal(signal.SIGCONT)

    def sessions(self) -> int:
        """How many sessions the gateway's user has, as the database has them."""
        return self._in_database(f"SELECT count(*) {_SESSIONS}")[0][0]

    def end_sessions(self) -> None:
        """All sessions of the gateway's user end, as after a long idle time: the next call is not let in."""
        self._in_database(f"DELETE {_SESSIONS}")

    def _in_database(self, statement: str) -> list[Any]:
        with contextlib.closing(sqlite3.connect(self._database, timeout=10)) as connection, connection:
            return connection.execute(statement, [self.seed["gateway"]["login"]]).fetchall()

    def look(self) -> Look:
        """An administrator's own session, which knows nothing of the adapter."""
        return Look(self.base_url)

    def settings(self) -> dict[str, Any]:
        """``[systems.legacy]`` for this run: profile, address, credentials, ids of this installation."""
        seed = self.seed
        companies: dict[str, dict[str, Any]] = seed["companies"]
        login = seed["gateway"]
        return {
            "profile": "tryton_6_0",
            "base_url": self.base_url,
            "auth": {"kind": "session", "username": login["login"], "password": login["password"]},
            "options": {
                "database": DATABASE,
                "context": {
                    "company": companies["DE01"]["id"],
                    "companies": [company["id"] for company in companies.values()],
                },
                "where": {"customer": {"categories": seed["customer_category"]}},
                "constants": {
                    "customer": {"categories": [["add", [seed["customer_category"]]]]},
                    "invoice": {
                        "journal": seed["revenue_journal"],
                        "payment_term": seed["payment_term"],
                        "by_legal_entity": {
                            code: {
                                "account": company["receivable"],
                                "lines[].account": company["revenue"],
                            }
                            for code, company in companies.items()
                        },
                    },
                },
            },
        }


def _free_ports() -> Iterator[int]:
    """Ports that nobody listens on just now; the offset keeps two runs from trying in the same order."""
    offset = os.getpid() % len(PORTS)
    for port in (*PORTS[offset:], *PORTS[:offset]):
        with socket.socket() as probe:
            # A port in TIME_WAIT is free for a server, which sets the same option.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                yield port
