"""What the job scripts say to each scheduler, and what they do when they run."""

import re
import subprocess

import pytest

from tfsci.job.request import request
from tfsci.job.script import script
from tfsci.job.sites import SITES

TRAIN = "scripts/train_cnn.py --epochs 16"
ASKED = {"nodes": 2, "time": "02:00:00", "account": "PROJECT", "script": TRAIN}


def made(**options):
    return script(request(**({"scheduler": None} | ASKED | options)))


def directives(text, prefix):
    return [line.removeprefix(f"{prefix} ") for line in text.splitlines() if prefix in line[:8]]


def command(text):
    """The launcher's command, on one line."""
    joined = re.sub(r" \\\n +", " ", text)
    (line,) = re.findall(r"^(?:jsrun|srun|mpiexec).*$", joined, re.MULTILINE)
    return line


class TestLsf:
    def test_asks_as_lsf_and_oak_ridge_document_it(self):
        text = made(site="summit", gpus_per_node=6, queue="debug")
        assert directives(text, "#BSUB") == [
            "-J train_cnn-2x6", "-nnodes 2", "-W 02:00", "-P PROJECT", "-q debug",
            "-alloc_flags smt1", "-o logs/train_cnn-2x6-%J.out", "-e logs/train_cnn-2x6-%J.err",
            "-wa USR1", "-wt 5", "-Q 99",
        ]  # fmt: skip
        assert "mkdir -p logs && bsub < job.sh" in text

    def test_a_resource_set_is_a_rank_its_gpu_and_its_cores(self):
        # 2 nodes × 6 GPUs = 12 sets; 42 cores / 6 GPUs = 7.
        assert command(made(site="summit", gpus_per_node=6)) == (
            "jsrun -n 12 -r 6 -a 1 -c 7 -g 1 -b packed:7 -d packed --smpiargs=-disable_gpu_hooks "
            'python scripts/train_cnn.py --epochs 16 --output "$output" $resume'
        )

    def test_fewer_gpus_than_a_node_has_keep_their_share_of_the_cores(self):
        assert "jsrun -n 2 -r 1 -a 1 -c 7 -g 1 " in made(site="ascent", gpus_per_node=1)

    def test_without_gpus_ranks_share_the_node(self):
        text = made(site="ascent", gpus_per_node=0, ranks_per_node=4)
        assert "jsrun -n 8 -r 4 -a 1 -c 10 -g 0 -b packed:10 -d packed python" in command(text)
        assert "smpiargs" not in text

    def test_without_a_site_nothing_is_bound(self):
        text = made(scheduler="lsf", gpus_per_node=4, account=None)
        assert command(text).startswith("jsrun -n 8 -r 4 -a 1 -g 1 python ")
        assert not any(
            line.startswith(("-P", "-q", "-alloc")) for line in directives(text, "#BSUB")
        )

    def test_seconds_are_rounded_up_to_minutes(self):
        text = made(site="summit", gpus_per_node=6, time="00:04:01")
        assert {"-W 00:05", "-wt 1"} < set(directives(text, "#BSUB"))


class TestSlurm:
    def test_asks_as_frontiers_guide_documents_it(self):
        text = made(site="frontier", gpus_per_node=8, queue="batch")
        assert directives(text, "#SBATCH") == [
            "-J train_cnn-2x8", "-N 2", "--ntasks-per-node=8", "--cpus-per-task=7",
            "--gpus-per-node=8", "-t 02:00:00", "-A PROJECT", "-p batch", "-o logs/%x-%j.out",
            "--open-mode=append", "--signal=USR1@300", "--requeue",
        ]  # fmt: skip
        # 64 cores less one of each of 8 regions, over 8 dies = 7.
        assert command(text).startswith(
            "srun --ntasks=16 --ntasks-per-node=8 --cpus-per-task=7 --cpu-bind=cores "
            "--gpus-per-task=1 --gpu-bind=closest --kill-on-bad-exit=1 python scripts/train_cnn.py"
        )

    def test_perlmutter_counts_threads_and_names_its_nodes(self):
        text = made(site="perlmutter", gpus_per_node=4, queue="regular")
        assert {"-C gpu", "-q regular", "--cpus-per-task=32"} < set(directives(text, "#SBATCH"))
        assert "--gpus-per-task=1 --gpu-bind=none" in command(text)
        text = made(site="perlmutter", gpus_per_node=0, ranks_per_node=2, queue="regular")
        assert {"-C cpu", "--cpus-per-task=128"} < set(directives(text, "#SBATCH"))
        assert "gpu" not in command(text)

    def test_without_a_site_nothing_is_bound(self):
        text = made(scheduler="slurm", gpus_per_node=0, ranks_per_node=2, account=None, nodes=1)
        assert command(text).startswith(
            "srun --ntasks=2 --ntasks-per-node=2 --kill-on-bad-exit=1 python"
        )
        text = made(scheduler="slurm", gpus_per_node=4, cores_per_node=48)
        assert "--cpus-per-task=12 --cpu-bind=cores --gpus-per-task=1 --kill" in command(text)

    def test_a_short_job_is_warned_for_a_quarter_of_it(self):
        text = made(scheduler="slurm", gpus_per_node=0, time="00:02")
        assert {"-t 00:02:00", "--signal=USR1@30"} < set(directives(text, "#SBATCH"))


