"""Damaged traces give a report or one line, never anything else."""

import json
import random

import pytest
from synthetic import Space, steps

from tfsci.profile import reading, xplane
from tfsci.profile.reading import Trace
from tfsci.profile.verdict import judge

TOP = "Iterator::Root::Prefetch"


def sound():
    space = Space()
    plane = steps(space.plane(), 9, 1000, wait=300, compute=400)
    for i in range(9):
        start = i * 1000
        plane.add("python", TOP, start, 290, buffer_limit=2, buffered_elements=0)
        plane.add("a", "PrefetchProduce", start, 900)
        plane.add("a", f"{TOP}::MapAndBatch", start, 890, batch_size=4, parallelism=2)
        plane.add("b", "MapAndBatchProduce", start, 50)
        plane.add("b", f"{TOP}::MapAndBatch::Range", start + 1, 10)
        plane.add("b", "InstantiatedCapturedFunction::RunAsync", start + 20, 5, id=i)
        plane.add("c", "ExecutorState::Process", start + 30, 700, id=i)
        plane.add("c", "x:Cast", start + 40, 600)
    for i in range(6):
        plane.add("d", "tfsci.cpu", i * 1000, 1, used_us=i * 900)
    plane.add("python", "step", 5000, 9, tf_function_call="traced-xla", tracing_count="2")
    own = space.plane("/tfsci:process")
    own.own(
        wall_seconds=0.01, cpu_seconds=0.01, core_wait_ratio=1.0, worker_seconds=0.0025,
        cores=2.0,
    )  # fmt: skip
    return space


def judged(data):
    try:
        found = judge(Trace(None, (reading.host(xplane.parse(data, "trace")),)))
    except ValueError as error:
        assert str(error).startswith("trace: ")
        return None
    json.dumps(found.as_json(), allow_nan=False)
    if found.breakdown:
        assert sum(found.breakdown.values()) == pytest.approx(found.step_seconds, rel=0.02)
    return found.verdict


def test_flipped_bytes():
    chance, data = random.Random(1), sound().bytes()
    assert judged(data) == "input-bound"
    for _ in range(150):
        damaged = bytearray(data)
        for _ in range(chance.choice((1, 3, 20))):
            damaged[chance.randrange(len(data))] = chance.randrange(256)
        judged(bytes(damaged))


def test_wrong_values():
    chance = random.Random(2)
    extremes = (0, 1, -1, 10**6, 10**12, 2**63 - 1, -(2**63))
    names = ("", "::", "Iterator::", "Iterator::Root", "Iterator::Root::", "Produce", TOP, "a:b")
    for _ in range(150):
        message = sound().message
        for _ in range(chance.choice((1, 5, 30))):
            plane = chance.choice([plane for plane in message.planes if plane.lines])
            event = chance.choice(chance.choice(plane.lines).events)
            what = chance.randrange(5)
            if what == 0:
                event.offset_ps = chance.choice(extremes)
            elif what == 1:
                event.duration_ps = chance.choice(extremes)
            elif what == 2:
                event.metadata_id = chance.choice((0, -1, 3, 99))
            elif what == 3:
                key = chance.choice(list(plane.event_metadata))
                plane.event_metadata[key].name = chance.choice(names)
            for stat in (*event.stats, *message.planes[-1].stats) if what == 4 else ():
                field, value = chance.choice(
                    [
                        ("bytes_value", b"\xff\x00"),
                        ("double_value", float("nan")),
                        ("ref_value", 999),
                        ("int64_value", chance.choice(extremes)),
                        ("str_value", "text"),
                    ]
                )
                setattr(stat, field, value)
        judged(message.SerializeToString())
