"""`tfsci profile report --html` and `tfsci profile open`, as typed, and asked by good and evil."""

import http.client
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "profile"))
from synthetic import Space, steps

from tfsci import cli
from tfsci.profile.page import serving

PAGE = "<!doctype html><title>é</title>"


@pytest.fixture
def folder(tmp_path):
    """A trace of an input-bound training."""
    made = Space()
    steps(made.plane(), 12, 1000, 710, 200)
    run = tmp_path / "trace" / "plugins" / "profile" / "run"
    run.mkdir(parents=True)
    (run / "host.xplane.pb").write_bytes(made.bytes())
    return tmp_path / "trace"


@pytest.fixture
def tfsci(capsys, monkeypatch, tmp_path):
    """Runs `tfsci profile …`; gives its exit code, output and error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["tfsci"])

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            cli.main(["profile", *map(str, arguments)])
        return end.value.code, *capsys.readouterr()

    return run


def files(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


class TestReport:
    def test_writes_the_page_besides(self, tfsci, folder, tmp_path):
        before = files(folder)
        code, out, err = tfsci("report", folder, "--html", "page.html", "--json", "found.json")
        assert (code, err) == (0, "")
        answer = "Input-bound: 71 % of each step waits for the input pipeline"
        assert out.startswith(answer + "\n")
        assert f"<h1>{answer}</h1>" in (tmp_path / "page.html").read_text(encoding="utf-8")
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            "found.json", "page.html", "trace",
        ]  # fmt: skip
        assert files(folder) == before

    def test_what_can_not_be_is_one_line_and_no_report(self, tfsci, folder, tmp_path):
        for name, wrong in (
            ("no/page.html", "--html no/page.html: no such folder; make it first"),
            ("trace", "--html trace: a folder; expected a file"),
        ):
            assert tfsci("report", folder, "--html", name) == (2, "", f"tfsci: error: {wrong}\n")
        (tmp_path / "empty").mkdir()
        code, out, err = tfsci("report", "empty", "--html", "page.html")
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert not (tmp_path / "page.html").exists()


class TestOpen:
    def test_until_ctrl_c(self, folder, tmp_path):
        before = files(folder)
        process = subprocess.Popen(
            [sys.executable, "-m", "tfsci", "profile", "open", folder, "--no-browser"],
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            said = process.stdout.readline()
            port = int(re.fullmatch(r"http://127\.0\.0\.1:(\d+)/ .*Ctrl-C.*\n", said)[1])
            status, headers, body = ask(port)
            assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
            assert "Input-bound: 71 %" in body
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
        assert (process.returncode, out, err) == (0, "", "")
        assert files(folder) == before
        assert sorted(path.name for path in tmp_path.iterdir()) == ["trace"]

    def test_a_taken_port_is_one_line(self, tfsci, folder):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            code, out, err = tfsci("open", folder, "--no-browser", "--port", port)
        assert (code, out) == (2, "")
        wrong = "taken by another program; choose another, or leave it out for one that is free"
        assert err == f"tfsci: error: --port {port}: {wrong}\n"

    @pytest.mark.parametrize("port", ["0", "-1", "65536", "http", "²", "1e3"])
    def test_a_port_that_is_none_is_one_line(self, tfsci, folder, port):
        code, out, err = tfsci("open", folder, f"--port={port}")
        assert (code, out) == (2, "")
        assert f"argument --port: {port!r}: expected a port, 1 to 65535" in err

    def test_no_trace_is_one_line(self, tfsci, tmp_path):
        code, out, err = tfsci("open", tmp_path)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "no trace in it" in err


@pytest.fixture
def port():
    """Where `PAGE` is served."""
    with serving._server(PAGE, 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def ask(port, path="/", method="GET", hosts=("127.0.0.1",)):
    """Asks as somebody who was given these names for this address."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.putrequest(method, path, skip_host=True)
    for host in hosts:
        connection.putheader("Host", host)
    connection.endheaders()
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, response.headers, body


class TestServer:
    def test_gives_the_page_under_a_strict_policy(self, port):
        status, headers, body = ask(port)
        assert (status, body) == (200, PAGE)
        assert int(headers["Content-Length"]) == len(PAGE.encode())
        policy = headers["Content-Security-Policy"].split("; ")
        assert {"default-src 'none'", "style-src 'unsafe-inline'", "frame-ancestors 'none'"} <= {
            *policy
        }
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert "Python" not in headers["Server"]

    @pytest.mark.parametrize("name", ["localhost", "LOCALHOST:80", "127.0.0.1:9999"])
    def test_answers_to_this_machines_names_at_any_port(self, port, name):
        assert ask(port, hosts=[name])[0] == 200

    @pytest.mark.parametrize(
        "names",
        [
            [], [""], ["evil.example"], ["127.0.0.1.evil.example"], ["localhost.evil.example:80"],
            ["evil.example:127.0.0.1"], ["0.0.0.0"], ["user@localhost"], ["localhost:"],
            ["localhost", "evil.example"], ["localhost:١"],
        ],
    )  # fmt: skip
    def test_a_name_that_was_rebound_to_this_address_gets_nothing(self, port, names):
        status, headers, body = ask(port, hosts=[name.encode() for name in names])
        assert (status, PAGE in body) == (403, False)
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")

    def test_answers_nothing_else(self, port):
        assert ask(port, "/favicon.ico")[::2] == (204, "")
        for path in ("/index.html", "/?x", "//x", "/../../etc/passwd", "http://127.0.0.1/", "*"):
            assert ask(port, path)[::2] == (404, "only / is here\n")
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "<script>"):
            status, headers, body = ask(port, method=method)
            assert (status, PAGE in body) == (501, False)
            assert headers["Content-Type"] == "text/plain; charset=utf-8"

    def test_an_idle_browser_keeps_nobody_waiting(self, port):
        with socket.create_connection(("127.0.0.1", port)):
            assert ask(port)[0] == 200

    def test_a_browser_that_goes_away_is_not_spoken_of(self, port, capfd):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.sendall(b"GET / HTTP/1.1\r\n")
        assert ask(port)[0] == 200
        time.sleep(0.05)
        assert capfd.readouterr() == ("", "")

    def test_listens_on_this_machine_alone(self, port):
        with serving._server(PAGE, 0) as server:
            assert server.server_address[0] == "127.0.0.1"


class TestBrowser:
    @pytest.mark.parametrize(
        ("screen", "wanted", "opened"), [(":0", True, 1), ("", True, 0), (":0", False, 0)]
    )
    def test_is_opened_where_there_is_a_screen(self, monkeypatch, capsys, screen, wanted, opened):
        urls, done = [], threading.Event()
        for name in ("BROWSER", "WAYLAND_DISPLAY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("DISPLAY", screen)
        monkeypatch.setattr(sys, "platform", "linux")
        monkeypatch.setattr(serving.webbrowser, "open", lambda url: (urls.append(url), done.set()))

        def interrupted(_):
            done.wait(10 * opened)
            raise KeyboardInterrupt

        monkeypatch.setattr(serving._Server, "serve_forever", interrupted)
        serving.show(PAGE, browser=wanted)
        assert len(urls) == opened
        assert all(url in capsys.readouterr().out for url in urls)
