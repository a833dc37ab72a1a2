import pytest

from gatelodge.tlog.errors import MalformedValue
from gatelodge.tlog.strict import (
    checked_hash,
    checked_text,
    format_base64,
    format_decimal,
    parse_base64,
    parse_decimal,
    parse_hash,
)


@pytest.mark.parametrize("count", [0, 1, 10, 2**63 - 1])
def test_a_count_has_one_spelling(count):
    assert parse_decimal(format_decimal(count)) == count


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        "01",
        "+1",
        "-1",
        "-0",
        " 1",
        "1 ",
        "1\n",
        "1_0",
        "1e3",
        "1.0",
        "0x1",
        "٣",
        "9223372036854775808",
        "9" * 5000,
    ],
)
def test_any_other_spelling_of_a_count_is_refused(text):
    with pytest.raises(MalformedValue):
        parse_decimal(text)


@pytest.mark.parametrize("count", [-1, 2**63])
def test_a_count_out_of_range_is_not_written(count):
    with pytest.raises(MalformedValue):
        format_decimal(count)


@pytest.mark.parametrize("octets", [b"", b"f", b"fo", b"foo", b"\xff\xfe\xfb", bytes(range(256))])
def test_bytes_have_one_base64(octets):
    assert parse_base64(format_base64(octets)) == octets


@pytest.mark.parametrize(
    "text", ["Zg", "Zg=", "Zh==", "Zg===", "Zg==\n", " Zg==", "-_-_", "Zg==Zg==", "é", "\udc80"]
)
def test_any_other_base64_is_refused(text):
    with pytest.raises(MalformedValue):
        parse_base64(text)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_hash_has_thirty_two_bytes(length):
    assert checked_hash(b"x" * 32) == b"x" * 32
    with pytest.raises(MalformedValue):
        checked_hash(b"x" * length)
    with pytest.raises(MalformedValue):
        parse_hash(format_base64(b"x" * length))


@pytest.mark.parametrize("text", ["\x00", "a\tb", "a\rb", "\x1f", "\ud800"])
def test_text_with_control_characters_or_half_a_character_is_refused(text):
    assert checked_text("a\nb è \x7f\u2028") == "a\nb è \x7f\u2028"
    with pytest.raises(MalformedValue):
        checked_text(text)
