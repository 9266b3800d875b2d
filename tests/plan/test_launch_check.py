"""Launch scripts of courses, read and found fault with."""

import json

import pytest
from launch_scripts import (
    BY_EVAL,
    BY_SRUN,
    DEEPSPEED,
    GPT_1T,
    GPT_22B,
    GPT_175B,
    MEGATRON,
    oak_ridge,
)

from tfsci.job.examples import EXAMPLES, make
from tfsci.plan import launch
from tfsci.plan.check import check


@pytest.fixture
def checked(tmp_path):
    def read(text, machine=None, **files):
        for name, content in files.items():
            (tmp_path / f"{name}.json").write_text(content)
        path = tmp_path / "job.sh"
        path.write_text(text)
        (found,) = check([path], machine)
        return found

    return read


GOOD = {"layers": 48, "hidden": 6144, "heads": 48, "tensor": 8, "pipeline": 2, "batch": 128}
GOOD |= {"micro": 1, "nodes": 4}


def about(found, *words):
    return [finding for finding in found.findings if finding.about in words]


class TestOakRidge:
    @pytest.mark.parametrize(
        ("text", "ranks", "billions", "percent", "stages"),
        [
            (GPT_22B, 32, 22.1, 41, "8 stages, 10 micro-batches"),
            (GPT_175B, 192, 174.6, 65, "12 stages, 6 micro-batches"),
            (GPT_1T, 512, 1008.0, 89, "64 stages, 8 micro-batches"),
        ],
    )
    def test_bubbles_and_what_is_better(self, checked, text, ranks, billions, percent, stages):
        found = checked(text)
        assert (found.machine.name, found.launch.ranks) == ("frontier", ranks)
        assert found.model.parameters / 1e9 == pytest.approx(billions, abs=0.1)
        assert round(100 * found.bubble) == percent
        (bubble,) = about(found, "bubble")
        assert bubble.text == f"{percent}% of each pipeline is bubble: {stages} a step"
        assert bubble.change.startswith("a global batch of") and bubble.gain > 1.4
        (layout,) = about(found, "layout")
        assert layout.gain > 1.5
        assert found.helps_most.gain == max(bubble.gain, layout.gain)

    def test_all_else(self, checked):
        found = checked(GPT_22B, ds=json.dumps({"train_micro_batch_size_per_gpu": 4}))
        kinds = [finding.kind for finding in found.findings]
        assert kinds == sorted(kinds, key=["error", "warning", "note"].index)
        lines = "\n".join(map(str, found.findings))
        for told in (
            "error: micro-batch 2 in the script, 4 in DeepSpeed's configuration; make both 2",
            "the learning rate is at its minimum after 10,000 of 100,000 samples: for 90% of",
            "of 22.1 B parameters go to checkpoints/gpt2_345m, named for 345m: they overwrite",
            "no checkpoint comes before its end (--save-interval 1000)",
        ):
            assert told in lines

    def test_what_lies_beside_it_is_missed(self, checked):
        (note,) = about(checked(GPT_22B), "script")
        assert note.text.startswith("DeepSpeed's ds.json is not beside the script")

    def test_two_that_save_to_one_place(self, tmp_path):
        paths = [tmp_path / "a.sh", tmp_path / "b.sh"]
        for path, text in zip(paths, (GPT_22B, GPT_175B), strict=True):
            path.write_text(text)
        first, second = check(paths)
        assert not [f for f in about(first, "checkpoints") if f.kind == "error"]
        (error,) = [f for f in about(second, "checkpoints") if f.kind == "error"]
        assert error.text == "a.sh writes another model's checkpoints to checkpoints/gpt2_345m, too"


