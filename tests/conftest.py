"""TensorFlow is imported once, quietly, before any test module asks for it."""

import os
import signal
import subprocess
import sys

import hypothesis
import pytest
from digits import OPTIONS, SCRIPT

from tfsci.startup import import_tensorflow

# What that sets in the environment is for this process: the programs that tests start are to be
# heard as a user hears them.
_SET = ("TF_CPP_MIN_LOG_LEVEL", "KERAS_BACKEND")
_before = {name: os.environ.get(name) for name in _SET}
tf = import_tensorflow()
for name in _SET:
    if _before[name] is None:
        os.environ.pop(name, None)

# A shell that starts this in the background has it ignore Ctrl-C, and all that it starts, too.
signal.signal(signal.SIGINT, signal.default_int_handler)

tf.config.threading.set_intra_op_parallelism_threads(1)  # every array here is tiny

# The first example of a property traces TensorFlow functions, which no deadline allows for.
hypothesis.settings.register_profile("tfsci", deadline=None, max_examples=20)
hypothesis.settings.load_profile("tfsci")


def pytest_addoption(parser):
    """Lets the tests that take minutes be asked for."""
    parser.addoption("--slow", action="store_true", help="run the tests that take minutes, too")


def pytest_collection_modifyitems(config, items):
    """Skips them where they are not."""
    if not config.getoption("--slow"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="takes minutes: --slow runs it"))


@pytest.fixture(scope="session")
def python():
    """Runs code in a fresh Python, with TensorFlow's and Keras' settings as given."""

    def run(code, *arguments, **environ):
        inherited = {name: value for name, value in os.environ.items() if name not in _SET}
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env={**inherited, **environ},
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


@pytest.fixture(scope="session")
def train():
    """Runs the CNN's script on one process."""

    def run(*options):
        command = [sys.executable, SCRIPT, *map(str, options)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert result.returncode == 0, result.stdout + result.stderr
        return result

    return run


@pytest.fixture(scope="session")
def digits_alone(train, tmp_path_factory):
    """The run folder of one process, trained with `digits.OPTIONS`."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    train(*OPTIONS, "--output", folder)
    return folder
