"""The program that judges system calls is what the profile says, on each machine it is made for."""

import ctypes
import errno
import os
import platform
import struct
import subprocess
import sys

import pytest

from gatelodge.adapters.runtime.landlock.filters import (
    AUDIT_ARCHITECTURES,
    compile_filter,
    system_call_numbers,
)
from gatelodge.adapters.runtime.seccomp.profile import seccomp_profile
from gatelodge.core.errors import UpstreamUnreachable

MACHINES = tuple(AUDIT_ARCHITECTURES)
ALLOWED, NO_SUCH_CALL, KILLED = 0x7FFF_0000, 0x0005_0000 | errno.ENOSYS, 0x8000_0000
NAMESPACE = 0x1000_0000


def judged(code, machine, number, *arguments):
    """What the kernel would make of a call: the program is run here, instruction by instruction."""
    given = [*arguments, *(0,) * (6 - len(arguments))]
    data = struct.pack("<iIQ6Q", number, AUDIT_ARCHITECTURES.get(machine, 0), 0, *given)
    held, at = 0, 0
    while True:
        what, true, false, operand = struct.unpack_from("HBBI", code, 8 * at)
        at += 1
        if what == 0x20:
            held = struct.unpack_from("<I", data, operand)[0]
        elif what == 0x54:
            held &= operand
        elif what == 0x06:
            return operand
        elif what in {0x15, 0x35}:
            at += true if (held == operand if what == 0x15 else held >= operand) else false
        else:
            raise AssertionError(hex(what))


@pytest.mark.parametrize("machine", MACHINES)
def test_numbers_of_calls_are_those_that_libseccomp_knows(machine):
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        pytest.skip("libseccomp is not there")
    resolve = library.seccomp_syscall_resolve_name_arch
    known = {}
    for name in (name for rule in seccomp_profile()["syscalls"] for name in rule["names"]):
        number = resolve(ctypes.c_uint32(AUDIT_ARCHITECTURES[machine]), name.encode())
        if number >= 0:
            known[name] = number
    ours = system_call_numbers(machine)
    # A library newer than the list may know more.
    assert {name: known.get(name, number) for name, number in ours.items()} == ours
    assert known.keys() - ours.keys() <= {"mseal"}


@pytest.mark.parametrize("machine", MACHINES)
def test_each_call_is_judged_as_the_profile_says(machine):
    profile = seccomp_profile(machine)
    code, numbers = compile_filter(profile, machine), system_call_numbers(machine)
    plain = {
        name for rule in profile["syscalls"] if not rule.get("args") for name in rule["names"]
    } - {"clone3"}
    for name in plain & numbers.keys():
        assert judged(code, machine, numbers[name]) == ALLOWED, name
    rest = set(range(1100)) - set(numbers.values())
    assert {judged(code, machine, number) for number in rest} == {NO_SUCH_CALL}
    assert judged(code, machine, numbers["clone3"]) == NO_SUCH_CALL
    assert len(code) // 8 < 4096


@pytest.mark.parametrize("machine", MACHINES)
def test_arguments_count_where_the_profile_names_them(machine):
    code, numbers = compile_filter(seccomp_profile(machine), machine), system_call_numbers(machine)
    clone, family = numbers["clone"], numbers["socket"]
    assert judged(code, machine, clone, 17) == ALLOWED
    for bit in (0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, NAMESPACE, 0x4000_0000):
        assert judged(code, machine, clone, 17 | bit) == NO_SUCH_CALL
    assert [judged(code, machine, family, each) == ALLOWED for each in (1, 2, 10, 17, 38, 40)] == [
        True, True, True, False, False, False,
    ]  # fmt: skip
    assert judged(code, machine, family, 16, 3, 0) == ALLOWED
    assert judged(code, machine, family, 16, 3, 9) == NO_SUCH_CALL
    # The upper half counts: the kernel would take the lower one alone.
    assert judged(code, machine, family, 1 | 1 << 32) == NO_SUCH_CALL


def test_calls_in_the_manner_of_another_machine_end_the_process():
    code = compile_filter(seccomp_profile("x86_64"), "x86_64")
    assert judged(code, "aarch64", 0) == KILLED
    assert judged(code, "i386", 3) == KILLED
    x32 = 0x4000_0000
    assert judged(code, "x86_64", x32 | 1) == NO_SUCH_CALL


def test_what_no_filter_here_can_do_is_refused():
    profile = seccomp_profile("x86_64")
    with pytest.raises(UpstreamUnreachable, match="riscv64"):
        compile_filter(profile, "riscv64")
    with pytest.raises(UpstreamUnreachable, match="SCMP_ACT_TRACE"):
        compile_filter({**profile, "defaultAction": "SCMP_ACT_TRACE"}, "x86_64")
    compared = {"index": 0, "value": 1, "op": "SCMP_CMP_GT"}
    rule = {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [compared]}
    with pytest.raises(UpstreamUnreachable, match="SCMP_CMP_GT"):
        compile_filter({**profile, "syscalls": [rule]}, "x86_64")


PROGRAM = """
import errno, os, sys
from gatelodge.adapters.runtime.landlock.calls import install_filter, set_process
set_process(38, 1)
install_filter(bytes.fromhex(sys.argv[1]))
try:
    os.chroot("/")
except OSError as refused:
    assert refused.errno == errno.ENOSYS
    assert os.fork() or os._exit(0) is None
    os.wait()
    print("held")
"""


@pytest.mark.skipif(platform.machine() not in MACHINES, reason="no filter for this machine")
def test_the_kernel_takes_it_and_keeps_to_it():
    code = compile_filter(seccomp_profile()).hex()
    command = (sys.executable, "-c", PROGRAM, code)
    ran = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    assert (ran.stdout, ran.returncode) == ("held\n", 0), ran.stderr