class TestFaults:
    def one(self, checked, kind, **changed):
        found = checked(oak_ridge(**GOOD | changed))
        return [str(finding) for finding in found.findings if finding.kind == kind]

    def test_none(self, checked):
        assert not self.one(checked, "error")

    @pytest.mark.parametrize(
        ("changed", "told"),
        [
            ({"heads": 12}, "error: tensor 8 does not divide heads (12); 1, 2, 3, 4, 6, 12 do"),
            ({"layers": 47}, "error: pipeline 2 does not divide layers (47); 1 does"),
            ({"batch": 127}, "error: global batch 127 is not a multiple of data 2 × micro-batch 1"),
            ({"tensor": 5}, "error: 32 ranks are not a multiple of tensor 5 × pipeline 2 = 10; 30"),
            ({"heads": 49}, "error: hidden 6144 is not a multiple of 49 heads; 6174 is"),
            ({"tensor": 2, "pipeline": 1}, "error: needs"),
        ],
    )  # fmt: skip
    def test_that_keep_it_from_running(self, checked, changed, told):
        errors = self.one(checked, "error", **changed)
        assert any(error.startswith(told) for error in errors), errors

    def test_what_does_not_divide_gets_a_layout_that_does(self, checked):
        (error,) = self.one(checked, "error", heads=12)
        assert "; on as many devices works tensor " in error

    def test_idle_devices(self, checked):
        text = oak_ridge(**GOOD).replace("-n$total", "-n16")
        (finding,) = about(checked(text), "idle")
        assert finding.text == "16 of 32 devices idle: 16 ranks on 4 nodes"
        assert (finding.change, finding.gain) == ("start 32 ranks", 2)

    def test_too_many_ranks(self, checked):
        text = oak_ridge(**GOOD).replace("-n$total", "-n64")
        (finding,) = about(checked(text), "ranks")
        assert str(finding) == "error: 64 ranks on 4 nodes × 8 devices = 32; ask for 8 nodes"

    def test_memory_without_computing_again(self, checked):
        text = oak_ridge(**GOOD | {"tensor": 4, "pipeline": 2})
        text = text.replace("       --checkpoint-activations\n", "").replace("2048", "8192")
        (finding,) = about(checked(text), "memory")
        assert finding.kind == "error" and "--checkpoint-activations needs" in finding.change

    def test_memory_that_is_tight(self, checked):
        text = GPT_175B.replace("       --checkpoint-activations\n", "")
        (finding,) = about(checked(text), "memory")
        assert finding.kind == "warning"
        assert finding.text.startswith("needs 59 of the 64 GB of MI250X GCD, where a tenth")

    def test_a_ramp_up(self, checked):
        text = GPT_175B.replace("--lr 6.0e-5", "--lr 6.0e-5 --rampup-batch-size 2 2 1000")
        (finding,) = about(checked(text), "ramp-up")
        assert "starts with 2 samples, where 92% is bubble" in finding.text

    def test_a_schedule_that_never_comes_down(self, checked):
        text = GPT_22B.replace("--lr-decay-samples 10000 ", "--lr-decay-samples 1000000 ")
        (finding,) = about(checked(text), "schedule")
        assert finding.text == "when training ends the learning rate is 10% of its way down"

    def test_a_machine_that_is_named(self, checked):
        assert checked(GPT_22B, "selene").machine.name == "selene"
        with pytest.raises(ValueError, match="unknown machine 'frontie'; did you mean frontier"):
            checked(GPT_22B, "frontie")


class TestOthers:
    def test_megatron(self, checked):
        found = checked(MEGATRON)
        layout, model = found.layout, found.model
        assert (model.layers, model.hidden, model.heads, model.sequence) == (32, 4096, 32, 4096)
        assert (layout.tensor, layout.pipeline, layout.data, layout.chunks) == (2, 4, 2, 2)
        assert (layout.recompute, layout.sequence_parallel, layout.flash) == (
            "selective",
            True,
            True,
        )
        assert (found.launch.nodes, found.launch.ranks, found.launch.seconds) == (2, 16, 86400)
        assert not [f for f in found.findings if f.kind == "error"]

    def test_deepspeed(self, checked):
        found = checked(DEEPSPEED, "polaris")
        assert (found.launch.nodes, found.launch.ranks, found.launch.devices_per_node) == (4, 16, 4)
        assert (found.layout.zero, found.layout.micro_batch, found.layout.global_batch) == (
            3,
            2,
            128,
        )
        assert found.layout.recompute == "full"
        assert not [f for f in found.findings if f.kind == "error"]

    @pytest.mark.parametrize("text", [BY_SRUN, BY_EVAL])
    def test_launchers_in_variables(self, checked, text):
        found = checked(text)
        assert (found.launch.nodes, found.launch.ranks, found.launch.steps) == (16, 128, 1953)
        assert (found.layout.tensor, found.layout.pipeline, found.layout.data) == (4, 4, 8)
        assert found.model.parameters == pytest.approx(13e9, rel=0.05)
        assert not [f for f in found.findings if f.kind == "error"]

    @pytest.mark.parametrize("name", list(EXAMPLES))
    def test_our_own(self, checked, name):
        found = checked(make(name))
        assert found.launch.ours
        assert not [f for f in found.findings if f.kind == "error"]
        ranks = {"oak-ridge-gpt-2x8.sh": 16, "polaris-cnn-2x4.sh": 8}
        assert (found.launch.ranks or 1) == ranks.get(name, 6 if "6gpu" in name else 1)

    def test_our_own_with_a_batch_that_does_not_divide(self, checked):
        text = make("polaris-cnn-2x4.sh").replace("--batch-size 384", "--batch-size 390")
        (finding,) = about(checked(text), "batch")
        assert str(finding) == "error: --batch-size 390 is not a multiple of 8 ranks; 384 or 392 is"

    def test_lsf(self, checked):
        text = (
            "#BSUB -nnodes 2\n#BSUB -W 02:00\nL=24\njsrun -n 12 -a 1 -g 1 -c 7 python pretrain.py"
            " --num-layers $L --hidden-size 1024 --num-attention-heads 16 --micro-batch-size 1 "
            "--global-batch-size 48 --seq-length 1024"
        )
        found = checked(text)
        assert (found.launch.nodes, found.launch.ranks, found.launch.seconds) == (2, 12, 7200)
        assert (found.machine.name, found.layout.data) == ("summit", 12)
        assert not found.findings

    def test_pbs(self, checked):
        text = (
            "#PBS -N 4jobs\n#PBS -l nodes=2:ppn=8:gpus=8\n#PBS -l walltime=00:30:00\n"
            "mpirun -np 16 python pretrain.py --num-layers 24 --hidden-size 1024 "
            "--num-attention-heads 16 --micro-batch-size 1 --global-batch-size 64 --seq-length 512"
        )
        found = checked(text)
        launch = found.launch
        assert (launch.nodes, launch.devices_per_node, launch.ranks) == (2, 8, 16)
        assert (launch.seconds, found.layout.data) == (1800, 16)


