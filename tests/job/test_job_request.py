import pytest

from tfsci.job.request import request
from tfsci.job.sites import SITES

ASKED = {"scheduler": "slurm", "nodes": 1, "gpus_per_node": 1, "time": "01:00", "script": "a.py"}


def asked(**options):
    return request(**(ASKED | options))


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"scheduler": None}, "--scheduler: expected one of lsf, slurm, pbs, or --site ascent"),
            ({"site": "polaris"}, "--scheduler slurm: Polaris (Argonne) has pbs; leave --sched"),
            (
                {"scheduler": None, "site": "summit", "gpus_per_node": 8},
                "--gpus-per-node 8: a node of Summit (Oak Ridge) has 6; ask for 0 to 6, and for",
            ),
            ({"site": "frontier"}, "--account: Frontier (Oak Ridge) needs it; name your account"),
            (
                {"site": "perlmutter", "account": "p"},
                "--queue: Perlmutter (NERSC) needs it; name your queue",
            ),
            ({"account": "a b"}, "--account 'a b': expected letters, digits and _ . : + -"),
            ({"queue": "-x"}, "--queue '-x': expected letters"),
            ({"account": "a\n#SBATCH -x"}, r"--account 'a\n#SBATCH -x': expected letters"),
            ({"queue": ""}, "--queue '': expected letters"),
            ({"time": "90"}, "--time '90': expected HH:MM or HH:MM:SS, as in 02:30:00"),
            ({"time": "01:60"}, "--time '01:60': expected HH:MM"),
            ({"time": "1:2:3"}, "--time '1:2:3': expected HH:MM"),
            ({"time": "01:00\n"}, r"--time '01:00\n': expected HH:MM"),
            ({"time": "٠١:٠٠"}, "--time '٠١:٠٠': expected HH:MM"),
            ({"time": "00:01:59"}, "--time 00:01:59: expected at least 00:02:00"),
            (
                {"gpus_per_node": 4, "ranks_per_node": 2},
                "--ranks-per-node 2: a GPU has one rank; leave it out",
            ),
            (
                {"gpus_per_node": 0, "ranks_per_node": 9, "cores_per_node": 8},
                "9 ranks on a node of 8 cores: expected at most one a core",
            ),
            ({"script": ""}, "--script '': expected a training script's .py file first"),
            ({"script": "python a.py"}, "--script 'python a.py': expected a training script's .py"),
            ({"script": "-c.py"}, "--script '-c.py': expected a training script's .py file first"),
            ({"script": "a.py 'x"}, "No closing quotation; close the quotation"),
            ({"script": "a.py 'x\n#BSUB -x'"}, "expected one line of printable characters"),
            ({"script": "a.py --resume"}, "--script: leave --resume out; the job script adds it"),
            ({"script": "a.py --res"}, "--script: leave --res out"),
            ({"script": "a.py --output"}, "expected a run folder after --output, got ''"),
            ({"script": "a.py --output --quiet"}, "a run folder after --output, got '--quiet'"),
            ({"script": "a.py --output=/"}, "expected a run folder after --output, got '/'"),
            ({"file": "a\nb"}, r"--output 'a\nb': expected one line of printable characters"),
        ],
    )
    def test_are_one_line_that_names_the_option(self, options, message):
        with pytest.raises(ValueError) as error:
            asked(**options)
        assert message in str(error.value)
        assert "\n" not in str(error.value)


class TestRunFolder:
    @pytest.mark.parametrize(
        ("script", "words", "output"),
        [
            ("s/a.py --epochs 2", ("s/a.py", "--epochs", "2"), "runs/a-1x1"),
            ("a.py --output r/b --quiet", ("a.py", "--quiet"), "r/b"),
            ("a.py --output=r/b", ("a.py",), "r/b"),
            ("a.py --out r/b --output 'c d'", ("a.py",), "c d"),
        ],
    )
    def test_is_the_scripts_or_named_after_it(self, script, words, output):
        job = asked(script=script)
        assert (job.script, job.output) == (words, output)

    @pytest.mark.parametrize(
        ("output", "name"),
        [("runs/a", "a"), ("r/a b!c", "a-b-c"), ("runs/2x4", "run-2x4"), ("runs/日本", "run")],
    )
    def test_names_the_job(self, output, name):
        assert asked(script=f"a.py --output '{output}'").name == name


class TestSites:
    def test_cores_are_shared_out_as_the_guides_do(self):
        shares = {
            name: request(
                **(ASKED | {"scheduler": None, "gpus_per_node": site.gpus}),
                site=name,
                account="p",
                queue="q",
            ).cpus
            for name, site in SITES.items()
        }
        assert shares == {
            "ascent": 7, "summit": 7, "frontier": 7, "perlmutter": 32, "polaris": 8, "aurora": 8,
        }  # fmt: skip

    def test_cores_can_be_given(self):
        options = {"scheduler": None, "site": "perlmutter", "account": "p", "queue": "q"}
        assert asked(**options, gpus_per_node=2, cores_per_node=64).cpus == 64
        assert asked(gpus_per_node=0, cores_per_node=16).cpus == 16
        assert asked().cpus is None
