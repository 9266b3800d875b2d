"""Errors that say no more than that another rank has gone are told from errors."""

import pytest

from tfsci.distributed.echoes import is_echo, may_be_echo


def foreign(name, module):
    return type(name, (Exception,), {"__module__": module})


TF = "tensorflow.python.framework.errors_impl"


@pytest.mark.parametrize(
    ("error", "surely", "perhaps"),
    [
        (foreign("UnknownError", TF)("Horovod has been shut down"), True, True),
        (foreign("HorovodInternalError", "horovod.common.exceptions")(), True, True),
        (foreign("UnavailableError", TF)("Connection reset by peer"), False, True),
        (foreign("UnknownError", TF)("out of memory"), False, False),
        (ValueError("Horovod is not installed"), False, False),
    ],
)
def test_echo(error, surely, perhaps):
    assert (is_echo(error), may_be_echo(error)) == (surely, perhaps)
