"""A workspace as the file of `apply`: here it changes nothing, elsewhere it makes the same."""

import json
import re
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from tests.gate import Gate
from tests.integration.admin_house import House, W

numbers: Iterator[int] = count(1)
SECRET = "sk-canary-5f0c"
FILE = f"""
workspace = "main"

[[members]]
email = "ann@x.test"
name = "Ann \\"A\\" Ohm"
role = "admin"

[[members]]
email = "sue@x.test"
suspended = true

[[agents]]
name = "night ly"
owner = "ann@x.test"

[[agents]]
name = "rests"
owner = "ann@x.test"
suspended = true

[[groups]]
name = "dev"
members = ["member:sue@x.test", "agent:night ly"]

[[servers]]
alias = "files"
command = ["/bin/files", "--root", "/srv a"]
env = {{ REFERRED = "env:GATELODGE_SECRET_MAIN__FILES", LITERAL = "{SECRET}" }}
hidden_capabilities = ["roots"]
call_seconds = 90.5
approved = true

[[servers]]
alias = "web"
url = "https://web.example.com/mcp?key={SECRET}"
headers = {{ X-Key = "{SECRET}" }}

[[grants]]
to = "group:dev"
server = "files"
level = "read"
ticket = "OPS-1"

[[grants]]
to = "everyone"
server = "web"
expires = 2097-06-01T00:00:00.5Z

[[grants]]
to = "member:sue@x.test"
server = "files"

[[guardrails]]
name = "no-web"
mode = "observe"
text = '''
@reason("not \\"there\\"")
forbid (principal, action, resource) when {{ resource in Gatelodge::Server::"web" }};
'''
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house of their own: its whole workspace is written and compared."""
    with Gate(tmp_path_factory.mktemp("export") / "data").prepared().running() as gate:
        yield House(gate)


@pytest.fixture(scope="module")
def text(house: House) -> str:
    """What is exported of a workspace that has one of each."""
    applied = house.gate.api("POST", f"{W}/apply", {"text": FILE}, local=True)
    assert len(applied["lines"]) > 15
    gone = house.ok("POST", f"{W}/members", {"email": "gone@x.test"})["email"]
    house.ok("POST", f"{W}/agents", {"name": "orphan", "owner": gone})
    house.ok("POST", f"{W}/members/{gone}/revoke", {"why": "OPS-2"})
    return house.ok("GET", f"{W}/export")["text"]


class Team:
    """A workspace of its own, made equal to files."""

    def __init__(self, gate: Gate, slug: str) -> None:
        self.gate, self.slug, self.at = gate, slug, f"/workspaces/{slug}"
        gate.api("POST", "/workspaces", {"slug": slug, "owner": "olga@x.test"}, local=True)

    def api(self, method: str, path: str, body: Any = None) -> Any:
        return self.gate.api(method, self.at + path, body, local=True)

    def headed(self, tables: str) -> str:
        return f'workspace = "{self.slug}"\n{tables}'

    def apply(self, tables: str, *, prune: bool = False) -> list[str]:
        """What these tables changed."""
        return self.api("POST", "/apply", {"text": self.headed(tables), "prune": prune})["lines"]

    @property
    def text(self) -> str:
        return self.api("GET", "/export")["text"]

    def differing(self, *, prune: bool = True) -> list[str]:
        """What its own export would change."""
        body = {"text": self.text, "prune": prune}
        return self.api("POST", "/apply?dry_run=true", body)["lines"]


@pytest.fixture
def team(other: Gate) -> Team:
    return Team(other, f"team{next(numbers)}")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    with Gate(tmp_path_factory.mktemp("other") / "data").prepared().running() as gate:
        yield gate


def refusal(gate: Gate, text: str) -> str:
    """Why a file is not applied."""
    status, told = gate.ask("POST", f"{W}/apply?dry_run=true", {"text": text}, local=True)
    assert (status, told["code"]) == (400, "error.refused.invalid")
    return told["detail"]


@pytest.mark.parametrize("prune", [False, True])
def test_where_it_was_written_nothing_differs(house: House, text: str, prune: bool):
    body = {"text": text, "prune": prune}
    told = house.gate.api("POST", f"{W}/apply?dry_run=true", body, local=True)
    assert told["lines"] == []


def test_no_value_that_may_be_secret_is_in_it_and_no_leaver(house: House, text: str):
    assert SECRET not in text
    assert text.count("***") == 4  # three values, and the line that says what they are
    assert "env:GATELODGE_SECRET_MAIN__FILES" in text
    assert "gone@x.test" not in text
    assert "orphan" not in text


