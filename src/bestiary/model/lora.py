"""LoRA: a classifier -> the same one with small trainable matrices beside its linear layers.

Low-rank adaptation (Hu et al. 2022, arXiv:2106.09685), by the library peft. The pretrained weights
stay as they are; what training has added is merged into them before a member is saved. So a member
is a network like any other, and who predicts needs no peft. Knows nothing of images on disk or of
the training loop.
"""

import copy
from typing import Any

import torch
from torch import nn

from bestiary.errors import RecipeError
from bestiary.model.classifier import Classifier

# The sum of an adapter's two matrices counts twice, as is usual.
SCALE = 2


def add_lora(classifier: Classifier, rank: int, side: int, seed: int = 0) -> None:
    """Freeze a classifier but for its head, and put adapters beside its linear layers.

    An adapter adds nothing before it is trained. Layers whose weights are read without calling
    them, as nn.MultiheadAttention does, get none.

    Args:
        classifier: whose network is changed in place.
        rank: of the adapters, at least 1.
        side: of its images in pixels, to see which layers it calls.
        seed: of the adapters' initial weights.

    Raises:
        RecipeError: peft is not installed, or the network has no linear layers besides its head.

    Example:
        >>> from bestiary.model.classifier import build_classifier
        >>> classifier = build_classifier("timm/test_vit", 3, "none")
        >>> add_lora(classifier, 4, 160)
        >>> trained = [name for name, one in classifier.named_parameters() if one.requires_grad]
        >>> len(trained), all("lora_" in name or "head." in name for name in trained)
        (50, True)
    """
    peft = _import_peft(rank)
    names = _called_layers(classifier, side)
    if not names:
        raise RecipeError(
            f"model.lora = {rank}: {classifier.name} has no linear layers besides its head; choose "
            "a transformer, or leave model.lora out"
        )
    options = peft.LoraConfig(r=rank, lora_alpha=SCALE * rank, target_modules=names)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        peft.inject_adapter_in_model(options, classifier.network)
    for module in classifier.network.modules():
        if _is_adapted(module):
            layer: Any = module
            layer.cast_input_dtype_enabled = False  # autocast casts; a float32 copy would be kept
    classifier.head_layer.requires_grad_(True)


def merged(classifier: Classifier) -> Classifier:
    """Merge adapters into the weights that they stand beside.

    Args:
        classifier: with adapters or without; it is not changed.

    Returns:
        A copy without adapters, that answers alike; without adapters, the classifier itself.

    Example:
        >>> from bestiary.model.classifier import build_classifier
        >>> classifier = build_classifier("timm/test_vit", 3, "none")
        >>> merged(classifier) is classifier
        True
    """
    adapted = [name for name, module in classifier.network.named_modules() if _is_adapted(module)]
    if not adapted:
        return classifier
    plain = copy.deepcopy(classifier)
    for name in adapted:
        layer: Any = plain.network.get_submodule(name)
        layer.merge()
        plain.network.set_submodule(name, layer.get_base_layer())
    return plain.requires_grad_(False)


def _is_adapted(module: nn.Module) -> bool:
    """Tell whether a module is a linear layer with adapters, without importing peft for it."""
    return hasattr(module, "lora_A") and hasattr(module, "get_base_layer")


def _import_peft(rank: int) -> Any:
    """Import peft, which is an extra."""
    try:
        import peft
    except ImportError:
        raise RecipeError(
            f"model.lora = {rank}: needs the package peft; pip install 'bestiary[lora]', or leave "
            "it out"
        ) from None
    return peft


def _called_layers(classifier: Classifier, side: int) -> list[str]:
    """List the names of the linear layers that the network calls, in order, but for its head."""
    called: list[str] = []
    layers = {
        name: module
        for name, module in classifier.network.named_modules()
        if isinstance(module, nn.Linear) and name != classifier.head
    }
    handles = [
        module.register_forward_pre_hook(lambda _, __, name=name: called.append(name))
        for name, module in layers.items()
    ]
    was_training = classifier.training
    classifier.eval()
    try:
        with torch.no_grad():
            classifier(torch.zeros(1, 3, side, side, device=classifier.mean.device))
    finally:
        classifier.train(was_training)
        for handle in handles:
            handle.remove()
    return list(dict.fromkeys(called))
