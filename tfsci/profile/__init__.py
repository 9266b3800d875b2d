"""Says what holds a training back, from a trace of TensorFlow's profiler.

    with tfsci.profile.trace("run/profile"):
        model.fit(dataset, steps_per_epoch=20)
    print(tfsci.profile.report("run/profile").text)

`callback.TraceSteps` does the first within a longer `fit`, and ``python -m tfsci.profile SCRIPT``
for a script as it is.
"""

from tfsci.profile.reading import Trace, load
from tfsci.profile.tracing import Tracer, trace
from tfsci.profile.verdict import Report, report

__all__ = ["Report", "Trace", "Tracer", "load", "report", "trace"]
