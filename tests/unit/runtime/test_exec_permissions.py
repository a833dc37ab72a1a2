"""Whether another uid could run a program: each row bars it in another place."""

import os

import pytest

from gatelodge.adapters.runtime.process.exec_permissions import barred, find_program

UID = 54_321


@pytest.fixture
def house(tmp_path):
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 1:
            folder.chmod(folder.stat().st_mode | 1)
    return tmp_path


def program(path, text="#!/bin/sh\n", mode=0o755):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_an_open_program_is_not_barred(house):
    assert barred(program(house / "bin/tool"), "/bin", UID) == ""


def test_a_closed_folder_bars(house):
    tool = program(house / "home/bin/tool")
    (house / "home").chmod(0o700)
    assert barred(tool, "/bin", UID) == str(house / "home")


@pytest.mark.parametrize("mode", [0o700, 0o644, 0o711])
def test_a_script_must_be_readable_and_runnable(house, mode):
    tool = program(house / "tool", mode=mode)
    assert barred(tool, "/bin", UID) == tool


def test_a_binary_need_only_be_runnable(house):
    assert barred(program(house / "tool", "\x7fELF", 0o711), "/bin", UID) == ""


def test_a_link_into_a_closed_folder_bars_there(house):
    program(house / "home/real")
    (house / "home").chmod(0o700)
    (house / "tool").symlink_to("home/real")
    assert barred(str(house / "tool"), "/bin", UID) == str(house / "home")


def test_the_interpreter_of_a_script_is_walked_too(house):
    real = program(house / "home/python", "\x7fELF")
    (house / "home").chmod(0o700)
    (house / "venv").mkdir()
    (house / "venv/python").symlink_to(real)
    tool = program(house / "venv/tool", f"#!{house}/venv/python -I\n")
    assert barred(tool, "/bin", UID) == str(house / "home")


def test_an_interpreter_is_found_on_the_path(house):
    program(house / "bin/node", "\x7fELF", 0o700)
    tool = program(house / "tool", "#!/usr/bin/env -S node --x\n")
    assert barred(tool, f"{house}/bin", UID) == str(house / "bin/node")


def test_links_in_a_circle_bar(house):
    (house / "a").symlink_to("b")
    (house / "b").symlink_to("a")
    assert barred(str(house / "a"), "/bin", UID)


def test_scripts_that_name_each_other_end(house):
    a, b = house / "a", house / "b"
    program(a, f"#!{b}\n")
    program(b, f"#!{a}\n")
    assert barred(str(a), "/bin", UID) == ""


def test_an_absent_program_bars_itself(house):
    assert barred(str(house / "no"), "/bin", UID) == str(house / "no")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_its_own_and_its_groups_bits_count(house):
    tool = program(house / "tool", mode=0o700)
    os.chown(tool, UID, UID)
    assert barred(tool, "/bin", UID) == ""
    os.chown(tool, 0, UID)
    assert barred(tool, "/bin", UID) == tool
    (house / "tool").chmod(0o750)
    assert barred(tool, "/bin", UID) == ""


def test_a_program_is_found_as_a_shell_would(house):
    tool = program(house / "bin/tool")
    program(house / "bin/plain", mode=0o644)
    path = f"/nowhere::{house}/bin"
    assert find_program("tool", path, "/") == tool
    assert find_program("plain", path, "/") == ""
    assert find_program(tool, "", "/") == tool
    assert find_program("bin/tool", "", str(house)) == tool
    assert find_program("bin", str(house), "/") == ""
    assert find_program("absent", path, "/") == ""