def test_a_text_of_several_lines_is_written_on_as_many(text: str):
    assert '\ntext = """\n@reason(' in text


def test_elsewhere_stars_are_missed_and_with_values_it_makes_the_same(
    house: House, text: str, other: Gate
):
    assert "stands for a value that is there" in refusal(other, text)
    whole = text.replace("?***", f"?key={SECRET}").replace('"***"', f'"{SECRET}"')
    other.api("POST", f"{W}/apply", {"text": whole}, local=True)
    assert other.api("GET", f"{W}/export", local=True)["text"] == text
    people = other.api("GET", f"{W}/members", local=True)["items"]
    assert {each["email"]: each["status"] for each in people}["sue@x.test"] == "suspended"


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ('"/srv a"', '"/srv b"'),
        ('alias = "files"', 'alias = "files"\nrun_as = "gateway"'),
        ('alias = "files"', 'alias = "files"\ncwd = "/tmp"'),
        ("LITERAL = ", 'PATH = "/tmp/evil"\nLITERAL = '),
        ("LITERAL = ", 'API_BASE = "https://evil.example.com"\nLITERAL = '),
        ("X-Key = ", 'Host-Of = "evil"\nX-Key = '),
        ("https://web.example.com", "https://evil.example.com"),
        ("https://web.example.com/mcp?***", "https://evil.example.com/mcp"),
    ],
)
def test_a_star_goes_nowhere_else_than_where_its_secret_went(
    house: House, text: str, was: str, becomes: str
):
    assert was in text
    told = refusal(house.gate, text.replace(was, becomes))
    assert "stands for a value that is there" in told


@pytest.mark.parametrize("dry_run", ["true", "false"])
def test_what_stars_stand_for_is_in_no_answer(house: House, text: str, dry_run: str):
    slower = text.replace("call_seconds = 90.5", f"call_seconds = 9{len(dry_run)}.5")
    tagged = slower.replace('alias = "web"', f'alias = "web"\ntags = ["t{len(dry_run)}"]')
    body = {"text": tagged}
    told = house.gate.api("POST", f"{W}/apply?dry_run={dry_run}", body, local=True)
    assert len(told["lines"]) > 1
    assert SECRET not in json.dumps(told)
    house.gate.api("POST", f"{W}/apply", {"text": text}, local=True)


def test_a_suspended_owner_of_an_agent_is_made_elsewhere_too(other: Gate):
    text = (
        'workspace = "main"\nmembers = [{ email = "sid@x.test", suspended = true }]\n'
        'agents = [{ name = "sids", owner = "sid@x.test" }]\n'
    )
    lines = other.api("POST", f"{W}/apply", {"text": text}, local=True)["lines"]
    assert lines[-1] == "~ member:sid@x.test is suspended"


def test_what_was_disabled_by_hand_is_not_approved_by_an_old_file(house: House, text: str):
    house.gate.api("POST", f"{W}/servers/files/edit", {"tags": ["new"]}, local=True)
    digest = house.ok("GET", f"{W}/servers/files")["digest"]
    shown = {"description": digest, "tools": {}, "instructions": ""}
    house.gate.api("POST", f"{W}/servers/files/approve", shown, local=True)
    house.ok("POST", f"{W}/servers/files/disable", {"why": "OPS-9"})
    assert "was disabled by hand" in refusal(house.gate, text)


def test_a_guardrail_that_names_a_group_which_was_removed_goes_on_as_it_is(team: Team):
    rule = """@reason("no") forbid (principal in Gatelodge::Group::"ops", action, resource);"""
    tables = f"[[guardrails]]\nname = 'ops'\ntext = '''{rule}'''\n"
    team.apply(f'{tables}[[groups]]\nname = "ops"')
    team.api("DELETE", "/groups/ops")
    assert rule.replace('"', '\\"') in team.text
    assert team.differing() == []
    assert team.apply(f'{tables}mode = "enforce"') == []


AGENTS = """
members = [{ email = "ann@x.test" }, { email = "bob@x.test" }]
servers = [{ alias = "files", command = ["/bin/files"] }]
[[agents]]
name = "bot"
owner = "ann@x.test"
[[groups]]
name = "dev"
members = ["agent:bot"]
[[grants]]
to = "agent:bot"
server = "files"
"""