class TestPbs:
    def test_asks_as_polaris_guide_documents_it(self):
        text = made(site="polaris", gpus_per_node=4, queue="debug")
        assert directives(text, "#PBS") == [
            "-N train_cnn-2x4", "-l select=2:system=polaris", "-l walltime=02:00:00", "-A PROJECT",
            "-q debug", "-l place=scatter", "-l filesystems=home:eagle", "-k doe", "-j oe",
            "-o logs/", "-r y",
        ]  # fmt: skip

    def test_each_rank_has_its_cores_its_gpu_and_its_clock(self):
        # 32 cores / 4 GPUs = 8; 2 hours less 5 minutes = 6900 s.
        assert command(made(site="polaris", gpus_per_node=4, queue="debug")) == (
            "mpiexec -n 8 --ppn 4 --depth=8 --cpu-bind depth "
            "bash -c 'export CUDA_VISIBLE_DEVICES=$((3 - PMI_LOCAL_RANK)); exec \"$@\"' gpu "
            "timeout --foreground --preserve-status --signal=USR1 $((6900 - SECONDS)) "
            'python scripts/train_cnn.py --epochs 16 --output "$output" $resume'
        )

    def test_aurora_has_tiles_and_leaves_the_first_core_of_each_socket(self):
        text = made(site="aurora", gpus_per_node=12, queue="prod")
        assert (
            "mpiexec -n 24 --ppn 12 --cpu-bind "
            "list:1-8:9-16:17-24:25-32:33-40:41-48:53-60:61-68:69-76:77-84:85-92:93-100 "
            "bash -c 'export ZE_AFFINITY_MASK=$PALS_LOCAL_RANKID; exec \"$@\"' tile "
        ) in command(text)
        assert "--cpu-bind list:1-8:9-16 bash" in command(
            made(site="aurora", gpus_per_node=2, queue="prod")
        )

    def test_without_gpus_or_a_site_there_is_no_wrapper(self):
        text = made(site="polaris", gpus_per_node=0, ranks_per_node=2, queue="debug")
        assert "--depth=16 --cpu-bind depth timeout" in command(text)
        text = made(scheduler="pbs", gpus_per_node=4)
        assert "-l select=2:mpiprocs=4:ngpus=4" in directives(text, "#PBS")
        assert command(text).startswith("mpiexec -n 8 --ppn 4 timeout ")
        text = made(scheduler="pbs", gpus_per_node=0, cores_per_node=16)
        assert "-l select=2:ncpus=16:mpiprocs=1" in directives(text, "#PBS")


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("gpus", [0, 1, 2])
def test_every_site_gives_a_script_of_bash_without_anybodys_path(site, gpus):
    text = made(site=site, gpus_per_node=gpus, queue="debug")
    done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert SITES[site].source.startswith("https://docs.") and SITES[site].source in text
    assert not re.search(r"/(home|root|work|tmp|Users|gpfs|lustre|ccs|global)/|@\w+\.", text)
    assert max(map(len, text.splitlines())) <= 100


