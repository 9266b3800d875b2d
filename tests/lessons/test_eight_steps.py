"""The training that lesson 8 takes apart, in one process; real ranks are tested with the lesson."""

import importlib.util

import numpy as np
import pytest

from tfsci.distributed.strategy import Strategy
from tfsci.lessons import eight_steps, ranks
from tfsci.lessons.eight_steps import Recipe, train


class Two(Strategy):
    """Rank 0 of two, whose gradients are averaged already."""

    world_size = 2

    def average(self, gradients):
        return gradients


def test_a_recipe_refuses_what_it_does_not_know():
    with pytest.raises(ValueError, match="wrap 'mean': expected one of average, sum, nothing"):
        Recipe(wrap="mean")
    with pytest.raises(ValueError, match="model 'large': expected one of small, wide"):
        Recipe(model="large")


@pytest.mark.parametrize(("wrap", "factor"), [("average", 1), ("sum", 2), ("nothing", 1)])
def test_a_sum_is_as_many_times_the_mean_as_there_are_ranks(wrap, factor):
    strategy = Two()
    wrapped = eight_steps._wrapped(wrap, strategy)
    assert wrapped.average([np.ones(3)])[0].tolist() == [factor] * 3
    assert strategy.average([np.ones(3)])[0].tolist() == [1] * 3  # is left as it was


def test_one_rank_needs_no_step_but_the_training():
    result = train(Recipe(epochs=2), Strategy())
    assert (result.steps, result.samples) == (1258 // 32, 1258 // 32 * 32)
    assert (result.parameters, result.gradients) == (64 * 128 + 128 + 128 * 10 + 10, 4)
    assert result.loss[1] < result.loss[0] < np.log(10)
    forgetful = Recipe(epochs=2, wrap="sum", broadcast=False, shard=False, initialise=False)
    assert train(forgetful, Strategy()).losses == result.losses


def test_what_is_saved_whole_is_read_whole():
    saving = Recipe(epochs=1, steps=2, validate=False, saves=3)
    assert train(saving, Strategy()).unreadable == 0


def test_without_horovod_one_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="'make horovod' or 'tfsci install-horovod'"):
        ranks.on_ranks({"right": Recipe()})


def test_a_job_that_fails_says_why():
    with pytest.raises(ChildProcessError, match="--strategy none: expected one of auto"):
        next(ranks.on_ranks({"right": Recipe()}, strategy="none"))
