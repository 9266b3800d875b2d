import io
import itertools
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from processes import wait_until_ended

from tfsci import cache
from tfsci.distributed import install
from tfsci.distributed.horovod_build import Build
from tfsci.distributed.install import Progress

WHEEL = "horovod-0.28.1-py3-none-any.whl"


def plant(folder: Path, *files: str) -> Path:
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o755)
    return folder


class TestCache:
    def test_the_folder(self, tmp_path):
        assert cache.folder({"TFSCI_CACHE": "/a"}) == Path("/a")
        assert cache.folder({"XDG_CACHE_HOME": "/b"}) == Path("/b/tfsci")
        assert cache.folder({}) == Path.home().resolve() / ".cache/tfsci"

    def test_a_wheel_is_made_once(self, tmp_path):
        made = []

        def build(temporary):
            made.append(temporary)
            return plant(temporary, WHEEL) / WHEEL

        for _ in range(2):
            wheel = install.cached_wheel(tmp_path, build)
            assert wheel == tmp_path / WHEEL
        assert len(made) == 1
        install.cached_wheel(tmp_path, build, rebuild=True)
        assert len(made) == 2
        assert os.listdir(tmp_path) == [wheel.name]

    def test_what_a_killed_build_left_is_removed(self, tmp_path):
        plant(tmp_path, "build-abc/horovod-0.28.1/half.o", WHEEL)
        install.cached_wheel(tmp_path, pytest.fail)
        assert os.listdir(tmp_path) == [WHEEL]

    @pytest.mark.parametrize("error", [ChildProcessError, KeyboardInterrupt])
    def test_a_failed_build_leaves_nothing(self, tmp_path, error):
        def build(temporary):
            plant(temporary, WHEEL, "source/half.o")
            raise error

        with pytest.raises(error):
            install.cached_wheel(tmp_path, build)
        assert os.listdir(tmp_path) == []


class TestPackages:
    def test_missing_packages_are_named_with_the_command(self, monkeypatch):
        monkeypatch.setattr(install, "_TENSORFLOWS", ("no-such-tensorflow",))
        with pytest.raises(ModuleNotFoundError, match="-m pip install tensorflow"):
            install.check_packages()
        monkeypatch.setattr(install, "_TENSORFLOWS", ("pytest",))
        monkeypatch.setattr(install, "_PACKAGES", ("no-such-a", "pytest", "no-such-b"))
        with pytest.raises(ModuleNotFoundError, match=r"-m pip install no-such-a no-such-b$"):
            install.check_packages()


class Screen(io.StringIO):
    def __init__(self, terminal):
        super().__init__()
        self.isatty = lambda: terminal


class TestProgress:
    LOG = textwrap.dedent("""\
        -- Build files
          [  4%] Building CXX object a.cc.o
          [ 37%] Building CXX object b.cc.o
        make[2]: [100%] is not at the start
        """)

    def test_a_log_gets_a_line_each_ten_percent(self):
        screen = Screen(terminal=False)
        progress = Progress(screen, clock=itertools.count(0, 61).__next__)
        for text in ("", self.LOG, "[ 36%] Built\n", "[ 39%]\n", "[100%] Linking\n"):
            progress.update(text)
        progress.close()
        assert screen.getvalue() == (
            "[#########                ]  37 %  2:02\n[#########################] 100 %  5:05\n"
        )

    def test_a_terminal_gets_one_changing_line(self):
        screen = Screen(terminal=True)
        progress = Progress(screen, clock=itertools.count(0, 1).__next__)
        progress.update("")
        progress.update(self.LOG)
        progress.close()
        assert screen.getvalue() == (
            "\r[                         ]   0 %  0:01\r[#########                ]  37 %  0:02\n"
        )


