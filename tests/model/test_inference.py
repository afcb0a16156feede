"""Inference by PyTorch: equals the forward pass, for every batch size and precision."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from bestiary.model import tta
from bestiary.model.backbone import Backbone
from bestiary.model.classifier import Classifier
from bestiary.model.compute import best_precision, resolve_precision
from bestiary.model.device import best_device
from bestiary.model.engine import BuiltNetwork, Output, build_network
from bestiary.model.joint import smooth_views
from bestiary.model.tta import (
    averaged_over_views,
    images_at_once,
    input_side,
    of_first_view,
    with_tta,
)
from bestiary.recipe.choices import Precision, TtaViews

CPU = torch.device("cpu")


def torch_network(
    classifier: Classifier, precision: Precision = "float32", output: Output = "logits"
) -> BuiltNetwork:
    return build_network(classifier, 64, CPU, precision, engine="torch", output=output)


@pytest.fixture(scope="module")
def plain(classifier: Classifier, views: torch.Tensor) -> np.ndarray:
    """Logits by the plain forward pass, one image at a time."""
    with torch.no_grad():
        return torch.cat([classifier(classifier.preprocess(view[None])) for view in views]).numpy()


@pytest.mark.parametrize("size", [1, 2, 5, 11])
def test_logits_equal_forward_for_any_batch_size(
    classifier: Classifier, views: torch.Tensor, plain: np.ndarray, size: int
) -> None:
    run = torch_network(classifier).run
    logits = np.concatenate([run(batch) for batch in views.split(size)])
    assert logits.dtype == np.float32 and logits.shape == (11, 6)
    assert plain.std() > 1e-3
    np.testing.assert_allclose(logits, plain, atol=1e-5, rtol=1e-4)


def test_two_tta_views_average_the_flip(classifier: Classifier, views: torch.Tensor) -> None:
    run = torch_network(classifier).run
    straight, flipped = run(views), run(views.flip(2))
    both = with_tta(run, 2)(views)
    assert np.abs(straight - flipped).max() > 1e-4
    np.testing.assert_allclose(both, (straight + flipped) / 2, atol=1e-5, rtol=1e-4)
    np.testing.assert_allclose(with_tta(run, 2)(views.flip(2)), both, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("n_views", [1, 2, 5])
def test_a_gpu_averages_views_in_one_call(classifier: Classifier, n_views: TtaViews) -> None:
    """The meta device cannot compute; so a stand-in calls the CPU's network a GPU's."""
    built = torch_network(classifier)
    shapes: list[tuple[int, ...]] = []
    copies: list[int] = []

    def on_device(inputs: torch.Tensor) -> torch.Tensor:
        assert built.on_device is not None
        shapes.append(tuple(inputs.shape))
        return built.on_device(inputs)

    class StandIn:
        type = "cuda"

    def send(tensor: torch.Tensor, device: object) -> torch.Tensor:
        copies.append(len(tensor))
        return tensor

    side = input_side(64, n_views)
    views = smooth_views(6, side)
    gpu = replace(built, device=StandIn(), on_device=on_device)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tta, "send", send)
        outputs = averaged_over_views(gpu, n_views)(views)
        both = averaged_over_views(gpu, n_views, keeps_first=True)(views)
        first = of_first_view(gpu, n_views)(views)
    np.testing.assert_allclose(outputs, with_tta(built.run, n_views)(views), atol=1e-5, rtol=1e-4)
    np.testing.assert_array_equal(both[:, 0], outputs)
    np.testing.assert_allclose(both[:, 1], first, atol=1e-5, rtol=1e-4)
    together = (6 * n_views, 64, 64, 3)
    assert shapes == [together, together, (6, 64, 64, 3)] and copies == [6, 6, 6]


def test_a_gpu_computes_256_views_at_once() -> None:
    cuda = torch.device("cuda")
    assert [images_at_once(n_views, cuda) for n_views in (1, 2, 5)] == [256, 128, 51]
    assert [images_at_once(n_views, CPU) for n_views in (1, 2, 5)] == [32, 32, 32]


def test_bf16_result_is_near_and_float32(
    classifier: Classifier, views: torch.Tensor, plain: np.ndarray
) -> None:
    logits = torch_network(classifier, "bf16").run(views)
    assert logits.dtype == np.float32
    difference = np.abs(logits - plain).max()
    assert 0 < difference < 0.1 * np.abs(plain).max() + 0.02


def test_network_computes_features(
    classifier: Classifier, views: torch.Tensor, plain: np.ndarray
) -> None:
    features = torch_network(classifier, output="features").run(views)
    head = classifier.head_layer
    logits = features @ head.weight.detach().numpy().T + head.bias.detach().numpy()
    np.testing.assert_allclose(logits, plain, atol=1e-5, rtol=1e-4)


def test_inference_changes_no_state(classifier: Classifier, views: torch.Tensor) -> None:
    before = {key: value.clone() for key, value in classifier.state_dict().items()}
    torch_network(classifier).run(views)
    assert all(torch.equal(value, before[key]) for key, value in classifier.state_dict().items())
    assert all(parameter.grad is None for parameter in classifier.parameters())
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


def test_explicit_precision_is_used() -> None:
    for precision in ("bf16", "fp16", "float32"):
        assert resolve_precision(precision, CPU) == precision


@pytest.mark.parametrize(
    ("can_bf16", "kind", "expected"),
    [
        (True, "cuda", "bf16"),
        (False, "cuda", "fp16"),
        (True, "cpu", "bf16"),
        (False, "cpu", "float32"),
        (True, "mps", "float32"),
    ],
)
def test_auto_precision_is_best_in_hardware(
    monkeypatch: pytest.MonkeyPatch, can_bf16: bool, kind: str, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: can_bf16)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": can_bf16})
    assert (
        resolve_precision("auto", torch.device(kind))
        == best_precision(torch.device(kind))
        == expected
    )


def test_best_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        torch.accelerator, "current_accelerator", lambda check_available=False: None
    )
    assert best_device() == CPU
    gpu = torch.device("cuda")
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available=False: gpu)
    assert best_device() == gpu


def test_network_of_other_shape(views: torch.Tensor) -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 2)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.fc(images.mean(dim=(2, 3)))

    network = Classifier("x", Backbone(Sum(), "fc", (0.0,) * 3, (1.0,) * 3, "bilinear", "none"))  # type: ignore[arg-type]
    head = network.head_layer
    means = views.double().mean(dim=(1, 2)) / 255
    logits = means.float() @ head.weight.T + head.bias
    np.testing.assert_allclose(
        torch_network(network).run(views), logits.detach().numpy(), atol=1e-5
    )
