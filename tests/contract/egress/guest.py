"""What runs inside: it answers each line of JSON `[name, ...]` with one, as far as it can connect.

Only the standard library is used. Every answer is a word or a text; a fault is told by its class.
"""

import json
import os
import select
import socket
import struct
import subprocess
import sys
import time
import urllib.request

SECONDS = 5.0
HELD = {}


def look_up(name):
    return sorted({each[4][0] for each in socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM)})


def fetch(url):
    with urllib.request.urlopen(url, timeout=SECONDS) as answer:
        return answer.read().decode()


def connect(host, port):
    """Connect, and read: the gate resets what it refuses after the kernel took it."""
    with socket.create_connection((host, port), SECONDS) as made:
        made.settimeout(SECONDS)
        return made.recv(100).decode()


def hold(mark, host, port):
    HELD[mark] = socket.create_connection((host, port), SECONDS)
    HELD[mark].settimeout(SECONDS)
    return ""


def say(mark, text):
    HELD[mark].sendall(text.encode())
    return HELD[mark].recv(1000).decode()


def wait_end(mark, seconds):
    """Say how the connection ended within the time."""
    HELD[mark].settimeout(seconds)
    return HELD[mark].recv(1000).decode()


def half_close(host, port, size):
    """Send so much, end, and count what comes back."""
    with socket.create_connection((host, port), SECONDS) as made:
        made.settimeout(30)
        block, sent, got = b"x" * 65_536, 0, 0
        made.setblocking(False)
        while True:
            wants = [made] if sent < size else []
            readable, writable, _ = select.select([made], wants, [], 30)
            if writable:
                sent += made.send(block[: size - sent])
                if sent == size:
                    made.shutdown(socket.SHUT_WR)
            if readable:
                more = made.recv(65_536)
                if not more:
                    return got
                got += len(more)


def send_datagram(host, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.settimeout(1.0)
        made.connect((host, port))
        made.send(b"x")
        return made.recv(100).decode()


def open_raw():
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()
    return ""


def question(name, kind=1):
    labels = b"".join(bytes([len(each)]) + each for each in name.encode().split(b".") if each)
    return struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


def ask_raw(text, stream=False):
    """The answer to a message of any bytes (hexadecimal), as hexadecimal."""
    data = bytes.fromhex(text)
    if stream:
        with socket.create_connection(("127.0.0.1", 53), SECONDS) as made:
            made.settimeout(SECONDS)
            made.sendall(len(data).to_bytes(2, "big") + data)
            return made.recv(600)[2:].hex()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.settimeout(1.0)
        made.sendto(data, ("127.0.0.1", 53))
        return made.recv(600).hex()


def flood_names(count):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        for number in range(count):
            made.sendto(question(f"n{number}.flood.test"), ("127.0.0.1", 53))
    return ""


def flood_connections(host, port, count):
    made = []
    for _ in range(count):
        each = socket.socket()
        each.setblocking(False)
        each.connect_ex((host, port))
        made.append(each)
    HELD["flood"] = made
    return ""


def run(*command):
    done = subprocess.run(command, capture_output=True, timeout=30, check=False)
    return (done.stdout + done.stderr).decode()


def sleep(seconds):
    time.sleep(seconds)
    return ""


ANSWERS = {
    each.__name__: each
    for each in (
        look_up, fetch, connect, hold, say, wait_end, half_close, send_datagram, open_raw, ask_raw,
        flood_names, flood_connections, run, sleep,
    )
}  # fmt: skip


def main():
    os.write(1, b'"up"\n')
    for line in iter(sys.stdin.readline, ""):
        name, *given = json.loads(line)
        try:
            answer = ANSWERS[name](*given)
        except OSError as fault:
            answer = f"{type(fault).__name__}: {fault}"
        os.write(1, json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main()
