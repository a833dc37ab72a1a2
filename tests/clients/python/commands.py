"""A client of the Python SDK that does what its standard input says, a line of JSON for each.

    python commands.py URL TOKEN

See ../go/official for the commands.
"""

import asyncio
import json
import sys
from contextlib import AsyncExitStack

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

SECONDS = 20


class Session:
    """One connection; `connect` replaces it."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._client: Client | None = None

    async def connect(self) -> dict[str, object]:
        await self.close()
        headers = {"Authorization": f"Bearer {sys.argv[2]}"}
        http = await self._stack.enter_async_context(httpx2.AsyncClient(headers=headers))
        client = Client(streamable_http_client(sys.argv[1], http_client=http))
        self._client = await self._stack.enter_async_context(client)
        return {}

    async def list(self) -> dict[str, object]:
        names, cursor = [], None
        while True:
            page = await self._client.list_tools(cursor=cursor)
            names += [tool.name for tool in page.tools]
            cursor = page.next_cursor
            if not cursor:
                return {"names": names}

    async def call(self, asked: dict[str, object]) -> dict[str, object]:
        result = await self._client.call_tool(asked["tool"], asked.get("arguments") or {})
        return {"text": json.dumps([block.model_dump(mode="json") for block in result.content])}

    async def cancel(self, asked: dict[str, object]) -> dict[str, object]:
        async with asyncio.timeout(asked["after"] / 1000):
            return await self.call(asked)

    async def close(self) -> None:
        self._client = None
        try:
            await self._stack.aclose()
        except Exception as error:  # noqa: BLE001 - one to a gate that is gone may end in any way
            sys.stderr.write(f"closing: {error!r}\n")
        self._stack = AsyncExitStack()


async def main() -> None:
    session = Session()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        asked = json.loads(line)
        if asked["do"] == "quit":
            break
        work = getattr(session, asked["do"])
        try:
            async with asyncio.timeout(SECONDS):
                told = await (work(asked) if asked["do"] in {"call", "cancel"} else work())
        except Exception as error:  # noqa: BLE001 - whatever the SDK says is the answer
            told = {"error": repr(error)}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
    await session.close()


asyncio.run(main())
