from pathlib import Path

import pytest

from gatelodge.config.load import KEYS, SettingSources, load, shown
from gatelodge.config.schema import Settings
from gatelodge.core.errors import SettingsError


def faults(sources: SettingSources) -> str:
    with pytest.raises(SettingsError) as caught:
        load(sources)
    return "\n".join(caught.value.faults)


def test_nothing_given_means_every_default(tmp_path: Path) -> None:
    loaded = load(SettingSources(cwd=tmp_path))
    assert loaded.settings == Settings()
    assert set(loaded.origins.values()) == {"default"}
    assert set(loaded.origins) == set(KEYS)


def test_the_last_place_that_names_a_value_wins(tmp_path: Path) -> None:
    file = tmp_path / "gate.toml"
    file.write_text(
        '[listen]\nport = 1001\nhost = "10.0.0.1"\n[store]\npoll_ms = 100\n'
        "[limits]\ncall_seconds = 9\n"
    )
    environ = {"GATELODGE_LISTEN__PORT": "1002", "GATELODGE_STORE__POLL_MS": "120", "PATH": "/bin"}
    loaded = load(
        SettingSources(file=file, environ=environ, sets=("listen.port=1003",), cwd=tmp_path)
    )
    settings = loaded.settings
    assert (settings.listen.port, settings.listen.host) == (1003, "10.0.0.1")
    assert (settings.store.poll_ms, settings.limits.call_seconds) == (120, 9.0)
    assert loaded.origins["listen.port"] == "--set"
    assert loaded.origins["store.poll_ms"] == "environment GATELODGE_STORE__POLL_MS"
    assert loaded.origins["listen.host"] == str(file)
    assert loaded.origins["store.lease_ms"] == "default"


@pytest.mark.parametrize("where", ["", "gatelodge-data"])
def test_the_usual_places_are_looked_at_when_no_file_is_named(tmp_path: Path, where: str) -> None:
    (tmp_path / where).mkdir(exist_ok=True)
    (tmp_path / where / "gatelodge.toml").write_text("[listen]\nport = 1234\n")
    assert load(SettingSources(cwd=tmp_path)).settings.listen.port == 1234


def test_the_data_directory_of_the_command_line_is_where_the_file_is_looked_for(
    tmp_path: Path,
) -> None:
    data = tmp_path / "elsewhere"
    data.mkdir()
    (data / "gatelodge.toml").write_text("[listen]\nport = 1234\n")
    loaded = load(SettingSources(cwd=tmp_path, data_dir=str(data)))
    assert loaded.settings.listen.port == 1234
    assert loaded.settings.data_dir == str(data)
    assert loaded.origins["data_dir"] == "--data-dir"


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "gate.toml"
    file.write_text('[listen]\nprot = 1\n[store]\nlease_ms = "soon"\n[limit]\npage_size = 3\n')
    told = faults(
        SettingSources(
            file=file,
            environ={"GATELODGE_AUDIT__DURABILTY": "strict", "GATELODGE_LISTEN__PORT": "99999"},
            sets=("listen.public_url=gate.example.com", "nonsense"),
            cwd=tmp_path,
        )
    )
    assert f"{file}: listen.prot: no such setting; did you mean listen.port?" in told
    assert f"{file}: store.lease_ms: Expected `int`, got `str`" in told
    assert f"{file}: limit: no such setting" in told
    assert "GATELODGE_AUDIT__DURABILTY: no such setting; did you mean" in told
    assert "GATELODGE_AUDIT__DURABILITY" in told
    assert "environment GATELODGE_LISTEN__PORT: listen.port: Expected `int` <= 65535" in told
    assert "--set: listen.public_url: wants an origin" in told
    assert "--set wants key=value" in told


def test_a_setting_with_one_underscore_too_few_is_a_fault(tmp_path: Path) -> None:
    told = faults(SettingSources(environ={"GATELODGE_STORE_URL": "x"}, cwd=tmp_path))
    assert "did you mean GATELODGE_STORE__URL?" in told


def test_names_that_others_put_under_our_prefix_are_left_alone(tmp_path: Path) -> None:
    environ = {
        "GATELODGE_PORT": "tcp://10.0.0.1:8720",
        "GATELODGE_SERVICE_HOST": "10.0.0.1",
        "GATELODGE_PORT_8720_TCP_ADDR": "10.0.0.1",
        "GATELODGE_TOKEN": "not-read-here",
        "GATELODGE_DB": "a-secret",
    }
    assert load(SettingSources(environ=environ, cwd=tmp_path)).settings == Settings()


