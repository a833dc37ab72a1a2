"""What the operator says of registries is read before anything starts."""

import pytest

from gatelodge.core.catalog.registries import RegistryLogin, read_login, read_origin
from gatelodge.core.errors import Invalid


@pytest.mark.parametrize(
    ("text", "host", "login"),
    [
        ("r.test=me=env:WORD", "r.test", RegistryLogin("me", "env:WORD")),
        ("r.test:50=robot$a+b=file:/k/a=b", "r.test:50", RegistryLogin("robot$a+b", "file:/k/a=b")),
        ("r.test=env:TOKEN", "r.test", RegistryLogin("", "env:TOKEN")),
        ("r.test=file:/k/t=1", "r.test", RegistryLogin("", "file:/k/t=1")),
    ],
)  # fmt: skip
def test_a_login_is_a_host_perhaps_a_user_and_a_reference(
    text: str, host: str, login: RegistryLogin
):
    assert read_login(text) == (host, login)


@pytest.mark.parametrize(
    "text",
    ["", "r.test", "r.test=", "r.test=word", "r.test=me=word", "r.test=me=vault:X", "=me=env:A",
     "r.test=me:you=env:A", "https://r.test=me=env:A", "r.test=me=file:rel", "r.test=Bearer env:A"],
)  # fmt: skip
def test_a_login_that_is_none_is_refused_without_its_text(text: str):
    with pytest.raises(Invalid) as refused:
        read_login(text)
    assert "word" not in refused.value.detail


def test_an_origin_is_scheme_host_and_port():
    assert read_origin("http://127.0.0.1:5000") == "http://127.0.0.1:5000"
    assert read_origin("https://r.test") == "https://r.test"


@pytest.mark.parametrize(
    "text", ["r.test", "https://r.test/", "https://r.test/v2", "https://a:b@r.test", "ftp://r.test",
             "https://r.test:443", "http://169.254.169.254"],
)  # fmt: skip
def test_more_or_less_than_an_origin_is_refused(text: str):
    with pytest.raises(Invalid):
        read_origin(text)