class TestRunning:
    """The scripts under bash, with launchers and queues that only write down what they are told."""

    @pytest.fixture
    def run(self, tmp_path):
        bin = tmp_path / "bin"
        (tmp_path / "logs").mkdir()
        bin.mkdir()
        (tmp_path / "nodes").write_text("node1\nnode2\n")
        environ = {
            "PATH": f"{bin}:/usr/bin:/bin", "SLURM_JOB_ID": "7", "PBS_O_WORKDIR": str(tmp_path),
            "PBS_NODEFILE": str(tmp_path / "nodes"), "PBS_JOBID": "7.server", "PMI_LOCAL_RANK": "0",
        }  # fmt: skip
        launcher = 'while [ "$1" != python ] && [ "$1" != bash ]; do shift; done; exec "$@"\n'
        tools = dict.fromkeys(("jsrun", "srun", "mpiexec"), launcher)
        tools |= {name: f'echo {name} "$@"\n' for name in ("scontrol", "qsub")}

        def run(text, training):
            # `training` gets the words of the command line, and $output as its folder.
            python = f"output=runs/x\nprintf '<%s>' \"$@\"; echo\n{training}\n"
            for name, body in (tools | {"python": python}).items():
                (bin / name).write_text(f"#!/bin/bash\n{body}")
                (bin / name).chmod(0o755)
            done = subprocess.run(
                ["bash"], input=text, env=environ, cwd=tmp_path, capture_output=True, text=True
            )
            return done.returncode, done.stdout.splitlines(), done.stderr

        return run

    CUT = (
        "mkdir -p $output/checkpoints; touch $output/config.json; touch $output/checkpoints/$RANDOM"
    )
    AGAIN = "cut short; queued again, to go on with --resume"
    WAYS = (
        ("slurm", 0, ["scontrol requeue 7"]),
        ("lsf", 99, []),
        ("pbs", 0, ["qsub job.sh"]),
    )

    @pytest.mark.parametrize(("scheduler", "code", "told"), WAYS)
    def test_a_run_that_is_cut_goes_on_until_it_ends(self, run, scheduler, code, told):
        text = made(scheduler=scheduler, gpus_per_node=0, script=f"{TRAIN} --output runs/x")
        words = "<scripts/train_cnn.py><--epochs><16><--output><runs/x>"
        assert run(text, self.CUT) == (code, [words, self.AGAIN, *told], "")
        assert run(text, self.CUT + "; kill -USR1 $$")[:2] == (
            code, [f"{words}<--resume>", self.AGAIN, *told]
        )  # fmt: skip
        ended = run(text, self.CUT + "; touch $output/metrics.json")
        assert ended == (0, [f"{words}<--resume>"], "")

    @pytest.mark.parametrize(("scheduler", "code", "told"), WAYS)
    def test_a_run_that_fails_is_not_queued_again(self, run, scheduler, code, told):
        text = made(scheduler=scheduler, gpus_per_node=0, script=f"{TRAIN} --output runs/x")
        done, out, _ = run(text, self.CUT + "; exit 2")
        assert (done, len(out)) == (2, 1)

    def test_nor_is_one_that_saves_nothing_new(self, run):
        text = made(scheduler="slurm", gpus_per_node=0, script=f"{TRAIN} --output runs/x")
        run(text, self.CUT)
        done, out, err = run(text, "exit 0")
        assert (done, len(out)) == (1, 1)
        assert err.startswith("cut short before anything new was saved: ask for more --time")

    def test_a_warning_that_reaches_the_shell_too_does_not_end_it(self, run):
        text = made(scheduler="lsf", gpus_per_node=0, script=f"{TRAIN} --output runs/x")
        assert run(text, f"kill -USR1 $PPID; {self.CUT}")[0] == 99

    def test_the_clock_of_pbs_tells_the_training(self, run):
        text = made(site="polaris", gpus_per_node=1, queue="q", script=f"{TRAIN} --output runs/x")
        text = text.replace("$((6900 - SECONDS))", "0.2")
        training = f"trap '{self.CUT}; echo $CUDA_VISIBLE_DEVICES; exit 0' USR1; sleep 5 & wait"
        done, out, _ = run(text, training)
        assert (done, out[1:]) == (0, ["3", self.AGAIN, "qsub job.sh"])

    @pytest.mark.parametrize("scheduler", ["lsf", "slurm", "pbs"])
    @pytest.mark.parametrize(
        "hostile",
        ["a b", "$(touch x)", "`touch x`", "it's", 'say "x"', "; touch x", "\\", "*", "é"],
    )
    def test_words_arrive_as_they_were_given(self, run, tmp_path, scheduler, hostile):
        quoted = "'" + hostile.replace("'", "'\\''") + "'"
        text = made(
            scheduler=scheduler,
            gpus_per_node=0,
            script=f"train.py --data {quoted} --output runs/{quoted}",
        )
        done, out, _ = run(text, "mkdir -p runs; exit 3")
        assert done == 3
        assert out == [f"<train.py><--data><{hostile}><--output><runs/{hostile}>"]
        assert not (tmp_path / "x").exists()
