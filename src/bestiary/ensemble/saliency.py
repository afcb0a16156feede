"""A member and images -> where it looked: Grad-CAM (Selvaraju et al. 2017,
doi:10.1109/ICCV.2017.74).

Gradients of a class's logit, averaged over each of the last feature maps, weigh these maps. Works
for networks that end in feature maps which are pooled into the last layer's input; others give
nothing.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from bestiary.data.decode import Pixels
from bestiary.model.classifier import Classifier

BATCH = 16


def saliency(
    member: Classifier, views: Sequence[Pixels], targets: Sequence[int]
) -> NDArray[np.float32] | None:
    """How much each place of each view speaks for its target class.

    Args:
        member: in eval mode.
        views: uint8 images (size, size, 3), as the member is given them.
        targets: class numbers.

    Returns:
        (views, size, size), 0 to 1; None where the network has no feature maps before its last
        layer.
    """
    parts = []
    device = member.mean.device
    for start in range(0, len(views), BATCH):
        batch = torch.from_numpy(np.stack(views[start : start + BATCH])).to(device)
        wanted = torch.tensor(targets[start : start + BATCH], device=device)
        with torch.enable_grad():
            maps = _class_maps(member, member.preprocess(batch), wanted)
        if maps is None:
            return None
        size = views[0].shape[:2][::-1]
        parts += [cv2.resize(one, size, interpolation=cv2.INTER_CUBIC).clip(0, 1) for one in maps]
    return np.stack(parts)


def overlay(view: Pixels, heat: NDArray[np.float32]) -> Pixels:
    """The view, gray and dim where nothing spoke for the class, its own colors in a warm light
    where much did.
    """
    gray = np.repeat(cv2.cvtColor(view, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2) * 0.5
    lit, share = 0.6 * view + 0.5 * np.array([255, 120, 0]), heat[..., None]
    return np.asarray((gray * (1 - share) + lit * share).clip(0, 255), np.uint8)


def _class_maps(
    member: Classifier, images: torch.Tensor, targets: torch.Tensor
) -> NDArray[np.float32] | None:
    leaves = [module for module in member.network.modules() if not list(module.children())]
    seen: list[torch.Tensor | None] = []

    def keep(_module: torch.nn.Module, _inputs: Any, output: Any) -> None:
        is_map = isinstance(output, torch.Tensor) and output.ndim == 4 and min(output.shape[2:]) > 1
        seen.append(output if is_map else None)

    handles = [leaf.register_forward_hook(keep) for leaf in leaves]
    try:
        logits = member(images.requires_grad_())
    finally:
        for handle in handles:
            handle.remove()
    places = [place for place, output in enumerate(seen) if output is not None]
    last = seen[places[-1]] if places else None
    # A transformer's only maps are those of its first layer, which say nothing of what it
    # concludes.
    if last is None or places[-1] < len(seen) / 2 or last.shape[1] != member.head_layer.in_features:
        return None
    (gradient,) = torch.autograd.grad(logits.gather(1, targets[:, None]).sum(), last)
    maps = (gradient.mean(dim=(2, 3), keepdim=True) * last).sum(dim=1).relu()
    maps = maps / maps.amax(dim=(1, 2), keepdim=True).clamp(min=1e-9)
    return maps.detach().float().cpu().numpy()
