"""A network with frozen batch norms -> the same function with the norms inside its convolutions.

A norm whose statistics are frozen scales and shifts each channel. So does a convolution whose
weights are scaled and whose bias is shifted, at no cost. The weights are folded in each call,
as part of the graph that gradients flow through: weights, scales and shifts are trained as without,
up to rounding. The network itself stays as it is, and so do its checkpoints. Jacob et al. 2018,
arXiv:1712.05877, fold norms in training likewise. Knows nothing of training loops.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, cast

import torch
from torch import nn
from torch.func import functional_call

from bestiary.model.classifier import Classifier
from bestiary.model.joint import smooth_views

# The largest root mean square difference of folded and plain logits, as a share of their standard
# deviation. In float32 the order of operations alone makes about 1e-6.
TOLERANCE = 1e-4
CHECKED_VIEWS = 2

_Pair = tuple[nn.Conv2d, nn.BatchNorm2d]


class FoldedNetwork(nn.Module):
    """A network whose frozen batch norms are computed inside the convolutions before them.

    Args:
        network: shares its parameters, and is unchanged outside of a call.
        pairs: convolutions and the norms to fold into them, see `foldable_norms`.
    """

    def __init__(self, network: nn.Module, pairs: Sequence[_Pair]) -> None:
        super().__init__()
        self.network = network
        names = {module: name for name, module in network.named_modules()}
        # Not as modules of this one: their parameters would be listed twice.
        self._pairs = {names[convolution]: (convolution, norm) for convolution, norm in pairs}

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Compute what the network does of images (n, 3, size, size)."""
        tensors = {}
        for name, (convolution, norm) in self._pairs.items():
            tensors[f"{name}.weight"], tensors[f"{name}.bias"] = _fold(convolution, norm)
        with _identities([norm for _, norm in self._pairs.values()]):
            return cast(torch.Tensor, functional_call(self.network, tensors, (images,)))


def folded(classifier: Classifier, size: int) -> nn.Module:
    """Fold the frozen batch norms of a classifier, as far as it has such.

    Args:
        classifier: on a CPU, in the mode of training.
        size: side of its input in pixels.

    Returns:
        A network that shares the classifier's parameters, or the classifier itself.
    """
    pairs = foldable_norms(classifier, size)
    return FoldedNetwork(classifier, pairs) if pairs else classifier


def foldable_norms(classifier: Classifier, size: int) -> list[_Pair]:
    """Find the frozen batch norms that can be folded into the convolution before them.

    A norm is frozen if it is in eval mode. One view is computed to see which convolution it
    follows, then folded and plain logits are compared.

    Args:
        classifier: on a CPU, in the mode of training.
        size: side of its input in pixels.

    Returns:
        Convolutions with their norms; empty if there are none, or if the logits differ.

    Example:
        >>> from bestiary.model.classifier import build_classifier
        >>> classifier = build_classifier("timm/test_resnet", 3, "none").eval()
        >>> len(foldable_norms(classifier, 64))
        15
    """
    frozen = [module for module in classifier.modules() if _is_foldable(module)]
    if not frozen:
        return []
    modes = [(module, module.training) for module in classifier.modules()]
    classifier.eval()  # so that nothing is drawn and no statistics change
    try:
        images = classifier.preprocess(smooth_views(CHECKED_VIEWS, size))
        with torch.no_grad():
            plain, pairs = _observe(classifier, images, frozen)
            logits = FoldedNetwork(classifier, pairs)(images)
        error = (logits - plain).square().mean().sqrt() / (plain.std() + 1e-6)
        return pairs if float(error) <= TOLERANCE else []
    finally:
        for module, training in modes:
            module.training = training


def _is_foldable(module: nn.Module) -> bool:
    """Whether a module is a batch norm with frozen statistics, of a kind that is known here."""
    from timm.layers import BatchNormAct2d  # here: it is slow to import

    if type(module) not in (nn.BatchNorm2d, BatchNormAct2d) or module.training:
        return False
    norm = cast(nn.BatchNorm2d, module)
    return bool(norm.affine) and norm.running_mean is not None


def _observe(
    classifier: Classifier, images: torch.Tensor, norms: Sequence[nn.Module]
) -> tuple[torch.Tensor, list[_Pair]]:
    """Compute logits, and pair each norm with the convolution whose output it is given."""
    made: list[tuple[nn.Conv2d, torch.Tensor]] = []
    pairs: list[_Pair] = []

    def note_output(module: nn.Module, _: Any, output: torch.Tensor) -> None:
        made.append((cast(nn.Conv2d, module), output))

    def note_input(module: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        sources = [convolution for convolution, output in made if output is inputs[0]]
        pairs.extend((source, cast(nn.BatchNorm2d, module)) for source in sources)

    with ExitStack() as hooks:
        for module in classifier.modules():
            if isinstance(module, nn.Conv2d):
                hooks.callback(module.register_forward_hook(note_output).remove)
        for norm in norms:
            hooks.callback(norm.register_forward_pre_hook(note_input).remove)
        logits = classifier(images)
    return logits, pairs


@contextmanager
def _identities(norms: Sequence[nn.BatchNorm2d]) -> Iterator[None]:
    """Let norms pass on what they are given inside the block, to the activation that some have."""
    try:
        for norm in norms:
            vars(norm)["forward"] = _activation_of(norm)
        yield
    finally:
        for norm in norms:
            vars(norm).pop("forward", None)


def _activation_of(norm: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return what a norm computes after its normalization; timm's have an activation inside."""
    if type(norm) is nn.BatchNorm2d:
        return nn.Identity()
    activation = cast(Any, norm)
    return lambda images: cast(torch.Tensor, activation.act(activation.drop(images)))


def _fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute the weight and bias of a convolution that a norm is folded into."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    shift = norm.bias - norm.running_mean * scale
    if convolution.bias is not None:
        shift = shift + convolution.bias * scale
    return convolution.weight * scale.view(-1, 1, 1, 1), shift
