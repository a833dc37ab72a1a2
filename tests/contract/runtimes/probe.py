"""Attempts to get out, each by its name: what one got, or what kept it from that.

It runs inside: each attempt in a process of its own, and with the standard library only.
"""

import ctypes
import errno
import json
import os
import platform
import resource
import socket
import stat
import struct
import time
from pathlib import Path

NUMBERS = {
    "x86_64": {
        "unshare": 272, "mount": 165, "setns": 308, "keyctl": 250, "bpf": 321, "chroot": 161,
        "perf_event_open": 298, "userfaultfd": 323, "io_uring_setup": 425, "ptrace": 101,
        "kexec_load": 246, "init_module": 175, "pivot_root": 155, "open_by_handle_at": 304,
        "swapon": 167, "reboot": 169, "syslog": 103, "process_vm_readv": 310, "acct": 163,
        "fsopen": 430, "move_mount": 429, "pidfd_getfd": 438, "quotactl": 179, "sethostname": 170,
    },
    "aarch64": {
        "unshare": 97, "mount": 40, "setns": 268, "keyctl": 219, "bpf": 280, "chroot": 51,
        "perf_event_open": 241, "userfaultfd": 282, "io_uring_setup": 425, "ptrace": 117,
        "kexec_load": 104, "init_module": 105, "pivot_root": 41, "open_by_handle_at": 265,
        "swapon": 224, "reboot": 142, "syslog": 116, "process_vm_readv": 270, "acct": 89,
        "fsopen": 430, "move_mount": 429, "pidfd_getfd": 438, "quotactl": 60, "sethostname": 161,
    },
}  # fmt: skip
NEW_USER, NEW_NET, NEW_PID = 0x10000000, 0x40000000, 0x20000000
HARMLESS = {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "console", "core", "fd",
            "stdin", "stdout", "stderr", "pts", "shm", "mqueue"}  # fmt: skip


def call(name, *words):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(NUMBERS[platform.machine()][name], *words) < 0:
        raise OSError(ctypes.get_errno(), name)
    return name


def write(path):
    with Path(path).open("a") as file:
        file.write("x")
    return path


def write_release_agent():
    """A program that the kernel starts, as the machine's root, when a control group empties."""
    top = Path("/sys/fs/cgroup")
    for at in (*top.glob("release_agent"), *top.glob("*/release_agent")):
        return write(str(at))
    return None


def exists(*paths):
    found = [each for each in paths if os.path.lexists(each)]
    return found or None


def read(path):
    return Path(path).read_text()[:100]


def run_from(folder):
    at = Path(folder) / "program"
    at.write_text("#!/usr/bin/python3\n")
    at.chmod(0o755)
    try:
        pid = os.fork()
        if pid == 0:
            try:
                os.execv(at, ["program"])
            except OSError as refused:
                os._exit(refused.errno)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        at.unlink()
    if status:
        raise OSError(status, "exec")
    return "ran"


def fill(folder, most):
    at = Path(folder) / "fill"
    try:
        with at.open("wb") as file:
            for _ in range(most + 8):
                file.write(b"x" * (1 << 20))
                file.flush()
    finally:
        at.unlink()
    return "no end"


def make_device():
    os.mknod("/tmp/disk", 0o666 | stat.S_IFBLK, os.makedev(254, 0))
    return "made"


def setuid_files():
    found = []
    for folder, _, names in os.walk("/usr"):
        for name in names:
            mode = os.lstat(f"{folder}/{name}").st_mode
            if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID):
                found.append(name)
    return found or None


def devices():
    return sorted({each.name for each in Path("/dev").iterdir()} - HARMLESS) or None


def processes():
    found = [each for each in Path("/proc").iterdir() if each.name.isdigit()]
    return None if len(found) <= 3 else len(found)


def capabilities():
    lines = dict(line.split(":\t") for line in read_all("/proc/self/status"))
    names = ("CapEff", "CapPrm", "CapBnd", "CapAmb", "CapInh")
    held = [lines[each] for each in names if each in lines]
    return [each for each in held if each.strip("0")] or None