def test_an_agent_whose_owner_was_revoked_keeps_its_place_and_grants_when_all_else_is_pruned(
    team: Team,
):
    team.apply(AGENTS)
    team.api("POST", "/members/ann@x.test/revoke", {"why": "OPS-3"})
    assert "bot" not in team.text
    assert team.differing() == []
    left = AGENTS[: AGENTS.index("[[agents]]")].replace('{ email = "ann@x.test" }, ', "")
    assert team.apply(f'{left}groups = [{{ name = "dev" }}]', prune=True) == []
    team.api("POST", "/agents/bot/transfer", {"owner": "bob@x.test"})
    assert (
        team.apply(AGENTS.replace("ann@", "bob@").replace('{ email = "bob@x.test" }, ', "")) == []
    )


def test_an_agent_that_was_suspended_by_hand_stays_so_with_its_place_and_grants(team: Team):
    team.apply(AGENTS)
    team.api("POST", "/agents/bot/suspend", {"why": "OPS-4"})
    assert team.differing() == team.apply(AGENTS, prune=True) == []
    assert team.api("GET", "/agents/bot")["status"] == "suspended"


@pytest.mark.parametrize("end", ["\\r\\n", "\\n", "\\r", "\\t\\n\\r\\n"])
def test_the_line_ends_of_a_text_are_exported_as_they_are(team: Team, end: str):
    rule = f'"@reason(\\"no\\"){end}forbid (principal, action, resource);{end}"'
    team.apply(f'[[guardrails]]\nname = "lines"\ntext = {rule}')
    assert team.differing() == []


def test_a_file_is_written_in_utf8_whatever_the_locale_of_its_writer(
    team: Team, tmp_path, monkeypatch: pytest.MonkeyPatch
):
    team.apply('members = [{ email = "asa@x.test", name = "\u00c5sa \u03a9" }]')
    for name, value in {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}.items():
        monkeypatch.setitem(team.gate.env, name, value)
    file = tmp_path / "team.toml"
    done = team.gate.command("--workspace", team.slug, "export", str(file))
    assert (done.returncode, file.read_bytes()) == (0, team.text.encode())


@pytest.mark.parametrize("ends", ["9999-12-31T23:59:59-00:01", "9999-12-31T12:00:00-23:59"])
def test_a_grant_that_ends_after_the_last_time_that_can_be_written_is_refused(
    team: Team, ends: str
):
    team.apply('servers = [{ alias = "files", command = ["/bin/files"] }]')
    file = f'[[grants]]\nto = "everyone"\nserver = "files"\nexpires = {ends}'
    body = {"everyone": True, "server": "files", "until": ends}
    for path, asked in (("/apply", {"text": team.headed(file)}), ("/grants", body)):
        status, told = team.gate.ask("POST", team.at + path, asked, local=True)
        assert (status, told["code"]) == (400, "error.refused.invalid"), told
        assert re.match("grants: expires: a time after the year 9999|until: ", told["detail"])
    assert team.api("GET", "/grants")["items"] == []


@pytest.mark.parametrize("way", [(), ("--json",)])
def test_what_others_wrote_reaches_a_terminal_as_text_and_is_read_again_as_it_was(
    team: Team, way: tuple[str, ...]
):
    words = r'"/bin/x", "\u001b[2J", "\u009b2J \u202e \U000e0041", "' + "a." * 20 + '"'
    team.apply(f'servers = [{{ alias = "files", command = [{words}] }}]')
    shown = team.gate.command(*way, "--workspace", team.slug, "export").stdout
    assert r"\u202e" in shown
    assert [letter for letter in shown if not letter.isprintable() and letter != "\n"] == []
    assert team.differing() == []


def test_whoever_may_read_the_workspace_may_export_it_and_nobody_else(house: House):
    told = {role: house.ask("GET", f"{W}/export", by=role).status for role in house.tokens}
    assert told == {"owner": 200, "security": 200, "admin": 200, "auditor": 200, "member": 403}


@pytest.mark.slow
def test_the_command_writes_a_file_for_its_reader_alone_and_over_none(house: House, tmp_path):
    file, text = tmp_path / "main.toml", house.ok("GET", f"{W}/export")["text"]
    house.gate.cli("export", str(file))
    assert (file.read_text(), file.stat().st_mode & 0o777) == (text, 0o600)
    again = house.gate.command("export", str(file))
    assert (again.returncode, "cannot be written" in again.stderr) == (2, True)
    assert house.gate.command("export").stdout.strip() == text.strip()
