import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfsci.data import augment
from tfsci.data.augment import Augmentation

SEEDS = st.integers(0, 2**32 - 1)
TEXTS = ("flip", "rotate", "flip,rotate", "rotate=30", "crop", "noise", "flip,rotate,crop,noise")


def applied(text: str, images: np.ndarray, positions, seed: int = 0) -> np.ndarray:
    images = tf.constant(images, tf.float32)
    return augment.parse(text).apply(images, tf.constant(positions, tf.int64), seed).numpy()


def copies(image: np.ndarray, number: int) -> np.ndarray:
    return np.repeat(image[None].astype("float32"), number, axis=0)


def ramp(height: int, width: int) -> np.ndarray:
    """Two channels: the row and the column of each pixel."""
    return np.stack(np.mgrid[:height, :width], axis=-1).astype("float32")


class TestParse:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("flip", Augmentation(flip=True)),
            ("rotate", Augmentation(quarter_turns=True)),
            ("rotate=15", Augmentation(rotate=15)),
            ("crop", Augmentation(crop=0.1)),
            ("noise", Augmentation(noise=0.02)),
            (" noise=0.05, crop = .3 ", Augmentation(crop=0.3, noise=0.05)),
            ("flip,rotate,crop,noise", Augmentation(True, True, 0, 0.1, 0.02)),
        ],
    )
    def test_names_and_strengths(self, text, expected):
        assert augment.parse(text) == expected

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("flip,spin", f"flip,spin: unknown 'spin'; known are {augment.KNOWN}"),
            ("", f": unknown ''; known are {augment.KNOWN}"),
            ("flip,", f"flip,: unknown ''; known are {augment.KNOWN}"),
            (
                "rotate,rotate=5",
                f"rotate,rotate=5: 'rotate' comes twice; give each of {augment.KNOWN} once",
            ),
            ("flip=1", "flip=1: expected flip without a number"),
            ("rotate=0", "rotate=0: expected a number above 0 and at most 180"),
            ("rotate=181", "rotate=181: expected a number above 0 and at most 180"),
            ("crop=-0.1", "crop=-0.1: expected a number above 0 and at most 0.9"),
            ("crop=nan", "crop=nan: expected a number above 0 and at most 0.9"),
            ("crop=", "crop=: expected a number above 0 and at most 0.9"),
            ("noise=loud", "noise=loud: expected a number above 0 and at most 1"),
        ],
    )
    def test_what_is_refused(self, text, message):
        with pytest.raises(ValueError) as error:
            augment.parse(text)
        assert str(error.value) == f"--augment {message}"


class TestPlace:
    """What happens to a sample follows from the seed and its position alone."""

    @settings(max_examples=15)
    @given(
        text=st.sampled_from(TEXTS),
        num_shards=st.integers(1, 8),
        rows=st.integers(1, 5),
        side=st.integers(1, 9),
        channels=st.integers(1, 3),
        first=st.integers(0, 2**62),
        seed=SEEDS,
    )
    def test_batches_shards_and_rows_change_nothing(
        self, text, num_shards, rows, side, channels, first, seed
    ):
        batch = num_shards * rows
        images = np.random.default_rng(seed).random((batch, side, side, channels), "float32")
        positions = first + np.arange(batch)
        whole = applied(text, images, positions, seed)
        assert whole.shape == images.shape
        assert whole.dtype == np.float32

        shards = zip(np.split(images, num_shards), np.split(positions, num_shards), strict=True)
        together = np.concatenate([applied(text, *shard, seed) for shard in shards])
        np.testing.assert_array_equal(together, whole)

        order = np.random.default_rng(seed).permutation(batch)
        shuffled = applied(text, images[order], positions[order], seed)
        np.testing.assert_array_equal(shuffled, whole[order])

    @pytest.mark.parametrize("text", [*TEXTS, "flip,rotate=30,crop=0.5,noise"])
    def test_a_tf_data_graph_gives_what_eager_calls_give(self, text):
        images = np.random.default_rng(0).random((7, 33, 33, 3), "float32")
        positions = np.arange(1000, 1007)
        augmentation = augment.parse(text)
        dataset = tf.data.Dataset.from_tensor_slices((images, positions)).batch(3)
        dataset = dataset.map(lambda x, places: augmentation.apply(x, places, 5))
        assert dataset.element_spec.shape.as_list() == [None, 33, 33, 3]
        got = np.concatenate(list(dataset.as_numpy_iterator()))
        np.testing.assert_array_equal(got, applied(text, images, positions, 5))

    @pytest.mark.parametrize("text", ["rotate=30", "crop", "noise"])
    def test_samples_epochs_and_seeds_have_draws_of_their_own(self, text):
        images = copies(ramp(6, 6), 40)
        seen = [
            image.tobytes()
            for seed in (0, 1, 2**32 - 1, 2**64 - 1)
            for epoch in range(2)
            for image in applied(text, images, epoch * 40 + np.arange(40), seed)
        ]
        assert len(set(seen)) >= 315  # of 320; by chance 0.8 pairs draw the same angle


