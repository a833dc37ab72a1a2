"""Of this machine's settings a tool is told where packages come from, and nothing else."""

import os
from pathlib import Path

import pytest

from gatelodge.adapters.runtime.packages.settings import sources_of_node, sources_of_python


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.lower().startswith(("uv_", "pip_", "npm_", "ssl_", "node_", "http", "xdg_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    return tmp_path


def test_uv_is_told_of_indexes_and_authorities_and_of_no_more(
    home: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://kay:word@packages.example/simple")
    monkeypatch.setenv("UV_INDEX_ACME_PASSWORD", "word")
    monkeypatch.setenv("UV_PYTHON", "/tmp/any")
    monkeypatch.setenv("UV_KEYRING_PROVIDER", "subprocess")
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/authorities.pem")
    monkeypatch.setenv("GATE_SECRET", "word")
    found = sources_of_python()
    assert found.env == {
        "UV_DEFAULT_INDEX": "https://kay:word@packages.example/simple",
        "UV_INDEX_ACME_PASSWORD": "word",
        "SSL_CERT_FILE": "/etc/authorities.pem",
    }
    assert found.files == ("/etc/authorities.pem",)


def test_files_of_uv_and_pip_say_what_no_variable_says(home: Path, monkeypatch: pytest.MonkeyPatch):
    (home / ".config/uv").mkdir(parents=True)
    (home / ".config/uv/uv.toml").write_text(
        'keyring-provider = "subprocess"\nfind-links = ["/srv/wheels", "/srv/more"]\n'
        '[[index]]\nname = "acme"\nurl = "https://acme.example/simple"\n'
        '[[index]]\nurl = "https://first.example/simple"\ndefault = true\n'
        '[[index]]\nurl = "https://only.example/simple"\nexplicit = true\n'
        '[pip]\nno-build-isolation = true\nindex-strategy = "unsafe-best-match"\n'
    )
    (home / "pip.conf").write_text(
        "[global]\nindex-url = https://pip.example/simple\ncert = /etc/pip.pem\nuser = true\n"
    )
    assert sources_of_python().env == {
        "UV_FIND_LINKS": "/srv/wheels,/srv/more",
        "UV_INDEX": "acme=https://acme.example/simple",
        "UV_DEFAULT_INDEX": "https://first.example/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "SSL_CERT_FILE": "/etc/pip.pem",
    }
    assert sources_of_python().files == ("/srv/wheels", "/srv/more", "/etc/pip.pem")
    monkeypatch.setenv("PIP_INDEX_URL", "https://said.example/simple")
    assert sources_of_python().env["UV_DEFAULT_INDEX"] == "https://said.example/simple"


def test_npm_is_told_of_registries_and_authorities_and_of_no_more(
    home: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("npm_config_registry", "https://said.example/")
    monkeypatch.setenv("npm_config_script_shell", "/tmp/any")
    monkeypatch.setenv("NPM_TOKEN", "word")
    monkeypatch.setenv("npm_config_globalconfig", str(home / "none"))
    (home / ".npmrc").write_text(
        "; registry=https://not.example/\nprefix=/tmp/any\nnode-options=--require /tmp/any.js\n"
        "@acme:registry = https://acme.example/\n//acme.example/:_authToken=${NPM_TOKEN}\n"
        "cafile=/etc/acme.pem\n//acme.example/:tokenHelper=/tmp/any\nhttps-proxy=http://proxy:3128\n"
    )
    found = sources_of_node("/opt/node/bin/npm")
    assert found.env == {"npm_config_registry": "https://said.example/"}
    own = [line for line in found.lines if "acme" in line or "proxy" in line]
    assert own == [
        "@acme:registry=https://acme.example/",
        "//acme.example/:_authToken=word",
        "cafile=/etc/acme.pem",
        "https-proxy=http://proxy:3128",
    ]
    assert not any("any" in line or "not.example" in line for line in found.lines)
    assert "/etc/acme.pem" in found.files
