"""A place of wheels on this machine, and a server in each: what an index would hold."""

import base64
import hashlib
import tarfile
import zipfile
from pathlib import Path

SERVER = Path("tests/upstreams/echo_server.py")
NEEDS = "tiny-words"


def publish(place: Path, name: str, version: str, *needs: str, **more: str) -> Path:
    """A wheel of a server with a program of its own name; `more` are files, by their names."""
    module = name.replace("-", "_")
    text = SERVER.read_text().replace("\nfor line in", "\n\ndef main():\n  for line in", 1)
    head, body = text.split("def main():\n")
    body = "\n".join(f"  {line}" if line else "" for line in body.lstrip().splitlines())
    files = {f"{module}.py": f"{head}def main():\n{body}\n", **more}
    info = f"{module}-{version}.dist-info"
    described = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    described += "".join(f"Requires-Dist: {each}\n" for each in needs)
    files |= {
        f"{info}/METADATA": described,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {module}:main\n",
    }
    record = "".join(f"{path},{_digest(text)},{len(text)}\n" for path, text in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    place.mkdir(exist_ok=True)
    path = place / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for each, text in files.items():
            wheel.writestr(each, text)
    return path


def publish_sources(place: Path, name: str, version: str, marker: Path) -> None:
    """A source distribution whose build leaves a mark."""
    place.mkdir(exist_ok=True)
    top, build = f"{name}-{version}", f"open({str(marker)!r}, 'w')\nraise SystemExit(1)\n"
    with tarfile.open(place / f"{top}.tar.gz", "w:gz") as archive:
        for path, text in {
            "setup.py": build,
            "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        }.items():
            source = marker.parent / f"{path}.source"
            source.write_text(text)
            archive.add(source, f"{top}/{path}")


def _digest(text: str) -> str:
    found = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
    return f"sha256={found.decode()}"
