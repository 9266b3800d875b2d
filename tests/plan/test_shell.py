import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfsci.plan import shell


def variables(text, **environ):
    return shell.read(text, environ).variables


def commands(text, **environ):
    return shell.read(text, environ).commands


class TestVariables:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("X=4", "4"),
            ("export X=4 Y=5", "4"),
            ("X='a $Y'", "a $Y"),
            ('Y=b; X="a $Y ${Y}c"', "a b bc"),
            ("X=${NOT:-8}", "8"),
            ('X=${1:-"small"}', "small"),
            ("Y=; X=${Y:-8}", "8"),
            ("Y=; X=${Y-8}", ""),
            ("X=${NOT:-${ALSO_NOT:-9}}", "9"),
            ("Y=2; X=${Y:+yes}", "yes"),
            ("A=3; X=$((A * 4))", "12"),
            ("A=3; X=$(($A*(4+1)-1))", "14"),
            ("A=7; X=$((A/2%2))", "1"),
            ("X=$((1/0))", ""),
            ("X=$((9**9**9))", ""),
            ("A=3; X=`expr $A + 1`", "4"),
            ('A=3; X=$(echo "$A * 2" | bc)', "6"),
            ("X=$(hostname)", ""),
            ("X=a\nX+=b", "ab"),
            ("Y=(1 2)\nY+=(3)\nX=${Y[@]}", "1 2 3"),
            ("A=5 # not 6\nX=$A", "5"),
            ("X=a#b", "a#b"),
            ("X=1 \\\n  Y=2", "1"),
        ],
    )
    def test_are_filled_in(self, text, value):
        assert variables(text)["X"] == value

    def test_of_the_environment(self):
        assert variables("X=$(($SLURM_NNODES*8))", SLURM_NNODES="4")["X"] == "32"

    @pytest.mark.parametrize(
        ("test", "value"),
        [
            ('[ "$A" == "1" ]', "yes"), ("[ $A = 2 ]", "no"), ("[[ $A != 2 ]]", "yes"),
            ("[ $A -gt 0 ]", "yes"), ("[ -z $NOT ]", "yes"), ("[ -n $NOT ]", "no"),
            ("[ -f /etc/passwd ]", "no"), ("[ $A -gt x ]", "no"), ("true", "no"),
        ],
    )  # fmt: skip
    def test_in_branches(self, test, value):
        text = f"A=1\nif {test}; then\n  X=yes\nelse\n  X=no\nfi\n"
        assert variables(text)["X"] == value

    def test_in_branches_within_branches(self):
        inner = "if [ $A = 2 ]; then X=a; else X=b; fi"
        text = f"A=2\nif [ $A = 1 ]; then\n {inner}\nelif [ $A = 2 ]\nthen X=c\nelse X=d\nfi\n"
        assert variables(text)["X"] == "c"


class TestCommands:
    def test_words(self):
        text = "A='--x 1'\npython a.py $A \"$A\" --b=c 'd e' > log 2>&1 | tee out"
        first, second = commands(text)
        assert first[:7] == ["python", "a.py", "--x", "1", "--x 1", "--b=c", "d e"]
        assert second == ["tee", "out"]

    def test_arrays_are_their_words(self):
        text = 'A=(--x 1  # one\n --y "2 3")\nrun ${A[@]} "${A[@]}"'
        assert commands(text) == [
            ["run", *["--x", "1", "--y", "2", "3", "--x", "1", "--y", "2", "3"]]
        ]

    def test_in_the_string_of_a_shell(self):
        text = 'A="--x \\\n  1"\nsrun -n 2 bash -c "\nsource env.sh\npython a.py \\\n  $A\n"'
        assert commands(text)[1:] == [["source", "env.sh"], ["python", "a.py", "--x", "1"]]

    def test_here_documents(self):
        script = shell.read('N=4\ncat <<EOT > a.json\n{"n": $N}\nEOT\nrun a.json')
        assert script.documents == [(["cat", "a.json"], '{"n": 4}')]
        assert script.commands[-1] == ["run", "a.json"]

    def test_comments_are_no_commands(self):
        assert commands("# python a.py\n  #b\necho '#c' # d") == [["echo", "#c"]]

    def test_headers(self):
        text = (
            "#!/bin/bash\n#SBATCH -N 4 # nodes\n#PBS -l select=2\n#BSUB -nnodes 3\n##SBATCH -N 9\n"
        )
        assert shell.read(text).headers == [
            ("SBATCH", "-N 4"), ("PBS", "-l select=2"), ("BSUB", "-nnodes 3"),
        ]  # fmt: skip

    def test_nothing_is_run(self, tmp_path):
        file = tmp_path / "made"
        shell.read(f"touch {file}\nX=$(touch {file})\n`touch {file}`\nY=$((`touch {file}`))")
        assert not file.exists()


_PIECES = [*"'\"`$(){}[]=;&|<>#\\\n ", "${A", "$((", "A=", "if ", "fi", "<<E\n", "bash -c "]


class TestBad:
    @given(st.lists(st.sampled_from([*_PIECES, "A", "1", "eval ", "else\n", ":-"]), max_size=40))
    def test_whatever_it_is_it_is_read_or_refused(self, pieces):
        with contextlib.suppress(ValueError):
            shell.read("".join(pieces))

    @pytest.mark.parametrize(
        "text",
        [
            "'", '"', "`", "$(", "${", "$((", "X=(", "cat <<EOF", "if [", "fi", "X=${", "\\", "$",
            "\"$(\"", "${a[}", "X=$((1+))", "<<", "bash -c", "bash -c \"", "&&||;;", "X=${!Y}",
        ],
    )  # fmt: skip
    def test_what_does_not_end_is_read_to_the_end(self, text):
        assert shell.read(f"A=1\n{text}").variables["A"] == "1"

    def test_variables_that_double_are_stopped(self):
        text = "A=xxxxxxxxxx\n" + "A=$A$A\n" * 60
        with pytest.raises(ValueError, match="its variables grow beyond millions"):
            shell.read(text)

    def test_brackets_without_end_are_stopped(self):
        with pytest.raises(ValueError, match="nested too deeply"):
            shell.read("X=" + "${A:-" * 20000 + "}" * 20000)
        assert variables("X=" + "${A:-" * 99 + "7" + "}" * 99)["X"] == "7"

    def test_what_is_long_is_read_once(self):
        for text in ('"' * 20001, "(" * 20000, "a " * 50000, "X=()" * 5000, "'\\" * 20000):
            shell.read(text)

    def test_no_text(self):
        with pytest.raises(ValueError, match="zero byte"):
            shell.read("a\0b")
        with pytest.raises(ValueError, match="too long: 1,000,001 characters"):
            shell.read("x" * 1_000_001)
