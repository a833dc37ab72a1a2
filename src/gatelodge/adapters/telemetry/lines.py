"""One line for each event on standard error: text for people, JSON for collectors.

A line holds what the program says of itself. Exceptions are told by their type and place only:
their text may hold what a client or an upstream sent (guarantee audit:no-payload). Each event is
one line, whatever stands in a name: what cannot be seen is written out.
"""

import logging
import sys
import threading
import traceback
from datetime import UTC, datetime
from itertools import islice
from types import TracebackType

import msgspec

from gatelodge.core.errors import fault_leaves

LONGEST = 1_000
"""Characters of one message."""
_MOST_PLACES = 3
"""Exceptions of a group whose places are told."""
log = logging.getLogger(__name__)


def _traceback_location(record: logging.LogRecord) -> str:
    if not record.exc_info or record.exc_info[2] is None:
        return ""
    # A group is raised where its tasks are waited for; where they failed, its exceptions tell.
    leaves = islice(fault_leaves(record.exc_info[1]), _MOST_PLACES) if record.exc_info[1] else ()
    places = [_frames(each.__traceback__) for each in leaves]
    return "; ".join(dict.fromkeys(each for each in places if each))


def _frames(at: TracebackType | None) -> str:
    frames = traceback.extract_tb(at)
    return " < ".join(f"{f.filename.rpartition('/')[2]}:{f.lineno}" for f in reversed(frames[-6:]))


def _asyncio_message(record: logging.LogRecord) -> str:
    """What asyncio says, without the tasks, callbacks and exceptions that it writes out."""
    if record.exc_info and record.exc_info[0] is not None:
        return f"asyncio: {record.exc_info[0].__name__}"
    # The template and not what is put into it; behind its first line it shows objects.
    return f"asyncio: {str(record.msg).partition(chr(10))[0]}"


def _printable_message(record: logging.LogRecord) -> str:
    """What is said, on one line, such that nothing in it moves a cursor or begins a line."""
    text = _asyncio_message(record) if record.name == "asyncio" else record.getMessage()
    # Cut before anything is written out, so that no escape is cut in its middle.
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]}..."
    return "".join(each if each.isprintable() else f"<U+{ord(each):04X}>" for each in text)


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        where = _traceback_location(record)
        line = f"{at} {record.levelname.lower():7} {_printable_message(record)}"
        return f"{line} at {where}" if where else line


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        line = {"at": at, "level": record.levelname.lower(), "message": _printable_message(record)}
        where = _traceback_location(record)
        if where:
            line["where"] = where
        return msgspec.json.encode(line).decode()


def configure(level: str, form: str) -> None:
    """Send this house's lines to standard error from now on; other libraries' from warning up."""
    hand = logging.StreamHandler(sys.stderr)
    hand.setFormatter(_Json() if form == "json" else _Text())
    root = logging.getLogger()
    root.handlers = [hand]
    root.setLevel(logging.WARNING)
    logging.getLogger("gatelodge").setLevel(level.upper())
    # Python's own way is a traceback with the words of the exception.
    threading.excepthook = _log_thread_exception
    sys.unraisablehook = _log_unraisable_exception


def _log_thread_exception(died: threading.ExceptHookArgs) -> None:
    if died.exc_type is not SystemExit:
        log.error("a thread died of %s", died.exc_type.__name__, exc_info=died.exc_value)


def _log_unraisable_exception(fault: "sys.UnraisableHookArgs") -> None:
    log.error("nobody could be told of %s", fault.exc_type.__name__, exc_info=fault.exc_value)
