"""What a mirror of a repository says, read with git, of which it can start nothing."""

import os
import subprocess
import time

import pytest
from tests.contract.evidence.places import subject
from tests.fakes.world import StillClock

from gatelodge.adapters.evidence.git_mirrors import ENVIRONMENT, GitMirrors
from gatelodge.adapters.runtime.packages.tools import run_tool
from gatelodge.core.ids import Instant
from gatelodge.core.trust.evidence import PackageEvidence
from gatelodge.ports.trust.evidence import EvidenceGap

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

DAY = 86_400
NOW = 1_795_000_000
URL = "https://code.example/Acme/servers"
SERVER = "pypi:some-server@1.0"


class Work:
    """A repository that is worked on, and its mirror below a directory."""

    def __init__(self, folder):
        self.tree, self.top = folder / "work", folder / "mirrors"
        self.mirror = self.top / "code.example/Acme/servers.git"
        self.git(folder, "init", "-q", "-b", "main", str(self.tree))

    def git(self, where, *words, **env):
        command = ["git", "-c", "user.name=x", "-c", "user.email=x@x.y", *words]
        subprocess.run(command, cwd=where, env={**os.environ, **ENVIRONMENT, **env}, check=True)

    def commit(self, days, who="Ada <ada@x.y>", **files):
        for path, text in files.items():
            place = self.tree / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        at = f"{NOW - days * DAY} +0000"
        self.git(self.tree, "add", "-A")
        words = ("commit", "-q", "--allow-empty", "-m", "x", f"--author={who}")
        self.git(self.tree, *words, GIT_AUTHOR_DATE=at, GIT_COMMITTER_DATE=at)

    def publish(self, days=0):
        """Have it mirrored, so many days ago."""
        self.git(self.tree, "-c", "protocol.allow=always", "clone", "-q", "--mirror", ".",
                 str(self.mirror), GIT_ALLOW_PROTOCOL="file")  # fmt: skip
        for name in ("packed-refs", "HEAD", "refs/heads", "refs/tags"):
            if (self.mirror / name).exists():
                os.utime(self.mirror / name, (NOW - days * DAY,) * 2)

    async def ask(self, text=SERVER, url=URL, run=run_tool):
        package = PackageEvidence(source="itself", at=Instant(0), repository=url)
        clock = StillClock(NOW * 1_000_000)
        return await GitMirrors(lambda: self.top, run, clock).gather(subject(text, package=package))


@pytest.fixture
def work(tmp_path):
    return Work(tmp_path)


PROJECT = '[project]\nname = "Some_Server"\n'


async def test_the_history_of_the_servers_own_folder_is_told(work):
    other = {"other/pyproject.toml": '[project]\nname="x"\ndependencies=["some-server"]\n'}
    work.commit(300, **{"src/a/pyproject.toml": PROJECT, "SECURITY.md": "x", **other})
    work.commit(80, "Bob <bob@x.y>", **{"src/a/main.py": "1"})
    work.git(work.tree, "tag", "some-server-v1.0")
    work.commit(20, "Ada L. <ada@home>", **{".mailmap": "Ada <ada@x.y> <ada@home>\n"})
    work.commit(15, "Ada L. <ada@home>", **{"src/a/main.py": "2"})
    work.commit(10, "renovate[bot] <1+renovate[bot]@x.y>", **{"src/a/main.py": "3"})
    work.commit(5, "Eve <eve@x.y>", **{"other/main.py": "1"})
    work.publish()
    found = await work.ask()
    assert (found.url, found.source) == (URL, "a mirror of code.example/Acme/servers")
    assert (found.folder, found.names_package, found.security_policy) == ("src/a", True, True)
    assert (found.commits_30, found.commits_90, found.commits_365) == (1, 2, 3)
    assert found.half_of_year == 1
    assert (found.tag, found.tag_at) == ("some-server-v1.0", (NOW - 80 * DAY) * 1_000_000)
    assert (found.head_at, found.at) == ((NOW - 5 * DAY) * 1_000_000, NOW * 1_000_000)
    assert found.archived is None


async def test_what_nobody_works_on_any_more_is_told_as_of_the_last_fetch(work):
    work.commit(400, **{"package.json": '{"name": "@acme/server"}'})
    work.publish(days=100)
    found = await work.ask("npm:@acme/server@1.0.0", "git@code.example:Acme/servers.git")
    assert (found.names_package, found.commits_90, found.commits_365) == (True, 0, 1)
    assert found.at == (NOW - 100 * DAY) * 1_000_000
    assert (found.folder, found.tag, found.security_policy) == ("", "", False)


async def test_a_repository_that_does_not_name_the_package_back_is_told(work):
    work.commit(1, **{"pyproject.toml": PROJECT.replace("Some", "Other")})
    work.publish()
    assert (await work.ask()).names_package is False
    assert (await work.ask(f"oci:localhost/x@sha256:{'a' * 64}")).names_package is None


@pytest.mark.parametrize("url", ["", "https://code.example/acme/none", "https://code.example/../x"])
async def test_a_repository_that_is_not_mirrored_is_a_gap(work, url):
    work.commit(1, a="b")
    work.publish()
    assert isinstance(await work.ask(url=url), EvidenceGap)


async def test_a_mirror_that_leads_out_of_the_directory_is_none(work, tmp_path):
    work.commit(1, **{"pyproject.toml": PROJECT})
    work.publish()
    outside = tmp_path / "outside.git"
    work.mirror.rename(outside)
    work.mirror.symlink_to(outside)
    assert "not mirrored" in (await work.ask()).why


@pytest.mark.parametrize("harm", ["empty", "broken", "unborn"])
async def test_a_mirror_that_cannot_be_read_is_a_gap(work, harm):
    if harm == "empty":
        work.mirror.mkdir(parents=True)
    else:
        if harm == "broken":
            work.commit(1, a="b")
        work.publish()
        for each in (work.mirror / "objects").rglob("*"):
            if each.is_file():
                each.unlink()
    found = await work.ask()
    assert isinstance(found, EvidenceGap)
    assert "could not be read" in found.why


async def test_nothing_that_a_repository_sets_is_started(work, tmp_path):
    work.commit(1, **{"pyproject.toml": PROJECT, ".gitattributes": "* diff=x textconv=x\n"})
    work.publish()
    mark = tmp_path / "mark"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {mark}\n")
    program.chmod(0o755)
    config = work.mirror / "config"
    settings = ("core.fsmonitor", "core.pager", "diff.external", "diff.x.textconv", "gpg.program")
    for name in (*settings, "core.editor", "core.sshCommand", "uploadpack.packObjectsHook"):
        work.git(tmp_path, "config", "--file", str(config), name, str(program))
    work.git(tmp_path, "config", "--file", str(config), "log.showSignature", "true")
    hooks = work.mirror / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-checkout", "reference-transaction", "post-index-change"):
        (hooks / name).write_text(program.read_text())
        (hooks / name).chmod(0o755)
    assert (await work.ask()).names_package is True
    assert not mark.exists()


async def test_a_program_that_never_ends_is_ended(work, monkeypatch):
    work.commit(1, **{"pyproject.toml": PROJECT})
    work.publish()
    monkeypatch.setattr("gatelodge.adapters.evidence.git_mirrors.SECONDS", 0.2)

    async def slow(_, cwd, env, seconds):
        return await run_tool(("sleep", "60"), cwd, env, seconds)

    began = time.monotonic()
    assert "in time" in (await work.ask(run=slow)).why
    assert time.monotonic() - began < 20