def read_all(path):
    return [line for line in Path(path).read_text().splitlines() if ":\t" in line]


def become(*, uid=None, groups=None):
    if groups is not None:
        os.setgroups(groups)
    else:
        os.setresuid(uid, uid, uid)
    return os.getuid()


def more_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard + 1000))
    except ValueError as refused:
        raise OSError(errno.EPERM, str(refused)) from refused
    return "raised"


def favour():
    os.nice(-5)
    return "favoured"


def open_files():
    own = {0, 1, 2}
    found = {int(each.name) for each in Path("/proc/self/fd").iterdir()}
    # One is its own pipe to the guest; the directory that was just read is closed again.
    left = {fd for fd in found - own if os.path.lexists(f"/proc/self/fd/{fd}")}
    return sorted(left) if len(left) > 1 else None


def environment(word):
    return word if word in Path("/proc/self/environ").read_text() + str(os.environ) else None


def interfaces():
    found = [line.split(":")[0].strip() for line in Path("/proc/net/dev").read_text().split("\n")]
    return [each for each in found[2:] if each not in ("", "lo")] or None


def connect(host, port):
    with socket.create_connection((host, port), timeout=3):
        return f"{host}:{port}"


def fetch(host, port):
    """The first words of whoever is there; an end without any is a refusal."""
    with socket.create_connection((host, port), timeout=3) as given:
        said = given.recv(100)
    if not said:
        raise OSError(errno.ECONNRESET, "no word")
    return said.decode()


