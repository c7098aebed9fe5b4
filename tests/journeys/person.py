"""A person of the migration team in front of the console, with a browser of their own: by links, forms and buttons, and
by nothing else. Every kind of page that they come to is looked at once, in both themes."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Error, Locator, Page, expect

from gateway.console.words import label, plain
from tests.console.conftest import Watch
from tests.journeys.migration import REGION, STEP_S, until

#: What is of one record or run in an address or a state: two pages that differ in nothing else are of one kind.
_OWN = (re.compile(r"/[a-z]{2,4}_[0-9a-f-]{36}"), re.compile(r"/[a-z_]+/[A-Z]{2,}(?=/|$)"))
#: A page of the real program, with both ERPs and live traffic on the same machine, may be late.
expect.set_options(timeout=STEP_S * 1000)
SERIOUS = ("moderate", "serious", "critical")
THEMES = ("light", "dark")
#: Of a browser whose page has moved on by itself while somebody looked at it.
_MOVED = ("Execution context was destroyed", "navigation", "frame was detached")


#: Takes away what looking leaves behind: empty style attributes, which a swap would copy and the policy forbid.
TRACES = """document.querySelectorAll('[style=""]').forEach(one => one.removeAttribute("style"))"""


class Eyes:
    """Looks at each kind of page once: accessibility in both themes, and a picture of each. ``faults`` says what is
    wrong with them."""

    def __init__(self, *, axe: str, pictures: Path) -> None:
        self._axe = axe
        self._pictures = pictures
        self._pictures.mkdir()
        self.seen: list[str] = []
        self.faults: list[str] = []

    def look(self, page: Page) -> None:
        kind = _kind(page)
        if kind in self.seen:
            return
        self.seen.append(kind)
        try:
            for theme in THEMES:
                page.emulate_media(color_scheme=theme, reduced_motion="reduce")
                page.wait_for_function("theme => document.documentElement.dataset.theme === theme", arg=theme)
                self._accessible(page, f"{kind} in {theme}")
                name = re.sub(r"[^a-z0-9_]+", "-", f"{len(self.seen):02} {kind} {theme}".lower())
                # A dialog is as high as the window.
                page.screenshot(path=self._pictures / f"{name}.png", full_page="dialog" not in kind)
                page.evaluate(TRACES)
        except Error as moved:
            if not any(words in moved.message for words in _MOVED):
                raise
            # What ends while it is looked at loads itself anew; the next page of its kind is looked at instead.
            self.seen.remove(kind)

    def _accessible(self, page: Page, where: str) -> None:
        page.evaluate(self._axe)
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        self.faults += [
            f"{where}: {one['id']}: {node['html'][:160]} {node['failureSummary']}"
            for one in found["violations"]
            if one["impact"] in SERIOUS
            for node in one["nodes"]
        ]


def _kind(page: Page) -> str:
    """The kind of a page, with the state that it shows."""
    path = urlsplit(page.url).path
    for own in _OWN:
        path = own.sub("/x", path)
    parts = [path]
    for what in ("#run-state", "dialog[open] h2", "#refusal strong", ".box-good strong"):
        there = page.locator(what)
        if there.count() and there.first.is_visible():
            parts.append(what if "h2" in what or "good" in what else there.first.inner_text().strip())
    return " ".join(parts)


class Person:
    """Signs in with ``key``, and works on the slices of one region."""

    def __init__(self, browser: Browser, address: str, key: str, *, eyes: Eyes) -> None:
        self._eyes = eyes
        self.watch = Watch(address)
        self._context = browser.new_context(base_url=address, viewport={"width": 1440, "height": 1000})
        self._context.set_default_timeout(STEP_S * 1000)
        self.page = self._context.new_page()
        self.watch.on(self.page)
        self.page.goto("/console")
        self.look()
        self.page.get_by_label("API key").fill(key)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url("**/console")
        self.look()

    def leave(self) -> None:
        self._context.close()

    def look(self) -> None:
        self._eyes.look(self.page)

    def to(self, name: str) -> None:
        """By the bar on top."""
        self.page.get_by_role("navigation", name="Console").get_by_role("link", name=name, exact=True).click()
        expect(self.page.get_by_role("heading", level=1)).to_contain_text(name)
        self.look()

    def press(self, name: str, within: Locator | None = None) -> None:
        (within or self.page.locator("body")).get_by_role("button", name=name, exact=True).click()

    def send(self, name: str) -> bool:
        """Sends the form of a button. Whether it was taken; where not, the page says why."""
        with self.page.expect_navigation():
            self.press(name)
        refused = self.page.locator("#refusal").count() > 0
        self.look()
        return not refused

    # --- the matrix and its panel --------------------------------------------------------------------------------

    def panel(self, entity: str, region: str = REGION) -> Locator:
        """The open panel of a slice."""
        if urlsplit(self.page.url).path != "/console":
            self.to("Routing")
        self.page.locator(f"#slice-{entity}-{region}").click()
        there = self.page.locator("dialog[open]")
        expect(there.locator(".history")).to_be_visible()
        self.look()
        return there

    def stage(
        self, entity: str, stage: str, reason: str, region: str = REGION, *, compare: int | None = None
    ) -> None:
        """A move that one person makes alone."""
        panel = self.panel(entity, region)
        self._move(panel, stage, reason)
        if compare is not None:
            panel.get_by_label("Compare one read in").fill(f"{compare}")
        self.press("Change the stage", panel)
        expect(panel.locator(".box-good")).to_contain_text(f"is now at {plain(stage)}")
        self.look()
        self.page.keyboard.press("Escape")
        expect(self.page.locator("dialog")).to_be_hidden()
        expect(self.page.locator(f"#slice-{entity}-{region} .stage-word")).to_have_text(plain(stage))

    def refused(self, entity: str, stage: str, reason: str) -> Locator:
        """What stands against a move."""
        panel = self.panel(entity)
        self._move(panel, stage, reason)
        self.press("Change the stage", panel)
        told = self.page.locator("#refusal")
        expect(told).to_be_visible()
        self.look()
        return told

    @staticmethod
    def _move(panel: Locator, stage: str, reason: str) -> None:
        panel.get_by_role("radio", name=f"{plain(stage)} forward").check()
        panel.get_by_label("Reason").fill(reason)

    # --- what runs for a while -----------------------------------------------------------------------------------

    def begin(
        self, room: str, button: str, entity: str, region: str, reason: str, **sources: str
    ) -> str:
        """Begins a backfill or a reconciliation of a slice, whose systems are read from these sources; where it can be
        followed."""
        self.to(room)
        form = self.page.locator("form[method=post]").filter(has=self.page.get_by_role("button", name=button))
        form.get_by_role("combobox").first.select_option(f"{entity}/{region}")
        form.get_by_label("What for").fill(reason)
        for system, source in sources.items():
            form.get_by_label(f"Read {system} from").select_option(source)
        assert self.send(button), self.page.locator("#refusal").inner_text()
        return urlsplit(self.page.url).path

    def followed(self, address: str, state: str) -> None:
        """Stays on the page of a run, which goes on by itself, to its end."""
        if urlsplit(self.page.url).path != address:
            self.page.goto(address)
        expect(self.page.locator("#run-state")).to_have_text(state, timeout=2 * STEP_S * 1000)
        self.look()

    # --- readiness -----------------------------------------------------------------------------------------------

    def readiness(self, entity: str) -> dict[str, str]:
        """The gates of a slice that do not pass, each with its verdict, read off its page."""
        address = f"/console/readiness/{entity}/{REGION}"
        if urlsplit(self.page.url).path == address:
            self.page.reload()
        else:
            self.to("Readiness")
            self.page.get_by_role("link", name=f"{label(entity)} in {REGION}", exact=True).click()
            self.page.wait_for_url(f"**{address}")
        self.look()
        rows = self.page.locator("[aria-labelledby=gates-head] tbody tr").evaluate_all(
            "rows => rows.map(row => [row.cells[0].innerText, row.cells[1].innerText])"
        )
        assert len(rows) > 10, "these are not all gates"
        return {gate: verdict for gate, verdict in rows if verdict != "pass"}

    def sign(self, entity: str) -> None:
        self.readiness(entity)
        self.send("Sign this evidence")
        expect(self.page.get_by_role("region", name="Signatures")).to_contain_text("signed by")

    # --- switches ------------------------------------------------------------------------------------------------

    def ask(self, link: str, reason: str) -> str:
        """Asks for the switch that a link of the page at hand leads to; where it can be followed."""
        self.page.get_by_role("link", name=link, exact=True).click()
        self.page.wait_for_url("**/console/switches/new?**")
        self.look()
        self.page.get_by_label("Reason").fill(reason)

        def asked() -> bool:
            taken = self.send("Ask for it")
            if not taken:
                # What is on its way ends by itself; anything else would stand against it for good.
                expect(self.page.locator("#refusal")).to_contain_text("without an id in the system that takes over")
            return taken

        until("the switch to be asked for", asked)
        expect(self.page.locator("main")).to_contain_text("another person has to approve it")
        return urlsplit(self.page.url).path

    def approve(self, address: str) -> None:
        """Finds the switch in the list, reads its evidence and approves it."""
        self.to("Switches")
        self.page.locator(f"a[href='{address}']").click()
        self.page.wait_for_url(f"**{address}")
        self.look()

        def approved() -> bool:
            taken = self.send("Approve and begin")
            if not taken:
                # What was looked at has moved meanwhile, and is looked at anew.
                expect(self.page.locator("#refusal")).to_contain_text("Look at it again, then decide")
            return taken

        until("the switch to be approved", approved)

