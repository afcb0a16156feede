"""Training cost: lines of costs.csv with time, peak memory and energy."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bestiary.run.costs import read_costs
from bestiary.run.layout import FoldFiles
from bestiary.run.run import Run
from bestiary.training import cost, gpu_energy


def test_cost_of_every_fold(trained: Run) -> None:
    table = read_costs([trained.fold(fold) for fold in trained.fold_numbers()])
    assert table.height == 3
    assert (table["seconds"] > 0).all()
    assert (table["peak_memory_mb"] > 50).all()


def test_cost_of_resumed_and_failed_work(tmp_path: Path) -> None:
    files = FoldFiles(tmp_path)
    for _ in range(2):
        with cost.record_cost(files):
            pass
    with pytest.raises(ZeroDivisionError), cost.record_cost(files):
        raise ZeroDivisionError
    assert read_costs([files, FoldFiles(tmp_path / "none")]).height == 2


def test_energy_is_summed_over_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cost.read_energy(tmp_path) is None
    for package in (0, 1):
        counter = tmp_path / f"intel-rapl:{package}"
        counter.mkdir()
        (counter / "energy_uj").write_text("3600000000\n")
    # The cores inside package 0 are part of its counter.
    cores = tmp_path / "intel-rapl:0:0"
    cores.mkdir()
    (cores / "energy_uj").write_text("9\n")
    assert cost.read_energy(tmp_path) == 7.2e9

    monkeypatch.setattr(cost, "COUNTERS", tmp_path)
    files = FoldFiles(tmp_path / "fold")
    with cost.record_cost(files):
        (tmp_path / "intel-rapl:0" / "energy_uj").write_text("7200000000\n")
    assert read_costs([files])["energy_wh"].to_list() == [1.0]


def test_gpus_peak_is_that_of_its_fold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    peak = {"bytes": 9e9}  # of the trial, or of the fold before
    energy = {"uj": 0.0}
    monkeypatch.setattr(cost, "best_device", lambda: torch.device("cuda"))
    monkeypatch.setattr(cost, "read_energy", lambda _folder: 0.0)
    monkeypatch.setattr(cost, "read_gpu_energy", lambda _device: energy["uj"])
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "card")
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _device: peak["bytes"])
    monkeypatch.setattr(
        torch.cuda, "reset_peak_memory_stats", lambda _device: peak.update(bytes=0.0)
    )
    files = FoldFiles(tmp_path)
    with cost.record_cost(files):
        peak["bytes"] = max(peak["bytes"], 2e9)
        energy["uj"] = 7.2e9
    monkeypatch.setattr(cost, "read_energy", lambda _folder: None)
    with cost.record_cost(files):
        pass
    costs = read_costs([files])
    assert costs["peak_memory_mb"].to_list() == [2000.0, 0.0]
    assert costs["energy_wh"].to_list() == [2.0, None], "a GPU's alone is not all of it"


def test_gpu_energy_without_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    card = SimpleNamespace(uuid="0")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _device: card)
    monkeypatch.setattr(gpu_energy, "NVML", "libno-such-driver.so.1")
    assert gpu_energy.read_gpu_energy(torch.device("cuda")) is None


@pytest.mark.slow
@pytest.mark.skipif(
    sys.platform != "linux",
    reason="other systems have one figure only",
)
def test_peak_memory_is_not_the_parents() -> None:
    parents = np.ones(1_500_000_000, np.uint8)
    code = (
        "import torch; from bestiary.training.cost import peak_memory; "
        "print(peak_memory(torch.device('cpu')))"
    )
    process = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    assert 50 < float(process.stdout) < parents.nbytes / 1e6
