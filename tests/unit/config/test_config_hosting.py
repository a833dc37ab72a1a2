"""Settings with which no server could be hosted are refused when they are read."""

from pathlib import Path

import pytest

from gatelodge.config.load import SettingSources, load
from gatelodge.core.errors import SettingsError


def faults(directory: Path, *sets: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        load(SettingSources(sets=sets, cwd=directory))
    return caught.value.faults


def test_production_with_plain_child_processes_is_refused_when_the_gate_starts(
    tmp_path: Path,
) -> None:
    (told,) = faults(tmp_path, "hosting.production=true", "hosting.plain_commands=process")
    assert "hosting.plain_commands: must not be process" in told
    assert "set it to sandbox" in told
    for sets in (("hosting.production=true",), ("hosting.plain_commands=process",)):
        load(SettingSources(sets=sets, cwd=tmp_path))


@pytest.mark.parametrize(
    "place",
    ["db.internal", "10.0.0.5:5432", "DB.internal:5432", "db.internal:99999", "https://db:443"],
)
def test_a_place_that_no_server_could_connect_to_is_told_by_its_number(
    tmp_path: Path, place: str
) -> None:
    (told,) = faults(tmp_path, f"hosting.egress_private=db.internal:5432,{place}")
    assert told.startswith("--set: hosting.egress_private: number 2 is no place.")
    assert "api.example.com:443" in told


def test_places_with_a_name_and_a_port_are_taken(tmp_path: Path) -> None:
    sets = ("hosting.egress_private=db.internal:5432,cache:6379",)
    found = load(SettingSources(sets=sets, cwd=tmp_path)).settings.hosting.egress_private
    assert found == ("db.internal:5432", "cache:6379")


def test_uids_of_servers_that_would_be_those_of_containers_are_refused(tmp_path: Path) -> None:
    (told,) = faults(tmp_path, "hosting.first_range=300000", "hosting.first_uid=180001")
    assert told.startswith("--set: hosting.first_uid: must not be more than 180000")
    assert "hosting.first_range (300000)" in told
    (told,) = faults(tmp_path, "hosting.first_uid=2000000000")
    assert "must not be more than 1878928192" in told
    sets = ("hosting.first_range=300000", "hosting.first_uid=180000")
    load(SettingSources(sets=sets, cwd=tmp_path))