class TestFlipAndQuarterTurns:
    @pytest.mark.parametrize("side", [1, 2, 7, 8])
    def test_the_eight_symmetries_of_the_square_come_equally_often(self, side):
        image = np.random.default_rng(0).random((side, side, 2), "float32")
        symmetries = {
            (turns, mirrored): np.rot90(image[:, ::-1] if mirrored else image, turns).tobytes()
            for turns in range(4)
            for mirrored in (False, True)
        }
        images = copies(image, 4000)
        for text, expected in (
            ("flip,rotate", set(symmetries.values())),
            ("flip", {symmetries[key] for key in [(0, False), (0, True), (2, False), (2, True)]}),
            ("rotate", {symmetries[turns, False] for turns in range(4)}),
        ):
            results = [result.tobytes() for result in applied(text, images, range(4000))]
            assert set(results) == expected
            share = 4000 / len(expected)
            counts = [results.count(symmetry) for symmetry in expected]
            assert max(abs(count - share) for count in counts) < 4.5 * share**0.5

    def test_an_oblong_image_is_flipped_both_ways(self):
        image = ramp(3, 4)
        results = applied("flip", copies(image, 400), range(400))
        flipped = [image, image[::-1], image[:, ::-1], image[::-1, ::-1]]
        counts = [(results == one).all(axis=(1, 2, 3)).sum() for one in flipped]
        assert sum(counts) == 400
        assert min(counts) > 60

    def test_pixels_of_a_batch_stay_in_their_image(self):
        images = np.arange(50, dtype="float32")[:, None, None, None] * np.ones((1, 5, 5, 3))
        np.testing.assert_array_equal(applied("flip,rotate", images, range(50)), images)


class TestAngle:
    @pytest.mark.parametrize("shape", [(40, 40), (41, 40)])
    def test_a_round_image_stays_as_it_is(self, shape):
        row, column = np.mgrid[: shape[0], : shape[1]]
        middle = (np.array(shape) - 1) / 2
        distance2 = (row - middle[0]) ** 2 + (column - middle[1]) ** 2
        image = np.exp(-distance2 / (2 * 8**2))[..., None]
        results = applied("rotate=180", copies(image, 50), range(50))
        never_beyond_an_edge = distance2 < 19**2
        # A bilinear interpolation errs by at most ¼ · the largest second derivative, 1 / 8².
        assert abs(results - image)[:, never_beyond_an_edge].max() < 1 / (4 * 8**2)

    def test_the_angle_is_uniform_and_below_the_largest(self):
        """Near its middle a turned ramp is a ramp again, whose slope tells the angle."""
        results = applied("rotate=40", copies(ramp(17, 17), 2000), range(2000))
        along, across = results[:, 8, 9] - results[:, 8, 8], results[:, 9, 8] - results[:, 8, 8]
        np.testing.assert_allclose(np.hypot(*along.T), 1, atol=1e-5)
        np.testing.assert_allclose(across, along[:, ::-1] * [1, -1], atol=1e-5)
        angle = np.degrees(np.arctan2(along[:, 0], along[:, 1]))
        assert abs(angle).max() < 40 + 1e-3
        counts, _ = np.histogram(angle, 10, (-40, 40))
        assert ((counts - 200) ** 2 / 200).sum() < 28  # χ² of 9 degrees of freedom, p = 0.001
        np.testing.assert_allclose(results[:, 8, 8], 8, atol=1e-5)  # the middle stays


