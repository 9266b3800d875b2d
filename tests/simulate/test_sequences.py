"""The Markov source: entropy by several routes, the statistics of what it makes, determinism."""

import itertools
import math

import numpy as np
import pytest

from tfsci.simulate import sequences


def test_shapes_and_alphabet():
    tokens = sequences.generate(range(50), length=64)
    assert tokens.shape == (50, 64) and tokens.dtype == np.int32
    assert tokens.min() >= 0 and tokens.max() == 19
    assert sequences.text([[0, 1, 19]]) == ["ACY"]
    assert sequences.generate([], length=5).shape == (0, 5)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_transition_probabilities_are_probabilities(order):
    p = sequences.transition_probabilities(order)
    assert p.shape == (20,) * (order + 1) and p.min() > 0
    assert np.allclose(p.sum(axis=-1), 1, rtol=0, atol=1e-14)


def test_without_contrast_the_tokens_are_independent():
    composition = sequences.COMPOSITION
    assert np.allclose(sequences.transition_probabilities(1, 0.0), composition)
    entropy = -(composition * np.log(composition)).sum()
    for order in (1, 2, 3):
        assert sequences.entropy_rate(order, 0.0) == pytest.approx(entropy, abs=1e-12)
        assert sequences.best_accuracy(order, 0.0) == pytest.approx(composition.max())
    # Proteins: 4.19 bits a residue without context (Strait & Dewey 1996); 20 equal ones have 4.32.
    assert entropy / math.log(2) == pytest.approx(4.19, abs=0.03)


@pytest.mark.parametrize("contrast", [0.5, 1.5, 5.0])
def test_stationary_distribution_by_power_iteration_is_the_eigenvector(contrast):
    p = sequences.transition_probabilities(1, contrast)
    values, vectors = np.linalg.eig(p.T)
    vector = vectors[:, np.argmax(values.real)].real
    mu = sequences.stationary_distribution(1, contrast)
    assert np.allclose(mu, vector / vector.sum(), rtol=0, atol=1e-12)


def test_stationary_pairs_by_eigenvector_of_the_400_state_chain():
    p = sequences.transition_probabilities(2)
    chain = np.zeros((20, 20, 20, 20))
    for b in range(20):
        chain[:, b, b, :] = p[:, b, :]  # (a, b) -> (b, c)
    values, vectors = np.linalg.eig(chain.reshape(400, 400).T)
    vector = vectors[:, np.argmax(values.real)].real
    mu = sequences.stationary_distribution(2)
    assert np.allclose(mu.ravel(), vector / vector.sum(), rtol=0, atol=1e-12)
    assert np.allclose(mu.sum(axis=0), mu.sum(axis=1), atol=1e-14)  # whichever token one looks at


