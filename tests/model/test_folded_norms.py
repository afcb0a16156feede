"""Folded norms: the same function and gradients as with the norms, which stay where they are."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from bestiary.model.backbone import Backbone
from bestiary.model.classifier import Classifier, build_classifier
from bestiary.model.folded_norms import FoldedNetwork, foldable_norms, folded

Randomize = Callable[[nn.Module, int], nn.Module]

NORMS = {"timm/test_resnet": 15, "offline/efficientnet_lite0": 49, "torchvision/resnet18": 20}


def randomized(name: str, randomize: Randomize) -> Classifier:
    classifier = build_classifier(name, 4, "none").eval()
    randomize(classifier.network, 1)
    return classifier


def gradients(network: nn.Module, classifier: Classifier) -> list[torch.Tensor]:
    """The logits of a batch, and the gradients of all parameters."""
    images = torch.randn((3, 3, 64, 64), generator=torch.Generator().manual_seed(2))
    classifier.zero_grad()
    logits = network(images.double())
    logits.square().mean().backward()
    parameters = [parameter.grad for parameter in classifier.parameters()]
    return [logits.detach(), *(grad.clone() for grad in parameters if grad is not None)]


@pytest.mark.parametrize("name", NORMS)
def test_logits_and_gradients_are_the_same(name: str, randomize: Randomize) -> None:
    classifier = randomized(name, randomize)
    pairs = foldable_norms(classifier, 64)
    assert len(pairs) == NORMS[name]
    classifier.double()
    plain = gradients(classifier, classifier)
    within = gradients(FoldedNetwork(classifier, pairs), classifier)
    assert len(plain) == len(within) > 3
    for expected, got in zip(plain, within, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-9 * expected.abs().max())


def test_a_step_leaves_the_network_as_it_is(randomize: Randomize) -> None:
    classifier = randomized("timm/test_resnet", randomize)
    images = torch.randn(2, 3, 64, 64)
    names = list(classifier.state_dict())
    with torch.no_grad():
        before = classifier(images)
        network = folded(classifier, 64)
        network(images)
        with pytest.raises(RuntimeError):
            network(torch.zeros(1, 5, 8, 8))
        assert torch.equal(classifier(images), before)
    assert isinstance(network, FoldedNetwork)
    assert list(classifier.state_dict()) == names
    listed = [id(parameter) for parameter in network.parameters()]
    assert listed == [id(parameter) for parameter in classifier.parameters()]


def test_norms_that_learn_are_not_folded(randomize: Randomize) -> None:
    classifier = randomized("timm/test_resnet", randomize).train()
    statistics = {key: value.clone() for key, value in classifier.state_dict().items()}
    assert folded(classifier, 64) is classifier
    norms = [module for module in classifier.modules() if isinstance(module, nn.BatchNorm2d)]
    norms[0].eval()
    assert [norm for _, norm in foldable_norms(classifier, 64)] == norms[:1]
    assert classifier.training and norms[1].training
    for key, value in classifier.state_dict().items():
        assert torch.equal(value, statistics[key]), "looking for norms must not change any"


class _Twice(nn.Module):
    """A convolution whose output goes into a norm, and past it."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 6, 3)
        self.norm = nn.BatchNorm2d(6)
        self.head = nn.Linear(6, 4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        seen = self.convolution(images)
        both = self.norm(seen) + seen
        logits: torch.Tensor = self.head(both.mean(dim=(2, 3)))
        return logits


def test_an_output_with_two_readers_is_not_folded(randomize: Randomize) -> None:
    backbone = Backbone(_Twice(), "head", (0.5,) * 3, (0.5,) * 3, "bilinear", "none")
    classifier = Classifier("twice", backbone).eval()
    randomize(classifier.network, 1)
    assert foldable_norms(classifier, 32) == []
