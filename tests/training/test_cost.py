"""What training cost is written down, as far as the machine can be asked."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bestiary.run.layout import FoldFiles
from bestiary.run.run import Run
from bestiary.training import cost


def test_every_fold_of_a_run_has_its_cost(trained: Run) -> None:
    table = cost.read_costs([trained.fold(fold) for fold in trained.fold_numbers()])
    assert table.height == 3
    assert (table["seconds"] > 0).all() and (table["peak_memory_mb"] > 50).all()


def test_going_on_adds_a_row_and_failure_leaves_none(tmp_path: Path) -> None:
    files = FoldFiles(tmp_path)
    for _ in range(2):
        with cost.measured(files):
            pass
    with pytest.raises(ZeroDivisionError), cost.measured(files):
        raise ZeroDivisionError
    assert cost.read_costs([files, FoldFiles(tmp_path / "none")]).height == 2


def test_energy_is_the_packages_counters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cost.read_energy(tmp_path) is None
    for number in (0, 1):
        (tmp_path / f"intel-rapl:{number}").mkdir()
        (tmp_path / f"intel-rapl:{number}" / "energy_uj").write_text("3600000000\n")
    (tmp_path / "intel-rapl:0:0").mkdir()  # the cores inside package 0 are counted there already
    (tmp_path / "intel-rapl:0:0" / "energy_uj").write_text("9\n")
    assert cost.read_energy(tmp_path) == 7.2e9
    monkeypatch.setattr(cost, "COUNTERS", tmp_path)
    with cost.measured(FoldFiles(tmp_path / "fold")):
        (tmp_path / "intel-rapl:0" / "energy_uj").write_text("7200000000\n")
    assert cost.read_costs([FoldFiles(tmp_path / "fold")])["energy_wh"].to_list() == [1.0]


@pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere the system's figure is taken as it is"
)
def test_the_peak_is_not_that_of_the_process_before() -> None:
    taken = np.ones(1_500_000_000, np.uint8)
    ask = "import torch; from bestiary.training.cost import peak_memory; print(peak_memory(torch.device('cpu')))"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert 50 < float(done.stdout) < taken.nbytes / 1e6
