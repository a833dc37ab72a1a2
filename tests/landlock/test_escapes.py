"""A server in the weak tier reaches nothing of the user that it runs as, or of the gate."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
PLAIN_UID = 12_345
UIDS = ("plain", "root") if os.geteuid() == 0 else ("plain",)
PYTHON = "/usr/bin/python3"


class Stage:
    """A folder of its own for a gate of some uid: script, data directory, and a victim beside."""

    def __init__(self, folder: Path, uid: int | None) -> None:
        self.folder, self.uid = folder, uid
        self.app, self.data, self.tmp = folder / "app", folder / "app" / "data", folder / "tmp"
        for each in (self.app, self.data, self.tmp, folder / "victim"):
            each.mkdir()
            if uid:
                os.chown(each, uid, uid)
        self.script = str(shutil.copy(HERE / "prober.py", self.app))
        (self.app / "beside.py").write_text("")
        (self.data / "gate.db").write_text("of the gate")
        (self.data / "gate.db").chmod(0o644)
        self.name = uuid.uuid4().hex

    def run(self, *command: str, **given: object) -> subprocess.Popen[str]:
        env = {"PATH": "/usr/bin:/bin", "HOME": str(self.folder), "TMPDIR": str(self.tmp)}
        env |= {"PYTHONPATH": str(HERE.parents[1]), "SECRET": "of-the-victim"}
        who = {"user": self.uid, "group": self.uid, "extra_groups": []} if self.uid else {}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, env=env, cwd="/", **who, **pipes, **given)  # type: ignore[call-overload,no-any-return]

    def attempts(self, *attempts: tuple[object, ...]) -> tuple[list[object], dict[str, object]]:
        """What came of each, and the facts of the instance that tried them."""
        command = (sys.executable, str(HERE / "plain_gate.py"), str(self.folder / "caches"))
        with self.run(*command, str(self.data), PYTHON, self.script) as gate:
            told, _ = gate.communicate(json.dumps(attempts) + "\n", timeout=90)
        assert gate.returncode == 0
        found = json.loads(told)
        return found["answers"], found["facts"]


@pytest.fixture(params=UIDS)
def stage(request):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        uid = PLAIN_UID if os.geteuid() == 0 and request.param == "plain" else None
        yield Stage(Path(folder), uid)


@pytest.fixture
def victim(stage):
    with stage.run(
        sys.executable, str(HERE / "victim.py"), str(stage.folder / "victim"), stage.name
    ) as ran:
        ports = [int(each) for each in ran.stdout.readline().split()]
        try:
            yield ran.pid, *ports
        finally:
            ran.kill()


def refused(stage, *attempts):
    """Assert that each comes to an error; say which."""
    answers, _ = stage.attempts(*attempts)
    let_through = [
        (asked, got)
        for asked, got in zip(attempts, answers, strict=True)
        if not (isinstance(got, str) and got.startswith("E"))
    ]
    assert let_through == []
    return answers


@pytest.mark.guarantee("isolation:attested")
def test_other_processes_of_the_same_user_are_out_of_reach(stage, victim):
    pid, tcp, udp = victim
    refused(
        stage,
        ("read", f"/proc/{pid}/environ"),
        ("read_bytes", f"/proc/{pid}/mem"),
        ("read", f"/proc/{pid}/cmdline"),
        ("kill", pid),
        ("abstract", stage.name),
        ("unix", str(stage.folder / "victim" / "socket")),
        ("tcp", "127.0.0.1", tcp),
        ("udp", "127.0.0.1", udp),
        ("udp", "169.254.169.254", 80),
        ("read_bytes", "/proc/1/mem"),
        ("read", "/proc/1/environ"),
    )


def test_no_socket_can_be_made_of_any_family(stage):
    families = {
        1: "unix",
        2: "inet",
        10: "inet6",
        16: "netlink",
        17: "packet",
        38: "alg",
        40: "vsock",
    }
    refused(stage, *(("socket", family, kind) for family in families for kind in (1, 2, 3)))


def test_files_of_the_user_and_of_the_machine_are_not_there(stage):
    refused(
        stage,
        ("read", "/etc/shadow"),
        ("read", "/etc/hostname"),
        ("read", "/etc/resolv.conf"),
        ("list", "/root"),
        ("list", "/home"),
        ("list", "/"),
        ("list", "/sys"),
        ("list", str(stage.folder / "victim")),
        ("stat", "/var/run/docker.sock"),
        ("stat", "/run/docker.sock"),
        ("stat", str(stage.folder / "victim")),
        ("read", f"{stage.data}/gate.db"),
        ("stat", f"{stage.data}/gate.db"),
        ("read", f"{stage.app}/../app/data/gate.db"),
        ("write", f"{stage.data}/x"),
    )
    answers, _ = stage.attempts(("read", "/etc/passwd"), ("import", "beside"), ("list", "/proc"))
    assert answers[0].startswith("server:x:")
    assert answers[0].count("\n") == 1
    assert answers[1] == "beside"
    assert [each for each in answers[2] if each.isdigit()] == ["1", "2"]


def test_nothing_but_its_own_home_can_be_written_and_nothing_there_is_run(stage):
    own = stage.attempts(("home",))[0][0]
    assert not Path(own).exists()
    refused(
        stage,
        ("write", f"{stage.app}/x"),
        ("append", stage.script),
        ("write", "/usr/x"),
        ("write", "/etc/x"),
        ("write", "/x"),
        ("write", "/dev/x"),
        ("write", "/run/x"),
        ("append", "/proc/sys/kernel/core_pattern"),
        ("append", "/proc/sysrq-trigger"),
        ("append", "/proc/self/oom_score_adj"),
        ("exec", "/tmp"),
        ("exec", "/dev/shm"),
        ("mknod", "/tmp/device"),
        ("fill", "/tmp/large", 20),
        ("fill", "/dev/shm/large", 20),
    )
    answers, facts = stage.attempts(("write", "/tmp/x"), ("write", "/dev/shm/x"), ("list", "/dev"))
    assert answers[:2] == ["written", "written"]
    assert "null" in answers[2]
    assert "sda" not in answers[2]
    own = [each for each in facts["writable"] if not each.startswith("/dev/")]
    assert len(own) == 3  # its home, its cache, its /tmp
    assert all(each.startswith((str(stage.folder), "/tmp")) for each in own)


def test_what_makes_namespaces_or_reaches_into_the_kernel_is_refused(stage):
    names = (
        "unshare", "mount", "setns", "ptrace", "bpf", "keyctl", "perf_event_open", "userfaultfd",
        "io_uring_setup", "kexec_load", "init_module", "chroot", "clone3", "process_vm_readv",
        "open_by_handle_at", "fsopen", "open_tree",
    )  # fmt: skip
    refused(
        stage,
        *(("call", each) for each in names),
        ("user_namespace",),
        ("setuid", 0),
        ("nice",),
        ("raise_limit",),
    )
    answers, _ = stage.attempts(("limits",), ("files",), ("forks", 200))
    assert answers[0] == [0, 1024]
    assert answers[1] == [0, 1, 2]
    assert 0 < answers[2] < 64


@pytest.mark.guarantee("isolation:attested")
def test_what_was_found_is_what_the_kernel_says(stage):
    facts = stage.attempts(("home",))[1]
    assert facts["uid"] == (stage.uid or facts["uid"]) != 0
    assert facts["uid_map"] == f"{facts['uid']} {facts['uid']} 1"
    assert (facts["tier"], facts["source"]) == ("weak", "kernel")
    assert facts["landlock"] is facts["seccomp"] is facts["no_new_privileges"] is True
    assert facts["root_read_only"] is True
    assert set(facts["namespaces"]) >= {"user", "pid", "net", "mnt", "ipc", "uts"}
    assert set(facts["capabilities"]) == {"0"}
    assert facts["interfaces"] == ["lo"]


FORBIDDEN = (
    'echo 1 > /proc/sys/user/max_user_namespaces && exec unshare --user --map-user=12345 "$@"'
)
"""Of the one that may be made the gate is in; it has none left for its servers."""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can forbid it here")
def test_where_user_namespaces_are_forbidden_nothing_starts_and_the_cure_is_told(stage):
    forbid = ("unshare", "--user", "--map-root-user", "sh", "-c", FORBIDDEN, "sh")
    gate = (sys.executable, str(HERE / "plain_gate.py"), str(stage.folder / "caches"))
    command = (*forbid, *gate, str(stage.data), PYTHON, stage.script)
    with stage.run(*command, stderr=subprocess.PIPE) as ran:
        _, told = ran.communicate("[]\n", timeout=60)
    assert ran.returncode == 1
    assert "could not be kept apart: unshare" in told
    assert "Let the gate make user namespaces" in told
    assert list(stage.tmp.iterdir()) == []
