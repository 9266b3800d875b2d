"""The average of gradients over Horovod's ranks, by whichever exchange moves less.

Gradients are exchanged in buckets, the last layers' first, as back-propagation yields them: what
is exchanged overlaps with what is still computed, and small tensors share a message. A bucket
always holds the same tensors, so that three ranks or more add up in the same order in every run.
``HOROVOD_FUSION_THRESHOLD`` is its size in bytes; at 0 each tensor is its own.
"""

import os
import re
from collections.abc import Sequence

_BUCKET_BYTES = 4 << 20


def average(hvd, gradients: Sequence, compression, adasum: bool = False) -> list:
    """Returns gradients averaged over the ranks.

    The gradient of a dense kernel is a product XᵀE of the layer's inputs X (B, in) and errors
    E (B, out): for a wide layer and a small batch it is less to gather X and E from all ranks and
    to multiply them there than to add up products of shape (in, out). The sum is the same
    (sufficient factor broadcasting, Xie et al. 2016, arXiv 1511.08486).

    Args:
        hvd: The module `horovod.tensorflow`.
        gradients: In the order of their variables: tensors, `tf.IndexedSlices` (of an embedding),
            or None.
        compression: One of ``hvd.Compression``.
        adasum: Whether to combine dense gradients by Adasum instead (Maleki et al. 2021, arXiv
            2006.02924): parallel ones are averaged, orthogonal ones added up.
    """
    import tensorflow as tf

    exact = compression is hvd.Compression.none and not adasum

    averaged, dense = list(gradients), {}
    for i, gradient in reversed(list(enumerate(gradients))):
        factors = dense_factors(gradient) if exact else None
        if factors and gathering_moves_less(*(f.shape for f in factors), hvd.size()):
            averaged[i] = _product_of_all(hvd, *factors, name=f"gradient/{i}")
        elif isinstance(gradient, tf.IndexedSlices):
            averaged[i] = hvd.allreduce(gradient, name=f"gradient/{i}", op=hvd.Average)
        elif gradient is not None:
            dense[i] = gradient
    if adasum:
        for i, gradient in dense.items():
            averaged[i] = hvd.allreduce(
                gradient, name=f"gradient/{i}", op=hvd.Adasum, compression=compression
            )
        return averaged
    for bucket in buckets({i: (g.dtype, _bytes(g)) for i, g in dense.items()}, _bucket_bytes()):
        done = hvd.grouped_allreduce(
            [dense[i] for i in bucket],
            name=f"gradients/{bucket[0]}",
            op=hvd.Average,
            compression=compression,
        )
        for i, gradient in zip(bucket, done, strict=True):
            averaged[i] = gradient
    return averaged


def buckets(tensors: dict[int, tuple[object, int]], most: int) -> list[list[int]]:
    """Returns keys in their order, packed by what they are and how much fits.

    Args:
        tensors: Key: dtype and bytes.
        most: Bytes that a bucket holds, if it is not a single tensor.

    >>> f = "float32"
    >>> buckets({3: (f, 1), 2: (f, 9), 1: (f, 2), 0: (f, 2)}, 4)
    [[3], [2], [1, 0]]
    """
    packed, last, room = [], None, 0
    for key, (dtype, size) in tensors.items():
        if dtype != last or size > room:
            packed.append([])
            last, room = dtype, most
        packed[-1].append(key)
        room -= size
    return packed


def _product_of_all(hvd, inputs, errors, name: str):
    import tensorflow as tf

    x = hvd.allgather(inputs, name=f"{name}/inputs")  # (n·B, in)
    e = hvd.allgather(errors / hvd.size(), name=f"{name}/errors")  # (n·B, out)
    return tf.matmul(x, e, transpose_a=True)


def _bucket_bytes() -> int:
    text = os.environ.get("HOROVOD_FUSION_THRESHOLD", "")
    return int(text) if re.fullmatch(r"[0-9]{1,12}", text) else _BUCKET_BYTES


def _bytes(tensor) -> int:
    return tensor.dtype.size * (tensor.shape.num_elements() or 0)


def dense_factors(gradient):
    """Returns X (B, in) and E (B, out) of a gradient that a graph computes as XᵀE, else None."""
    operation = getattr(gradient, "op", None)  # none in eager execution
    if getattr(operation, "type", None) != "MatMul":
        return None
    if not operation.get_attr("transpose_a") or operation.get_attr("transpose_b"):
        return None
    return tuple(operation.inputs)


def gathering_moves_less(x_shape, e_shape, world_size: int) -> bool:
    """Returns whether gathering the factors of a dense gradient beats adding up the gradients.

    A rank receives (n − 1)·B·(in + out) numbers instead of 2·(n − 1)/n·in·out, and multiplies n·B
    rows instead of B. Gathering is taken where it moves a quarter or less and the global batch
    has 256 rows at most, so that the products stay cheap beside what is not sent.

    Args:
        x_shape: Shape (B, in) of the inputs.
        e_shape: Shape (B, out) of the errors.
        world_size: Number of ranks, n.
    """
    (rows, inputs), outputs = x_shape, e_shape[1]
    if rows is None or rows * world_size > 256:
        return False
    return 2 * world_size * rows * (inputs + outputs) <= inputs * outputs
