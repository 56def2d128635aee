"""A folder at an address of this machine, as the plainest server would give it."""

import functools
import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Says nothing on the terminal."""

    def log_message(self, *_):
        pass


def serve(folder: Path) -> AbstractContextManager[str]:
    """Serve a folder, as long as the context is open; it gives the address."""
    return answering(functools.partial(Quiet, directory=folder))


@contextmanager
def answering(handler: Callable) -> Iterator[str]:
    """Let a handler answer all requests; yield the address of its server."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
