"""A page on loopback for servers that read the web, and the visits that it had."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = b"""<!doctype html><html><head><title>Gatehouse</title></head><body>
<h1>Visitors</h1><p>Ring the bell.</p>
<button onclick="document.title = 'Rung'">Ring</button></body></html>"""
ROBOTS = b"User-agent: *\nDisallow: /private\n"


class Site:
    """A page at every path; machines are asked not to read `/private`."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.url = f"http://127.0.0.1:{server.server_port}"
        self.visits: list[str] = []
        """The path of each visit."""


@contextmanager
def opened() -> Iterator[Site]:
    """A site that is there for the block."""

    class Visit(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.visits.append(self.path)
            robots = self.path == "/robots.txt"
            body = ROBOTS if robots else PAGE
            self.send_response(200)
            self.send_header("Content-Type", "text/plain" if robots else "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Visit) as server:
        site = Site(server)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()
