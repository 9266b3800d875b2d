"""How a model and the pipeline that feeds it share the cores of a CPU."""

from dataclasses import dataclass

from tfsci.profile.reading import Host


@dataclass(frozen=True)
class Shared:
    """How model and pipeline shared the cores in the trace.

    Attributes:
        cores: As many as others' work left to both.
        model_seconds: CPU time of a step that the model's operations took.
        pipeline_seconds: CPU time that the pipeline takes for a step.
        lost_seconds: What a step took longer since operations waited for cores that the pipeline
            had; at most.
    """

    cores: float
    model_seconds: float
    pipeline_seconds: float
    lost_seconds: float

    @classmethod
    def of(cls, host: Host, consumer: float, pipeline_seconds: float) -> "Shared | None":
        """Returns it where the trace tells; a model on a GPU shares no core.

        Args:
            host: What the trace holds.
            consumer: Seconds of a step without its wait for input, where nothing disturbs it.
            pipeline_seconds: CPU time that the stages take for a step, if anything too long.
        """
        cores = host.free_cores
        if not host.cpu_seconds_per_step or not cores:
            return None
        compute = 0.0 if host.devices else host.breakdown.parts["compute"]
        used = min(pipeline_seconds, host.cpu_seconds_per_step)
        # TensorFlow's idle threads look for work a while before they sleep: of what the process has
        # used the model has at most its threads' part for as long as it computes.
        threads = min(cores, host.operation_threads or cores)
        own = min(host.cpu_seconds_per_step - used, threads * compute)
        alone = max(own / max(threads, 0.1), compute / (1 + (host.core_wait_ratio or 0.0)))
        # Dispatch and the like stay; what nothing has disturbed is no slower than the quick steps.
        rest = host.step_seconds - host.breakdown.parts["input"] - compute
        lost = max(consumer - alone - rest, 0.0)
        return cls(cores, own, used, min(lost, used / cores))
