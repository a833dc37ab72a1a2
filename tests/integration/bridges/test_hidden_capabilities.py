"""The directories of server-filesystem, to a client that has roots: hidden or not."""

import anyio
import pytest
from tests.gate import ROOT, WAIT
from tests.integration.bridges.visitors import ROOTS, form_client, of_clients, roots, text, visiting

pytestmark = [pytest.mark.slow, *of_clients]
FILES = ROOT / "tests/servers/node_modules/@modelcontextprotocol/server-filesystem/dist/index.js"


@pytest.fixture(scope="module")
def shelves(fair, tmp_path_factory):
    """Two servers of one directory, one of which is told no roots; a member, and the directories.

    The other directory is that which clients name as their root.
    """
    assert FILES.exists(), "run `npm ci` in tests/servers"
    folder = tmp_path_factory.mktemp("shelves")
    named = [folder / name for name in ("granted", "claimed")]
    for each in named:
        each.mkdir()
        (each / "leaf.txt").write_text(each.name)
    command = ("node", str(FILES), str(named[0]))
    fair.spawn("kept", *command, hidden_capabilities=["roots"])
    fair.spawn("told", *command)
    return fair, fair.guest("kept", "told")[1], named


async def looks_into(visitor, alias, folder):
    """Wait until the server looks into that directory: it may answer before it was told roots."""
    with anyio.fail_after(WAIT):
        while str(folder) not in await visitor.call(f"{alias}__list_allowed_directories"):
            pass


@form_client
async def test_roots_that_are_hidden_replace_no_directory(shelves, kind):
    fair, token, (granted, claimed) = shelves
    answers = {ROOTS: [roots(claimed.as_uri())]}
    async with visiting(kind, fair.url(), token, answers) as visitor:
        for alias, read, barred in (("kept", granted, claimed), ("told", claimed, granted)):
            await looks_into(visitor, alias, read)
            name = f"{alias}__read_text_file"
            assert await visitor.call(name, path=str(read / "leaf.txt")) == read.name
            arguments = {"path": str(barred / "leaf.txt")}
            result = await visitor.do("tools/call", name=name, arguments=arguments)
            assert result["isError"]
            assert "outside allowed directories" in text(result)