class TestRun:
    def test_a_failure_shows_what_matters_and_names_the_log(self, tmp_path):
        noise = "WARNING: Location 'x' is ignored: no folder"
        script = f"import sys; print({noise!r}); print('a.cc:3:1: error: no'); sys.exit(1)"
        log = tmp_path / "build.log"
        with pytest.raises(ChildProcessError) as error:
            install.run_logged("this", [sys.executable, "-c", script], log, os.environ)
        assert str(error.value) == f"this failed; the log is {log}:\na.cc:3:1: error: no"
        assert noise in log.read_text()

    def test_useful_lines(self):
        lines = [str(number) for number in range(30)]
        assert install.useful_lines("\n".join(lines), 3) == "27\n28\n29"
        lines[5] = "CMake Error at x"
        lines[6] = "g++ " + "-I/include " * 40
        lines[7] = "gmake[2]: Leaving directory '/build'"
        assert install.useful_lines("\n\n".join(lines), 3) == "CMake Error at x\n8\n9"
        lines[8] = "Traceback (most recent call last):"
        lines[20] = "RuntimeError: CMake failed"
        assert install.useful_lines("\n".join(lines), 3) == "CMake Error at x"
        assert install.useful_lines("\n".join(lines[8:]), 2) == "RuntimeError: CMake failed\n21"
        assert install.useful_lines("one") == "one"

    def test_an_interrupt_ends_the_build_and_its_children(self, tmp_path):
        class Interrupt(Progress):
            def update(self, text):
                if "started" in text:
                    raise KeyboardInterrupt

        command = ["sh", "-c", "sleep 60 & echo $! > pid; echo started; wait"]
        with pytest.raises(KeyboardInterrupt):
            progress = Interrupt(io.StringIO())
            install.run_logged("this", command, tmp_path / "log", os.environ, progress)
        wait_until_ended((tmp_path / "pid").read_text())


class TestInstalled:
    @pytest.fixture
    def planted(self, tmp_path, monkeypatch):
        """An environment whose one Horovod came from the wheel that the cache holds."""
        monkeypatch.setenv("TFSCI_CACHE", str(tmp_path / "my cache"))
        monkeypatch.setattr(install, "check_packages", lambda: "2.21.0")
        monkeypatch.setattr(install, "detect", lambda environ: Build((), ("GPU: none",)))
        key = Build(()).key("2.21.0")
        wheel = tmp_path / "my cache/horovod" / key / "horovod-0.28.1-cp311-cp311-linux_x86_64.whl"
        site = tmp_path / "site"
        plant(site, "horovod-0.28.1.dist-info/direct_url.json")
        info = site / "horovod-0.28.1.dist-info"
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: horovod\nVersion: 0.28.1\n")
        (info / "direct_url.json").write_text(json.dumps({"url": wheel.as_uri()}))
        monkeypatch.syspath_prepend(site)
        return info

    def test_returns_at_once(self, planted, capsys, monkeypatch):
        monkeypatch.setattr(subprocess, "Popen", pytest.fail)
        assert install.main([]) == 0
        words = "Horovod 0.28.1 (MPI, Gloo) for TensorFlow 2.21.0 is installed\n"
        assert capsys.readouterr().out == words

    def test_a_sites_horovod_is_kept(self, planted, capsys, monkeypatch):
        (planted / "direct_url.json").unlink()
        monkeypatch.setattr(subprocess, "Popen", pytest.fail)
        assert install.main([]) == 0
        assert "not in this environment, is kept" in capsys.readouterr().out

    def test_another_build_in_this_environment_is_replaced(self, planted, capsys, monkeypatch):
        (planted / "direct_url.json").write_text('{"url": "file:///elsewhere/horovod.whl"}')
        commands = []
        monkeypatch.setattr(install, "SITE_PACKAGES", planted.parent)
        monkeypatch.setattr(install, "cached_wheel", lambda *_: Path("the.whl"))
        monkeypatch.setattr(install, "run_logged", lambda _, command, *__: commands.append(command))
        monkeypatch.setattr(install, "_features_of_installed", lambda: "Gloo")
        assert install.main([]) == 0
        assert commands[0][1:] == [
            "-m", "pip", "install", "--no-deps", "--force-reinstall", Path("the.whl")
        ]  # fmt: skip
        out = capsys.readouterr().out.splitlines()
        assert out[0].endswith("was built otherwise: replacing it")
        assert out[1:] == [
            "GPU: none",
            "Horovod 0.28.1 (Gloo) for TensorFlow 2.21.0 is installed",
        ]

    def test_an_interrupt_exits_130(self, capsys, monkeypatch):
        def interrupted(rebuild):
            raise KeyboardInterrupt

        monkeypatch.setattr(install, "install", interrupted)
        assert install.main(["--rebuild"]) == 130
        assert capsys.readouterr().err == "interrupted; nothing was installed\n"
