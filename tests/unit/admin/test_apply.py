import pytest

from gatelodge.core.catalog.server import Server
from gatelodge.core.errors import Conflict, Invalid
from gatelodge.core.people import Agent, Member
from gatelodge.core.policy.rules import Grant
from gatelodge.flows.admin import groups, guardrails, members, servers, tools
from gatelodge.flows.admin.apply import MOST_CHANGES, apply, planned, present
from gatelodge.flows.admin.declared.export import exported
from gatelodge.flows.admin.declared.reading import parse
from gatelodge.flows.identity import tokens

FILE = """
workspace = "main"

[[members]]
email = "olga@example.com"
role = "owner"

[[members]]
email = "Ann@example.com"
name = "Ann"
role = "admin"

[[agents]]
name = "ci"
owner = "ann@example.com"

[[groups]]
name = "dev"
members = ["member:ANN@example.com", "agent:ci"]

[[servers]]
alias = "git"
command = ["mcp-git"]
env = { TOKEN = "env:GIT_TOKEN" }
tags = ["code", "a"]
hidden_capabilities = ["sampling", "roots"]
approved = true

[[servers]]
alias = "web"
url = "https://web.example.com/mcp"

[[grants]]
to = "group:dev"
server = "git"

[[grants]]
to = "everyone"
server = "web"
level = "read"
expires = 2027-06-01T00:00:00Z

[[guardrails]]
name = "no-log"
text = '@reason("no") forbid (principal, action, resource);'
"""

WHOLE = [
    "+ member ann@example.com as admin",
    "+ agent ci, owned by ann@example.com",
    "+ group dev",
    "+ member:ann@example.com joins group dev",
    "+ agent:ci joins group dev",
    "+ server git",
    "~ server git is approved",
    "+ server web",
    "+ guardrail no-log (enforce)",
    "+ grant group:dev may use git/*",
    "+ grant everyone may read web/* until 2027-06-01T00:00:00+00:00",
]


def made(house, text=FILE, *, prune=False, by="local"):
    """What applying the file changed, in words."""
    done = house.do(apply, house.workspace, parse(text), prune=prune, by=by)
    return [str(change) for change in done]


def dry(house, text=FILE, *, prune=False):
    at = house.clock.now()
    look = house.look(lambda tx: planned(tx, house.workspace, parse(text), at, prune=prune))
    return [str(change) for change in look]


def test_a_dry_run_tells_everything_and_does_nothing(house):
    assert dry(house) == WHOLE
    assert house.leaves() == []


def test_a_file_is_applied_in_one_transaction(house):
    before = house._portal.call(house.store.poll, 0).gov
    assert made(house) == WHOLE
    assert len(house.leaves()) == 11
    assert house._portal.call(house.store.poll, 0).gov == before + 11
    git = house.find(Server, workspace=house.workspace, alias="git")[0]
    assert (git.status, git.tags) == ("approved", ("a", "code"))
    assert git.hidden_capabilities == ("roots", "sampling")
    agent = house.find(Agent, workspace=house.workspace)[0]
    ann = house.find(Member, workspace=house.workspace, email="ann@example.com")[0]
    assert agent.owner == ann.id
    granted = {(g.grantee_kind, g.level) for g in house.find(Grant, workspace=house.workspace)}
    assert granted == {("group", "use"), ("everyone", "read")}


def test_a_second_time_nothing_is_left_to_do(house):
    made(house)
    house.leaves()
    assert dry(house) == dry(house, prune=True) == made(house) == made(house, prune=True) == []
    assert house.leaves() == []


OTHERWISE = [
    ('name = "Ann"', 'name = " Ann\t"'),
    ('email = "Ann@example.com"', 'email = " ANN@example.com "'),
    ('name = "ci"', 'name = " CI "'),
    ('owner = "ann@example.com"', 'owner = "Ann@Example.com "'),
    ('name = "dev"', 'name = "DEV "'),
    ('"agent:ci"', '"agent: Ci"'),
    ('to = "group:dev"', 'to = "group:Dev "'),
    ('["code", "a"]', '[" code", "a ", "code"]'),
    ('name = "no-log"', 'name = " no-log"'),
]


@pytest.mark.parametrize("first", [True, False], ids=["at first", "later"])
@pytest.mark.parametrize("change", [*([each] for each in OTHERWISE), OTHERWISE], ids=str)
def test_a_second_time_nothing_is_left_to_do_however_names_are_spelled(house, change, first):
    text = FILE
    for old, new in change:
        assert old in text
        text = text.replace(old, new)
    made(house, text if first else FILE)
    house.leaves()
    for again in (text, FILE):
        assert dry(house, again) == dry(house, again, prune=True) == made(house, again) == []
    assert house.leaves() == []


