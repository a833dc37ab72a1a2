"""Content codings of an answer (RFC 9110, 8.4.1): gzip and deflate, unpacked piece by piece.

A few bytes can hold a thousand times as many. So no more is unpacked at once than is asked for, and
what is left waits packed; whoever asks counts what comes out.
"""

import zlib

IDENTITY = b"identity"
_GZIP = frozenset((b"gzip", b"x-gzip"))
_DEFLATE = b"deflate"
_GZIP_FORM, _ZLIB_FORM, _RAW_FORM = zlib.MAX_WBITS | 16, zlib.MAX_WBITS, -zlib.MAX_WBITS
_ZLIB_METHOD = 8

CodingFault = zlib.error
"""Raised for bytes that are not what their coding says."""


class BodyDecoder:
    """The body of one packed answer."""

    def __init__(self, coding: bytes) -> None:
        """`coding` is one that `unpacks` knows."""
        self._gzip = coding in _GZIP
        self._packed = b""
        self._stream: "zlib._Decompress | None" = None
        self._full = False

    @property
    def more(self) -> bool:
        """True while something may be left to unpack."""
        return self._full or bool(self._packed)

    @property
    def whole(self) -> bool:
        """True when it ends here as its coding says; a body without a byte is whole too."""
        return not self.more and (self._stream is None or self._stream.eof)

    def add(self, packed: bytes) -> None:
        """More came."""
        self._packed += packed

    def drop(self) -> None:
        """Forget what is left: nobody wants it."""
        self._packed, self._full = b"", False

    def piece(self, most: int) -> bytes:
        """At most so many bytes of what is packed, none when all was unpacked. Raises CodingFault.

        The work is that of what came and of what is returned: nothing is looked at twice.
        """
        pieces: list[bytes] = []
        left = most
        while self.more and left:
            stream = self._current_or_new_stream()
            if stream is None:
                break
            packed, self._packed = self._packed, b""
            unpacked = stream.decompress(packed, left)
            left -= len(unpacked)
            # zlib may have taken all input and hold output back: only a short piece shows the end.
            self._full = not left
            pieces.append(unpacked)
            self._packed = stream.unused_data if stream.eof else stream.unconsumed_tail
        return b"".join(pieces)

    def _current_or_new_stream(self) -> "zlib._Decompress | None":
        """The stream that is read; another begins where one ended, as gzip lets it."""
        stream = self._stream
        if stream is None:
            # "deflate" is said for both forms (RFC 9110, 8.4.1.2); the first byte tells them apart
            plain = not self._gzip and self._packed[0] & 15 != _ZLIB_METHOD
            form = _GZIP_FORM if self._gzip else _RAW_FORM if plain else _ZLIB_FORM
            stream = self._stream = zlib.decompressobj(form)
        elif stream.eof:
            self._full = False
            self._packed = self._packed.lstrip(b"\0")  # padding
            if not self._packed:
                return None
            if not self._gzip:
                raise CodingFault("Something follows the end of the packed body.")
            stream = self._stream = zlib.decompressobj(_GZIP_FORM)
        return stream


def unpacks(coding: bytes) -> bool:
    """True for a coding that can be undone here."""
    return coding in _GZIP or coding == _DEFLATE
