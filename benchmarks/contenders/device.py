"""Where all contenders compute: the GPU if there is one, else the CPU. So none of them is alone."""

import torch


def best_device() -> torch.device:
    """The device that bestiary would choose; some contenders' interpreters do not have bestiary."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def wait_for(device: torch.device) -> None:
    """Wait until a GPU has done what it was given, before a clock is read."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
