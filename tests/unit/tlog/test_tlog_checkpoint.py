import pytest

from gatelodge.tlog import checkpoint
from gatelodge.tlog.checkpoint import Checkpoint
from gatelodge.tlog.errors import MalformedValue

# The example of C2SP tlog-checkpoint.
ROOT = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
TEXT = f"example.com/behind-the-sofa\n20852163\n{ROOT}\n"


def test_the_published_checkpoint_is_read_and_written_back():
    read = checkpoint.parse(TEXT)
    assert (read.origin, read.size) == ("example.com/behind-the-sofa", 20_852_163)
    assert read.root.hex().startswith("0ac5186a91863e8e")
    assert read.extensions == ()
    assert checkpoint.format(read) == TEXT


def test_an_empty_log_has_a_checkpoint():
    assert checkpoint.parse(f"o\n0\n{ROOT}\n").size == 0


def test_an_origin_may_be_any_line():
    read = checkpoint.parse(f"Go + sum database è\n1\n{ROOT}\n")
    assert read.origin == "Go + sum database è"
    assert checkpoint.parse(checkpoint.format(read)) == read


def test_extension_lines_are_kept_and_never_written():
    read = checkpoint.parse(TEXT + "one\ntwo \n")
    assert read.extensions == ("one", "two ")
    with pytest.raises(MalformedValue):
        checkpoint.format(read)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "\n\n\n",
        TEXT[:-1],
        TEXT + "\n",
        TEXT + "one\n\ntwo\n",
        "\n" + TEXT,
        f"\n1\n{ROOT}\n",
        f"o\n\n{ROOT}\n",
        "o\n1\n\n",
        "o\n1\n",
        f"o\n01\n{ROOT}\n",
        f"o\n+1\n{ROOT}\n",
        f"o\n-1\n{ROOT}\n",
        f"o\n 1\n{ROOT}\n",
        f"o\n1_0\n{ROOT}\n",
        f"o\n٣\n{ROOT}\n",
        f"o\n9223372036854775808\n{ROOT}\n",
        f"o\n1\n{ROOT[:-1]}\n",
        f"o\n1\n{ROOT} \n",
        f"o\n1\n{ROOT.replace('I=', 'J=')}\n",
        f"o\n1\n{ROOT.replace('/', '_')}\n",
        "o\n1\nAAAA\n",
        f"o\r\n1\n{ROOT}\n",
        f"o\x00\n1\n{ROOT}\n",
        TEXT + "\ud800\n",
    ],
)
def test_a_checkpoint_out_of_form_is_refused(text):
    with pytest.raises(MalformedValue):
        checkpoint.parse(text)


@pytest.mark.parametrize(
    "wrong",
    [
        Checkpoint("", 1, b"x" * 32),
        Checkpoint("o\n", 1, b"x" * 32),
        Checkpoint("o\x07", 1, b"x" * 32),
        Checkpoint("\ud800", 1, b"x" * 32),
        Checkpoint("o", -1, b"x" * 32),
        Checkpoint("o", 2**63, b"x" * 32),
        Checkpoint("o", 1, b"x" * 31),
    ],
)
def test_a_checkpoint_that_cannot_be_read_back_is_not_written(wrong):
    with pytest.raises(MalformedValue):
        checkpoint.format(wrong)