class TestUnfamiliar:
    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("-N 4", "-N 0\n#SBATCH --gpus=4"),
            ("--tensor-model-parallel-size 4", "--tensor-model-parallel-size 999999999999999"),
            ("--micro-batch-size 2", "--micro-batch-size 999999999999999"),
            ("--global-batch-size 20", "--global-batch-size 999999999999999"),
            ("--num-layers 48", "--num-layers 99999999999"),
            ("--num-layers 48", "--num-layers 0"),
            ("--hidden-size 6144", "--hidden-size many"),
            ("-n$total", "-n999999999"),
            ("-n$total", "-n0"),
            ("--global-batch-size 20", ""),
            ("-t 00:20:00", "-t 9:9:9:9"),
        ],
    )
    def test_odd_numbers_are_told_or_passed_over(self, checked, old, new):
        text = GPT_22B.replace(old, new)
        assert text != GPT_22B
        assert checked(text).findings

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (b"#SBATCH -N 2\nA=1\nhostname\necho $A",
             "understood: 1 lines for a scheduler, 1 variables, 2 commands"),
            (b"", "understood: no scheduler, 0 variables, 0 commands"),
            (b"\xff\xfe\x00", "not a launch script: no UTF-8 text"),
            (b"a\0b", "not a text: it has a zero byte"),
            (b"x" * 1_000_001, "more than a megabyte"),
        ],
    )  # fmt: skip
    def test_says_what_was_understood(self, tmp_path, content, told):
        path = tmp_path / "job.sh"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=told):
            check([path])

    def test_no_file(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            check([tmp_path / "job.sh"])
        with pytest.raises(IsADirectoryError, match="a folder, not a launch script"):
            check([tmp_path])

    @pytest.mark.parametrize(
        "content", ["{", "[1]", '{"train_batch_size": "auto"}', '{"zero_optimization": 3}']
    )
    def test_odd_configurations(self, checked, content):
        found = checked(GPT_22B, ds=content)
        assert found.layout.zero == 0 and found.layout.global_batch == 20


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ("#SBATCH -N 4 # of them", {"-N": "4"}),
        ("#SBATCH -N4", {"-N": "4"}),
        ("#SBATCH <OPTIONS> --nodes=128 --exclusive -t 1:00:00 --ntasks-per-node 8",
         {"--nodes": "128", "--exclusive": "", "-t": "1:00:00", "--ntasks-per-node": "8"}),
        ("#PBS -l select=2:ngpus=4\n#PBS -l walltime=1:00:00",
         {"-l": "select=2:ngpus=4,walltime=1:00:00"}),
        ("#BSUB -nnodes 2\n#BSUB -W 02:00\n#BSUB -n 84", {"-nnodes": "2", "-W": "02:00"}),
        ('#SBATCH --gres="gpu:a100:8"', {"--gres": "gpu:a100:8"}),
        ("##SBATCH -N 3\n# SBATCH -N 3", {}),
    ],
)  # fmt: skip
def test_headers(line, options):
    assert launch.scheduler.headers(line) == options


def test_options_in_either_form():
    words = ["--a", "1", "--b=2", "-n", "3", "--c-d", "--rampup", "2", "2", "1000", "--e=f=g"]
    assert launch.scheduler.options_of(words) == {
        "a": "1", "b": "2", "c_d": "", "rampup": "2 2 1000", "e": "f=g",
    }  # fmt: skip