def test_lists_come_from_text_as_words(tmp_path: Path) -> None:
    environ = {"GATELODGE_LISTEN__ALLOWED_HOSTS": "gate.example.com, gate:8720"}
    loaded = load(SettingSources(environ=environ, cwd=tmp_path))
    assert loaded.settings.listen.allowed_hosts == ("gate.example.com", "gate:8720")


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("listen = 3", "listen is a section"),
        ("[listen\n", "not TOML"),
        ('[store]\nurl = "mysql://x"', "store.url: wants postgresql://"),
        ("[store]\npoll_ms = 1000\nlease_ms = 900", "store.lease_ms: must be longer"),
        ('[audit]\norigin = "a b"', "audit.origin"),
        ("[listen]\nport = 8999\nadmin_port = 8999", "listen.admin_port: must not be listen.port"),
        ("[limits]\nbody_bytes = 100000000", "limits.body_bytes: must not be more than"),
        ("[limits]\nresult_bytes = 100000000", "limits.result_bytes: must not be more than"),
        ("[limits]\ntotal_bytes = 6000000", "more than half of limits.total_bytes (3000000)"),
        ("[limits]\nstranger_bytes = 20000", "limits.header_bytes: must not be more than"),
        ("[limits]\ncall_seconds = 900", "limits.call_seconds: must not be more than"),
        ('[listen]\nallowed_origins = ["https://a.example/path"]', "listen.allowed_origins"),
        ("[store]\nnotify = 1", "store.notify: Expected `bool`"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(tmp_path: Path, toml: str, said: str) -> None:
    file = tmp_path / "gate.toml"
    file.write_text(toml)
    assert said in faults(SettingSources(file=file, cwd=tmp_path))


def test_two_ports_that_are_chosen_anew_are_two(tmp_path: Path) -> None:
    sets = ("listen.port=0", "listen.admin_port=0")
    assert load(SettingSources(sets=sets, cwd=tmp_path)).settings.listen.admin_port == 0


def test_a_named_file_that_is_missing_is_a_fault(tmp_path: Path) -> None:
    assert "no such file" in faults(SettingSources(file=tmp_path / "none.toml", cwd=tmp_path))


@pytest.mark.parametrize(
    ("url", "printed"),
    [
        ("env:GATE_DB", "env:GATE_DB"),
        ("file:/run/secrets/db", "file:/run/secrets/db"),
        ("postgresql://gate:hunter@2@db/gate", "postgresql://gate:***@db/gate"),
        (
            "postgresql://db/gate?user=a&password=hunter2",
            "postgresql://db/gate?user=a&password=***",
        ),
    ],
)
def test_printed_settings_hold_references_and_no_password(
    tmp_path: Path, url: str, printed: str
) -> None:
    lines = shown(load(SettingSources(sets=(f"store.url={url}",), cwd=tmp_path)))
    line = next(each for each in lines if each.key == "store.url")
    assert (line.value, line.origin) == (printed, "--set")
    assert "hunter" not in repr(lines)


def test_a_refused_store_url_is_not_repeated_in_the_fault(tmp_path: Path) -> None:
    assert "hunter2" not in faults(
        SettingSources(sets=("store.url=x://a:hunter2@b",), cwd=tmp_path)
    )


@pytest.mark.parametrize(
    "endpoint",
    [
        "collector:4318",
        "ftp://collector",
        "http://",
        "http://name:word@collector",
        "http://collector/v1/traces?key=word",
        "http://collector/v1 traces",
    ],
)
def test_an_endpoint_of_traces_is_an_address_that_holds_no_secret(
    tmp_path: Path, endpoint: str
) -> None:
    told = faults(SettingSources(sets=(f"telemetry.traces_endpoint={endpoint}",), cwd=tmp_path))
    assert "telemetry.traces_endpoint: wants an address" in told
    assert "word" not in told.replace("password", "")


def test_headers_of_traces_hold_references_and_a_literal_is_not_repeated(tmp_path: Path) -> None:
    file = tmp_path / "gate.toml"
    good = ["Authorization: Bearer env:OTLP", "X-Key: file:/run/otlp", "X-Org: text:north"]
    file.write_text(f"[telemetry]\ntraces_headers = {good}\n")
    assert load(SettingSources(file=file, cwd=tmp_path)).settings.telemetry.traces_headers == tuple(
        good
    )
    for bad in ("Authorization: Bearer s3cret", "s3cret", "X-Key: file:s3cret", "X Y: env:OTLP"):
        file.write_text(f"[telemetry]\ntraces_headers = [{bad!r}]\n")
        told = faults(SettingSources(file=file, cwd=tmp_path))
        assert f"{file}: telemetry.traces_headers" in told
        assert "s3cret" not in told


def test_the_share_of_traced_requests_is_between_none_and_all(tmp_path: Path) -> None:
    for share in ("0", "1", "0.05"):
        load(SettingSources(sets=(f"telemetry.traces_ratio={share}",), cwd=tmp_path))
    for share in ("-0.1", "1.1"):
        assert "telemetry.traces_ratio" in faults(
            SettingSources(sets=(f"telemetry.traces_ratio={share}",), cwd=tmp_path)
        )
