"""A real browser at the console: Debian's Chromium, with what it asked for and said."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
)
WAIT_MS = 15_000
"""How long a page may take on a busy machine."""


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(_FLAGS))
        try:
            yield browser
        finally:
            browser.close()


class SignedIn:
    """What a browser keeps of somebody who is signed in; no report of a test shows it."""

    def __init__(self, state: Any) -> None:
        self.state = state


class Watched:
    """A page, and whatever a page of ours must not do: ask elsewhere, complain, open a dialog."""

    def __init__(
        self, browser: Browser, origin: str, kept: SignedIn | None = None, **context: Any
    ) -> None:
        self.origin = origin
        state = None if kept is None else kept.state
        self.context = browser.new_context(storage_state=state, **context)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(WAIT_MS)
        self.faults: list[str] = []
        self.page.on("request", self._asked)
        self.page.on("console", lambda said: self._said(said.type, said.text))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("dialog", self._dialog)

    def open(self, path: str) -> Page:
        answer = self.page.goto(self.origin + path)
        assert answer is not None
        assert answer.status == 200, (path, answer.status)
        return self.page

    def close(self) -> None:
        self.context.close()

    def _asked(self, request: Any) -> None:
        if not request.url.startswith(self.origin + "/"):
            self.faults.append(f"asked for {request.url}")

    def _said(self, kind: str, text: str) -> None:
        # A page that wants a sign-in is a 401, which the browser says itself.
        if kind in ("error", "warning") and "401" not in text:
            self.faults.append(text)

    def _dialog(self, dialog: Any) -> None:
        self.faults.append(f"dialog {dialog.message}")
        dialog.dismiss()
