"""`bayescam serve`: a report folder for a browser on this computer, and for nobody else.

Another page in the same browser, or another user of the same computer, must not read it. So it
listens on loopback alone; every address begins with a random token, and links of the report are
relative, so that they keep it (a cookie would also go to whatever else listens on this computer); a
request for another host name, as DNS rebinding makes it, is refused. Only files inside the report
folder are read, nothing is written, and nothing is logged.
"""

from __future__ import annotations

import hmac
import os
import secrets
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import copyfileobj
from typing import Any
from urllib.parse import unquote, urlsplit

from bayescam.types import InputError

__all__ = ["ReportServer", "report_server"]

_HOST = "127.0.0.1"
_FRONT = "index.html"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data: blob:; "
    "style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".csv": "text/csv; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".svg": "image/svg+xml",
    ".pdf": "application/pdf",
}


class ReportServer(ThreadingHTTPServer):
    """Serves the files below a folder on loopback to who knows the token.

    Args:
        root: The report folder.
        port: Of 127.0.0.1; 0 for any that is free.

    Attributes:
        root: The folder, with no link in its path.
        token: Random, new for each server.
    """

    daemon_threads = True

    def __init__(self, root: Path, port: int) -> None:
        self.root = root.resolve()
        self.token = secrets.token_urlsafe(24)
        super().__init__((_HOST, port), _ReportRequest)

    @property
    def address(self) -> str:
        """Host and port, as the header `Host` of a request must have them."""
        return f"{_HOST}:{self.server_port}"

    @property
    def url(self) -> str:
        """The address to open."""
        return f"http://{self.address}/{self.token}/"

    def knows(self, token: str) -> bool:
        """Whether this is the token; the time it takes tells nothing about it."""
        return hmac.compare_digest(token.encode(), self.token.encode())

    def find(self, path: str) -> Path | None:
        """The file that a decoded path names, if it lies inside the folder.

        Links are followed first: one that leads out of the folder leads nowhere.
        """
        parts = [part for part in (path or _FRONT).split("/") if part]
        if "\0" in path or "\\" in path or any(part.startswith(".") for part in parts):
            return None
        try:
            found = self.root.joinpath(*parts).resolve(strict=True)
        except (OSError, RuntimeError):  # the latter, below Python 3.13, of links in a circle
            return None
        return found if found.is_file() and found.is_relative_to(self.root) else None

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """A browser that hangs up is no error to tell of."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


def report_server(folder: str | os.PathLike[str], *, port: int = 0) -> ReportServer:
    """Return a server of the report of an analysis folder, not yet running.

    Args:
        folder: of `bayescam report`, or the `report` folder in it.
        port: of 127.0.0.1; 0 for any that is free.

    Raises:
        InputError: there is no report, or the port cannot be used.
    """
    path = Path(folder).expanduser()
    root = next((place for place in (path / "report", path) if (place / _FRONT).is_file()), None)
    if root is None:
        raise InputError(f"{path} has no report/{_FRONT}: run bayescam report {path} first.")
    try:
        return ReportServer(root, port)
    except OSError as error:
        raise InputError(f"--port {port} cannot be used: {error.strerror}.") from error


class _ReportRequest(BaseHTTPRequestHandler):
    server: ReportServer
    protocol_version = "HTTP/1.1"
    timeout = 30  # seconds that an idle connection is kept

    def do_GET(self) -> None:  # noqa: N802
        """Send a file."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:  # noqa: N802
        """Say what a file is."""
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        if self.headers.get_all("Host") != [self.server.address]:
            return self._refuse(HTTPStatus.FORBIDDEN)
        try:
            token, slash, rest = urlsplit(self.path).path.removeprefix("/").partition("/")
        except ValueError:
            return self._refuse(HTTPStatus.BAD_REQUEST)
        if not self.server.knows(token):
            return self._refuse(HTTPStatus.FORBIDDEN)
        file = self.server.find(unquote(rest)) if slash else None
        if file is None:
            return self._refuse(HTTPStatus.NOT_FOUND)
        return self._send(file, with_body=with_body)

    def _send(self, file: Path, *, with_body: bool) -> None:
        try:
            stream = file.open("rb")
        except OSError:
            return self._refuse(HTTPStatus.NOT_FOUND)
        with stream:
            self.send_response(HTTPStatus.OK)
            kind = _TYPES.get(file.suffix.lower(), "application/octet-stream")
            self.send_header("Content-Type", kind)
            self._end(length=os.fstat(stream.fileno()).st_size)
            if with_body:
                copyfileobj(stream, self.wfile)

    def _refuse(self, status: HTTPStatus) -> None:
        """A status without a body, so that nothing of the request comes back."""
        self.close_connection = True
        self.send_response(status)
        self.send_header("Connection", "close")
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        self._end(length=0)

    def _end(self, *, length: int) -> None:
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the standard library refuses, such as other methods, in the form of our own."""
        other_method = code == HTTPStatus.NOT_IMPLEMENTED
        self._refuse(HTTPStatus.METHOD_NOT_ALLOWED if other_method else HTTPStatus(code))

    def version_string(self) -> str:
        """Tell no versions."""
        return "bayescam"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing: names of files may be ids of patients."""
