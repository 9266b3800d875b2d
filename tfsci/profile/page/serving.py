"""Shows a page in the browser of this machine, and to nobody else."""

import contextlib
import errno
import os
import re
import sys
import threading
import webbrowser
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer

from tfsci.profile.page.html import POLICY

ADDRESS = "127.0.0.1"

# A page elsewhere may give its own name this address, and then read what we answer. The name is in
# the request. The port is not looked at: a tunnel from another machine has another.
_OURS = re.compile(rf"(?:{re.escape(ADDRESS)}|localhost)(?::\d+)?", re.ASCII | re.IGNORECASE)

_HEADERS = {
    "Content-Security-Policy": POLICY + "; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def show(page: str, port: int = 0, browser: bool = True) -> None:
    """Serves a page until Ctrl-C.

    Args:
        page: What is shown at ``/``.
        port: Where; 0 takes one that is free.
        browser: Whether to open one, where there is a screen.

    Raises:
        ValueError: The port is taken, or not for us.
    """
    with _server(page, port) as server, contextlib.suppress(KeyboardInterrupt):
        url = f"http://{ADDRESS}:{server.server_address[1]}/"
        print(f"{url} shows the report; Ctrl-C ends it", flush=True)
        if browser and _has_screen():
            # A browser that runs in the terminal comes back only when it is left.
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
        server.serve_forever()


class _Server(ThreadingTCPServer):  # a browser keeps connections open on which it asks nothing
    daemon_threads = True
    allow_reuse_address = True  # at once after Ctrl-C

    def handle_error(self, request, client_address):
        """Says nothing of a browser that went away."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def _server(page: str, port: int) -> _Server:
    content = page.encode()
    handler = type("Handler", (_Handler,), {"content": content})
    try:
        return _Server((ADDRESS, port), handler)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        why = "taken by another program" if taken else os.strerror(error.errno).lower()
        message = f"--port {port}: {why}; choose another, or leave it out for one that is free"
        raise ValueError(message) from None


class _Handler(BaseHTTPRequestHandler):
    content = b""
    timeout = 30
    server_version, sys_version = "tfsci", ""
    error_content_type, error_message_format = "text/plain; charset=utf-8", "%(message)s\n"

    def do_GET(self):
        """Answers with the page, or with what is wrong."""
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or not _OURS.fullmatch(hosts[0].strip()):
            self.send_error(HTTPStatus.FORBIDDEN, f"ask for http://{ADDRESS} or http://localhost")
        elif self.path == "/":
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(self.content)))
            self.end_headers()
            self.wfile.write(self.content)
        elif self.path == "/favicon.ico":  # every browser asks
            self.send_response(HTTPStatus.NO_CONTENT)
            self.end_headers()
        else:
            self.send_error(HTTPStatus.NOT_FOUND, "only / is here")

    def end_headers(self):
        """Ends them with what every answer has."""
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_):
        """Says nothing: what is asked for is of no interest in the terminal."""


def _has_screen() -> bool:
    """Whether a window can open; not so on most nodes of a cluster."""
    names = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")
    return sys.platform == "darwin" or any(os.environ.get(name) for name in names)
