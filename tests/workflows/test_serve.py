from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bayescam.types import InputError
from bayescam.workflows.serve import ReportServer, report_server

FRONT = b"<!doctype html><title>report</title>" + bytes(range(256))
SCRIPT = b'case("mel")'


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served") / "analysis"
    (folder / "report" / "cases").mkdir(parents=True)
    (folder / "report" / "index.html").write_bytes(FRONT)
    (folder / "report" / "cases" / "a b#1.js").write_bytes(SCRIPT)
    (folder / "report" / ".index.html.7.tmp").write_bytes(b"half")
    (folder / "predictions.parquet").write_bytes(b"paths of patients")
    (folder / "report" / "out.html").symlink_to(folder / "predictions.parquet")
    (folder / "report" / "up").symlink_to(folder)
    (folder / "report" / "loop").symlink_to(folder / "report" / "loop")
    (folder / "report" / "inside.html").symlink_to(folder / "report" / "index.html")
    return folder


@pytest.fixture(scope="module")
def server(analysis: Path) -> Iterator[ReportServer]:
    with report_server(analysis) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(
    server: ReportServer, path: str, *, method: str = "GET", headers: dict | None = None
) -> tuple[http.client.HTTPResponse, bytes]:
    """A request whose path goes over the wire as it is written here."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.putrequest(method, path, skip_host=headers is not None and "Host" in headers)
    for name, value in (headers or {}).items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


def test_the_token_opens_the_report_byte_by_byte(server: ReportServer) -> None:
    base = f"/{server.token}/"
    assert server.url == f"http://127.0.0.1:{server.server_port}{base}"
    for path, body, kind in (
        ("", FRONT, "text/html; charset=utf-8"),
        ("index.html", FRONT, "text/html; charset=utf-8"),
        ("inside.html?case=3", FRONT, "text/html; charset=utf-8"),
        ("cases/a%20b%231.js", SCRIPT, "text/javascript; charset=utf-8"),
    ):
        answer, got = ask(server, base + path)
        assert (answer.status, got, answer.headers["Content-Type"]) == (200, body, kind)
        head, nothing = ask(server, base + path, method="HEAD")
        assert (head.status, nothing) == (200, b"")
        assert head.headers["Content-Length"] == str(len(body))


def test_one_connection_takes_many_requests(server: ReportServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    for _ in range(3):
        connection.request("GET", f"/{server.token}/index.html")
        assert connection.getresponse().read() == FRONT
    connection.close()


@pytest.mark.parametrize(
    "path", ["/", "/index.html", "/TOKEN/", "/?token=KNOWN", "//KNOWN/", "/%/"]
)
def test_without_the_token_nothing_is_said(server: ReportServer, path: str) -> None:
    answer, body = ask(server, path.replace("KNOWN", server.token[:-1]))
    assert (answer.status, body) == (403, b"")
    assert answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path",
    [
        "../predictions.parquet",
        "%2e%2e/predictions.parquet",
        "%2e%2e%2fpredictions.parquet",
        "%252e%252e/predictions.parquet",
        "cases/../../predictions.parquet",
        "..%5cpredictions.parquet",
        "cases%5c..%5c..%5cpredictions.parquet",
        "/predictions.parquet",
        "up/predictions.parquet",
        "out.html",
        "loop",
        ".index.html.7.tmp",
        "cases/",
        "cases",
        "none.html",
        "index.html%00.png",
        "a" * 5000,
    ],
)
def test_nothing_outside_the_report_is_served(server: ReportServer, path: str) -> None:
    answer, body = ask(server, f"/{server.token}/{path}")
    assert (answer.status, body) == (404, b"")


def test_an_absolute_path_is_one_below_the_report(server: ReportServer, analysis: Path) -> None:
    for path in (f"{analysis}/predictions.parquet", f"%2f{analysis}/predictions.parquet"):
        assert ask(server, f"/{server.token}/{path}")[0].status == 404
    assert ask(server, f"/{server.token}")[0].status == 404  # its relative links would lose it


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:PORT", "localhost:PORT", "127.0.0.1", "127.0.0.1:1", ""]
)
def test_other_host_names_are_refused(server: ReportServer, host: str) -> None:
    host = host.replace("PORT", str(server.server_port))
    answer, body = ask(server, f"/{server.token}/", headers={"Host": host})
    assert (answer.status, body) == (403, b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_only_reading_is_allowed(server: ReportServer, method: str) -> None:
    answer, body = ask(server, f"/{server.token}/", method=method)
    assert (answer.status, answer.headers["Allow"], body) == (405, "GET, HEAD", b"")


def test_headers_keep_the_report_to_itself(server: ReportServer) -> None:
    headers = ask(server, f"/{server.token}/")[0].headers
    policy = dict(
        part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert not any("http" in sources or "*" in sources for sources in policy.values())
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "Access-Control-Allow-Origin" not in headers
    assert headers["Server"] == "bayescam"


def test_it_listens_on_loopback_alone_and_survives_nonsense(server: ReportServer, capfd) -> None:
    assert server.socket.getsockname()[0] == "127.0.0.1"
    for nonsense in (
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\n",
    ):
        with socket.create_connection(server.server_address, timeout=10) as connection:
            connection.sendall(nonsense + f"Host: {server.address}\r\n\r\n".encode())
            connection.shutdown(socket.SHUT_WR)
            assert b"200" not in connection.recv(12)
    assert ask(server, f"/{server.token}/")[0].status == 200
    assert capfd.readouterr().err == ""


def test_every_server_has_another_token(server: ReportServer, analysis: Path) -> None:
    with report_server(analysis / "report") as other:
        assert other.root == server.root
        assert other.token != server.token
        assert len(other.token) >= 32
    with pytest.raises(InputError, match=f"--port {server.server_port} cannot be used"):
        report_server(analysis, port=server.server_port)


def test_without_a_report_one_line_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"run bayescam report .* first"):
        report_server(tmp_path)


def test_ctrl_c_ends_the_command_with_code_0(analysis: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "bayescam", "serve", str(analysis)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    line = process.stdout.readline()
    url = line.split()[1]
    host, _, path = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host, timeout=10)
    connection.request("GET", f"/{path}")
    assert connection.getresponse().read() == FRONT
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=30)
    connection.close()
    assert (process.returncode, out, error) == (0, "stopped\n", "")
