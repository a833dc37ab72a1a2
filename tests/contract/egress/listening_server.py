"""An MCP server (2025-11-25) that listens on 127.0.0.1 within its own network. Standard library."""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "id" not in asked:
            self.reply(202, b"")
            return
        answers = {"initialize": initialized, "tools/list": listed, "tools/call": called}
        answer = {"jsonrpc": "2.0", "id": asked["id"]}
        if asked["method"] in answers:
            answer["result"] = answers[asked["method"]](asked["params"])
        else:
            answer["error"] = {"code": -32601, "message": "no such method"}
        self.reply(200, json.dumps(answer).encode())

    def do_GET(self):
        self.reply(405, b"")

    def reply(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def initialized(params):
    info = {"name": "listening", "version": "1"}
    version = params["protocolVersion"]
    return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}


def listed(params):
    return {"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]}


def called(params):
    if params["arguments"].get("die"):
        os._exit(3)
    said = json.dumps({"said": params["arguments"], "pid": os.getpid()})
    return {"content": [{"type": "text", "text": said}]}


sys.stdout.write("listening soon\n")
if sys.argv[2:] == ["dies"]:
    sys.exit("it has no wish to listen")
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
