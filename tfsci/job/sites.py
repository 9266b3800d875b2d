"""What job scripts have to know of computing centres' machines, from their public user guides."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Site:
    """One machine, as its users see it.

    Attributes:
        title: Its name, and whose it is.
        source: The page that the row was taken from.
        scheduler: ``"lsf"``, ``"slurm"`` or ``"pbs"``.
        gpus: Of a node; what TensorFlow counts as one, so dies and tiles where cards have two.
        cores: Of a node with GPUs, those that a job may use.
        cpu_cores: Of a node without GPUs, where there are such; otherwise those of a GPU node.
        threads: What the scheduler counts as CPUs of a core.
        directives: Lines that every job needs, without the scheduler's prefix.
        gpu_directives: Lines that a job on GPUs needs besides; likewise.
        cpu_directives: Lines that a job without GPUs needs besides; likewise.
        queue_flag: How the queue is named, where not as everywhere.
        needs_queue: Whether a job without a queue is refused.
        chunk: What PBS' select is told of a node.
        launch: More options of the launcher in a job on GPUs.
        cpu_lists: The CPUs of each rank of a node in turn, where consecutive ones would do harm.
        wrapper: A command before python in a job on GPUs, which gives a rank its GPU.
        wrapper_reason: Why, for the script's reader.
        setup: Lines to fill in, without the leading ``# ``.
        note: What else its users should know.
    """

    title: str
    source: str
    scheduler: str
    gpus: int
    cores: int
    cpu_cores: int | None = None
    threads: int = 1
    directives: tuple[str, ...] = ()
    gpu_directives: tuple[str, ...] = ()
    cpu_directives: tuple[str, ...] = ()
    queue_flag: str = ""
    needs_queue: bool = False
    chunk: str = ""
    launch: tuple[str, ...] = ()
    cpu_lists: tuple[str, ...] = ()
    wrapper: str = ""
    wrapper_reason: str = ""
    setup: tuple[str, ...] = ()
    note: str = ""


def _summit(title: str, source: str, note: str = "") -> Site:
    """Two POWER9 of 22 cores, one of each kept for the system, and six V100: 7 cores a GPU."""
    return Site(
        title=title,
        source=source,
        scheduler="lsf",
        gpus=6,
        cores=42,
        directives=("-alloc_flags smt1",),
        # MPI would look for CUDA in every message; NCCL and Gloo need none of that.
        launch=("--smpiargs=-disable_gpu_hooks",),
        setup=("module load cuda",),
        note=note,
    )


SITES = {
    # 18 nodes like Summit's, for courses.
    "ascent": _summit(
        "Ascent (Oak Ridge)",
        "https://docs.olcf.ornl.gov/systems/ascent_user_guide.html",
        note="switched off on 15 November 2024; kept as the model of LSF with jsrun",
    ),
    "summit": _summit(
        "Summit (Oak Ridge)", "https://docs.olcf.ornl.gov/systems/summit_user_guide.html"
    ),
    # 4 MI250X are 8 dies; of 64 cores the first of each of 8 L3 regions is kept for the system.
    "frontier": Site(
        title="Frontier (Oak Ridge)",
        source="https://docs.olcf.ornl.gov/systems/frontier_user_guide.html",
        scheduler="slurm",
        gpus=8,
        cores=56,
        launch=("--gpu-bind=closest",),
        setup=("module load PrgEnv-gnu rocm",),
    ),
    # One 64-core CPU with 4 A100, or two such CPUs; Slurm counts both threads of a core.
    "perlmutter": Site(
        title="Perlmutter (NERSC)",
        source="https://docs.nersc.gov/systems/perlmutter/running-jobs/",
        scheduler="slurm",
        gpus=4,
        cores=64,
        cpu_cores=128,
        threads=2,
        gpu_directives=("-C gpu",),
        cpu_directives=("-C cpu",),
        queue_flag="-q",
        needs_queue=True,
        launch=("--gpu-bind=none",),  # NCCL needs to see its neighbours; a rank takes its own
        setup=("module load python cudatoolkit",),
    ),
    # 32 cores in 4 NUMA domains; the last GPU is nearest to the first cores.
    "polaris": Site(
        title="Polaris (Argonne)",
        source="https://docs.alcf.anl.gov/polaris/running-jobs/using-gpus/",
        scheduler="pbs",
        gpus=4,
        cores=32,
        directives=("-l place=scatter", "-l filesystems=home:eagle", "-k doe"),
        needs_queue=True,
        chunk="system=polaris",
        wrapper="bash -c 'export CUDA_VISIBLE_DEVICES=$((3 - PMI_LOCAL_RANK)); exec \"$@\"' gpu",
        wrapper_reason="One GPU per rank, counted down: the last is nearest to the first cores.",
        setup=("module use /soft/modulefiles", "module load conda; conda activate base"),
    ),
    # 6 cards are 12 tiles; of 2 × 52 cores the first of each socket is kept for the system.
    "aurora": Site(
        title="Aurora (Argonne)",
        source="https://docs.alcf.anl.gov/aurora/running-jobs-aurora/",
        scheduler="pbs",
        gpus=12,
        cores=96,
        directives=("-l place=scatter", "-l filesystems=home:flare", "-k doe"),
        needs_queue=True,
        cpu_lists=tuple(f"{i}-{i + 7}" for i in (*range(1, 49, 8), *range(53, 101, 8))),
        wrapper="bash -c 'export ZE_AFFINITY_MASK=$PALS_LOCAL_RANKID; exec \"$@\"' tile",
        wrapper_reason="One tile per rank, counted 0 to 11 as the frameworks module does (FLAT); "
        "gpu_tile_compact.sh, which counts 0.0 to 5.1, is for programs without that module.",
        setup=("module load frameworks",),
    ),
}
