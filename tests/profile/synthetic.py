"""Builds traces with known contents; times in microseconds."""

from tfsci.profile import xplane


class Space:
    """An `XSpace` in the making."""

    def __init__(self):
        self.message = xplane.messages().XSpace()

    def plane(self, name="/host:CPU"):
        return PlaneBuilder(self.message.planes.add(name=name))

    def bytes(self):
        return self.message.SerializeToString()

    def planes(self):
        return xplane.parse(self.bytes(), "trace")


class PlaneBuilder:
    def __init__(self, plane):
        self.plane = plane
        self._lines, self._events, self._stats = {}, {}, {}

    def add(self, line, name, start, duration, /, **stats):
        """One event; text statistics are stored by reference, as TensorFlow does."""
        if line not in self._lines:
            self._lines[line] = self.plane.lines.add(name=line, timestamp_ns=1_700_000_000 * 10**9)
        event = self._lines[line].events.add(
            metadata_id=self._key(name, self._events, self.plane.event_metadata),
            offset_ps=round(start * 1e6),
            duration_ps=round(duration * 1e6),
        )
        self._set(event, stats)
        return self

    def own(self, **stats):
        self._set(self.plane, stats)
        return self

    def _set(self, holder, stats):
        for key, value in stats.items():
            stat = holder.stats.add(metadata_id=self._stat(key))
            if isinstance(value, str):
                stat.ref_value = self._stat(value)
            elif isinstance(value, float):
                stat.double_value = value
            else:
                stat.int64_value = value

    def _stat(self, name):
        return self._key(name, self._stats, self.plane.stat_metadata)

    @staticmethod
    def _key(name, known, metadata):
        if name not in known:
            known[name] = len(known) + 1
            metadata[known[name]].id, metadata[known[name]].name = known[name], name
        return known[name]


def steps(plane, number, length, wait=0, compute=0, line="python"):
    """Adds steps with a marker each, a wait for input and one operation after it."""
    for i in range(number):
        start = i * length
        plane.add(line, "train", start, length * 0.9, step_num=i)
        if wait:
            plane.add(line, "IteratorGetNextOp::DoCompute", start, wait, id=100 + i)
        if compute:
            plane.add("tf_Compute/1", "model/dense:MatMul", start + wait, compute)
    return plane
