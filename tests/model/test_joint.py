"""Joint networks: members answer as they do alone, and what they share is computed once."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bestiary.model import engine, graph_cache, joint
from bestiary.model.backbone import Backbone, last_linear
from bestiary.model.classifier import Classifier, build_classifier
from bestiary.model.engine import build_joint_network, build_network
from bestiary.model.joint import JointClassifier, smooth_views
from bestiary.model.tracing import SizedTracer

CPU = torch.device("cpu")
needs_openvino = pytest.mark.skipif(
    not engine.openvino_is_installed(), reason="openvino is not installed"
)
RESNET = "timm/test_resnet"
VIT = "timm/test_vit"
SIZES = {RESNET: 64, VIT: 160}
MEMBERS = 4
ODD = 2  # the member that shares nothing

Tuned = Callable[[Classifier], list[nn.Module]]


def of_head(member: Classifier) -> list[nn.Module]:
    return [member.head_layer]


def of_last_stage(member: Classifier) -> list[nn.Module]:
    return member.stages()[-1]


def of_all(member: Classifier) -> list[nn.Module]:
    return [member.network]


def members_of(
    tuned: Tuned, *, odd: bool = False, name: str = RESNET, power_norm: bool = False
) -> list[Classifier]:
    """Members that differ in the modules that were tuned."""
    torch.manual_seed(5)
    start = build_classifier(name, 6, "none", power_norm=power_norm).eval()
    members = [deepcopy(start) for _ in range(MEMBERS)]
    for index, member in enumerate(members):
        for module in of_all(member) if odd and index == ODD else tuned(member):
            for parameter in module.parameters():
                with torch.no_grad():
                    parameter.add_(0.1 * torch.randn_like(parameter))
    return members


@torch.inference_mode()
def alone(members: Sequence[Classifier], views: torch.Tensor) -> np.ndarray:
    """The members' logits, one by one."""
    return torch.stack([each(each.preprocess(views)) for each in members], 1).numpy()


def count_calls(members: Sequence[Classifier], views: torch.Tensor) -> tuple[int, int]:
    """How often the joint network computes the members' first and last layers that convolve."""
    network = JointClassifier(members, views.shape[1])
    calls = []
    for member in members:
        layers = [layer for layer in member.modules() if isinstance(layer, nn.Conv2d)]
        layers[0].register_forward_hook(lambda *_: calls.append("first"))
        layers[-1].register_forward_hook(lambda *_: calls.append("last"))
    with torch.inference_mode():
        network(views)
    return calls.count("first"), calls.count("last")


@pytest.mark.parametrize("name", [RESNET, VIT])
@pytest.mark.parametrize("power_norm", [False, True])
@pytest.mark.parametrize("odd", [False, True])
@pytest.mark.parametrize("tuned", [of_head, of_last_stage, of_all])
def test_joint_members_answer_as_alone(
    tuned: Tuned, odd: bool, power_norm: bool, name: str
) -> None:
    members = members_of(tuned, odd=odd, name=name, power_norm=power_norm)
    views = smooth_views(3, SIZES[name])
    expected = alone(members, views)
    assert np.ptp(expected, axis=1).min() > 1e-3  # no two members agree
    with torch.inference_mode():
        found = JointClassifier(members, SIZES[name])(views).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("tuned", "odd", "calls"),
    [
        (of_head, False, (1, 1)),
        (of_head, True, (2, 2)),
        (of_last_stage, False, (1, MEMBERS)),
        (of_last_stage, True, (2, MEMBERS)),
        (of_all, False, (MEMBERS, MEMBERS)),
    ],
)
def test_shared_layers_run_once(tuned: Tuned, odd: bool, calls: tuple[int, int]) -> None:
    assert count_calls(members_of(tuned, odd=odd), smooth_views(2, 64)) == calls


def test_only_equal_bits_are_shared() -> None:
    """The least change of one weight in one member makes its layer and all later ones its own."""
    members = members_of(of_head)
    first = next(layer for layer in members[1].modules() if isinstance(layer, nn.Conv2d))
    with torch.no_grad():
        weight = first.weight.view(-1)
        weight[0] = torch.nextafter(weight[0], weight[0] + 1)
    assert count_calls(members, smooth_views(2, 64)) == (2, 2)


def test_members_of_other_preprocessing() -> None:
    """Each member gets its own view of the pixels."""
    members = members_of(of_head)
    members[1].mean.add_(0.3)
    views = smooth_views(3, 64)
    with torch.inference_mode():
        found = JointClassifier(members, 64)(views).numpy()
    np.testing.assert_allclose(found, alone(members, views), atol=1e-5, rtol=1e-4)