def test_one_bad_change_keeps_all_of_them_out(house):
    with pytest.raises(Invalid, match="Line 1: a guardrail can only forbid"):
        made(house, FILE.replace("forbid", "permit"))
    assert house.leaves() == []
    assert dry(house) == WHOLE


def test_only_what_differs_is_changed(house):
    made(house)
    text = (
        FILE.replace('role = "admin"', 'role = "auditor"')
        .replace('["mcp-git"]', '["mcp-git", "--read-only"]')
        .replace("2027-06-01", "2027-07-01")
        .replace("forbid (principal, action, resource);", "forbid (principal, action, resource) ;")
        .replace('owner = "ann@example.com"', 'owner = "olga@example.com"')
    )
    assert made(house, text) == [
        "~ member ann@example.com becomes auditor",
        "~ agent ci goes to olga@example.com; its tokens end",
        "~ server git is reached in another way, so it waits for approval again",
        "~ server git is approved",
        "+ guardrail no-log (enforce)",
        "- grant everyone may read web/*",
        "+ grant everyone may read web/* until 2027-07-01T00:00:00+00:00",
    ]
    assert made(house, text) == []


def test_what_the_file_does_not_name_ends_only_when_pruned(house):
    made(house)
    short = FILE[: FILE.index("[[servers]]")].replace(', "agent:ci"', "")
    assert made(house, short) == []
    assert made(house, short, prune=True) == [
        "- agent:ci parts from group dev",
        "- guardrail no-log",
        "- grant group:dev may use git/*",
        "- grant everyone may read web/*",
    ]
    live = [row for row in house.look(guardrails.listed, house.workspace) if row.mode != "retired"]
    assert live == house.find(Grant, workspace=house.workspace) == []
    assert len(house.look(servers.listed, house.workspace)) == 2


def test_a_pruned_group_leaves_other_groups_alone(house):
    made(house)
    other = house.do(groups.create, house.workspace, "other").id
    house.do(groups.add_member, house.workspace, other, house.owner)
    assert made(house, prune=True) == []
    assert house.look(groups.places, house.workspace, other)


@pytest.mark.guarantee("revoke:under-a-second")
def test_a_file_never_brings_a_leaver_back(house):
    made(house)
    ann = house.find(Member, workspace=house.workspace, email="ann@example.com")[0].id
    house.do(members.revoke, house.workspace, ann)
    with pytest.raises(Invalid, match="is revoked"):
        made(house)
    back = house.member("ann", "admin")
    assert back != ann
    assert "~ agent ci goes to ann@example.com; its tokens end" in dry(house)


def test_what_was_stopped_by_hand_stays_stopped(house):
    made(house)
    git = house.find(Server, workspace=house.workspace, alias="git")[0].id
    ann = house.find(Member, workspace=house.workspace, email="ann@example.com")[0].id
    house.do(servers.disable, house.workspace, git)
    house.do(members.suspend, house.workspace, ann)
    assert made(house) == []


def test_a_file_lands_in_its_own_workspace_only(house):
    with pytest.raises(Conflict, match="'other'"):
        made(house, FILE.replace('"main"', '"other"'))


def test_every_unknown_name_is_told_at_once(house):
    text = """
workspace = "main"
[[agents]]
name = "ci"
owner = "nobody@example.com"
[[groups]]
name = "dev"
members = ["agent:ghost", "agent:ci"]
[[grants]]
to = "group:absent"
server = "nowhere"
"""
    with pytest.raises(Invalid) as caught:
        made(house, text)
    assert caught.value.detail == (
        "there is no agent:ghost; there is no group:absent; "
        "there is no member:nobody@example.com; there is no server nowhere"
    )


def test_names_may_stand_for_what_is_already_in_the_workspace(house):
    made(house)
    text = 'workspace = "main"\n[[grants]]\nto = "agent:ci"\nserver = "git"\ntool = "log"'
    git = house.find(Server, workspace=house.workspace, alias="git")[0].id
    house.do(tools.take_stock, house.workspace, git, [b'{"name":"log"}'])
    assert made(house, text) == ["+ grant agent:ci may use git/log"]


def test_a_wanted_grant_that_is_over_is_not_made(house):
    made(house)
    house.clock.step(400 * 86_400)
    assert dry(house, prune=True) == []


def test_only_who_may_give_a_role_gives_it_by_file(house):
    admin = house.member("admin", "admin")
    with pytest.raises(Exception, match="does not reach"):
        made(house, FILE.replace('role = "admin"', 'role = "auditor"'), by=admin)
    assert dry(house) == WHOLE


def test_an_agent_keeps_its_tokens_when_its_owner_stays(house):
    made(house)
    agent = house.find(Agent, workspace=house.workspace)[0].id
    house.do(tokens.issue, house.peppers, house.workspace, agent, "t")
    made(house)
    assert len(house.look(tokens.of, house.workspace, agent)) == 1


