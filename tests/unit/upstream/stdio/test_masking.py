"""A secret is not told, however a server spells it, breaks it up or colours it."""

import base64
import json
from urllib.parse import quote, quote_plus, unquote

import pytest

from gatelodge.adapters.upstream.stdio.early import SHOWN_BYTES, StartOutput

SECRET = "s3cr3t-töken/+value=?9"
KEY = "-----BEGIN KEY-----\nc2VjcmV0\nYW5vdGhlcg==\n-----END KEY-----"


def told(said: str | bytes, *secrets: str, each: int = 10_000) -> str:
    """What is shown of what a server with these secrets says, in chunks of so many bytes."""
    octets = said.encode() if isinstance(said, str) else said
    early = StartOutput(secrets)
    for begin in range(0, len(octets), each):
        early.data_received(octets[begin : begin + each])
    return "\n".join(line.removeprefix("stderr: ") for line in early.lines())


@pytest.mark.parametrize(
    "spelled",
    [
        SECRET,
        "s3cr3t-\x1b[31mtöken\x1b[0m/+value=?9",
        "\x1b[1;4m".join(SECRET),
        "\x1b[?25l".join(SECRET),
        "s3cr3t-tök\nen/+value=?9",
        "s3cr3t-tök\r\n    en/+val\r\n    ue=?9",
        "s3cr3t-\0t\u200bö\u00adken/+value=?9",
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET).lower(),
        "".join(f"%{byte:02x}" for byte in SECRET.encode()),
        json.dumps(SECRET),
        json.dumps(SECRET).replace("/", "\\/"),
        "".join(f"\\u{ord(letter):04X}" for letter in SECRET),
    ],
)
def test_a_secret_is_masked_however_it_is_spelled(spelled):
    shown = told(f"token {spelled} is refused\nnext", SECRET)
    assert shown.replace('"', "") == "token [secret] is refused\nnext"


@pytest.mark.parametrize("before", ["", "a", "ab", "ann:"])
@pytest.mark.parametrize("after", ["", "x", "xy", "@host"])
@pytest.mark.parametrize("code", [base64.b64encode, base64.urlsafe_b64encode])
def test_of_a_secret_in_base64_no_three_letters_are_left(before, after, code):
    coded = code(f"{before}{SECRET}{after}".encode()).decode()
    wrapped = "\n".join(coded[at : at + 8] for at in range(0, len(coded), 8))
    for spelled in (coded, quote(coded, safe=""), wrapped):
        shown = told(f"Basic {spelled} is refused", SECRET).replace("\n", "")
        first, last = shown.removeprefix("Basic ").removesuffix(" is refused").split("[secret]")
        assert len(first) <= len(before) * 4 // 3 + 1
        assert len(unquote(last).rstrip("=")) <= len(after) * 4 // 3 + 2


@pytest.mark.parametrize("secret", ["100%41+x\\nyz", "C:\\new\\u0041", "a b+c"])
def test_a_secret_that_looks_like_a_spelling_is_masked_as_it_is_and_as_it_is_spelled(secret):
    for spelled in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1]):
        assert told(f"<{spelled}>", secret) == "<[secret]>"


def test_each_line_of_a_secret_is_masked_alone_and_all_of_it_as_one():
    assert told(f"key {KEY} ends", KEY) == "key [secret] ends"
    assert told("key c2VjcmV0 ends", KEY) == "key [secret] ends"
    assert told(f"key {json.dumps(KEY)} ends", KEY) == 'key "[secret]" ends'


def test_of_a_secret_that_holds_another_no_part_is_left():
    assert told("it is s3cr3t-and-more", "s3cr3t", "s3cr3t-and-more") == "it is [secret]"


@pytest.mark.parametrize("letter", ["{}", "%3{}", "\\u003{}", "{}\n"])
@pytest.mark.parametrize("after", [0, 1, 100, SHOWN_BYTES - 250, SHOWN_BYTES - 1, SHOWN_BYTES])
@pytest.mark.parametrize("each", [7, 1_000, 20_000])
def test_no_part_of_a_secret_is_left_where_what_is_kept_begins(letter, after, each):
    secret = "7350982641" * 9
    spelled = "".join(map(letter.format, secret))
    shown = told(f"{'x' * 9_000}{spelled}{'y' * after}", secret, each=each)
    assert not any(digit.isdigit() for digit in shown)


def test_many_copies_of_a_long_secret_show_nothing_of_the_first():
    secret = "".join(f"{number:04}" for number in range(1_200))
    shown = told(secret * 5, secret)
    assert not any(letter.isdigit() for letter in shown)


def test_what_is_no_secret_is_told_as_it_was_said():
    said = "GET https://x.test/a%20b?c=d+e\n\x1b[32mok\x1b[0m \\u0041 100% \\n"
    assert told(said, "s3cr3t-value") == "GET https://x.test/a%20b?c=d+e\nok \\u0041 100% \\n"
