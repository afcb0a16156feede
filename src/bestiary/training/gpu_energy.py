"""GPU energy: the energy that an NVIDIA GPU has used, from its driver's counter.

Reads NVML, the driver's own library, without a Python package for it. Does not know what the energy
was used for.
"""

import ctypes
from contextlib import suppress

import torch

NVML = "libnvidia-ml.so.1"
MICROJOULES_PER_MILLIJOULE = 1e3
_ERRORS = (OSError, AttributeError, RuntimeError, ValueError, AssertionError)


def read_gpu_energy(device: torch.device) -> float | None:
    """Read the energy that a GPU has used since its driver was loaded.

    Args:
        device: the GPU.

    Returns:
        Microjoules, other programs' included; None if the driver does not say.
    """
    # AMD's driver, or a GPU older than Volta: there is no such counter.
    with suppress(*_ERRORS):
        # PyTorch numbers the GPUs that this process may use, and the driver all of them.
        uuid = torch.cuda.get_device_properties(device).uuid
        return _read_counter(f"GPU-{uuid}")
    return None


def _read_counter(uuid: str) -> float | None:
    """Ask NVML for the energy counter of the GPU with this UUID, ``GPU-...``."""
    library = ctypes.CDLL(NVML)
    handle = ctypes.c_void_p()
    millijoules = ctypes.c_ulonglong()
    if library.nvmlInit_v2():
        return None
    try:
        # Each call returns 0 for success.
        failed = library.nvmlDeviceGetHandleByUUID(
            uuid.encode(), ctypes.byref(handle)
        ) or library.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(millijoules))
        return None if failed else millijoules.value * MICROJOULES_PER_MILLIJOULE
    finally:
        library.nvmlShutdown()