def test_every_table_of_the_file_is_told_with_its_line_and_what_would_be_right():
    text = """
workspace = "main"
gruops = []
[[members]]
email = "ada@example.com"
role = "root"
[[grants]]
to = "everyone"
server = "crm"
levl = "all"
[[grants]]
to = "everyone"
server = "crm"
level = "admin"
"""
    with pytest.raises(Invalid) as refused:
        parse(text)
    told = refused.value.detail
    for part in (
        "there is no key `gruops`; did you mean `groups`?",
        "members[0] (line 4): role: 'root' is not one of owner, security,",
        "grants[0] (line 7): there is no key `levl`; did you mean `level`?",
        "grants[1] (line 11): level: 'admin' is not one of read, use, all",
    ):
        assert part in told


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 3000,
        "x" * 2_000_000,
        "a = " + "{a = " * 3000,
        "a" + ".a" * 400_000 + " = 1",
        "[" + "'a' . " * 100_000 + "a]",
        "a = " + "9" * 5000,
        "\n".join(f"k{n} = 1" for n in range(2000)),
    ],
)
def test_a_file_that_is_no_file_is_refused_whatever_its_shape(text):
    with pytest.raises(Invalid):
        parse(text)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("workspace = ", "not TOML"),
        ("", "workspace"),
        ('workspace = "main"\nextra = 1', "extra"),
        ('workspace = "main"\n[[members]]\nemail = "a@b"\nrole = "root"', "role"),
        ('workspace = "main"\n[[members]]\nemail = "nobody"', "e-mail"),
        ('workspace = "main"\n[[groups]]\nname = "g"\nmembers = ["ann"]', "members"),
        ('workspace = "main"\n[[grants]]\nto = "all"\nserver = "x"', "to"),
        (
            'workspace="main"\n[[grants]]\nto="everyone"\nserver="x"\nexpires=2027-01-01T00:00:00',
            "expires",
        ),
        ('workspace = "main"\n[[servers]]\nalias = "x"', "command or a url"),
        (
            'workspace = "main"\n[[servers]]\nalias = "x"\ncommand = ["a"]\nurl = "https://x"',
            "command or a url",
        ),
        ('workspace = "main"\n[[groups]]\nname = "g"\n[[groups]]\nname = "g"', "g stands twice"),
        (
            'workspace = "main"\n[[members]]\nemail = "A@b"\n[[members]]\nemail = "a@b"',
            "a@b stands twice",
        ),
        (
            (
                'workspace = "main"\n[[grants]]\nto = "member:A@b"\nserver = "s"\n'
                '[[grants]]\nto = "member:a@B "\nserver = "s"'
            ),
            "member:a@b on s/ .* stands twice",
        ),
        (
            (
                'workspace = "main"\n[[grants]]\nto = "group:Dev"\nserver = "s"\n'
                '[[grants]]\nto = "group:dev"\nserver = "s"'
            ),
            "group:dev on s/ .* stands twice",
        ),
        ('workspace = "main"\n[[members]]\nemail = "a@b"\nname = " "', "members: name: ' '"),
        (
            (
                'workspace = "main"\n[[guardrails]]\nname = "r"\ntext = ""\n'
                '[[guardrails]]\nname = "r "\ntext = ""'
            ),
            "guardrails: r stands twice",
        ),
    ],
)
def test_a_fault_of_the_file_is_told_by_its_place(text, place):
    with pytest.raises(Invalid, match=place):
        parse(text)


def test_more_changes_than_others_can_wait_for_are_refused_and_none_is_made(house):
    tables = "\n".join(f'[[groups]]\nname = "g{n}"' for n in range(MOST_CHANGES + 1))
    file = parse(f'workspace = "main"\n{tables}')
    house.leaves()
    with pytest.raises(Invalid, match="at once"):
        house.do(apply, house.workspace, file)
    assert house.leaves() == []


def test_a_file_hands_ownership_over_in_whatever_order_it_names_people(house):
    text = 'workspace = "main"\n'
    for email, role in (("olga@example.com", "member"), ("zed@example.com", "owner")):
        text += f'[[members]]\nemail = "{email}"\nrole = "{role}"\n'
    assert made(house, text) == [
        "+ member zed@example.com as owner",
        "~ member olga@example.com becomes member",
    ]
    assert made(house, text) == []


@pytest.mark.parametrize(
    "ends",
    ["9999-12-31T23:59:59.999999", "2600-01-01T00:00:00.000001", "2300-01-01T00:00:00.000007"],
)
def test_a_grant_ends_to_the_microsecond_when_the_file_says(house, ends):
    text = FILE.replace("2027-06-01T00:00:00", ends)
    made(house, text)
    assert made(house, text) == []
    at = house.clock.now()
    told = exported(house.look(present, house.workspace, at), "main")
    assert ends.replace("T", " ") in told
    assert made(house, told, prune=True) == []
