"""Errors that say no more than that another rank has gone."""

# What TensorFlow's own collectives raise where another process has gone.
_OF_COLLECTIVES = {"UnavailableError", "AbortedError", "CancelledError", "InternalError",
                   "DeadlineExceededError"}  # fmt: skip


def is_echo(error: BaseException) -> bool:
    """Whether an error is Horovod's word for the end of another rank."""
    kind = type(error)
    foreign = kind.__module__.startswith(("tensorflow", "horovod"))
    return foreign and ("orovod" in str(error) or "Horovod" in kind.__name__)


def may_be_echo(error: BaseException) -> bool:
    """Whether an error is an echo, or one that TensorFlow raises for other reasons too."""
    kind = type(error)
    return (
        is_echo(error)
        or kind.__module__.startswith("horovod")
        or (kind.__module__.startswith("tensorflow") and kind.__name__ in _OF_COLLECTIVES)
    )
