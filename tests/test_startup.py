"""Each in a Python of its own, which has not imported TensorFlow yet, or finds a false one."""


def test_tensorflow_comes_without_chatter(python):
    result = python(
        "from tfsci.startup import import_tensorflow\n"
        "import sys\n"
        "tf = import_tensorflow()\n"
        "import keras\n"
        "print(tf is sys.modules['tensorflow'], keras.backend.backend(), float(tf.ones(())))\n"
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "True tensorflow 1.0\n"


def test_what_is_said_afterwards_is_heard_and_the_users_log_level_kept(python, tmp_path):
    for name in ("keras", "tensorflow"):
        (tmp_path / f"{name}.py").write_text("import os\nos.write(2, b'chatter\\n')\n")
    code = (
        f"import os, sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from tfsci.startup import import_tensorflow\n"
        "import_tensorflow()\n"
        "print('by Python', file=sys.stderr)\n"
        "os.write(2, b'by C\\n')\n"
        "print(os.environ['TF_CPP_MIN_LOG_LEVEL'])\n"
    )
    for given, kept in (({}, "3"), ({"TF_CPP_MIN_LOG_LEVEL": "0"}, "0")):
        result = python(code, **given)
        assert (result.stdout, result.stderr) == (f"{kept}\n", "by Python\nby C\n")


def test_a_failed_import_tells_all(python, tmp_path):
    (tmp_path / "keras.py").write_text(
        "import os\nos.write(2, b'library missing\\n')\nraise ImportError('keras is broken')\n"
    )
    result = python(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from tfsci.startup import import_tensorflow\n"
        "try:\n    import_tensorflow()\n"
        "except ImportError as error:\n    print(error)\n"
    )
    assert (result.stdout, result.stderr) == ("keras is broken\n", "library missing\n")


def test_another_backend_is_refused(python):
    code = (
        "from tfsci.startup import import_tensorflow\n"
        "import sys\n"
        "try:\n    import_tensorflow()\n"
        "except ValueError as error:\n    print(error)\n"
        "print('tensorflow' in sys.modules, 'keras' in sys.modules)\n"
    )
    result = python(code, KERAS_BACKEND="jax")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == (
        "KERAS_BACKEND=jax: training needs the tensorflow backend; unset the variable\n"
        "False False\n"
    )