def test_entropy_rate_of_order_one_is_the_text_book_sum():
    p, mu = sequences.transition_probabilities(1), sequences.stationary_distribution(1)
    by_hand = -sum(mu[i] * p[i, j] * math.log(p[i, j]) for i in range(20) for j in range(20))
    assert sequences.entropy_rate(1) == pytest.approx(by_hand, abs=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_entropy_rate_is_minus_the_log_likelihood_of_a_long_sequence(order):
    losses = -sequences.log_likelihood(sequences.generate(range(400), 5, 500, order), order)
    assert losses.shape == (400, 500 - order)
    error = losses.mean(axis=1).std() / 400**0.5  # sequences are independent, tokens are not
    assert error < 0.01
    assert abs(losses.mean() - sequences.entropy_rate(order)) < 4 * error


def test_best_accuracy_is_that_of_the_most_probable_next_token():
    tokens = sequences.generate(range(500), 1, 200)
    guess = sequences.transition_probabilities().argmax(axis=-1)[tokens[:, :-2], tokens[:, 1:-1]]
    hits = (guess == tokens[:, 2:]).mean(axis=1)
    assert abs(hits.mean() - sequences.best_accuracy()) < 4 * hits.std() / 500**0.5


def test_counts_of_triples():
    tokens = sequences.generate(range(1000), 2, 102)
    index = tokens[:, :-2] * 400 + tokens[:, 1:-1] * 20 + tokens[:, 2:]
    counts = np.bincount(index.ravel(), minlength=8000)
    mu, p = sequences.stationary_distribution(), sequences.transition_probabilities()
    expected = (mu[..., None] * p).ravel() * index.size
    common = expected > 20
    z = (counts - expected)[common] / np.sqrt(expected[common])
    assert common.sum() > 300 and abs(z).max() < 6
    assert z.std() == pytest.approx(1, abs=0.15)


def test_sequences_start_in_the_stationary_distribution():
    tokens = sequences.generate(range(20_000), 3, 3)
    marginal = sequences.stationary_distribution().sum(axis=0)
    for column in tokens.T:
        z = np.bincount(column, minlength=20) - 20_000 * marginal
        assert (z**2 / (20_000 * marginal)).sum() < 50  # χ² of 19: above 50 once in 7,000


def test_context_lowers_the_floor_in_steps():
    for order in (1, 2, 3):
        floors = [sequences.entropy_rate(order, context=c) for c in range(order + 1)]
        assert all(a > b + 0.2 for a, b in itertools.pairwise(floors))
        assert sequences.entropy_rate(order, context=9) == sequences.entropy_rate(order)


def test_loss_floor_is_the_joint_entropy_by_the_chain_rule():
    mu, p = sequences.stationary_distribution(2), sequences.transition_probabilities(2)
    four = mu[:, :, None, None] * p[:, :, :, None] * p[None, :, :, :]
    entropy = -(four * np.log(four)).sum()
    assert sequences.loss_floor(4) == pytest.approx(entropy / 4, abs=1e-12)
    one = mu.sum(axis=0)
    first = -(one * np.log(one)).sum()
    assert sequences.loss_floor(4, given=1) == pytest.approx((entropy - first) / 3, abs=1e-12)
    assert sequences.loss_floor(1) == pytest.approx(first, abs=1e-12)
    rate = sequences.entropy_rate(1)
    alone = sequences.entropy_rate(1, context=0)
    assert sequences.loss_floor(128, order=1) == pytest.approx((alone + 127 * rate) / 128)
    assert sequences.loss_floor(128, given=2) == pytest.approx(sequences.entropy_rate())


def test_a_sample_depends_on_its_index_alone():
    whole = sequences.generate(range(20), seed=4, length=40)
    assert np.array_equal(whole[[7, 3, 11]], sequences.generate([7, 3, 11], seed=4, length=40))
    assert np.array_equal(whole[:, :25], sequences.generate(range(20), seed=4, length=25))
    assert np.array_equal(whole[:, :1], sequences.generate(range(20), seed=4, length=1))
    assert not np.array_equal(whole, sequences.generate(range(20), seed=5, length=40))
    assert len(np.unique(whole, axis=0)) == 20


def test_another_source_is_another_language():
    one, two = (sequences.transition_probabilities(source=s) for s in (0, 1))
    assert abs(one - two).max() > 0.1
    # A caller who writes into the answer changes nobody else's.
    sequences.transition_probabilities()[:] = 0
    assert np.array_equal(sequences.transition_probabilities(), one)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sequences.generate([-1]), "indices: expected .* received -1"),
        (lambda: sequences.generate([0.5]), "indices: expected"),
        (lambda: sequences.generate([0], seed=-1), "seed: expected .* received -1"),
        (lambda: sequences.generate([0], length=0), "length: expected .* received 0"),
        (lambda: sequences.entropy_rate(4), "order: expected 1, 2 or 3; received 4"),
        (lambda: sequences.entropy_rate(contrast=float("nan")), "contrast: expected .* nan"),
        (lambda: sequences.entropy_rate(source="a"), "source: expected .* received 'a'"),
        (lambda: sequences.entropy_rate(context=-1), "context: expected .* received -1"),
        (lambda: sequences.loss_floor(4, given=4), "given: expected less than .* 4; received 4"),
        (lambda: sequences.text([[20]]), "tokens: expected integers from 0 to 19"),
        (lambda: sequences.log_likelihood([[0, 1]]), "tokens: expected more than 2 in a row"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
