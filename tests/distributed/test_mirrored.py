"""Mirrored replicas on logical CPU devices, which must be set before TensorFlow starts."""

import json

import numpy as np
import pytest

from tfsci.distributed.launch import Launch
from tfsci.distributed.mirrored import Mirrored
from tfsci.distributed.strategy import choose, seed_of_replica

MASKS = """if True:
    import json, sys
    from tfsci import startup
    tf = startup.import_tensorflow()
    import keras
    from tfsci.distributed.strategy import choose
    replicas = int(sys.argv[1])
    strategy = choose("auto", replicas=replicas)
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = keras.Sequential([keras.Input((40,)), keras.layers.Dropout(0.5)])
        model.compile("sgd", "mse")
    strategy.broadcast(model)
    step = lambda: model(tf.ones((1, 40)), training=True)
    masks = []
    for _ in range(2):
        if strategy.name == "mirrored":
            values = strategy._strategy.run(tf.function(step))
            masks.append([v.numpy()[0].tolist() for v in values.values])
        else:
            masks.append([step().numpy()[0].tolist()])
    print(json.dumps([strategy.name, strategy.world_size, strategy.num_shards, masks]))
"""


def masks(python, replicas):
    result = python(MASKS, str(replicas))
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return json.loads(result.stdout)


@pytest.mark.slow
def test_replicas_draw_masks_of_their_own_which_repeat(python):
    *facts, alone = masks(python, 1)
    assert facts == ["single", 1, 1]
    *facts, first = masks(python, 3)
    assert facts == ["mirrored", 3, 1]
    assert first == masks(python, 3)[-1]
    drawn = [tuple(mask) for step in first for mask in step]
    assert len(set(drawn)) == 6  # three replicas, two steps
    assert [step[0] for step in first] == [step[0] for step in alone]


@pytest.mark.parametrize("dtype", ["int64", "uint32"])
def test_a_replicas_seed_is_far_from_its_neighbours(dtype):
    state = np.array([2**32 - 1, 7], dtype)
    seeds = [seed_of_replica(state, replica) for replica in range(64)]
    assert all(seed.dtype == dtype and seed[1] == 7 for seed in seeds)
    np.testing.assert_array_equal(seeds[0], state)
    numbers = np.sort([int(seed[0]) for seed in seeds])
    assert np.diff(numbers).min() > 2**32 / 64 / 4


def test_several_processes_are_refused():
    launch = Launch("srun", 1, 4, 1, 4)
    with pytest.raises(ValueError, match="srun started 4; start one, or use --strategy horovod"):
        Mirrored(launch)


def test_replicas_of_another_strategy_are_refused():
    with pytest.raises(ValueError, match="--replicas 2: is for --strategy mirrored, not single"):
        choose("single", Launch(), replicas=2)
    with pytest.raises(ValueError, match="not horovod"):
        choose("auto", Launch("srun", 1, 4, 1, 4), replicas=2)


def test_more_replicas_than_gpus_are_refused(monkeypatch):
    import tensorflow as tf

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: ["a", "b"])
    with pytest.raises(ValueError, match=r"--replicas 3: this machine shows 2 GPU\(s\); use at"):
        Mirrored(Launch(), 3)
