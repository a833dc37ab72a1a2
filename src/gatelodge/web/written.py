"""Records that a refusal may not wait for to the end."""

import asyncio


def look_at(written: "asyncio.Future[None]") -> None:
    """Look at how a record was written, as a done callback: nobody else may.

    What failed and nobody looked at would stand in the process's own log as a fault of it.
    """
    if not written.cancelled():
        written.exception()
