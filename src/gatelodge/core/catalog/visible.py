"""Text as it stands: what a reader cannot see, or takes for something else, is written out."""

import re
from collections.abc import Callable

_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffc\U0001bca0-\U0001bca3\U0001d159"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""What Unicode lets a reader leave out (Default_Ignorable_Code_Point), and signs that are blank."""
_WORD = re.compile(r"[^\W\d_]+")
_LOOKALIKE = re.compile("[\u0370-\u058f\u13a0-\u13ff\uab70-\uabbf]")
"""Letters of Greek, Cyrillic, Armenian and Cherokee, of which many look like Latin ones."""


def is_seen(letter: str) -> bool:
    """Say whether a reader sees it; a space is the only one that nobody sees and is."""
    return letter.isprintable() and _UNSEEN.match(letter) is None


def _written_out(letter: str) -> str:
    return f"<U+{ord(letter):04X}>"


def visible(text: str, written: Callable[[str], str] = _written_out) -> str:
    """The text with its lines, and what cannot be seen in it written out, such as `<U+202E>`.

    So are other scripts' spaces, marks of direction, and letters of another script within a word of
    Latin ones: what is read is what stands there. `written` is how a letter is written out.
    """
    told = _WORD.sub(lambda found: _in_one_script(found, written), text)
    return "".join(each if each == "\n" or is_seen(each) else written(each) for each in told)


def visible_line(text: str) -> str:
    """The same on one line: a line break is written out as well."""
    return visible(text).replace("\n", _written_out("\n"))


def _in_one_script(found: re.Match[str], written: Callable[[str], str] = _written_out) -> str:
    word = found[0]
    # A whole word of another script is a language; a letter of one in a Latin word is a disguise.
    if not any(each.isascii() for each in word):
        return word
    return _LOOKALIKE.sub(lambda each: written(each[0]), word)