class TestCrop:
    @pytest.mark.parametrize("share", [0.1, 0.5])
    def test_a_ramp_stays_a_ramp_of_a_lower_slope(self, share):
        height, width = 20, 31
        results = applied(f"crop={share}", copies(ramp(height, width), 500), range(500))
        inside = results[:, 2:-2, 2:-2]  # the outermost may lie beyond the last pixel's middle
        down, across = np.diff(inside, axis=1), np.diff(inside, axis=2)
        np.testing.assert_allclose(down[..., 0], 1 - share, atol=1e-4)
        np.testing.assert_allclose(across[..., 1], 1 - share, atol=1e-4)
        np.testing.assert_allclose(down[..., 1], 0, atol=1e-4)
        np.testing.assert_allclose(across[..., 0], 0, atol=1e-4)

    def test_the_window_lies_anywhere_in_the_image(self):
        """Of 20 × 40 pixels it leaves 5 × 10: its middle goes that far, evenly, each way."""
        results = applied("crop=0.25", copies(ramp(20, 40), 2000), range(2000))
        middles = results[:, 3:-3, 3:-3].mean(axis=(1, 2)) - [9.5, 19.5]
        places = middles / [5, 10] + 0.5
        assert places.min() > -1e-4
        assert places.max() < 1 + 1e-4
        for axis in (0, 1):
            counts, _ = np.histogram(places[:, axis], 10, (0, 1))
            assert ((counts - 200) ** 2 / 200).sum() < 28  # as above
        assert abs(np.corrcoef(places.T)[0, 1]) < 4 / 2000**0.5

    def test_nothing_is_seen_that_is_not_in_the_image(self):
        results = applied("crop=0.3,rotate=90", copies(1 + ramp(9, 9), 200), range(200))
        assert results.min() >= 1 - 1e-5
        assert results.max() <= 9 + 1e-5


class TestNoise:
    def test_it_is_normal_of_the_deviation_asked_for(self):
        zeros = np.zeros((200, 16, 15, 3), "float32")
        noise = applied("noise=0.5", zeros, range(200), seed=2).astype("float64").ravel() / 0.5
        n = noise.size  # 144,000
        for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
            assert abs((noise**power).mean() - moment) < 4 * (variance / n) ** 0.5
        for width, share in ((1, 0.682689), (2, 0.954500), (3, 0.997300), (4, 0.999937)):
            error = 4 * (share * (1 - share) / n) ** 0.5
            assert abs((abs(noise) < width).mean() - share) < error

    def test_it_is_added_and_not_clipped(self):
        zeros, image = np.zeros((3, 4, 4, 1), "float32"), np.ones((3, 4, 4, 1), "float32")
        noise = applied("noise", zeros, range(3))
        np.testing.assert_array_equal(applied("noise", image, range(3)), 1 + noise)

    def test_pixels_and_samples_are_independent(self):
        noise = applied("noise=1", np.zeros((64, 16, 16, 4), "float32"), range(64)).reshape(64, -1)
        for lag in (1, 2, 3, 4, 8, 16, 64):
            pairs = noise[:, lag:] * noise[:, :-lag]
            assert abs(pairs.mean()) < 4 / pairs.size**0.5
        between = np.corrcoef(noise)[np.triu_indices(64, 1)]
        assert abs(between).max() < 5.5 / noise.shape[1] ** 0.5

    def test_angle_window_and_noise_are_independent(self):
        images = copies(ramp(9, 9), 2000)
        turned = applied("rotate=40", images, range(2000))
        angle = turned[:, 4, 5, 0] - turned[:, 4, 4, 0]
        window = applied("crop=0.5", images, range(2000))[:, 4, 4]
        noise = applied("noise=1", 0 * images, range(2000)).reshape(2000, -1)[:, :8]
        columns = np.corrcoef(np.column_stack([angle, window, noise]).T)
        assert abs(columns - np.eye(11)).max() < 4.5 / 2000**0.5


