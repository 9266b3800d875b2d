import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfsci.plan import network, presets, published
from tfsci.plan.layout import Layout
from tfsci.plan.machine_table import MACHINES
from tfsci.plan.machines import Link
from tfsci.plan.step import BUCKET, exposed, slots, step

SELENE = MACHINES["selene"]


class TestPublished:
    @pytest.mark.parametrize("row", published.TABLE_1)
    def test_rates_of_narayanan(self, row):
        model, layout = published.table_1(row)
        found = step(model, SELENE, layout)
        assert float(found.flops_per_device) / 1e12 == pytest.approx(row[-1], rel=0.03)

    def test_the_two_constants_are_the_fit(self):
        """The largest error of the five rows is within 0.3 points of the least that there is."""

        def worst(efficiency, overhead):
            device = dataclasses.replace(SELENE.device, efficiency=efficiency, overhead=overhead)
            machine = dataclasses.replace(SELENE, device=device)
            errors = []
            for row in published.TABLE_1:
                model, layout = published.table_1(row)
                errors.append(step(model, machine, layout).flops_per_device / 1e12 / row[-1] - 1)
            return max(map(abs, errors))

        grid = [worst(e, k) for k in range(0, 1600, 200) for e in np.arange(0.68, 0.9, 0.01)]
        assert worst(SELENE.device.efficiency, SELENE.device.overhead) < min(grid) + 0.003

    def test_others_within_what_was_promised(self):
        for row in published.rows():
            assert abs(row.error) < 5, row.what


class TestClosedForms:
    def test_parts_add_up(self):
        model, layout = published.table_1(published.TABLE_1[3])
        slot, took = slots(model, SELENE, layout), step(model, SELENE, layout)
        pipeline = took.seconds - took.data - took.optimizer
        m, v, p = layout.micro_batches, layout.chunks, layout.pipeline
        expected = (m * v + p - 1) * slot.pair + m * slot.output
        assert float(pipeline) == pytest.approx(float(expected), rel=1e-12)

    @pytest.mark.parametrize(
        ("layout", "bubble"),
        [
            (Layout(4, 8, 1, 2, 20), 7 / 17),  # Oak Ridge's 22 B: 41 %
            (Layout(8, 12, 2, 1, 12), 11 / 17),  # 175 B: 65 %
            (Layout(8, 64, 1, 1, 8), 63 / 71),  # 1 T: 89 %
            (Layout(8, 8, 24, 2, 2304, chunks=2), 3.5 / 51.5),
            (Layout(1, 1, 8, 1, 8), 0),
        ],
    )
    def test_bubbles(self, layout, bubble):
        assert float(layout.bubble) == pytest.approx(bubble)


class TestScaling:
    def ideal(self):
        links = tuple(Link(link.devices, 1e15, 0.0) for link in SELENE.links)
        return dataclasses.replace(SELENE, links=links)

    @given(st.sampled_from([1, 2, 4, 8]), st.integers(0, 9), st.integers(0, 3))
    def test_is_perfect_where_communication_is_free(self, tensor, doublings, zero):
        model = presets.find("gpt-7.5b")

        def seconds(data):
            batch = 4 * data
            took = step(model, self.ideal(), Layout(tensor, 1, data, 4, batch, zero=zero))
            return float(took.seconds - took.optimizer)  # which ZeRO shares

        assert seconds(2**doublings) == pytest.approx(seconds(1), rel=1e-6)

    def test_of_networks_is_perfect_too(self):
        resnet = presets.find("resnet-50")
        assert network.efficiency(resnet, self.ideal(), 4096, 32) == pytest.approx(1, abs=1e-6)

    def test_slower_links_are_never_faster(self):
        model, layout = published.table_1(published.TABLE_1[3])
        took = []
        for factor in (1, 0.5, 0.1):
            links = tuple(Link(k.devices, factor * k.bandwidth, k.latency) for k in SELENE.links)
            machine = dataclasses.replace(SELENE, links=links)
            took.append(float(step(model, machine, layout).seconds))
        assert took == sorted(took) and took[0] < took[-1]


class TestExposed:
    """How much of an exchange goes on after the backward pass, against bucket by bucket."""

    @given(st.integers(1, 40), st.floats(0.01, 10), st.floats(0, 10), st.floats(0, 0.99))
    def test_is_the_recurrence(self, buckets, seconds, backward, share):
        volume = buckets * BUCKET
        head = share * volume
        through = 0.0
        for i in range(1, buckets + 1):
            ready = backward * max(0.0, (i * BUCKET - head) / (volume - head))
            through = max(through, ready) + seconds / buckets
        expected = max(0.0, through - backward)
        found = float(exposed(seconds, volume, backward, head))
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)

    def test_without_a_backward_pass_all_of_it(self):
        assert float(exposed(3.0, 10 * BUCKET, 0.0)) == pytest.approx(3.0)

    def test_the_last_bucket_has_nothing_to_hide_behind(self):
        assert float(exposed(1.0, 10 * BUCKET, 100.0)) == pytest.approx(0.1)


def test_computing_again_costs_a_forward_pass():
    model, machine = presets.find("gpt-7.5b"), SELENE
    layout = Layout(4, 1, 2, 4, 64)
    full, none = (
        slots(model, machine, dataclasses.replace(layout, recompute=r)) for r in ("full", "none")
    )
    assert float(full.backward - none.backward) == pytest.approx(float(full.forward))
    assert float(none.again) == 0
    flash = slots(model, machine, dataclasses.replace(layout, flash=True))
    assert flash.forward < full.forward


def test_smaller_micro_batches_and_more_tensor_ranks_compute_less_efficiently():
    model = presets.find("gpt-22b")

    def rate(tensor, micro_batch):
        slot = slots(model, SELENE, Layout(tensor, 1, 1, micro_batch, micro_batch))
        return micro_batch / tensor / float(slot.forward + slot.backward)

    assert rate(1, 1) < rate(1, 4) < rate(1, 16)
    assert rate(8, 4) < rate(4, 4) < rate(1, 4)


def test_the_python_of_the_documentation_runs(capsys):
    text = (Path(__file__).parents[2] / "docs" / "plan.md").read_text(encoding="utf-8")
    code = text.split("```python\n")[1].split("```")[0]
    exec(code, {})
    assert "tensor" in capsys.readouterr().out
