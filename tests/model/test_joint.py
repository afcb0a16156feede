"""Joint networks: members answer as they do alone, and what they share is computed once."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bestiary.model import engine, graph_cache, joint, merging
from bestiary.model.classifier import Classifier, build_classifier
from bestiary.model.engine import build_joint_network, build_network
from bestiary.model.joint import JointClassifier, smooth_views

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


def test_untraceable_members_run_alone() -> None:
    members = members_of(of_last_stage, name=VIT)
    assert not JointClassifier(members, 160).shares


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


def test_other_threads_run_during_tracing(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.fx patches the calls of all modules while it traces."""
    members = members_of(of_last_stage)
    views = smooth_views(2, 64)
    other = members_of(of_all)[0]
    expected = alone([other], views)
    trace = merging._Tracer.is_leaf_module
    found = []

    with ThreadPoolExecutor(1) as pool:

        def is_leaf(self: merging._Tracer, module: nn.Module, name: str) -> bool:
            if not found:
                found.append(pool.submit(alone, [other], views).result())
            return trace(self, module, name)

        monkeypatch.setattr(merging._Tracer, "is_leaf_module", is_leaf)
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
