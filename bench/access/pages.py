"""How long the console's pages about access take in a real browser, of houses of two sizes.

    python -m bench access-pages [--write]

A house is made through the flows themselves, in a data directory of its own; then a gate serves it,
and Chromium opens each page. A time is from the navigation to the end of the page's load event.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct
from playwright.sync_api import Page, sync_playwright

from bench import ROOT
from bench.sections import write_section
from gatelodge.app.build import lay
from gatelodge.config.load import SettingSources, load
from gatelodge.core.catalog.server import HttpTransport, Tool
from gatelodge.core.people import Workspace
from gatelodge.flows.act import GovernanceAct
from gatelodge.flows.admin import grants, groups, members, pins, servers, tools

TITLE = "## Pages about access"
CHROMIUM = "/usr/bin/chromium"
COMMAND = "python -m bench access-pages --write"
TOOLS = 5
TIMES = 7
_PORTION = 100


class HouseSize(Struct, frozen=True):
    """How many members and servers a house has."""

    members: int
    servers: int


async def _seeded(directory: Path, size: HouseSize) -> None:
    ground = await lay(load(SettingSources(sets=(f"data_dir={directory}",), environ={})).settings)
    await ground.recover()
    clock, ids = ground.clock, ground.ids

    async def change(work: Any) -> Any:
        def act(tx: Any) -> Any:
            return work(GovernanceAct(tx=tx, by="system", at=clock.now(), ids=ids))

        return (await ground.store.change(act))[0]

    (home,) = await ground.store.read(lambda tx: tx.find(Workspace))
    teams = [
        await change(lambda act, n=n: groups.create(act, home.id, f"team-{n}")) for n in range(20)
    ]

    def people(act: GovernanceAct, start: int) -> None:
        for n in range(start, min(start + _PORTION, size.members)):
            made = members.add(act, home.id, f"m{n:05}@example.test", f"Member {n}")
            groups.add_member(act, teams[n % len(teams)], made)

    def one_server(act: GovernanceAct, n: int) -> None:
        to = HttpTransport(url=f"https://s{n}.example.test/mcp")
        row = servers.register(act, home.id, f"s{n:02}", servers.ServerProposal(transport=to))
        told = [
            json.dumps({"name": f"tool_{t}", "inputSchema": {"type": "object"}}).encode()
            for t in range(TOOLS)
        ]
        tools.take_stock(act, home.id, row.id, told)
        row = servers.approve(act, home.id, row.id)
        its = act.tx.find(Tool, workspace=home.id, server=row.id)
        pins.approve(act, row, {each.name: each.observed for each in its})
        for team in (teams[n % len(teams)], teams[(n * 7 + 3) % len(teams)]):
            grants.create(act, home.id, group=team, server=row, level="all")

    for n in range(size.servers):
        await change(lambda act, n=n: one_server(act, n))
    for start in range(0, size.members, _PORTION):
        await change(lambda act, start=start: people(act, start))
    await ground.close()


@contextmanager
def _gate(directory: Path) -> Iterator[str]:
    """A gate over the directory; the link that signs a browser in."""
    base = [sys.executable, "-m", "gatelodge", "--data-dir", str(directory)]
    gate = subprocess.Popen(
        [*base, "up", "--port", "0", "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert gate.stdout is not None
        line = next(line for line in gate.stdout if b'"ready"' in line)
        port = json.loads(line)["address"].rpartition(":")[2]
        ran = subprocess.run([*base, "--json", "console"], capture_output=True, check=True)
        url = json.loads(ran.stdout)["url"]
        yield f"http://127.0.0.1:{port}{url[url.index('/console/') :]}"
    finally:
        gate.terminate()
        gate.wait(30)


def _milliseconds(page: Page, url: str) -> float:
    took = []
    for _ in range(TIMES):
        page.goto(url, wait_until="load")
        took.append(page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd"))
    return statistics.median(took[1:])


def _measured(size: HouseSize, shots: Path | None) -> Iterator[tuple[str, float]]:
    with tempfile.TemporaryDirectory() as at:
        directory = Path(at) / "data"
        base = [sys.executable, "-m", "gatelodge", "--data-dir", str(directory)]
        subprocess.run([*base, "init"], capture_output=True, check=True)
        asyncio.run(_seeded(directory, size))
        with _gate(directory) as link, sync_playwright() as play:
            browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(link)
            page.wait_for_url("**/console/w/main/")
            home = page.url.rstrip("/")
            someone = f"m{size.members - 1:05}"
            for name, path in (
                ("heat map, one page of 200", "/access"),
                ("heat map, searched", f"/access?q={someone}"),
                ("one member's tools", f"/access/{someone}@example.test"),
                ("members, one page of 100", "/members"),
                ("members, searched", f"/members?q={someone}"),
            ):
                yield name, _milliseconds(page, home + path)
                if shots is not None:
                    page.screenshot(path=shots / f"{size.members}-{name.split(',')[0]}.png")
            browser.close()


def measure_pages(words: list[str]) -> None:
    """Measure, and print the section or write it into the page."""
    parser = argparse.ArgumentParser(prog="bench access-pages")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--shots", type=Path, help="keep a picture of each page in this folder")
    given = parser.parse_args(words)
    lines = [
        TITLE,
        "",
        f"Written by `{COMMAND}` on {time.strftime('%Y-%m-%d')}. Do not edit.",
        "",
        f"Milliseconds until the load event ended, in Chromium on the same machine, {TIMES} loads.",
        "",
        "| house | page | ms |",
        "|---|---|---:|",
    ]
    for size in (HouseSize(200, 60), HouseSize(5_000, 60)):
        for name, took in _measured(size, given.shots):
            line = f"| {size.members:,} members, {size.servers} servers | {name} | {took:,.0f} |"
            print(line, flush=True)
            lines.append(line)
    section = "\n".join(lines) + "\n"
    if given.write:
        write_section(ROOT / "docs" / "performance.md", TITLE, section)
