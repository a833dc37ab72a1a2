"""A program of this machine is shown the system and what is its own, and never more."""

import tempfile
from pathlib import Path

import pytest

from gatelodge.adapters.runtime.landlock.host_view import make_host_view
from gatelodge.core.errors import LaunchRefused

PATH = "/usr/bin:/bin"


@pytest.fixture
def home(monkeypatch):
    # Not below pytest's folder: that may stand in /dev/shm, where nothing is a program's own.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        at = Path(folder).resolve() / "home"
        at.mkdir()
        monkeypatch.setenv("HOME", str(at))
        yield at


def made(path, text=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def shown(program, *arguments, cwd="", hidden=()):
    """What is shown beside the system."""
    view = make_host_view(str(program), map(str, arguments), PATH, str(cwd), hidden)
    own = {source for source, _, _ in view.binds}
    return {each for each in own if not each.startswith(("/usr", "/etc", "/lib", "/bin", "/sbin"))}


def test_of_the_settings_of_the_machine_none_that_tells_of_users_or_hosts():
    view = make_host_view("/usr/bin/env", (), PATH, "", ())
    sources = {source for source, _, _ in view.binds}
    assert "/usr" in sources
    told = ("passwd", "shadow", "group", "hosts", "hostname", "resolv.conf", "ssh", "ssl/private")
    assert not {f"/etc/{each}" for each in told} & sources
    assert "/etc" not in sources
    assert not any(each.startswith(("/proc", "/sys", "/dev", "/run", "/var")) for each in sources)
    assert {kind for source, _, kind in view.binds if source.startswith("/etc")} == {"read"}


def test_a_virtual_environment_is_shown_with_the_python_that_it_was_made_from(home):
    base = home / "pythons" / "3.13"
    made(base / "bin" / "python3.13").chmod(0o755)
    (base / "lib").mkdir()
    venv = home / "app" / ".venv"
    made(venv / "pyvenv.cfg", f"home = {base}/bin\n")
    (venv / "bin").mkdir()
    (venv / "bin" / "python3").symlink_to(base / "bin" / "python3.13")
    (venv / "bin" / "python").symlink_to("python3")
    script = made(venv / "bin" / "server", f"#!{venv}/bin/python\n")
    for program in (venv / "bin" / "python", script):
        assert shown(program) == {str(venv), str(base)}


def test_a_tool_of_the_users_is_shown_and_not_what_lies_beside_it(home):
    tool = home / ".local" / "share" / "uv" / "tools" / "server"
    made(tool / "pyvenv.cfg", "home = /usr/bin\n")
    made(tool / "bin" / "server", "#!/usr/bin/python3\n")
    (home / ".local" / "bin").mkdir()
    (home / ".local" / "lib").mkdir()
    link = home / ".local" / "bin" / "server"
    link.symlink_to(tool / "bin" / "server")
    made(home / ".local" / "share" / "keyrings" / "login")
    assert shown(link) == {str(tool)}


def test_a_package_of_node_is_shown_with_its_dependencies_alone(home):
    at = home / "project" / "node_modules"
    made(at / "server" / "dist" / "index.js", "#!/usr/bin/env node\n")
    (at / ".bin").mkdir()
    (at / ".bin" / "server").symlink_to("../server/dist/index.js")
    made(home / "project" / ".env", "SECRET=1")
    assert shown(at / ".bin" / "server") == {str(at)}
    assert shown("/usr/bin/env", at / "server" / "dist" / "index.js") == {str(at)}


def test_the_folder_of_a_script_is_its_own_unless_it_is_everybodys(home):
    script = made(home / "servers" / "notes" / "server.py")
    assert shown("/usr/bin/python3", script) == {str(script.parent)}
    at_home = made(home / "server.py")
    assert shown("/usr/bin/python3", at_home) == {str(at_home)}
    above = made(home.parent / "server.py")
    assert shown("/usr/bin/python3", above) == {str(above)}
    settings = made(home / "servers" / "settings.json")
    assert shown("/usr/bin/python3", script, "--config", settings) == {
        str(script.parent),
        str(settings),
    }
    assert shown("/usr/bin/python3", "/no/such/file.py", "relative.py", home) == set()


def test_what_is_hidden_within_a_folder_is_covered(home):
    script = made(home / "project" / "server.py")
    data = home / "project" / "gatelodge-data"
    (data / "cache").mkdir(parents=True)
    view = make_host_view("/usr/bin/python3", (str(script),), PATH, "", (data, data / "cache"))
    assert view.covers == [str(data)]


def test_a_program_among_the_gates_own_files_is_refused(home):
    data = home / "project" / "gatelodge-data"
    script = made(data / "server.py")
    link = home / "link.py"
    link.symlink_to(script)
    for each in (script, link):
        with pytest.raises(LaunchRefused, match="gate's own files") as refused:
            make_host_view("/usr/bin/python3", (str(each),), PATH, "", (data,))
        assert "hosting.plain_commands" in refused.value.remedy


def test_links_on_the_way_lead_to_the_same_place_as_outside(home):
    real = made(home / "disk" / "app" / "server.py")
    (home / "apps").symlink_to("disk")
    view = make_host_view("/usr/bin/python3", (f"{home}/apps/app/server.py",), PATH, "", ())
    assert (str(home / "apps"), "disk") in view.links
    assert (str(real.parent), str(real.parent), "run") in view.binds
    (home / "loop").symlink_to("loop")
    assert shown("/usr/bin/python3", home / "loop" / "server.py") == set()


@pytest.mark.parametrize("wide", ["/", "/etc", "~", "/proc/self"])
def test_a_working_directory_that_holds_more_than_a_program_is_refused(home, wide):
    with pytest.raises(LaunchRefused, match="more than one program") as refused:
        shown("/usr/bin/python3", cwd=wide.replace("~", str(home)))
    assert "--cwd" in refused.value.remedy
    project = made(home / "project" / "server.py").parent
    assert shown("/usr/bin/python3", "server.py", cwd=project) == {str(project)}


@pytest.mark.parametrize(("program", "source"), [("npx", "npm:"), ("uvx", "pypi:")])
def test_a_program_that_fetches_what_it_runs_is_refused_with_what_to_do_instead(program, source):
    with pytest.raises(LaunchRefused, match="no network") as refused:
        make_host_view(f"/usr/bin/{program}", ("-y", "x"), PATH, "", ())
    assert source in refused.value.remedy


def test_what_is_shown_is_shown_once():
    view = make_host_view("/usr/bin/python3", ("/usr/bin/env",), PATH, "/usr", ())
    targets = [target for _, target, _ in view.binds]
    assert len(targets) == len(set(targets))
    for link, target in view.links:
        assert str(Path(link).readlink()) == target


def test_a_directory_that_the_command_names_is_read_and_written_only_where_the_operator_says(home):
    notes, work = home / "notes", home / "work" / "here"
    for each in (notes, work):
        each.mkdir(parents=True)
    words = (str(notes), f"--root={work}", str(home), "/etc")
    view = make_host_view("/usr/bin/python3", words, PATH, "", (), (str(home / "work"),))
    kinds = {target: kind for _, target, kind in view.binds}
    assert (kinds[str(notes)], kinds[str(work)]) == ("read", "write")
    assert str(home) not in kinds
    assert "/etc" not in kinds
