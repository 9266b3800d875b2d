"""What `multiworker` goes round; that it trains is in tests/scripts."""

import inspect

import pytest
from keras.src.backend.tensorflow import trainer

from tfsci.distributed import multiworker
from tfsci.distributed.launch import Launch
from tfsci.distributed.strategy import choose


def test_keras_still_needs_both_mends():
    """Where this fails, keras issue 20585 is mended: take ours out, and see what is still wrong."""
    assert 'strategy.reduce("MEAN", v, axis=0)' in inspect.getsource(
        inspect.unwrap(trainer.reduce_per_replica)
    )
    source = inspect.getsource(trainer.TensorFlowTrainer._maybe_symbolic_build)
    assert "reduce_per_replica" in source or "strategy.reduce" in source


@pytest.mark.parametrize(
    ("asked", "given"),
    [("auto", "first"), ("mean", "first"), ("concat", "concat"), ("sum", "sum")],
)
def test_logs_are_this_workers_own(asked, given):
    mended = multiworker._local(lambda values, strategy, reduction: (values, strategy, reduction))
    assert mended(1, 2, asked) == (1, 2, given)


def test_one_process_is_refused():
    with pytest.raises(ValueError, match="--strategy multiworker: needs several processes; start"):
        choose("multiworker", Launch())


def test_without_horovod_auto_takes_it(monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    taken = []
    monkeypatch.setattr(multiworker, "MultiWorker", lambda launch: taken.append(launch))
    launch = Launch("srun", 1, 4, 1, 4)
    choose("auto", launch)
    assert taken == [launch]