def send_datagram(host, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as given:
        given.sendto(b"x", (host, port))
    return "sent"


def look_up(name):
    return socket.getaddrinfo(name, 443)[0][4][0]


def open_socket(family, kind, protocol=0):
    with socket.socket(family, kind, protocol):
        return "opened"


def unix(path):
    with socket.socket(socket.AF_UNIX) as given:
        given.settimeout(3)
        given.connect(path)
    return path


def keep_memory():
    kept = []
    while True:
        kept.append(bytearray(b"x" * (1 << 20)))


def fork_all():
    made = 0
    try:
        for _ in range(400):
            if os.fork() == 0:
                time.sleep(2)
                os._exit(0)
            made += 1
    except OSError:
        return made
    return made


def busy(seconds):
    until, before = time.monotonic() + seconds, time.process_time()
    while time.monotonic() < until:
        pass
    return time.process_time() - before


ATTEMPTS = {
    "write /": lambda: write("/x"),
    "write /etc": lambda: write("/etc/passwd"),
    "write the program": lambda: write("/srv/guest.py"),
    "write /usr": lambda: write("/usr/bin/x"),
    "write the secrets": lambda: write("/run/secrets/KEY"),
    "write core_pattern": lambda: write("/proc/sys/kernel/core_pattern"),
    "write sysrq-trigger": lambda: write("/proc/sysrq-trigger"),
    "write a release agent": write_release_agent,
    "write /sys": lambda: write("/sys/kernel/uevent_helper"),
    "read kcore": lambda: read("/proc/kcore") or None,
    "read keys": lambda: read("/proc/keys") or None,
    "a socket of an engine": lambda: exists(
        "/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock",
        "/run/podman/podman.sock", "/run/gatelodge",
    ),
    "a disk": lambda: exists("/dev/vda", "/dev/sda", "/dev/nvme0n1", "/dev/mem", "/dev/kmsg"),
    "any other device": devices,
    "make a device": make_device,
    "a setuid file": setuid_files,
    "run from /tmp": lambda: run_from("/tmp"),
    "run from /dev/shm": lambda: run_from("/dev/shm"),
    "fill /tmp": lambda: fill("/tmp", 16),
    "another's processes": processes,
    "a capability": capabilities,
    "become root": lambda: become(uid=0),
    "take a group": lambda: become(groups=[0]),
    "more open files": more_files,
    "be favoured": favour,
    "an inherited file": open_files,
    "a namespace of users": lambda: call("unshare", NEW_USER),
    "a namespace of networks": lambda: call("unshare", NEW_USER | NEW_NET),
    "a namespace of processes": lambda: call("unshare", NEW_PID),
    "mount": lambda: call("mount", b"none", b"/tmp", b"tmpfs", 0, 0),
    "mount anew": lambda: call("fsopen", b"tmpfs", 0),
    "move a mount": lambda: call("move_mount", -100, b"/tmp", -100, b"/", 0),
    "enter a namespace": lambda: call("setns", os.open("/proc/1/ns/net", os.O_RDONLY), 0),
    "change its root": lambda: call("chroot", b"/tmp"),
    "pivot its root": lambda: call("pivot_root", b"/tmp", b"/tmp"),
    "keyring": lambda: call("keyctl", 0, -3, 0),
    "bpf": lambda: call("bpf", 0, ctypes.create_string_buffer(128), 128),
    "perf": lambda: call("perf_event_open", ctypes.create_string_buffer(128), 0, -1, -1, 0),
    "userfaultfd": lambda: call("userfaultfd", 1),
    "io_uring": lambda: call("io_uring_setup", 1, ctypes.create_string_buffer(120)),
    "trace": lambda: call("ptrace", 16, os.getppid(), 0, 0),
    "another's memory": lambda: call("process_vm_readv", os.getppid(), 0, 0, 0, 0, 0),
    "another's file": lambda: call("pidfd_getfd", os.pidfd_open(1), 0, 0),
    "kexec": lambda: call("kexec_load", 0, 0, 0, 0),
    "a module": lambda: call("init_module", 0, 0, b""),
    "a file by its handle": lambda: call("open_by_handle_at", -100, 0, 0),
    "swap": lambda: call("swapon", b"/tmp/x", 0),
    "reboot": lambda: call("reboot", 0xFEE1DEAD, 672274793, 0, 0),  # no more than the keys' effect
    "the kernel's log": lambda: call("syslog", 3, ctypes.create_string_buffer(64), 64),
    "accounting": lambda: call("acct", 0),
    "the host's name": lambda: call("sethostname", b"x", 1),
    "an interface": interfaces,
    "metadata": lambda: connect("169.254.169.254", 80),
    "an address outside": lambda: connect("192.0.2.1", 443),
    "a datagram": lambda: send_datagram("192.0.2.1", 53),
    "a name": lambda: look_up("example.com"),
    "vsock": lambda: open_socket(40, socket.SOCK_STREAM),
    "packets": lambda: open_socket(17, socket.SOCK_RAW, 3),
    "raw": lambda: open_socket(socket.AF_INET, socket.SOCK_RAW, 1),
    "the kernel's ciphers": lambda: open_socket(38, socket.SOCK_SEQPACKET),
    "events of devices": lambda: open_socket(16, socket.SOCK_RAW, 15),
    "netfilter": lambda: open_socket(16, socket.SOCK_RAW, 12),
}  # fmt: skip
"""Without words: one row each."""

WITH_WORDS = {
    "read": read, "connect": connect, "fetch": fetch, "unix": unix, "environment": environment,
    "memory": keep_memory, "fork": fork_all, "busy": busy, "write": write,
}  # fmt: skip


def attempt(name, *words):
    """What an attempt got, or what refused it; it is made by a process of its own."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        try:
            got = {"got": (ATTEMPTS.get(name) or WITH_WORDS[name])(*words)}
        except OSError as refused:
            got = {"refused": errno.errorcode.get(refused.errno, str(refused))}
        except Exception as failed:  # noqa: BLE001 - it is told
            got = {"failed": repr(failed)}
        data = json.dumps(got).encode()
        os.write(writing, struct.pack("I", len(data)) + data)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as said:
        data = said.read(4)
        text = said.read(struct.unpack("I", data)[0]) if data else b""
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return json.loads(text) if text else {"ended": status}
