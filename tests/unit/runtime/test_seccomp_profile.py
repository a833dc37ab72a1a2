"""The profile allows what programs need, and names nothing that leads out."""

import pytest

from gatelodge.adapters.runtime.seccomp.profile import seccomp_profile
from gatelodge.core.errors import UpstreamUnreachable

FORBIDDEN = """
    unshare setns mount umount umount2 move_mount open_tree fsopen fsconfig fsmount fspick
    mount_setattr pivot_root chroot keyctl add_key request_key bpf perf_event_open io_uring_setup
    io_uring_enter io_uring_register ptrace process_vm_readv process_vm_writev personality
    open_by_handle_at name_to_handle_at userfaultfd kexec_load kexec_file_load init_module
    finit_module delete_module process_madvise pidfd_getfd kcmp acct quotactl swapon swapoff reboot
    syslog clone3 socketcall fanotify_init lookup_dcookie iopl ioperm vhangup settimeofday
    clock_settime clock_adjtime adjtimex nfsservctl uselib ustat sysfs modify_ldt
"""


def allowed(profile):
    rules = [each for each in profile["syscalls"] if each["action"] == "SCMP_ACT_ALLOW"]
    whole = {name for each in rules if "args" not in each for name in each["names"]}
    return whole, {name for each in rules if "args" in each for name in each["names"]} - whole


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_what_is_not_named_does_not_exist_and_nothing_that_leads_out_is_named(machine):
    profile = seccomp_profile(machine)
    assert (profile["defaultAction"], profile["defaultErrnoRet"]) == ("SCMP_ACT_ERRNO", 38)
    assert len(profile["architectures"]) == 1
    whole, partly = allowed(profile)
    assert not (whole | partly) & set(FORBIDDEN.split())
    assert partly == {"clone", "socket", "socketpair"}


def test_each_name_stands_once_and_in_order():
    names = seccomp_profile("x86_64")["syscalls"][0]["names"]
    assert names == sorted(set(names))


def test_sockets_are_of_four_families():
    rules = seccomp_profile("x86_64")["syscalls"]
    families = {each["args"][0]["value"] for each in rules if each["names"] == ["socket"]}
    assert families == {1, 2, 10, 16}


def test_a_machine_that_was_never_tried_is_refused():
    with pytest.raises(UpstreamUnreachable):
        seccomp_profile("riscv64")
