"""The house is read from what git knows, or what it would know: never from what lies beside it."""

from tests.house.source import ROOT, is_there, tracked, unignored


def test_a_copy_without_git_holds_the_same_files(tmp_path):
    (tmp_path / ".gitignore").write_text(".venv/\n*.pyc\n/build/\nnode_modules/\na/*/bin/\n")
    kept = ("README.md", "src/build/x.py", "a/b/c.py", "b/bin/d")
    stray = ("x.pyc", "src/x.pyc", ".venv/lib/y.py", "build/z", "a/node_modules/m.js", "a/b/bin/t")
    for name in (*kept, *stray, ".git/config"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert sorted(unignored(tmp_path)) == sorted((".gitignore", *kept))


def test_what_is_read_is_in_order_and_holds_no_installed_package():
    assert list(tracked()) == sorted(tracked())
    assert "src/gatelodge/cli/main.py" in tracked()
    assert not [path for path in tracked() if path.startswith(".venv/") or "node_modules/" in path]


def test_a_folder_is_there_by_its_files():
    assert is_there(ROOT / "src/gatelodge/core")
    assert is_there(ROOT / "README.md")
    assert not is_there(ROOT / ".venv")
