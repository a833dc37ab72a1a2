"""The program that the runtimes of the contract start. `guest.py MARK WAY [WORD...]`.

Each way but the first misbehaves. `serve` answers each line of JSON `[name, ...]` with one.
"""

import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path


def say(what):
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def facts():
    """What it finds around itself."""
    return {
        "env": dict(os.environ),
        "cwd": str(Path.cwd()),
        "uid": os.getuid(),
        "gid": os.getgid(),
        "groups": os.getgroups(),
        "pid": os.getpid(),
        "sid": os.getsid(0),
        "files": sorted(Path(f"/proc/self/fd/{fd}").readlink().name for fd in open_files()),
        "ignored": [s.name for s in signal.Signals if signal.getsignal(s) == signal.SIG_IGN],
        "home": oct(Path(os.environ["HOME"]).stat().st_mode & 0o777),
        "in_home": [each.name for each in Path(os.environ["HOME"]).iterdir()],
    }


def open_files():
    return [int(fd.name) for fd in Path("/proc/self/fd").iterdir() if fd.exists()]


def write(path, text):
    """Write a file and say whether that went well, which depends on who it is."""
    try:
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).write_text(text)
    except OSError as refused:
        return refused.strerror
    return ""


def read(path):
    try:
        return Path(path).read_text()
    except OSError as refused:
        return {"refused": refused.strerror}


def leave(*words):
    """Leave a process in a session of its own, which holds the pipes; its parent ends at once."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execv(sys.executable, (sys.executable, __file__, *words))
        os._exit(0)
    os.wait()
    return ""


def deep(levels):
    os.chdir(os.environ["HOME"])
    for _ in range(levels):
        Path("d").mkdir()
        os.chdir("d")
    return ""


def open_socket(family):
    try:
        socket.socket(family).close()
    except OSError as refused:
        return refused.strerror
    return ""


def run_thread():
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    return ""


def attempt(*words):
    """Try to get out (`probe.py` stands beside it in an image)."""
    import probe

    return probe.attempt(*words)


def hog():
    """Take all the memory that there is."""
    kept = []
    while True:
        kept.append(bytearray(b"x" * (1 << 20)))


KEPT = []


def keep(mib):
    """Have so much memory that is in use."""
    KEPT.extend(bytearray(b"x" * (1 << 20)) for _ in range(mib))
    return kept()


def kept():
    """How many of them are still as they were."""
    return sum(each.count(b"x") == 1 << 20 for each in KEPT)


def spin():
    """Leave a process that is never done."""
    if os.fork() == 0:
        while True:
            pass
    return ""


ANSWERS = {
    "keep": keep,
    "kept": kept,
    "spin": spin,
    "try": attempt,
    "hog": hog,
    "socket": open_socket,
    "thread": run_thread,
    "echo": lambda *words: list(words),
    "facts": facts,
    "write": write,
    "read": read,
    "leave": leave,
    "deep": deep,
    "close": lambda: os.close(0) or "",
    "exit": os._exit,
    "take": lambda mib: len([bytearray(b"x" * (1 << 20)) for _ in range(mib)]),
}


def serve():
    for line in iter(sys.stdin.readline, ""):
        name, *given = json.loads(line)
        answer = ANSWERS[name](*given)
        say(answer)
        if name == "close":
            time.sleep(600)


def chain(links):
    """Be for a moment only, each time in a session of its own: whoever looks finds the last."""
    say("up")
    for _ in range(int(links)):
        if os.fork():
            os._exit(0)
        os.setsid()
        time.sleep(0.001)


def flood(stream):
    while True:
        os.write(int(stream), b"x" * 65_536)


def count(most):
    sys.stdout.write("".join(f"{each}\n" for each in range(int(most))))


def eat():
    """Take all the memory that there is."""
    held = []
    while True:
        held.append(bytearray(1 << 20))


MANNERS = {"chain": chain, "flood": flood, "counts": count, "eats": eat}


def main(way, *words):
    if way == "serve":
        serve()
    elif way == "ends":  # well, when its input does
        serve()
        say("input closed")
        os._exit(4)
    elif way == "told":  # only once it is told by TERM
        signal.signal(signal.SIGTERM, lambda *_: (say("told"), os._exit(5)))
        serve()
        time.sleep(600)
    elif way == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        say("up")
        time.sleep(600)
    elif way == "deaf":
        say("up")
        time.sleep(600)
    elif way == "dies":
        sys.stderr.write("why it died\n" * 3)
        os._exit(3)
    elif way in MANNERS:
        MANNERS[way](*words)
    elif way == "stay":
        time.sleep(600)


main(*sys.argv[2:])