SMALL_VIT = {
    "img_size": 32,
    "patch_size": 8,
    "embed_dim": 32,
    "depth": 3,
    "num_heads": 2,
    "num_classes": 6,
}
TOWERS = {
    "class token": ("vision_transformer", {}, 32),
    "another side": ("vision_transformer", {"dynamic_img_size": True}, 48),
    "registers": ("vision_transformer", {"reg_tokens": 2, "no_embed_class": True}, 32),
    "average": ("vision_transformer", {"global_pool": "avg", "class_token": False}, 32),
    "attention": ("vision_transformer", {"global_pool": "map", "class_token": False}, 32),
    "deit": ("deit", {}, 32),
    "swin": ("swin", {}, 32),
    "torchvision": ("torchvision", {}, 32),
}


def tower(kind: str) -> tuple[Classifier, int]:
    """A small transformer with random weights, and the side of its images."""
    from timm.models.deit import VisionTransformerDistilled
    from timm.models.swin_transformer import SwinTransformer
    from timm.models.vision_transformer import VisionTransformer
    from torchvision.models.vision_transformer import VisionTransformer as TorchvisionVit

    family, options, size = TOWERS[kind]
    swin = {"embed_dim": 16, "depths": (1, 2), "num_heads": (2, 2), "num_classes": 6}
    network = {
        "vision_transformer": lambda: VisionTransformer(**SMALL_VIT, **options),
        "deit": lambda: VisionTransformerDistilled(**SMALL_VIT),
        "swin": lambda: SwinTransformer(img_size=32, patch_size=2, window_size=4, **swin),
        "torchvision": lambda: TorchvisionVit(32, 8, 3, 2, 32, 64, num_classes=6),
    }[family]()
    for parameter in network.parameters():  # some start as zeros, which would hide a mistake
        nn.init.normal_(parameter, std=0.2)
    head = last_linear(network)
    backbone = Backbone(network, head, (0.5,) * 3, (0.2,) * 3, "bilinear", "none")
    return Classifier("tower", backbone).eval(), size


@pytest.mark.parametrize("kind", TOWERS)
def test_towers_share_frozen_blocks(kind: str) -> None:
    """Members whose last block is their own compute the other blocks once."""
    torch.manual_seed(5)
    start, size = tower(kind)
    members = [deepcopy(start) for _ in range(MEMBERS)]
    blocks = [
        [module for name, module in member.named_modules() if name.endswith(("norm1", "ln_1"))]
        for member in members
    ]
    for member, (*_, last) in zip(members, blocks, strict=True):
        for parameter in (*last.parameters(), *member.head_layer.parameters()):
            parameter.data.add_(0.1 * torch.randn_like(parameter))
    views = smooth_views(5, size)
    expected = alone(members, views)
    network = JointClassifier(members, size)
    calls: list[str] = []
    for first, *_, last in blocks:
        first.register_forward_hook(lambda *_: calls.append("first"))
        last.register_forward_hook(lambda *_: calls.append("last"))
    with torch.inference_mode():
        found = network(views).numpy()
    assert np.ptp(expected, axis=1).min() > 1e-3  # no two members agree
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-4)
    assert (calls.count("first"), calls.count("last")) == (1, MEMBERS)


@needs_openvino
def test_openvino_shares_blocks_of_a_tower() -> None:
    members = members_of(of_last_stage, name=VIT)
    views = smooth_views(3, 160)
    built = build_joint_network(lambda: members, 160, CPU, "float32", engine="openvino")
    np.testing.assert_allclose(built.run(views), alone(members, views), atol=1e-4, rtol=1e-4)

    def products(members: Sequence[Classifier]) -> int:
        graph = engine._convert_any(JointClassifier(members, 160).eval(), 160, [])
        return sum(node.get_type_name() == "MatMul" for node in graph.get_ops())

    assert products(members) < products(members_of(of_all, name=VIT)) / 2


def test_untraceable_members_run_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    members = members_of(of_last_stage)
    network = type(members[0].network)
    forward = network.forward

    def branching(self: nn.Module, images: torch.Tensor) -> torch.Tensor:
        return forward(self, images if images.sum() > 0 else -images)

    monkeypatch.setattr(network, "forward", branching)
    assert not JointClassifier(members, 64).shares


