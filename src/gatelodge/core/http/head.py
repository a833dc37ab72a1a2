"""The head of an HTTP/1.1 message, known again by its bytes.

A parser makes the same of the same bytes, so a head that a connection repeats byte for byte need
not be parsed again. That holds only where nothing can be read in two ways: the message came at
once, alone, and its body is as long as its one Content-Length says.
"""

_END = b"\r\n\r\n"
MOST_KEPT = 4096
"""Bytes of a head that is kept for the next message."""


def head_of(message: bytes, body: int) -> bytes:
    """The head of these bytes, when they are one head and `body` bytes and nothing else.

    Empty when there is more or less, and for a head that is too large to keep. What stands before
    the first empty line is at least the head, and the parser read `body` bytes behind the true one:
    the two lengths make the whole only if nothing else is there (RFC 9112 clause 2.1).
    """
    end = message.find(_END) + len(_END)
    alone = len(_END) <= end <= MOST_KEPT and end + body == len(message)
    return message[:end] if alone else b""
