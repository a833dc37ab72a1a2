"""The Python SDK's client against the gate, in each revision that it can speak.

It opens with server/discover (2026-07-28) or with initialize at its newest legacy revision by
itself; older revisions are agreed on by hand, with everything else still the SDK's own.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from mcp import Client, ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp_types import (
    ClientCapabilities,
    Implementation,
    InitializedNotification,
    InitializeRequest,
    InitializeRequestParams,
    InitializeResult,
    PaginatedRequestParams,
)
from tests.gate import WAIT

MODERN = "2026-07-28"
NEWEST_LEGACY = "2025-11-25"
REVISIONS = [MODERN, NEWEST_LEGACY, "2025-06-18", "2025-03-26"]
LEGACY = REVISIONS[1:]
every_revision = pytest.mark.parametrize("revision", REVISIONS)
each_era = pytest.mark.parametrize(
    "revision",
    [MODERN, NEWEST_LEGACY, *(pytest.param(old, marks=pytest.mark.slow) for old in LEGACY[1:])],
)
"""Each revision; the quick run has the newest one of each era."""


@asynccontextmanager
async def speaking(
    revision: str, url: str, token: str, heard: Any = None
) -> AsyncIterator[ClientSession]:
    """A session at this revision; `heard` is awaited with each notification."""
    async with httpx2.AsyncClient(
        headers={"Authorization": f"Bearer {token}"}, timeout=WAIT
    ) as http:
        transport = streamable_http_client(url, http_client=http)
        if revision in (MODERN, NEWEST_LEGACY):
            mode = "auto" if revision == MODERN else "legacy"
            async with Client(transport, mode=mode, message_handler=heard) as client:
                yield client.session
        else:
            async with (
                transport as (read, write),
                ClientSession(read, write, message_handler=heard) as session,
            ):
                await _agree(session, revision)
                yield session


async def _agree(session: ClientSession, revision: str) -> None:
    hello = InitializeRequestParams(
        protocol_version=revision,
        capabilities=ClientCapabilities(),
        client_info=Implementation(name="by-hand", version="1"),
    )
    result = await session.send_request(InitializeRequest(params=hello), InitializeResult)
    session.adopt(result)
    await session.send_notification(InitializedNotification())


async def names(session: ClientSession) -> list[str]:
    """Every tool of every page, and at least one page."""
    return [name for page in await pages(session) for name in page]


async def pages(session: ClientSession) -> list[list[str]]:
    """The names on each page."""
    found: list[list[str]] = []
    cursor = None
    while True:
        listed = await session.list_tools(params=PaginatedRequestParams(cursor=cursor))
        found.append([tool.name for tool in listed.tools])
        cursor = listed.next_cursor
        if cursor is None:
            return found
