"""Runs a tool as the gate's own user: bounded in time and in what it says, gone at its end.

It gets nothing of the gate's environment. So run what reads this machine's own files; what reads a
package runs apart (`sandbox.py`), where the machine allows that.
"""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import Struct

from gatelodge.core.errors import LimitReached, UpstreamUnreachable

MOST_SAID: Final = 4 << 20
"""Bytes of what a tool writes that are kept; what follows is read and dropped."""
_PORTION = 64 * 1024
_CREDENTIALS_IN_LOCK = re.compile(rb"//[^/\s\"'@]+@")
_CREDENTIALS = re.compile(r"//[^/\s]+@")


class ToolOutcome(Struct, frozen=True, kw_only=True):
    """How a tool ended: its status, and the beginning of what it wrote."""

    status: int
    output: bytes
    errors: bytes

    @property
    def last_words(self) -> str:
        """The end of what it complained of, for whoever may build: printable, in one line."""
        lines = self.errors.decode("utf-8", "replace").strip().splitlines()
        # An address may bear what opens it.
        text = _CREDENTIALS.sub("//***@", " ".join(each.strip() for each in lines[-12:]))
        return "".join(each if each.isprintable() else " " for each in text)[-1_200:]


async def run_tool(
    command: tuple[str, ...], cwd: Path, env: Mapping[str, str], seconds: float
) -> ToolOutcome:
    """Run it and wait for its end. Raises UpstreamUnreachable, LimitReached when it takes longer.

    When this returns, raises or is cancelled, neither it nor what it started runs any more.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=cwd,
            env={"PATH": os.defpath, "LANG": "C.UTF-8", **env},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as failed:
        raise UpstreamUnreachable(
            f"{Path(command[0]).name} could not be started: {failed.strerror}.",
            remedy="Install it on the gate's machine.",
        ) from failed
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(seconds):
            output, errors, status = await asyncio.gather(
                _read_some(process.stdout), _read_some(process.stderr), process.wait()
            )
    except TimeoutError:
        raise LimitReached(f"{Path(command[0]).name} took longer than {seconds:.0f} s.") from None
    finally:
        # Also after its end: what it left behind in its group would go on without it.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.shield(process.wait())
    return ToolOutcome(status=status, output=output, errors=errors)


async def compile_bytecode(directory: Path, named: str) -> None:
    """Write the bytecode of each Python file below a directory (`BytecodeCompiler`).

    It is not looked at again whether a source changed: nothing in an image does. Raises
    UpstreamUnreachable, LimitReached.
    """
    # A file that cannot be compiled is one that is not imported, as templates are: no fault.
    command = bytecode_command(sys.executable, directory, named)
    await run_tool(command, directory, {"PYTHONHASHSEED": "0"}, 600.0)


def without_credentials(lock: bytes) -> bytes:
    """A lock as it may be kept: an address in it may bear what opened it."""
    return _CREDENTIALS_IN_LOCK.sub(b"//", lock)


def base_interpreter() -> str:
    """The Python that this one was made from: the same files, without the gate's packages."""
    return str(Path(getattr(sys, "_base_executable", None) or sys.executable).resolve())


def bytecode_command(python: str, directory: Path, named: str) -> tuple[str, ...]:
    """What writes the bytecode of all below a directory; the files are called as if in `named`."""
    options = ("-q", "--invalidation-mode", "unchecked-hash")
    # One process, files in their order, no chance: else the same files give other bytes.
    command = (python, "-P", "-S", "-m", "compileall", *options)
    return (*command, "-s", str(directory), "-p", named, str(directory))


async def _read_some(stream: asyncio.StreamReader) -> bytes:
    kept = bytearray()
    while portion := await stream.read(_PORTION):
        kept += portion[: max(0, MOST_SAID - len(kept))]
    return bytes(kept)
