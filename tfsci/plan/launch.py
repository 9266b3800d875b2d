"""What a launch script asks for: a model, a layout, nodes, a schedule.

Reads Megatron-LM's and Megatron-DeepSpeed's options, DeepSpeed's JSON, and the headers and
launchers of Slurm, LSF and PBS; and this package's own training scripts.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from tfsci.plan import scheduler, shell
from tfsci.plan.layout import LARGEST, Layout
from tfsci.plan.transformer import Transformer

_LARGEST = 10**6

# Machines by what only their scripts say.
_SIGNS = (
    ("frontier", r"frontier|\bcrusher\b|rocm|/lustre/orion|gfx90a"),
    ("aurora", r"aurora|\boneapi\b|ZE_AFFINITY"),
    ("polaris", r"polaris|/eagle\b|:eagle"),
    ("perlmutter", r"perlmutter|#SBATCH\s+(-C|--constraint)[ =]gpu|\$?PSCRATCH"),
    ("ascent", r"\bascent\b"),
    ("summit", r"jsrun|#BSUB|summit"),
    ("dgx-h100", r"\bh100\b"),
)

# This package's options that are Megatron's under other names.
_OURS = ("batch_size", "accumulate", "strategy", "epochs")


@dataclass(frozen=True)
class Launch:
    """What a script asks for; None where it does not say.

    Attributes:
        options: Of the training script, dashes as underscores; a flag's value is ``""``.
        program: The training script.
        deepspeed: DeepSpeed's configuration, {} without one.
        nodes: Of the job.
        ranks: Processes of the training.
        devices_per_node: That the job asks for.
        seconds: The job's time limit.
        machine: What the script looks like it was written for.
        notes: What was not understood.
    """

    options: dict[str, str]
    program: str
    deepspeed: dict
    nodes: int | None
    ranks: int | None
    devices_per_node: int | None
    seconds: float | None
    machine: str | None
    notes: tuple[str, ...] = field(default=())

    def number(self, *names: str) -> int | None:
        """Returns the first of these options that is a whole number."""
        for name in names:
            text = self.options.get(name, "").split(" ")[0].replace("_", "")
            if re.fullmatch(r"\d{1,15}", text):
                return int(text)
        return None

    def has(self, *names: str) -> bool:
        """Whether one of these flags is given."""
        return any(name in self.options for name in names)

    @property
    def ours(self) -> bool:
        """Whether it starts one of this package's training scripts."""
        return bool(re.match(r"train_\w+\.py$", Path(self.program).name)) and self.has(*_OURS)

    def model(self) -> Transformer | None:
        """Returns the transformer; None where the script does not say all of it."""
        layers, hidden = self.number("num_layers", "nlayers", "n_layer"), self.number("hidden_size")
        heads = self.number("num_attention_heads", "n_head")
        if not (layers and hidden and heads):
            return None
        gated = self.has("swiglu")
        return Transformer(
            layers,
            hidden,
            heads,
            sequence=self.number("seq_length", "encoder_seq_length", "max_position_embeddings")
            or 2048,
            vocabulary=self.number("padded_vocab_size", "vocab_size") or 51200,
            feed_forward=self.number("ffn_hidden_size"),
            key_value_heads=self.number("num_query_groups", "num_key_value_heads"),
            style="llama" if gated else "gpt",
        )

    def layout(self, devices: int) -> Layout:
        """Returns the layout on a number of devices; its replicas are what is left of them.

        Raises:
            ValueError: The devices are no multiple of tensor × pipeline.
        """
        t = self.number("tensor_model_parallel_size", "model_parallel_size") or 1
        p = self.number("pipeline_model_parallel_size") or 1
        p = 1 if self.has("no_pipeline_parallel") else p
        if devices % (t * p):
            below = devices // (t * p) * t * p
            nearest = f"{below} or {below + t * p}" if below else str(t * p)
            raise ValueError(
                f"{devices} ranks are not a multiple of tensor {t} × pipeline {p} = {t * p}; "
                f"{nearest} are"
            )
        d = devices // t // p
        b = self.micro_batch or 1
        if max(t * p, d, b, self.global_batch or 1) > LARGEST:
            raise ValueError("more than 10⁷ devices or samples: no such training")
        layers = self.number("num_layers") or 1
        per_chunk = self.number("num_layers_per_virtual_pipeline_stage")
        chunks = self.number("num_virtual_stages_per_pipeline_rank") or 1
        if per_chunk and p > 1:
            chunks = max(1, layers // p // per_chunk)
        return Layout(
            tensor=t,
            pipeline=p,
            data=d,
            micro_batch=b,
            global_batch=self.global_batch or b * d * (self.accumulation or 1),
            chunks=chunks,
            recompute=self.recompute,
            sequence_parallel=self.has("sequence_parallel") and t > 1,
            flash=self.has("use_flash_attn", "use_flash_attn_v2", "use_flash_attention"),
            zero=min(self.zero, 1) if p > 1 else self.zero,
        )

    @property
    def micro_batch(self) -> int | None:
        """Samples of a replica at once."""
        return self.number("micro_batch_size", "batch_size") or self.configured(
            "train_micro_batch_size_per_gpu"
        )

    @property
    def global_batch(self) -> int | None:
        """Samples of a step."""
        return self.number("global_batch_size") or self.configured("train_batch_size")

    @property
    def accumulation(self) -> int | None:
        """Micro-batches of a step."""
        return self.number("gradient_accumulation_steps") or self.configured(
            "gradient_accumulation_steps"
        )

    def configured(self, name: str) -> int | None:
        """Returns a whole number of DeepSpeed's configuration."""
        value = self.deepspeed.get(name)
        return (
            value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
        )

    @property
    def zero(self) -> int:
        """ZeRO's stage."""
        given = self.number("zero_stage")
        if self.options.get("zero_stage") == "0":
            given = 0
        optimization = self.deepspeed.get("zero_optimization")
        if given is None and isinstance(optimization, dict):
            given = optimization.get("stage")
        if given is None and self.has("use_distributed_optimizer"):
            given = 1
        return given if isinstance(given, int) and 0 <= given <= 3 else 0

    @property
    def recompute(self) -> str:
        """What is computed again."""
        given = self.options.get("recompute_granularity")
        if given in ("full", "selective"):
            return given
        if self.has("recompute_activations"):
            return "selective"
        full = ("checkpoint_activations", "activations_checkpoint_method", "recompute_method")
        return "full" if self.has(*full) else "none"

    @property
    def steps(self) -> int | None:
        """Updates of the whole training."""
        samples, batch = self.number("train_samples"), self.global_batch
        if samples and batch:
            return samples // batch
        return self.number("train_iters")


def read(path: Path) -> Launch:
    """Reads a launch script, and DeepSpeed's configuration beside it.

    Raises:
        ValueError: It is no such script; the message says what was understood.
        OSError: It can't be read.
    """
    if path.is_dir():
        raise IsADirectoryError(21, "a folder, not a launch script", str(path))
    with path.open("rb") as file:
        content = file.read(_LARGEST + 1)
    try:
        if len(content) > _LARGEST:
            raise ValueError("more than a megabyte; launch scripts have thousands of characters")
        text = content.decode("utf-8")
        found = shell.read(text, scheduler.variables(scheduler.headers(text)))
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not a launch script: no UTF-8 text") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return _launch(path, text, found)


def _launch(path: Path, text: str, script: shell.Script) -> Launch:
    header = scheduler.variables(scheduler.headers(text))
    command, options = _training(script)
    if not options.keys() & {"num_layers", "global_batch_size", "micro_batch_size", *_OURS}:
        heads = f"{len(script.headers)} lines for a scheduler" if script.headers else "no scheduler"
        own = len(script.variables.keys() - header.keys())
        raise ValueError(
            f"{path}: no training with Megatron's, DeepSpeed's or this package's options in it; "
            f"understood: {heads}, {own} variables, {len(script.commands)} "
            "commands"
        )
    program = next(
        (word for word in command if word.endswith(".py")), command[0] if command else ""
    )
    nodes, per_node, ranks = scheduler.ranks(script, header)
    deepspeed, notes = _deepspeed(path, script, options)
    machine = next((name for name, sign in _SIGNS if re.search(sign, text, re.I)), None)
    return Launch(
        options,
        program,
        deepspeed,
        nodes,
        ranks,
        per_node,
        scheduler.seconds(header),
        machine,
        tuple(notes),
    )


def _training(script: shell.Script) -> tuple[list[str], dict[str, str]]:
    """Returns the command with most options that a training has, and those after its program."""
    best: tuple[list[str], dict[str, str]] = ([], {})
    for command in script.commands:
        start = next((i for i, word in enumerate(command) if word.endswith(".py")), -1)
        options = scheduler.options_of(command[start + 1 :])
        if len(options.keys() & _KNOWN) > len(best[1].keys() & _KNOWN):
            best = (command, options)
    return best


_KNOWN = {
    "num_layers", "hidden_size", "num_attention_heads", "seq_length", "micro_batch_size",
    "global_batch_size", "tensor_model_parallel_size", "pipeline_model_parallel_size",
    "train_iters", "train_samples", "lr", "save", "deepspeed", *_OURS, "data", "output", "variant",
}  # fmt: skip


def _deepspeed(path: Path, script: shell.Script, options: dict[str, str]) -> tuple[dict, list[str]]:
    """Returns DeepSpeed's configuration: from a here-document, or the file beside the script."""
    given = options.get("deepspeed_config") or options.get("deepspeed", "")
    name = given.split(" ")[0]
    if not name:
        return {}, []
    for command, document in script.documents:
        if name in command:
            return _json(document, name)
    file = path.parent / name
    if not name.endswith(".json") or not file.is_file() or file.stat().st_size > _LARGEST:
        return {}, [
            f"DeepSpeed's {name} is not beside the script: its batch and ZeRO are not known"
        ]
    return _json(file.read_text(encoding="utf-8", errors="replace"), name)


def _json(text: str, name: str) -> tuple[dict, list[str]]:
    try:
        value = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return {}, [f"DeepSpeed's {name} is not JSON"]
    return (
        (value, []) if isinstance(value, dict) else ({}, [f"DeepSpeed's {name} is no JSON object"])
    )
