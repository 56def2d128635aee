"""Servers of one file with the faults that servers have."""

import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FAST = 10e6  # bytes per second


class Server(ThreadingHTTPServer):
    """Serves `content`, as its fields say; remembers what it was asked and has sent."""

    daemon_threads = True

    def __init__(self, content, *, speed=FAST, ranges=True, **behaviour):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.speed, self.ranges = content, speed, ranges
        self.claims = behaviour.get("claims", len(content))  # Content-Length
        self.stops = behaviour.get("stops", len(content))  # after so many bytes
        self.hangs = behaviour.get("hangs", False)
        self.starts, self.sent = [], 0
        self.url = f"http://127.0.0.1:{self.server_port}/file.tar.gz"

    def handle_error(self, *_):
        """Say nothing of clients that leave."""


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    def do_GET(self):  # noqa: N802
        server, start = self.server, 0
        asked = self.headers["Range"]
        if asked and server.ranges:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        server.starts.append(start)
        if server.hangs:
            time.sleep(30)
        size = len(server.content)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        if server.claims is not None:
            self.send_header("Content-Length", str(server.claims - start))
        self.end_headers()
        piece = 2**14 if server.speed == FAST else 2**11
        began = time.monotonic()
        end = min(size, start + server.stops)
        for count, place in enumerate(range(start, end, piece), 1):
            block = server.content[place : min(place + piece, end)]
            self.wfile.write(block)
            server.sent += len(block)
            ahead = count * piece / server.speed - (time.monotonic() - began)
            time.sleep(max(0, ahead))

    def log_message(self, *_):
        """Keep quiet."""


@contextmanager
def serve(*servers):
    """Start servers; yield their addresses."""
    for server in servers:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield [server.url for server in servers]
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