def test_a_graph_of_one_batch_size_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of images must not become a number in the graph."""
    members = members_of(of_last_stage)
    network = type(members[0].network)
    forward = network.forward

    def fixed(self: nn.Module, images: torch.Tensor) -> torch.Tensor:
        turned = images.transpose(0, 1)
        return forward(self, turned.reshape(3, turned.shape[1], -1).transpose(0, 1).view_as(images))

    monkeypatch.setattr(network, "forward", fixed)
    assert not JointClassifier(members, 64).shares
    views = smooth_views(5, 64)
    with torch.inference_mode():
        found = JointClassifier(members, 64)(views).numpy()
    np.testing.assert_array_equal(found, alone(members, views))


def test_disagreeing_joint_network_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.ones((len(images), MEMBERS, 6))

    monkeypatch.setattr(joint, "merge", lambda *_: Wrong())
    members = members_of(of_last_stage)
    network = JointClassifier(members, 64)
    assert not network.shares
    views = smooth_views(3, 64)
    with torch.inference_mode():
        np.testing.assert_array_equal(network(views).numpy(), alone(members, views))


def test_networks_are_compared_without_tf32() -> None:
    class Noting(nn.Linear):
        """Notes whether a GPU would round factors, while it computes."""

        allowed: bool | None = None

        def forward(self, views: torch.Tensor) -> torch.Tensor:
            self.allowed = torch.backends.cudnn.allow_tf32
            return super().forward(views.float())

    network = Noting(3, 2)
    assert torch.backends.cudnn.allow_tf32
    assert joint._agree(network, network, 8)
    assert network.allowed is False
    assert torch.backends.cudnn.allow_tf32


def test_other_threads_run_during_tracing(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.fx patches the calls of all modules while it traces."""
    members = members_of(of_last_stage)
    views = smooth_views(2, 64)
    other = members_of(of_all)[0]
    expected = alone([other], views)
    trace = SizedTracer.is_leaf_module
    found = []

    with ThreadPoolExecutor(1) as pool:

        def is_leaf(self: SizedTracer, module: nn.Module, name: str) -> bool:
            if not found:
                found.append(pool.submit(alone, [other], views).result())
            return trace(self, module, name)

        monkeypatch.setattr(SizedTracer, "is_leaf_module", is_leaf)
        assert JointClassifier(members, 64).shares
    np.testing.assert_array_equal(found[0], expected)


@needs_openvino
@pytest.mark.parametrize("tuned", [of_head, of_last_stage, of_all])
def test_openvino_joins_members(
    tuned: Tuned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cached graph needs no members, the second reading compiles it, the third does not."""
    members = members_of(tuned)
    views = smooth_views(3, 64)
    path = tmp_path / "joint.xml"

    def run(given: Callable[[], Sequence[Classifier]]) -> np.ndarray:
        built = build_joint_network(
            given, 64, CPU, "float32", engine="openvino", graph_path=lambda: path
        )
        assert built.engine == "OpenVINO float32"
        return built.run(views)

    def fail(*_: object) -> list[Classifier]:
        pytest.fail("was made again")

    first = run(lambda: members)
    np.testing.assert_allclose(first, alone(members, views), atol=1e-4, rtol=1e-4)
    np.testing.assert_array_equal(run(fail), first)
    (blob,) = tmp_path.glob("*.blob")
    with monkeypatch.context() as patched:
        patched.setattr(graph_cache, "compile_graph", fail)
        np.testing.assert_array_equal(run(fail), first)
    whole = bytearray(blob.read_bytes())
    flipped = whole.copy()
    flipped[len(flipped) // 2] ^= 1
    for damaged in (whole[:1000], flipped):
        blob.write_bytes(damaged)
        np.testing.assert_array_equal(run(fail), first)
        assert blob.stat().st_size > 1000
        assert blob.read_bytes() != damaged, "it is not compiled again"


@needs_openvino
def test_openvino_shares_layers() -> None:
    def count(tuned: Tuned) -> int:
        members = members_of(tuned)
        graph = engine._convert_any(JointClassifier(members, 64).eval(), 64, [])
        return sum("Convolution" in node.get_type_name() for node in graph.get_ops())

    n_layers = sum(isinstance(layer, nn.Conv2d) for layer in members_of(of_all)[0].modules())
    assert count(of_head) == n_layers
    assert n_layers < count(of_last_stage) < MEMBERS * n_layers
    assert count(of_all) == MEMBERS * n_layers


@needs_openvino
def test_members_own_graphs_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training leaves a graph of each member, which need not be converted again."""
    members = members_of(of_all)
    paths = [tmp_path / f"{index}.xml" for index in range(MEMBERS)]
    for index in (0, 2):
        build_network(
            members[index], 64, CPU, "float32", graph_path=lambda index=index: paths[index]
        )
    conversions = []
    convert = engine._convert
    monkeypatch.setattr(engine, "_convert", lambda *a: conversions.append(1) or convert(*a))
    views = smooth_views(3, 64)
    built = build_joint_network(
        lambda: members, 64, CPU, "float32", engine="openvino", member_graphs=paths
    )
    assert len(conversions) == 2
    np.testing.assert_allclose(built.run(views), alone(members, views), atol=1e-4, rtol=1e-4)


@needs_openvino
def test_unconvertible_joint_runs_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a merged graph alone has, and OpenVINO cannot, does not cost the engine."""
    convert = engine._convert

    def fail_joint(module: nn.Module, size: int) -> object:
        if isinstance(module, JointClassifier):
            raise RuntimeError("no such operation")
        return convert(module, size)

    monkeypatch.setattr(engine, "_convert", fail_joint)
    members = members_of(of_last_stage)
    views = smooth_views(3, 64)
    built = build_joint_network(lambda: members, 64, CPU, "float32")
    assert (built.engine, built.fallback_reason) == ("OpenVINO float32", "")
    np.testing.assert_allclose(built.run(views), alone(members, views), atol=1e-4, rtol=1e-4)