class TestDraws:
    def test_the_numbers_are_those_of_splitmix64(self):
        """As published with the generator: https://prng.di.unimi.it/splitmix64.c."""
        words = augment.split_mix(tf.constant([0, 1234567], tf.uint64), 5).numpy()
        assert words[0, :4].tolist() == [
            0xE220A8397B1DCDAF,
            0x6E789E6AA1B965F4,
            0x06C45D188009454F,
            0xF88BB8A8724C81EC,
        ]
        assert words[1].tolist() == [
            6457827717110365317,
            3203168211198807973,
            9817491932198370423,
            4593380528125082431,
            16408922859458223821,
        ]

    @pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
    def test_they_are_uniform_in_their_high_and_low_bits(self, seed):
        draws = augment._draws(seed, tf.range(20000, dtype=tf.int64), 12).numpy()
        assert draws.min() >= 0
        assert draws.max() < 2**16
        for column in draws.T:
            for part in (column >> 10, column & 63):
                counts = np.bincount(part, minlength=64)
                # χ² of 63 degrees of freedom: 63 ± 11; 72 such, so 5 standard deviations.
                assert 63 - 56 < ((counts - 312.5) ** 2 / 312.5).sum() < 63 + 56

    def test_neighbours_are_independent(self):
        positions = tf.range(20000, dtype=tf.int64)
        draws = augment._draws(0, positions, 12).numpy()
        others = augment._draws(1, positions, 12).numpy()
        limit = 4.5 / 20000**0.5
        columns = np.corrcoef(np.concatenate([draws, others], axis=1).T)
        assert abs(columns - np.eye(24)).max() < limit
        bits = np.unpackbits(draws[:, :4].astype("uint16").view("uint8"), axis=1).astype(float)
        for lag in (1, 2, 3, 64, 1024):
            ahead, behind = bits[lag:], bits[:-lag]
            both = (ahead - 0.5).T @ (behind - 0.5) * 4 / len(ahead)  # of each bit with each, 64²
            assert abs(both).max() < 5 / len(ahead) ** 0.5


class TestApply:
    @pytest.mark.parametrize(
        ("shape", "dtype", "got"),
        [
            ((5, 16), "float32", "float32 of shape (5, 16)"),
            ((5, 16, 16), "float32", "float32 of shape (5, 16, 16)"),
            ((5, 4, 4, 1), "int32", "int32 of shape (5, 4, 4, 1)"),
        ],
    )
    def test_what_is_no_image_is_refused(self, shape, dtype, got):
        with pytest.raises(ValueError) as error:
            augment.parse("flip").apply(tf.zeros(shape, dtype), tf.range(5, dtype=tf.int64), 0)
        assert str(error.value) == (
            f"--augment: expected images, float32 of shape (B, H, W, C), got {got}; "
            "leave --augment out for this data"
        )

    def test_quarter_turns_of_an_oblong_image_are_refused(self):
        with pytest.raises(ValueError) as error:
            applied("rotate", np.zeros((1, 48, 64, 3)), [0])
        assert str(error.value) == (
            "--augment rotate: quarter turns expect square images, got 48 × 64; "
            "give an angle, for example rotate=15"
        )
