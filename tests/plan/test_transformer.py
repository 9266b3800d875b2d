import pytest

from tfsci.plan import presets
from tfsci.plan.network import Network
from tfsci.plan.published import TABLE_1, table_1
from tfsci.plan.transformer import Transformer


class TestParameters:
    @pytest.mark.parametrize(
        ("row", "billions"),
        list(zip(TABLE_1, (1.7, 7.5, 39.1, 145.6, 1008.0), strict=True)),
    )
    def test_are_as_published(self, row, billions):
        model, _ = table_1(row)
        tolerance = 0.03 if billions < 2 else 0.005
        assert model.parameters == pytest.approx(billions * 1e9, rel=tolerance)

    def test_of_a_layer_by_hand(self):
        model = Transformer(1, hidden=8, heads=2, sequence=4, vocabulary=16)
        q_k_v, out, expand, contract = 8 * 24 + 24, 8 * 8 + 8, 8 * 32 + 32, 32 * 8 + 8
        norms = 2 * 2 * 8
        layer = q_k_v + out + expand + contract + norms
        assert model.layer_parameters == layer == 12 * 8**2 + 13 * 8
        assert model.parameters == layer + (16 + 4) * 8 + 2 * 8

    @pytest.mark.parametrize(
        ("name", "parameters"),
        [
            # The weights that are published: torchvision's, and Meta's model cards.
            ("vit-b-16", 86_567_656),
            ("vit-l-16", 304_326_632),
            ("vit-h-14", 632_045_800),
            ("llama-3-8b", 8_030_261_248),
            ("llama-3-70b", 70_553_706_496),
            ("llama-3-405b", 405_853_388_800),
            ("resnet-50", 25_557_032),
        ],
    )
    def test_of_other_models_are_exact(self, name, parameters):
        assert presets.find(name).parameters == parameters


class TestFlops:
    @pytest.mark.parametrize("row", TABLE_1)
    def test_equation_3_of_narayanan(self, row):
        model, layout = table_1(row)
        n, h, s, v, b = model.layers, model.hidden, model.sequence, 51200, layout.global_batch
        expected = 96 * b * s * n * h**2 * (1 + s / 6 / h + v / 16 / n / h)
        assert model.step_flops(float(b), "full") == pytest.approx(expected, rel=1e-12)

    def test_equation_7_of_korthikanti(self):
        model = Transformer(48, 6144, 64)
        expected = 72 * 4 * 48 * 2048 * 6144**2 * (1 + 2048 / 6 / 6144 + 51200 / 12 / 6144 / 48)
        assert model.model_flops(4.0) == pytest.approx(expected, rel=1e-12)
        assert model.step_flops(4.0, "none") == model.model_flops(4.0)
        scores = 48 * 4 * 4 * 2048**2 * 6144
        assert model.step_flops(4.0, "selective") - model.model_flops(4.0) == pytest.approx(scores)

    def test_six_a_parameter_and_token_for_large_models(self):
        model = presets.find("gpt-1t")
        per_token = model.model_flops(1.0) / model.sequence
        assert per_token == pytest.approx(6 * model.parameters, rel=0.02)

    def test_a_step_at_the_published_rate(self):
        # Megatron-LM's README: 32 s at 138 TFLOP/s on 1,024 GPUs, 1,536 samples.
        seconds = presets.find("gpt-175b").step_flops(1536.0) / 1024 / 138e12
        assert seconds == pytest.approx(32, rel=0.01)


class TestRefused:
    @pytest.mark.parametrize(
        ("sizes", "message"),
        [
            ({"hidden": 10, "heads": 4}, "hidden 10 is not a multiple of 4 heads; 12 is"),
            ({"layers": 0}, "layers: expected 1 to 10⁷, got 0"),
            ({"style": "bert"}, "style: expected one of gpt, llama, vit, got 'bert'"),
        ],
    )
    def test_sizes(self, sizes, message):
        with pytest.raises(ValueError, match=message):
            Transformer(**{"layers": 2, "hidden": 8, "heads": 2, **sizes})

    def test_an_unknown_name_has_near_ones(self):
        with pytest.raises(ValueError, match="unknown model 'gpt175b'; did you mean gpt-175b"):
            presets.find("gpt175b")

    def test_a_network_of_nothing(self):
        with pytest.raises(ValueError, match="parameters and operations above 0"):
            Network("mine", 10, 0.0)
