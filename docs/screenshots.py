"""Takes the documentation's pictures of the console, and the outputs of its how-to pages, anew.

    make screenshots

Starts a gate with the demo, fills every block of docs/howto that follows `<!-- run: COMMAND -->`
with what the command prints there, and photographs the console in a real browser. The demo's
servers are fetched as packages, so it takes as long as a first `make up` does.
"""

import json
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

HERE = Path(__file__).parent
HOWTO = HERE / "howto"
PORT = 8_729
CHROMIUM = "/usr/bin/chromium"
WIDTH = 120
"""Characters of an output's line that are shown."""
BLOCK = re.compile(r"(<!-- run: (?P<run>[^\n]*) -->\n```text\n)(?:.*?\n)??(```)", re.DOTALL)
HOME = f"http://127.0.0.1:{PORT}/console/w/main"
DAN, FATIMA = "dan@example.test", "fatima@example.test"


class Commands:
    """Commands at the demo's gate."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __call__(self, *words: str) -> str:
        """What a command prints."""
        command = [sys.executable, "-m", "gatelodge", "--data-dir", "data", *words]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, cwd=self.directory
        )
        # A command that says no (`access explain`) ends with 1 too.
        assert done.stdout or not done.returncode, (words, done.stderr)
        return done.stdout

    def ask(self, *words: str) -> Any:
        """Its value."""
        return json.loads(self("--json", *words))


@contextmanager
def demo(directory: Path) -> Iterator[Commands]:
    """A gate that serves the demo."""
    command = [sys.executable, "-m", "gatelodge", "--data-dir", "data"]
    serve = [*command, "--set", f"listen.port={PORT}", "up", "--demo", "--json"]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True, cwd=directory) as child:
        assert child.stdout is not None
        for line in child.stdout:
            event = json.loads(line)
            if event["event"] == "step":
                sys.stdout.write(f"{event['text']}\n")
            if event["event"] == "demonstrated":
                break
        try:
            yield Commands(directory)
        finally:
            child.terminate()
            child.communicate(timeout=60)


def facts(gate: Commands) -> dict[str, str]:
    """What the commands of the pages name: moments and calls of the demo."""

    def change(kind: str, about: str) -> datetime:
        found = gate.ask("audit", "changes", "search", "--type", kind, "--about", about)
        return datetime.fromisoformat(found["items"][-1]["at"])

    def call(*words: str) -> str:
        return str(gate.ask("audit", "search", *words)["items"][0]["call"])

    came, left = change("member.added", FATIMA), change("member.revoked", DAN)
    return {
        "before": f"{came - timedelta(hours=20):%Y-%m-%dT%H:00:00Z}",
        "after": f"{left + timedelta(hours=20):%Y-%m-%dT%H:00:00Z}",
        "call": call("--member", DAN, "--outcome", "ok"),
        "denied": call("--agent", "ci", "--outcome", "denied"),
    }


def fill(gate: Commands, told: dict[str, str]) -> None:
    """Write the outputs into the pages, in their order."""

    def run(block: re.Match[str]) -> str:
        asked, _, most = block["run"].format(**told).partition(" | head -")
        lines = gate(*shlex.split(asked)).rstrip("\n").splitlines()
        shown = [line[:WIDTH].rstrip() for line in lines[: int(most or 40)]]
        command = f"$ gatelodge {asked}{f' | head -{most}' if most else ''}"
        return block[1] + "\n".join([command, *shown]) + "\n" + block[3]

    for page in sorted(HOWTO.glob("[1-9]-*.md")):
        page.write_text(BLOCK.sub(run, page.read_text("utf-8")), "utf-8")


@contextmanager
def signed_in(gate: Commands, browser: Browser, scheme: str, height: int) -> Iterator[Page]:
    """The console in a window, open to the owner."""
    size = {"width": 1180, "height": height}
    context = browser.new_context(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(gate.ask("console")["url"])
    page.wait_for_url("**/w/main/")
    yield page
    context.close()


def photograph(gate: Commands, browser: Browser, told: dict[str, str]) -> None:
    """Take the pictures."""
    for scheme in ("light", "dark"):
        with signed_in(gate, browser, scheme, 640) as page:
            page.get_by_role("link", name="Access", exact=True).click()
            page.locator("table.heat").wait_for()
            page.screenshot(path=HERE / f"console-{scheme}.png")
    with signed_in(gate, browser, "light", 720) as page:
        page.goto(f"{HOME}/access?at={told['before']}")
        page.screenshot(path=HOWTO / "1-access.png")
        page.goto(f"{HOME}/audit?agent=ci&outcome=denied")
        page.screenshot(path=HOWTO / "2-happened.png")
        page.goto(f"{HOME}/members/chen@example.test")
        page.locator("#revoke").get_by_label("Why").fill("HR-20")
        page.get_by_role("button", name="Revoke chen@example.test").click()
        page.get_by_text("Access has ended").first.wait_for()
        page.wait_for_timeout(500)  # the last of the receipt's lines
        page.screenshot(path=HOWTO / "3-ended.png")
        page.goto(f"{HOME}/audit/calls/{told['call']}")
        page.get_by_role("button", name="Verify").click()
        page.get_by_text("VERIFIED: these").wait_for()
        page.locator(".proof").scroll_into_view_if_needed()
        page.screenshot(path=HOWTO / "4-proven.png")


def main() -> None:
    """Fill the pages, then take the pictures: the last of them ends somebody's access."""
    with tempfile.TemporaryDirectory() as directory, demo(Path(directory)) as gate:
        told = facts(gate)
        (gate.directory / "gate.key").write_text(gate("audit", "key"), "utf-8")
        fill(gate, told)
        with sync_playwright() as playwright:
            flags = ["--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
            photograph(gate, browser, told)
            browser.close()


if __name__ == "__main__":
    main()
