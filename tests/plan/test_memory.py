import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfsci.plan import presets
from tfsci.plan.layout import Layout
from tfsci.plan.memory import layer_activations, memory, stage_parameters, state
from tfsci.plan.transformer import Transformer


@pytest.mark.parametrize(("zero", "gigabytes"), [(0, 120), (1, 31.4), (2, 16.6), (3, 1.9)])
def test_zero_is_as_in_its_paper(zero, gigabytes):
    """7.5 B parameters over 64 devices: Rajbhandari 2020, figure 1."""
    assert round(float(sum(state(7.5e9, 64, zero))) / 1e9, 1) == gigabytes


class TestActivations:
    """Korthikanti 2022, table 2, for a layer of its 22 B model."""

    MODEL = Transformer(48, 6144, 64)
    SBH = 2048 * 4 * 6144
    SCORES = 5 * 64 * 2048 / 6144  # 5as/h

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({"tensor": 1, "recompute": "none"}, 34 + SCORES),
            ({"tensor": 8, "recompute": "none"}, 10 + 24 / 8 + SCORES / 8),
            ({"tensor": 8, "recompute": "none", "sequence_parallel": True}, (34 + SCORES) / 8),
            ({"tensor": 8, "recompute": "selective"}, 10 + 24 / 8),
            ({"tensor": 8, "recompute": "selective", "sequence_parallel": True}, 34 / 8),
            ({"tensor": 8, "recompute": "full"}, 2),
            ({"tensor": 8, "recompute": "none", "flash": True}, 10 + 24 / 8),
        ],
    )
    def test_of_a_layer(self, options, expected):
        found = float(layer_activations(self.MODEL, Layout(micro_batch=4, **options)))
        assert found == pytest.approx(expected * self.SBH)

    def test_micro_batches_in_flight(self):
        batch = {"pipeline": 4, "global_batch": 32}
        assert Layout(**batch).in_flight == 4
        assert Layout(**batch, schedule="gpipe").in_flight == 32
        assert Layout(**batch, chunks=2).in_flight == 4 + 3 / 2  # p (1 + (p - 1)/pv)
        assert Layout(pipeline=4, global_batch=2).in_flight == 2

    def test_the_first_stage_holds_what_equation_5_says(self):
        model = presets.find("gpt-175b")
        layout = Layout(8, 8, 1, 1, 64, recompute="selective", sequence_parallel=True)
        sbh = 2048 * 12288
        expected = (
            sbh * 96 * 34 / 8 + sbh * 8 / 8
        )  # L layers' worth, and what follows the embedding
        assert float(memory(model, layout).activations) == pytest.approx(expected)


class TestParameters:
    def test_of_a_rank_add_up(self):
        model = presets.find("gpt-39b")
        assert float(stage_parameters(model, Layout())) == model.parameters
        first = float(stage_parameters(model, Layout(pipeline=2)))
        last = float(stage_parameters(model, Layout(pipeline=2), last=True))
        assert first + last == model.parameters + model.vocabulary * model.hidden  # held twice

    def test_tensor_ranks_repeat_norms_and_some_biases(self):
        model = presets.find("gpt-22b")
        each = float(stage_parameters(model, Layout(tensor=8)))
        again = model.layers * model.replicated + (2048 + 2) * model.hidden
        assert 8 * each == pytest.approx(model.parameters + 7 * again)


@given(
    st.sampled_from([1, 2, 4, 8]),
    st.sampled_from([1, 2, 4, 8, 16]),
    st.integers(0, 3),
    st.sampled_from(["none", "selective", "full"]),
    st.sampled_from(["gpipe", "1f1b"]),
)
def test_more_devices_never_raise_memory(tensor, pipeline, zero, recompute, schedule):
    model = presets.find("gpt-22b")
    zero = min(zero, 1) if pipeline > 1 else zero
    options = {"recompute": recompute, "schedule": schedule, "zero": zero}

    def total(t, p, d):
        return float(memory(model, Layout(t, p, d, 2, 1024, **options)).total)

    needs = [total(tensor, pipeline, 2**i) for i in range(9)]
    assert all(a >= b * (1 - 1e-12) for a, b in itertools.pairwise(needs))
    assert total(2 * tensor, pipeline, 4) < total(tensor, pipeline, 4)


def test_many_layouts_are_as_one_by_one():
    model = presets.find("gpt-7.5b")
    many = Layout(np.array([1, 2, 4]), np.array([1, 2, 1]), 4, np.array([1, 2, 4]), 64,
        recompute=np.array(["full", "none", "selective"]), zero=np.array([3, 1, 0]))  # fmt: skip
    totals = memory(model, many).total
    for index in range(3):
        assert float(memory(model, many.at(index)).total) == pytest.approx(totals[index], rel=1e-12)
