"""A fleet becomes a list, a proposal and the servers in its shadow; no secret leaves it."""

import json
import os
import tomllib

import pytest
from tests.unit.fleet.homes import FILES, TOKEN, WORD, write

from gatelodge.cli.main import run
from gatelodge.core.errors import HouseError
from gatelodge.flows.admin.declared.reading import parse

_ARG = "a secret stands in an argument"


@pytest.fixture
def fleet(tmp_path):
    home = tmp_path / "fleet"
    home.mkdir()
    return home


def imported(fleet, capfd, *words):
    code = run(
        ["--data-dir", str(fleet.parent / "no-gate"), "import", "--json", *words, str(fleet)]
    )
    told = capfd.readouterr()
    assert told.err == ""
    return code, json.loads(told.out)


def servers(**named):
    return json.dumps({"mcpServers": named})


def package(text, **more):
    return {"command": "npx", "args": ["-y", text], **more}


def proposal(fleet, capfd, *words):
    out = fleet.parent / "proposal.toml"
    code, told = imported(fleet, capfd, "--out", str(out), *words)
    assert code == 0
    return tomllib.loads(out.read_text()), told


def test_each_folder_is_one_persons_and_who_had_the_same_is_a_group(fleet, capfd):
    for who in ("ada", "bob"):
        write(fleet, f"{who}/.cursor/mcp.json", servers(git=package("git-mcp@1.2.3")))
    only = package("time@1.0.0", includeTools=["now"])
    write(fleet, "eve@example.org/.mcp.json", servers(git=package("git-mcp@1.2.3"), t=only))
    made, told = proposal(fleet, capfd, "--domain", "example.com")
    assert told["counts"] == {
        "owners": 3, "files": 3, "found": 4, "taken": 2, "merged": 2, "left": 0
    }  # fmt: skip
    addresses = ["ada@example.com", "bob@example.com", "eve@example.org"]
    assert [m["email"] for m in made["members"]] == addresses
    assert made["groups"] == [
        {"name": "had-git", "members": [f"member:{each}" for each in addresses]}
    ]
    assert made["grants"] == [{"to": "group:had-git", "server": "git"}]
    later = tomllib.loads((fleet.parent / "proposal-tools.toml").read_text())
    assert later["grants"] == [{"to": "member:eve@example.org", "server": "t", "tool": "now"}]
    assert [s["source"] for s in made["servers"]] == ["npm:git-mcp@1.2.3", "npm:time@1.0.0"]


def test_one_server_under_several_names_and_versions_is_one_and_told(fleet, capfd):
    for who, text in (("a", "git@1.0.0"), ("b", "git@2.0.0"), ("c", "git@2.0.0"), ("d", "git")):
        write(fleet, f"{who}/.mcp.json", servers(**{f"git-{who}": package(text)}))
    made, told = proposal(fleet, capfd)
    assert [s["source"] for s in made["servers"]] == ["npm:git@2.0.0"]
    says = {f["kind"]: f["says"] for f in told["findings"]}
    assert says["versions"].startswith("4 people run 3 versions of npm:git: 1.0.0 (1), 2.0.0 (2)")
    assert "unpinned" in says
    assert {e["outcome"] for e in told["entries"]} == {"taken", "merged"}
    assert all("e-mail" in each["reason"] for each in told["not_granted"])


