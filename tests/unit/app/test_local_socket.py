"""The place of the local socket: cleared of a dead node's socket, and of nothing else."""

import os
import socket
import stat
from types import SimpleNamespace

import pytest

from gatelodge.app.faces import ServedFaces
from gatelodge.app.listener import SocketListener, clear_place
from gatelodge.config.schema import ListenSettings, Settings
from gatelodge.core.errors import Invalid


def left_by_a_dead_node(path):
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))


def test_a_dead_nodes_socket_makes_room(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path may be too long
    path = tmp_path / "run" / "s"
    left_by_a_dead_node(path.relative_to(tmp_path))
    clear_place(path)
    assert not path.exists()
    clear_place(path)


@pytest.mark.parametrize("kind", ["file", "link", "directory"])
def test_whatever_else_stands_there_is_left_and_named(tmp_path, kind):
    path = tmp_path / "run" / "admin.sock"
    path.parent.mkdir()
    (tmp_path / "precious").write_text("kept")
    match kind:
        case "file":
            path.write_text("kept")
        case "link":
            path.symlink_to(tmp_path / "precious")
        case "directory":
            path.mkdir()
    with pytest.raises(Invalid, match="no socket of this account"):
        clear_place(path)
    assert os.path.lexists(path)
    assert (tmp_path / "precious").read_text() == "kept"


def test_a_run_that_is_no_directory_is_told(tmp_path):
    (tmp_path / "run").write_text("kept")
    with pytest.raises(Invalid, match="cannot be opened"):
        clear_place(tmp_path / "run" / "admin.sock")


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_local_socket_is_its_owners_alone_and_no_file_of_another_thread_is_changed(
    tmp_path, monkeypatch
):
    masks, umask = [], os.umask
    monkeypatch.setattr(os, "umask", lambda mask: masks.append(mask) or umask(mask))
    monkeypatch.chdir(tmp_path)
    settings = Settings(data_dir=".", listen=ListenSettings(port=0))
    listener = SocketListener(settings, ServedFaces(*(SimpleNamespace() for _ in range(4))))
    before = umask(0)
    try:
        await listener.open()
    finally:
        umask(before)
        listener.stop()
    seen = (tmp_path / "run" / "admin.sock").stat()
    assert stat.S_IMODE(seen.st_mode) == 0o600
    assert masks == [], "a umask is that of every thread and child"
    listener.close()
    assert not (tmp_path / "run" / "admin.sock").exists()


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_start_that_fails_leaves_the_file_that_it_names_where_it_is(tmp_path):
    path = tmp_path / "run" / "admin.sock"
    path.parent.mkdir()
    path.write_text("kept")
    settings = Settings(data_dir=str(tmp_path), listen=ListenSettings(port=0))
    listener = SocketListener(settings, ServedFaces(*(SimpleNamespace() for _ in range(4))))
    with pytest.raises(Invalid, match="no socket of this account"):
        await listener.open()
    listener.stop()
    listener.close()
    assert path.read_text() == "kept"
