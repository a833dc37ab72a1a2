"""What a server said before it was met, for whoever wants to know why it was not.

Nobody's payload exists before the handshake. So the last of its standard error and of what it wrote
to its output is kept until then, in memory only, and is forgotten when it was met. Secrets of its
definition are masked, and control characters made visible: it is shown on terminals.
"""

import asyncio
import re
from collections.abc import Iterable

from gatelodge.core.catalog.masking import COLOURS, MOST_LETTERS, SecretMask

SHOWN_BYTES = 4096
SHOWN_LINES = 20
_LINE = 400
_UNSEEN = re.compile(r"[^\t -~\u00a1-\u167f\u1681-\u1fff\u2010-\u2027\u2030-\u205e\u2070-\ud7ff]")


class StartOutput(asyncio.Protocol):
    """The last bytes of one start; bounded, and nothing at all once `met`.

    It hears the standard error by itself: that is counted, and dropped once the server was met.
    """

    def __init__(self, hidden: Iterable[str] = ()) -> None:
        """`hidden` are the secrets that are masked wherever they are told."""
        self.error_bytes = 0
        self._out = bytearray()
        self._err = bytearray()
        self._mask = SecretMask(hidden)
        self._keeps = True

    def out(self, data: bytes) -> None:
        """It wrote to its output."""
        self._keep_last_bytes(self._out, data)

    def data_received(self, data: bytes) -> None:
        """It wrote to its standard error."""
        self.error_bytes += len(data)
        self._keep_last_bytes(self._err, data)

    def met(self) -> None:
        """The handshake is over: forget, and keep nothing more."""
        self._keeps = False
        self._out.clear()
        self._err.clear()
        self._mask = SecretMask(())

    def lines(self) -> tuple[str, ...]:
        """The last lines of its standard error and its output, fit to be shown."""
        told = []
        for name, kept in (("stderr", self._err), ("stdout", self._out)):
            told += [f"{name}: {line}" for line in self._masked_lines(bytes(kept))[-SHOWN_LINES:]]
        return tuple(told)

    def _keep_last_bytes(self, kept: bytearray, data: bytes) -> None:
        if self._keeps:
            # So much that a secret at the beginning of what is shown is whole, however spelled.
            most = SHOWN_BYTES + MOST_LETTERS * self._mask.longest
            kept += data[-most:]
            del kept[: max(0, len(kept) - most)]

    def _masked_lines(self, kept: bytes) -> list[str]:
        text = kept.decode(errors="replace")
        begin = len(kept[:-SHOWN_BYTES].decode(errors="replace"))
        if begin:  # it is in the middle of a line
            begin = text.find("\n", begin, len(text) - 1) + 1 or begin
        # Before lines are cut and shortened: a part of a secret would not be found any more.
        text = COLOURS.sub("", self._mask.masked(text, begin))
        return [seen(line)[:_LINE] for line in text.splitlines() if line.strip()]


def seen(text: str) -> str:
    """The text with what a terminal would obey, or nobody would see, written out."""
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


_NOT_THERE = (
    r"\b(E?404|Not Found|No matching (version|distribution)|not found in the package registry"
    r"|does not exist on PyPI|was not found in the)\b"
)
_UNTRUSTED = (
    r"invalid peer certificate|UnknownIssuer|self[- ]signed certificate|CERTIFICATE_VERIFY"
    r"|UNABLE_TO_(GET|VERIFY)|unable to (get|verify)"
)
_UNREACHED = (
    r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH|dns error|name resolution"
    r"|Name or service not known|Connection refused|Network is unreachable"
)
_TRUST = (
    "It does not trust who answered, as behind a TLS proxy: give it the CA, such as "
    "--env SSL_CERT_FILE=/path/ca.pem (uvx) or --env NODE_EXTRA_CA_CERTS=/path/ca.pem (npx)."
)
_CURES = {
    _NOT_THERE: "The package was not found where packages come from: check its name and version.",
    _UNTRUSTED: _TRUST,
    _UNREACHED: "It could not reach the network that it wants: name a proxy by --env, or install "
    "the server on this machine.",
    r"Cannot find module|ModuleNotFoundError|No module named|ERR_MODULE_NOT_FOUND": "A module that "
    "it needs is not installed where its own uid can read it.",
    r"EACCES|[Pp]ermission denied": "It may not read or write something: see its last words.",
}


def cure(said: Iterable[str]) -> str:
    """What the last words of a server suggest to do; "" when they suggest nothing."""
    text = "\n".join(said)
    return next((advice for words, advice in _CURES.items() if re.search(words, text)), "")