def test_a_package_without_a_version_is_left_until_somebody_says_one(fleet, capfd):
    write(fleet, "ada/.mcp.json", servers(git=package("@a/git")))
    _, told = imported(fleet, capfd)
    (entry,) = told["entries"]
    assert (entry["outcome"], entry["remedy"]) == ("left", "Say which: --pin npm:@a/git@VERSION")
    made, _ = proposal(fleet, capfd, "--pin", "npm:@a/git@1.2.3")
    assert [s["source"] for s in made["servers"]] == ["npm:@a/git@1.2.3"]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({}, "neither a command"),
        ("x", "no table"),
        ({"command": "node", "args": ["/home/a/x.js"]}, "program of that machine"),
        (package("git@1.0.0", disabled=True), "switched off"),
        ({"command": "npx", "args": ["g@1.0.0", f"--api-key={TOKEN}"]}, _ARG),
        ({"command": "npx", "args": ["g@1.0.0", "--password", WORD]}, _ARG),
        ({"command": "npx", "args": ["g@1.0.0", f"db://u:{WORD}@h/x"]}, _ARG),
        ({"command": "npx", "args": ["g@1.0.0", f'{{"token": "{WORD}"}}']}, _ARG),
        ({"url": f"https://x.example/{TOKEN}/mcp"}, "secret stands in its address"),
        ({"url": f"https://x.example/mcp?key={WORD}"}, "secret stands in its address"),
        ({"url": f"https://u:{WORD}@x.example/mcp"}, "secret stands in its address"),
        ({"url": f"https://x.example/mcp;token={WORD}"}, "secret stands in its address"),
        ({"url": f"https://x.example/key={WORD}/mcp"}, "secret stands in its address"),
        ({"url": f"https://x.example/mcp?a=1;pw={WORD}"}, "secret stands in its address"),
        ({"url": f"https://x.example/mcp#token={WORD}"}, "secret stands in its address"),
        ({"command": "npx", "args": [f"git+https://u:{WORD}@h/x"]}, _ARG),
        ({"command": f"bash -c 'TOKEN={WORD} npx x | tee'"}, _ARG),
        ({"command": "npx", "args": ["g@1.0.0", "${input:key}"]}, "placeholder"),
        ({"command": "npx", "args": ["g@1.0.0", "/home/ada/notes"]}, "folder of that machine"),
        ({"command": "docker", "args": ["run", "-v", "/a:/b", "m/g:1"]}, "-v: says nothing"),
        ({"url": "http://x.example/mcp"}, "plain HTTP"),
        ({"url": "https://10.1.2.3/mcp"}, "own network"),
        ({"url": "http://localhost:3000/mcp"}, "own network"),
        ({"url": "https://gate.example/w/main/mcp"}, "the gate already"),
    ],
)
def test_what_cannot_be_taken_is_left_with_a_reason_and_a_remedy(fleet, capfd, said, reason):
    write(fleet, "ada/.mcp.json", servers(bad=said, good=package("good@1.0.0")))
    list_file = fleet.parent / "list.json"
    words = ("--gate", "https://gate.example", "--inventory", str(list_file))
    made, told = proposal(fleet, capfd, *words)
    bad, good = told["entries"]
    assert (bad["outcome"], good["outcome"]) == ("left", "taken")
    assert reason in bad["reason"]
    assert bad["remedy"]
    assert [s["alias"] for s in made["servers"]] == ["good"]
    written = (fleet.parent / "proposal.toml").read_text() + list_file.read_text()
    for secret in (TOKEN, WORD):
        assert secret not in written + json.dumps(told)


def test_secrets_are_named_and_never_told(fleet, capfd):
    for who in ("ada", "bob"):
        for path, text in FILES.values():
            write(fleet, f"{who}/{path}", text)
    made, told = proposal(fleet, capfd, "--domain", "example.com")
    assert made["secrets"] == [
        {"name": "tracker-TRACKER_TOKEN", "description": "TRACKER_TOKEN of tracker"},
        {"name": "web-Authorization", "description": "Authorization of web"},
    ]
    tracker, web = made["servers"]
    assert tracker["env"] == {"TRACKER_TOKEN": "vault:tracker-TRACKER_TOKEN"}
    assert web["headers"] == {"Authorization": "Bearer vault:web-Authorization"}
    shared = [f["says"] for f in told["findings"] if f["kind"] == "shared-secret"]
    assert any(f"TRACKER_TOKEN ({len(TOKEN)} characters)" in each for each in shared)
    words = ["--data-dir", str(fleet.parent / "no-gate"), "import", str(fleet)]
    assert run([*words, "--inventory", str(fleet.parent / "list.json")]) == 0
    assert run([*words, "--shadow"]) == 1
    shown = capfd.readouterr()
    written = (fleet.parent / "proposal.toml").read_text()
    written += (fleet.parent / "list.json").read_text() + shown.out + shown.err + json.dumps(told)
    for secret in (TOKEN, WORD):
        assert secret not in written


