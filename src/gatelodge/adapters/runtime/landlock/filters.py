"""A seccomp profile (OCI runtime specification, config-linux) as a program of classic BPF.

The kernel runs it before each system call, on `struct seccomp_data`: number, architecture,
instruction pointer, six arguments (seccomp(2)). Numbers of calls are kept in `syscalls.json`, for
each machine; what a machine does not have is left out. Of its actions a profile uses to allow and
to refuse with an error; anything else, and a call in the manner of another machine, is no filter.
"""

import functools
import platform
import socket
import struct
from pathlib import Path
from typing import Any, Final

import msgspec

from gatelodge.adapters.runtime.seccomp.profile import seccomp_profile
from gatelodge.core.errors import UpstreamUnreachable

NUMBERS_FILE: Final = Path(__file__).with_name("syscalls.json")
AUDIT_ARCHITECTURES: Final = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}
_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06
_IF_EQUAL, _IF_AT_LEAST = 0x15, 0x35
_ALLOW, _KILL_PROCESS, _ERROR = 0x7FFF_0000, 0x8000_0000, 0x0005_0000
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
_X32 = 0x4000_0000
_NO_SUCH_CALL = 38
_NOWHERE: Final = "Host servers on x86_64 or aarch64."

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false (each in instructions skipped), operand."""


@functools.cache
def system_call_numbers(machine: str) -> dict[str, int]:
    """The numbers of a machine's calls, by name. Raises UpstreamUnreachable for an unknown one."""
    known = msgspec.json.decode(NUMBERS_FILE.read_bytes(), type=dict[str, dict[str, int]])
    if machine not in known:
        text = f"No numbers of system calls are known for a machine of the kind {machine!r}."
        raise UpstreamUnreachable(text, remedy=_NOWHERE)
    return known[machine]


def compile_filter(profile: dict[str, Any], machine: str = "") -> bytes:
    """The program that does what the profile says, on a machine such as `x86_64` (by default this).

    Raises UpstreamUnreachable for a profile that says what cannot be done here.
    """
    machine = machine or platform.machine()
    numbers = system_call_numbers(machine)
    otherwise = _verdict(profile["defaultAction"], profile.get("defaultErrnoRet"))
    code: list[Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_IF_EQUAL, 1, 0, AUDIT_ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER_AT),
    ]
    if machine == "x86_64":  # x32 has numbers of its own within this architecture
        code += [(_IF_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _ERROR | _NO_SUCH_CALL)]
    for name, rules in _by_name(profile).items():
        if name in numbers:
            body = _judge(rules, otherwise)
            code += [(_IF_EQUAL, 0, len(body), numbers[name]), *body]
    code.append((_RETURN, 0, 0, otherwise))
    return b"".join(struct.pack("HBBI", *each) for each in code)


def jail_filter(*, network: bool) -> bytes:
    """Our profile as that program: internet sockets for whom has a `network`, Unix ones for none.

    Of Unix sockets with a path Landlock knows nothing. Raises UpstreamUnreachable.
    """
    profile = seccomp_profile()
    rules = [each for each in profile["syscalls"] if _is_let_in(each, network=network)]
    return compile_filter({**profile, "syscalls": rules})


def _is_let_in(rule: dict[str, Any], *, network: bool) -> bool:
    if "socket" not in rule["names"]:
        return True
    return network and rule["args"][0]["value"] != socket.AF_UNIX


def _by_name(profile: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for rule in profile["syscalls"]:
        for name in rule["names"]:
            found.setdefault(name, []).append(rule)
    return found


def _judge(rules: list[dict[str, Any]], otherwise: int) -> list[Instruction]:
    """Of a call's rules the first holds whose arguments are as it says."""
    body: list[Instruction] = []
    for rule in rules:
        verdict = (_RETURN, 0, 0, _verdict(rule["action"], rule.get("errnoRet")))
        tests = [each for given in rule.get("args") or () for each in _tests(given)]
        body += [*_unless_all(tests), verdict]
        if not tests:
            return body
    return [*body, (_RETURN, 0, 0, otherwise)]


def _tests(given: dict[str, Any]) -> list[tuple[int, int, int]]:
    """Each half of an argument, the low one first: where it is, the mask, the value."""
    at = _ARGUMENTS_AT + 8 * given["index"]
    value, mask = given["value"], (1 << 64) - 1
    if given["op"] == "SCMP_CMP_MASKED_EQ":
        value, mask = given.get("valueTwo", 0), given["value"]
    elif given["op"] != "SCMP_CMP_EQ":
        raise _unusable(given["op"])
    halves = ((at + 4 * half, mask >> 32 * half, value >> 32 * half) for half in (0, 1))
    return [(place, m & 0xFFFF_FFFF, v & 0xFFFF_FFFF) for place, m, v in halves if m & 0xFFFF_FFFF]


def _unless_all(tests: list[tuple[int, int, int]]) -> list[Instruction]:
    """Go to what follows when all hold, and past the one instruction after that when one fails."""
    code: list[Instruction] = []
    for place, mask, value in reversed(tests):
        test: list[Instruction] = [(_LOAD, 0, 0, place)]
        if mask != 0xFFFF_FFFF:
            test.append((_AND, 0, 0, mask))
        code = [*test, (_IF_EQUAL, 0, len(code) + 1, value), *code]
    return code


def _verdict(action: str, number: int | None) -> int:
    if action == "SCMP_ACT_ALLOW":
        return _ALLOW
    if action == "SCMP_ACT_ERRNO":
        return _ERROR | (1 if number is None else number)
    raise _unusable(action)


def _unusable(word: str) -> UpstreamUnreachable:
    return UpstreamUnreachable(
        f"The list of system calls says {word!r}, which no filter here can do.",
        remedy="Use the profile that the gate brings.",
    )
