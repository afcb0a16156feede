"""A member and images -> saliency maps: where the network looked, by Grad-CAM or by its tokens.

Each of the last feature maps is weighted by the mean gradient of the class's logit (Selvaraju et
al. 2017, doi:10.1109/ICCV.2017.74), where the last layer takes pooled feature maps. A transformer's
tokens are multiplied by their gradients (Shrikumar et al. 2016, arXiv:1605.01713), at the last
place where the logit depends on the patches. Other networks have no saliency. Knows nothing of
ensembles, runs or files.
"""

import math
from collections.abc import Sequence
from threading import get_ident
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from bestiary.data.decode import Pixels
from bestiary.model.classifier import Classifier

BATCH_SIZE = 16
MAX_PREFIX = 5  # tokens before those of the patches: class, distillation, registers
TOKEN_LAYERS = 24  # last outputs of tokens that are looked at
WARM_COLOR = (255, 120, 0)  # RGB of the light on salient areas
DARK_COLOR = (16, 18, 22)  # RGB of the shade on all others
GLOW_OPACITY = 0.3
DARK_OPACITY = 0.74


def saliency(
    member: Classifier,
    views: Sequence[Pixels],
    targets: Sequence[int],
) -> NDArray[np.float32] | None:
    """Compute where each view speaks for its target class.

    Args:
        member: in eval mode.
        views: uint8 images (size, size, 3), the member's input.
        targets: class number of each view.

    Returns:
        Maps (views, size, size), 0 to 1; None if the network has neither feature maps nor tokens
        before its last layer.
    """
    heats = []
    device = member.mean.device
    for start in range(0, len(views), BATCH_SIZE):
        stop = start + BATCH_SIZE
        batch = torch.from_numpy(np.stack(views[start:stop])).to(device)
        batch_targets = torch.tensor(targets[start:stop], device=device)
        with torch.enable_grad():
            images = member.preprocess(batch)
            maps = _class_maps(member, images, batch_targets)
        if maps is None:
            return None

        # Enlarge the maps to the views
        height, width = views[0].shape[:2]
        for class_map in maps:
            heat = cv2.resize(class_map, (width, height), interpolation=cv2.INTER_CUBIC)
            heats.append(heat.clip(0, 1))
    return np.stack(heats)


def overlay(view: Pixels, heat: NDArray[np.float32]) -> Pixels:
    """Draw a saliency map over its view.

    Args:
        view: uint8 (size, size, 3).
        heat: (size, size), 0 to 1.

    Returns:
        The view, uint8 (size, size, 3): dark where heat is 0, in warm light where it is 1.
    """
    mask = light_mask(heat)
    opacity = mask[..., 3:] / 255
    blended = view * (1 - opacity) + mask[..., :3] * opacity
    return np.asarray(np.rint(blended), np.uint8)


def light_mask(heat: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Draw the light of a saliency map, to be laid over an image: the same on every page.

    Args:
        heat: (height, width), 0 to 1.

    Returns:
        RGBA, uint8 (height, width, 4): nearly opaque dark where heat is 0, a warm glow where it is
        1.
    """
    share = heat[..., None].clip(0, 1)
    mask = np.empty((*heat.shape, 4), np.uint8)
    mask[..., :3] = np.rint(share * np.array(WARM_COLOR) + (1 - share) * np.array(DARK_COLOR))
    mask[..., 3:] = np.rint(255 * (DARK_OPACITY * (1 - share) + GLOW_OPACITY * share))
    return mask


def _class_maps(
    member: Classifier,
    images: torch.Tensor,
    targets: torch.Tensor,
) -> NDArray[np.float32] | None:
    """Compute the map of each image (images, height, width), 0 to 1."""
    logits, outputs, tokens = _run_with_outputs(member, images)
    target_logit = logits.gather(1, targets[:, None]).sum()
    last = _last_feature_map(outputs, member.head_layer.in_features)
    maps = _token_maps(target_logit, tokens) if last is None else _cam(target_logit, last)
    if maps is None:
        return None
    highest = maps.amax(dim=(1, 2), keepdim=True)
    maps = maps / highest.clamp(min=1e-9)
    return maps.detach().float().cpu().numpy()


def _cam(target_logit: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
    """Weigh each feature map by the mean gradient of the target's logit."""
    (gradient,) = torch.autograd.grad(target_logit, last)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    return (weights * last).sum(dim=1).relu()


def _token_maps(target_logit: torch.Tensor, tokens: list[torch.Tensor]) -> torch.Tensor | None:
    """Multiply the patches' tokens by their gradients (images, height, width); None without any.

    After the last block, a class token alone may lead to the logit: then the place before counts.
    """
    chosen = tokens[-TOKEN_LAYERS:]
    if not chosen:
        return None
    gradients = torch.autograd.grad(target_logit, chosen, allow_unused=True)
    for token, gradient in zip(reversed(chosen), reversed(gradients), strict=True):
        if gradient is None:
            continue
        side = _patch_side(token)
        patches = (gradient * token).sum(dim=2)[:, -side * side :]
        if bool((gradient[:, -side * side :] != 0).any()):
            return patches.reshape(len(patches), side, side).relu()
    return None


def _patch_side(token: torch.Tensor) -> int:
    """Patches along a side of the view; 0 if the tokens are not those of a square of patches."""
    count = token.shape[1]
    side = math.isqrt(count)
    return side if side > 1 and count - side * side <= MAX_PREFIX else 0


def _run_with_outputs(
    member: Classifier,
    images: torch.Tensor,
) -> tuple[torch.Tensor, list[torch.Tensor | None], list[torch.Tensor]]:
    """Run the network, and record the output of each leaf module: a feature map, or None.

    Outputs that are tokens (images, tokens, channels) are listed, too.
    """
    leaves = [module for module in member.network.modules() if not list(module.children())]
    outputs: list[torch.Tensor | None] = []
    tokens: list[torch.Tensor] = []
    own_thread = get_ident()

    def record(_module: torch.nn.Module, _inputs: Any, output: Any) -> None:
        if get_ident() == own_thread:  # others may run the member at the same time
            outputs.append(output if _is_feature_map(output) else None)
            if _is_tokens(output, member.head_layer.in_features):
                tokens.append(output)

    handles = [leaf.register_forward_hook(record) for leaf in leaves]
    try:
        logits = member(images.requires_grad_())
    finally:
        for handle in handles:
            handle.remove()
    return logits, outputs, tokens


def _is_tokens(output: Any, channels: int) -> bool:
    """Tell whether an output is tokens of patches, (images, tokens, channels)."""
    if not isinstance(output, torch.Tensor) or output.ndim != 3:
        return False
    return output.shape[2] == channels and _patch_side(output) > 0


def _is_feature_map(output: Any) -> bool:
    """Tell whether an output is (images, channels, height, width), not pooled to one pixel."""
    if not isinstance(output, torch.Tensor) or output.ndim != 4:
        return False
    height, width = output.shape[2:]
    return min(height, width) > 1


def _last_feature_map(
    outputs: Sequence[torch.Tensor | None],
    in_features: int,
) -> torch.Tensor | None:
    """Return the last feature map, if the last layer takes it pooled.

    A transformer has feature maps in its first layer only. They do not show what it concludes.
    """
    last = None
    last_index = 0
    for index, output in enumerate(outputs):
        if output is not None:
            last = output
            last_index = index
    if last is None or last_index < len(outputs) / 2:
        return None

    n_channels = last.shape[1]
    return last if n_channels == in_features else None