def test_ones_own_secret_stays_ones_own(fleet, capfd):
    for who in ("ada", "bob"):
        env = {"API_KEY": f"key-{who}-0123456789", "ASKED": "${env:ASKED}", "LOG_LEVEL": "debug"}
        write(fleet, f"{who}/.mcp.json", servers(git=package("git@1.0.0", env=env)))
    made, _ = proposal(fleet, capfd)
    (server,) = made["servers"]
    assert server["scope"] == "per_user"
    assert server["env"] == {
        "API_KEY": "vault:git-API_KEY", "ASKED": "vault:git-ASKED", "LOG_LEVEL": "debug"
    }  # fmt: skip
    assert {s["mode"] for s in made["secrets"]} == {"member"}


def test_a_proposal_is_what_apply_takes_but_for_images(fleet, capfd):
    for path, text in FILES.values():
        write(fleet, f"ada/{path}", text)
    made, _ = proposal(fleet, capfd, "--domain", "example.com")
    text = (fleet.parent / "proposal.toml").read_text()
    source = 'source = "npm:@a/tracker@1.2.3"'
    parse(text.replace(source, f'{source}\nimage = "sha256:{"0" * 64}"'))
    assert made["workspace"] == "main"
    with pytest.raises(HouseError, match="image"):
        parse(text)


def test_filters_never_give_more_than_they_let_through(fleet, capfd):
    write(fleet, "ada/.mcp.json", servers(a=package("a@1.0.0", excludeTools=["rm"])))
    write(fleet, "bob/.mcp.json", servers(a=package("a@1.0.0", includeTools=[])))
    some = package("a@1.0.0", enabled_tools=["x", "rm"], disabled_tools=["rm"])
    write(fleet, "eve/.mcp.json", servers(a=some))
    made, told = proposal(fleet, capfd, "--domain", "example.com")
    assert "grants" not in made
    assert told["granted_later"] == [{"to": "member:eve@example.com", "server": "a", "tool": "x"}]
    assert sorted(each["owner"] for each in told["not_granted"]) == ["ada", "bob"]


def test_names_of_laptops_move_no_cursor_and_write_no_line_of_a_file(fleet, capfd):
    odd = "a\u202eb\x1b[2J\n[[grants]]\nto = 'everyone'"
    write(fleet, "ada/.mcp.json", servers(**{odd: {"command": "x"}, f"b{odd}": package("b@1.0.0")}))
    made, _ = proposal(fleet, capfd, "--domain", "example.com")
    assert len(made["grants"]) == 1
    text = (fleet.parent / "proposal.toml").read_text()
    assert run(["--data-dir", str(fleet.parent / "no-gate"), "import", str(fleet)]) == 0
    for shown in (text, capfd.readouterr().out):
        assert not {"\u202e", "\x1b"} & set(shown)


def test_hostile_files_are_told_and_the_rest_is_read(fleet, capfd):
    write(fleet, "ada/.mcp.json", servers(git=package("git@1.0.0")))
    write(fleet, "bob/.cursor/mcp.json", "{" * 50_000)
    (fleet / "eve/.codex").mkdir(parents=True)
    os.mkfifo(fleet / "eve/.codex/config.toml")
    outside = write(fleet.parent, "outside.json", servers(x=package("x@1.0.0")))
    (fleet / "max/.cursor").mkdir(parents=True)
    (fleet / "max/.cursor/mcp.json").symlink_to(outside)
    (fleet / "max/loop").symlink_to(fleet)
    (fleet / "zoe/.cursor").mkdir(parents=True)
    (fleet / "zoe/.cursor/mcp.json").symlink_to("mcp.json")
    (fleet / "zoe/.mcp.json").mkdir()
    with write(fleet, "kim/.claude.json", "").open("wb") as large:
        large.truncate(1 << 33)
    code, told = imported(fleet, capfd)
    assert (code, told["counts"]["found"], told["counts"]["taken"]) == (0, 1, 1)
    assert sorted(each["file"] for each in told["skipped"]) == [
        "bob/.cursor/mcp.json",
        "eve/.codex/config.toml",
        "kim/.claude.json",
        "max/.cursor/mcp.json",
        "zoe/.cursor/mcp.json",
        "zoe/.mcp.json",
    ]


def test_an_import_of_nothing_says_what_to_name(fleet, capfd):
    assert run(["import"]) == 2
    assert "--discover" in capfd.readouterr().err
    assert run(["import", str(fleet / "none")]) == 2
    assert not (fleet.parent / "no-gate").exists()
