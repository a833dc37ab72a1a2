"""Laws of an import: nothing is lost, nothing is raised, no secret leaves."""

import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gatelodge.core.errors import Invalid
from gatelodge.core.fleet.documents import read_document
from gatelodge.core.fleet.entry import EntryPlace
from gatelodge.core.fleet.inventory import inventory
from gatelodge.core.fleet.judge import TakingRules
from gatelodge.core.fleet.merge import merged
from gatelodge.core.fleet.normalise import normalised
from gatelodge.core.fleet.places import said_entries
from gatelodge.core.fleet.proposal import ProposalWishes, proposed

CANARY = "zq7Canary0Zq7canary9"
_text = st.text(max_size=12)
_words = st.sampled_from(
    ["npx", "-y", "uvx", "a@1.0.0", "a", "--from", "docker", "run", "-e", "A=b", "bash", "-c",
     "mcp-remote", "https://x.example/mcp", "${X}", "cmd", "/c", "--header", "https://[", "@"]
)  # fmt: skip
_value = st.one_of(_text, st.none(), st.booleans(), st.integers(), _words)
_keys = st.sampled_from(
    ["command", "args", "env", "url", "headers", "disabled", "includeTools", "type", "tools", "cwd",
     "serverUrl", "environment", "name", "enabled", "bearer_token_env_var", "requestOptions"]
)  # fmt: skip
_parts = st.one_of(
    _value, st.lists(_words, max_size=6), st.lists(_value, max_size=4),
    st.dictionaries(_text, _value, max_size=4),
)  # fmt: skip
_said = st.one_of(_value, st.dictionaries(_keys, _parts, max_size=6))
_documents = st.dictionaries(
    st.sampled_from(["mcpServers", "servers", "mcp", "projects", "extensions", "x"]),
    st.one_of(st.dictionaries(_text, _said, max_size=5), st.lists(_said, max_size=4), _value),
    max_size=3,
)


def ended(documents, rules=None):
    entries = []
    for at, document in enumerate(documents):
        for said in said_entries(document):
            place = EntryPlace(
                owner=f"o{at % 3}", client="", file="f", project=said.project, name=said.name
            )
            entries.append(normalised(place, said, lambda value: str(len(value))))
    fleet = merged(entries, rules or TakingRules())
    wishes = ProposalWishes(addresses={"o0": "a@example.com", "o1": "b@example.com"})
    return entries, fleet, proposed(fleet, wishes)


@given(st.lists(_documents, max_size=4), st.booleans())
def test_every_entry_ends_in_exactly_one_way(documents, off):
    entries, fleet, proposal = ended(documents, TakingRules(off=off))
    assert [end.entry for end in fleet.ends] == entries
    found = inventory(fleet, owners=1, files=1)
    assert found.taken + found.merged + found.left == found.found == len(entries)
    assert found.taken == len(fleet.servers)
    assert sum(each.entries for each in found.servers) == len(entries)
    assert all(end.reason and end.remedy for end in fleet.ends if end.outcome == "left")
    assert all(end.alias for end in fleet.ends if end.outcome != "left")
    assert len({server.alias for server in fleet.servers}) == len(fleet.servers)
    named = {row["server"] for row in proposal.tables.get("grants", ())}
    assert named <= {server.alias for server in fleet.servers}


@given(st.binary(max_size=200), st.sampled_from(["json", "toml", "yaml"]))
def test_no_bytes_raise_anything_but_what_is_told(octets, form):
    try:
        document = read_document(octets, form)
    except Invalid:
        return
    ended([document])


@given(
    st.lists(_words, max_size=5),
    st.sampled_from(["{}", "--token={}", "Bearer {}", "https://x/{}/y", "https://u:{}@h/", "k={}"]),
    st.integers(0, 5),
    st.sampled_from(["args", "env", "headers", "url", "command", "name", "tool", "cwd", "envname"]),
)
def test_a_key_does_not_leave_wherever_it_stands(words, form, at, where):
    text = form.format(CANARY)
    said = {"command": "npx", "args": words}
    name = "s"
    match where:
        case "args":
            said["args"] = [*words[:at], text, *words[at:]]
        case "env" | "headers":
            said[where] = {"A": text}
        case "envname":
            said["env"] = {text: "x"}
        case "url":
            said = {"url": text}
        case "name":
            name = text
        case "tool":
            said["includeTools"] = [text]
        case _:
            said[where] = text
    _, fleet, proposal = ended([{"mcpServers": {name: said}}])
    told = inventory(fleet, owners=1, files=1)
    shown = [msgspec.to_builtins(each) for each in (told, proposal, fleet)]
    assert CANARY.lower() not in json.dumps(shown).lower()
