import numpy as np
import pytest

from tfsci.data import inventory
from tfsci.data.simulated import FIRST, SIMULATORS, Simulated
from tfsci.simulate import damage, ising, sequences

SMALL = {
    "diffraction": {"size": "16"},
    "damage": {"": "3", "size": "16"},
    "galaxies": {"size": "16"},
    "ising": {"size": "8", "sweeps": "2"},
    "sequences": {"length": "12"},
    "burgers": {"points": "16"},
}


@pytest.mark.parametrize("name", SIMULATORS)
class TestEach:
    def test_samples_are_those_of_their_features(self, name):
        simulated = Simulated.of(name, SMALL[name])
        x, y = simulated.make("validation", 3, 8)
        for array, feature in zip((x, y), simulated.features, strict=True):
            assert array.dtype == feature.dtype
            assert array.shape == (5, *feature.shape)

    def test_a_sample_is_the_same_whoever_makes_it(self, name):
        simulated = Simulated.of(name, SMALL[name] | {"samples": "40"})
        larger = Simulated.of(name, SMALL[name] | {"samples": "4000"})
        for split, size in simulated.sizes.items():
            chunks = list(simulated.chunks(split))
            for i, whole in enumerate(zip(*chunks, strict=True)):
                one_by_one = [larger.make(split, k, k + 1)[i] for k in range(size)]
                np.testing.assert_array_equal(np.concatenate(whole), np.concatenate(one_by_one))

    def test_splits_share_no_sample(self, name):
        simulated = Simulated.of(name, SMALL[name])
        parts = [simulated.make(split, 0, 1)[0].tobytes() for split in FIRST]
        assert len(set(parts)) == 3 or name == "ising"  # few spins may agree by chance

    def test_the_known_answer_is_one(self, name):
        answer = Simulated.of(name, {}).known_answer
        measure = SIMULATORS[name].measure
        assert 0 <= answer <= (1 if measure == "accuracy" else 10)


def test_answers_are_the_simulators_own():
    assert Simulated.of("damage", {"": "3"}).known_answer == damage.best_accuracy(3)
    half = Simulated.of("damage", {"classes": "2", "annotator_noise": "0.3", "imbalance": "5"})
    assert half.known_answer == damage.best_accuracy(2, annotator_noise=0.3, imbalance=5)
    warm = Simulated.of("ising", {"size": "8", "temperatures": "2.0-2.5"})
    assert warm.known_answer == ising.best_accuracy(8, (2.0, 2.5))
    # x predicts the 12 tokens after the first of 13.
    floor = Simulated.of("sequences", {"length": "12"}).known_answer
    assert floor == sequences.loss_floor(13, given=1)


def test_a_sequence_is_shifted_by_one():
    x, y = Simulated.of("sequences", {"length": "12"}).make("train", 0, 4)
    np.testing.assert_array_equal(x[:, 1:], y[:, :-1])


def test_pictures_are_kept_to_half_a_grey_level():
    simulated = Simulated.of("damage", {"size": "16"})
    x, _ = simulated.make("test", 5, 9)
    exact, _ = damage.generate(FIRST["test"] + np.arange(5, 9), size=16)
    assert np.abs(x / 255 - exact).max() <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize(
    ("name", "given", "spec", "config"),
    [
        ("damage", {}, "damage", "5"),
        ("damage", {"": "5"}, "damage", "5"),
        ("damage", {"": "3", "quality": "0.50"}, "damage:3,quality=0.5", "3_quality-0.5"),
        ("diffraction", {"": "centring"}, "diffraction:centring", "centring"),
        ("diffraction", {"size": "32"}, "diffraction:size=32", "size-32"),
        ("ising", {"temperatures": "1-3"}, "ising:temperatures=1.0-3.0", "temperatures-1.0-3.0"),
        ("burgers", {"samples": "500"}, "burgers:samples=500", "samples-500"),
        ("galaxies", {}, "galaxies", "default"),
    ],
)
def test_specs_and_folders_name_what_differs(name, given, spec, config):
    simulated = Simulated.of(name, given)
    assert (simulated.spec, simulated.config) == (spec, config)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("damage", {"": "4"}, "--data damage: classes: expected 5, 3 or 2; received 4"),
        ("damage", {"colour": "1"}, "--data damage: no option 'colour'; expected seed, size, "),
        ("damage", {"quality": "good"}, "--data damage: quality=good: expected a number like 1.0"),
        ("damage", {"quality": "2"}, "--data damage: quality: expected a number from 0 to 1"),
        ("damage", {"size": "32.5"}, "--data damage: size=32.5: expected a whole number like 64"),
        ("diffraction", {"": "cubic"}, "--data diffraction: classes: expected one of system"),
        ("galaxies", {"": "3"}, "--data galaxies: takes no bare value; expected seed, size"),
        ("ising", {"temperatures": "2"}, "--data ising: temperatures=2: expected as many numbers"),
        ("ising", {"seed": "-1"}, "--data ising: seed: expected an integer from 0 on"),
        ("burgers", {"samples": "9"}, "--data burgers: samples=9: expected at least 10"),
    ],
)
def test_options_that_can_not_be(name, given, message):
    with pytest.raises(ValueError) as error:
        Simulated.of(name, given)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_the_answer_that_a_list_shows_is_the_computed_one():
    assert {"diffraction": Simulated.of("diffraction", {}).known_answer} == inventory._RECORDED
