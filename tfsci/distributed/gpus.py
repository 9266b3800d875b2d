"""The GPUs that this process sees, told apart by what their driver calls them.

Indices do not tell: under many launchers every process sees a GPU 0, and each another one. The
driver is asked as CUDA's runtime asks it, with the process's own masks (CUDA_VISIBLE_DEVICES and
so on) and MIG instances; no memory of a GPU is taken.
"""

import ctypes
import uuid

# Library; then the calls that start it and give the number of GPUs, a handle, a name, a PCI
# address and a UUID. HIP's UUIDs are left out: whether the partitions of an Instinct MI300 differ
# in them is not documented.
_DRIVERS = (
    ("libcuda.so.1", "cuInit", "cuDeviceGetCount", "cuDeviceGet", "cuDeviceGetName",
     "cuDeviceGetPCIBusId", "cuDeviceGetUuid_v2"),
    *((f"libamdhip64.so{version}", "hipInit", "hipGetDeviceCount", "hipDeviceGet",
       "hipDeviceGetName", "hipDeviceGetPCIBusId", None) for version in ("", ".7", ".6", ".5")),
)  # fmt: skip


def visible_gpus(drivers=_DRIVERS) -> list[dict]:
    """Returns the GPUs in the order of their indices; [] where no driver is.

    Call it where the masks are as the launcher set them: a driver reads them once.

    Args:
        drivers: Rows of a library and the names of its calls.

    Returns:
        For each GPU ``name``, ``pci`` (such as ``"0000:18:00.0"``) and ``uuid``, each None where
        the driver does not tell.
    """
    for library, start, count, get, name, pci, identity in drivers:
        try:
            driver, number = ctypes.CDLL(library), ctypes.c_int()
            if getattr(driver, start)(0) or getattr(driver, count)(ctypes.byref(number)):
                continue  # no GPU, or the driver does not fit the kernel's
        except (OSError, AttributeError):
            continue
        found = []
        for index in range(number.value):
            gpu = ctypes.c_int()
            if getattr(driver, get)(ctypes.byref(gpu), index):
                return []
            its_uuid = ctypes.create_string_buffer(16)
            told = identity and hasattr(driver, identity) and not getattr(driver, identity)(
                its_uuid, gpu
            )  # fmt: skip
            found.append({
                "name": _text(getattr(driver, name), gpu),
                "pci": _text(getattr(driver, pci), gpu),
                "uuid": str(uuid.UUID(bytes=its_uuid.raw)) if told else None,
            })  # fmt: skip
        if found:
            return found
    return []


def _text(call, gpu: ctypes.c_int) -> str | None:
    buffer = ctypes.create_string_buffer(256)
    return None if call(buffer, len(buffer), gpu) else buffer.value.decode(errors="replace")
