"""Optimizer: learning rates fall with depth, and the head has its own."""

from bestiary.model.classifier import build_classifier
from bestiary.recipe.optimization import OptimizerOptions
from bestiary.training.optimizer import build_optimizer


def test_layer_decay_and_head_lr_mult() -> None:
    classifier = build_classifier("torchvision/resnet18", 3, "none")
    options = OptimizerOptions(
        lr=1.0,
        layer_decay=0.5,
        head_lr_mult=4.0,
        decay_norm_and_bias=False,
    )
    groups = build_optimizer(classifier, options).param_groups
    rates = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    network = classifier.network
    layers = [network.conv1, network.layer1[0].conv1, network.layer4[0].conv1, network.fc]
    # The stem, four stages, and the head, which is in the last stage.
    assert [rates[id(layer.weight)] for layer in layers] == [0.5**4, 0.5**3, 1.0, 4.0]
