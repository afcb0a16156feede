"""Inference: run_network equals the forward pass, in batches and in every precision."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from bestiary.model.backbone import Backbone
from bestiary.model.classifier import Classifier
from bestiary.model.compute import best_device, best_precision, resolve_precision
from bestiary.model.inference import run_network
from bestiary.model.tta import with_tta

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def plain(classifier: Classifier, views: torch.Tensor) -> np.ndarray:
    """Logits by the plain forward pass, one image at a time."""
    with torch.no_grad():
        return torch.cat([classifier(classifier.preprocess(view[None])) for view in views]).numpy()


@pytest.mark.parametrize("size", [1, 2, 5, 11])
@pytest.mark.parametrize("channels_last", [True, False])
def test_logits_equal_forward_for_any_batch_size(
    classifier: Classifier, views: torch.Tensor, plain: np.ndarray, size: int, channels_last: bool
) -> None:
    logits = run_network(classifier, views.split(size), CPU, "float32", channels_last=channels_last)
    assert logits.dtype == np.float32 and logits.shape == (11, 6)
    assert plain.std() > 1e-3
    np.testing.assert_allclose(logits, plain, atol=1e-5, rtol=1e-4)


def test_run_network_streams_batches(
    classifier: Classifier, views: torch.Tensor, plain: np.ndarray
) -> None:
    def stream() -> Iterator[torch.Tensor]:
        yield views[:4]
        yield views[4:]

    np.testing.assert_allclose(
        run_network(classifier, stream(), CPU, "float32"), plain, atol=1e-5, rtol=1e-4
    )


def test_two_tta_views_average_the_flip(classifier: Classifier, views: torch.Tensor) -> None:
    straight = run_network(classifier, [views], CPU, "float32")
    flipped = run_network(classifier, [views.flip(2)], CPU, "float32")
    both = with_tta(lambda batch: run_network(classifier, [batch], CPU, "float32"), 2)(views)
    assert np.abs(straight - flipped).max() > 1e-4
    np.testing.assert_allclose(both, (straight + flipped) / 2, atol=1e-5, rtol=1e-4)
    again = with_tta(lambda batch: run_network(classifier, [batch], CPU, "float32"), 2)(
        views.flip(2)
    )
    np.testing.assert_allclose(again, both, atol=1e-5, rtol=1e-4)


def test_bf16_result_is_near_and_float32(
    classifier: Classifier, views: torch.Tensor, plain: np.ndarray
) -> None:
    logits = run_network(classifier, [views], CPU, "bf16")
    assert logits.dtype == np.float32
    difference = np.abs(logits - plain).max()
    assert 0 < difference < 0.1 * np.abs(plain).max() + 0.02


def test_run_network_computes_features(
    classifier: Classifier, views: torch.Tensor, plain: np.ndarray
) -> None:
    features = run_network(classifier, views.split(4), CPU, "float32", output=classifier.features)
    head = classifier.head_layer
    logits = features @ head.weight.detach().numpy().T + head.bias.detach().numpy()
    np.testing.assert_allclose(logits, plain, atol=1e-5, rtol=1e-4)


def test_run_network_changes_no_state(classifier: Classifier, views: torch.Tensor) -> None:
    before = {key: value.clone() for key, value in classifier.state_dict().items()}
    run_network(classifier, [views], CPU, "float32")
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


def test_run_network_of_other_shape(views: torch.Tensor) -> None:
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
        run_network(network, [views], CPU, "float32"), logits.detach().numpy(), atol=1e-5
    )
