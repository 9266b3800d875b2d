import io

from tfsci.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(stream, seconds, updates):
    clock = iter([0, *seconds])
    progress = Progress("Making", 200, stream, clock=lambda: next(clock))
    for done in updates:
        progress.update(done)
    progress.close()
    return stream.getvalue()


def test_work_of_under_two_seconds_is_not_shown():
    assert shown(io.StringIO(), [0.1, 1.9], [100, 200]) == ""


def test_a_log_gets_a_line_each_quarter():
    lines = shown(io.StringIO(), range(3, 203), range(1, 201)).splitlines()
    parts = [line.split("]")[1].split()[0] for line in lines]
    assert [int(part[:-1]) for part in parts] == [0, 26, 50, 76, 100]
    assert lines[-1] == f"Making [{'#' * 25}] 100%  3:22"


def test_a_terminal_has_one_changing_line():
    text = shown(Terminal(), [3, 63], [100, 200])
    assert text == (f"\rMaking [{'#' * 12}{' ' * 13}]  50%  0:03\rMaking [{'#' * 25}] 100%  1:03\n")
