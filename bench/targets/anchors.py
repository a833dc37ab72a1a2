"""What there is to compare with: no gateway at all, and a plain proxy that checks nothing."""

import shutil
import subprocess
from pathlib import Path

from bench import TARGET_CORE, proc, wire
from bench.targets.target import Place, Target

# Nothing but forwarding: connections are kept on both sides for longer than any run lasts.
NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream stub {{
        server 127.0.0.1:{upstream};
        keepalive 512;
        keepalive_requests 100000000;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        keepalive_requests 100000000;
        tcp_nodelay on;
        location / {{
            proxy_pass http://stub;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
}}
"""


class Direct(Target):
    """The upstream itself; its CPU time is the stub's own."""

    name = "direct"
    title = "no gateway: the load generator speaks to the stub"

    def prepare(self, place: Place) -> None:
        self._door = wire.Door(place.upstream_port, era=place.era)

    def spawn(self) -> None:
        """Nothing: the stub stands for the whole run."""

    def door(self) -> wire.Door:
        return self._door


class Nginx(Target):
    name = "nginx"
    title = "plain proxy: no sign-in, no permission, no record"

    def version(self) -> str:
        said = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True).stderr
        return said.strip().rpartition("/")[2]

    def absent(self) -> str | None:
        return None if shutil.which("nginx") else "nginx is not installed"

    def prepare(self, place: Place) -> None:
        self._folder = place.folder_of(self.name)
        self._door = wire.Door(proc.free_port(), era=place.era)
        text = NGINX.format(folder=self._folder, upstream=place.upstream_port, port=self._door.port)
        (self._folder / "nginx.conf").write_text(text)

    def spawn(self) -> None:
        conf: Path = self._folder / "nginx.conf"
        self.process = proc.start(
            ["nginx", "-p", self._folder, "-c", conf],
            core=TARGET_CORE,
            log=self._folder / "log",
        )

    def door(self) -> wire.Door:
        return self._door
