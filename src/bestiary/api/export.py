"""The verb `export`: a run -> one ONNX, OpenVINO, torch.export or LiteRT file, or a page."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bestiary.api.arguments import Location, RunLocation
from bestiary.argument_types import checked_arguments
from bestiary.recipe.choices import ExportFormat

if TYPE_CHECKING:
    from bestiary.exporting.result import ExportResult


@checked_arguments
def export(
    run: RunLocation,
    out: Location,
    /,
    *,
    data: Location | None = None,
    format: ExportFormat = "onnx",
    int8: Annotated[bool | None, Parameter(negative="--no-int8")] = None,
    float16: bool = False,
    max_drop: float = 0.01,
    prune: int | None = None,
    promise: float | None = None,
    costs: Location | None = None,
    quiet: bool = False,
) -> "ExportResult":
    """Write a run as one file that runs without bestiary.

    Pixels go in, calibrated probabilities come out: normalization, members,
    test-time augmentation, averaging and temperature are inside. So are the class
    names, how to prepare the input, and the thresholds for prediction sets, accepted
    predictions and unknown images. The file is opened again and compared with the
    network.

    Parameters
    ----------
    run
        Trained run: its folder, or its address in an object store.
    out
        File to write: .onnx, .xml (with a .bin for its weights), .pt2, .tflite, .pte or
        .mlpackage; for web, triton and mlflow a folder. Nothing is ever overwritten.
    data
        Folder or address of the run's images, on a machine where you have not trained it
        yourself. A run from elsewhere names no place to read from.
    format
        onnx, openvino (faster on a CPU) or torch (a program of torch.export);
        litert and executorch (for phones and small boards); coreml (for iPhones, iPads and
        Macs); web (a folder with a page that classifies in the browser, without a server or a
        connection); triton (a model repository); mlflow (a model that MLflow loads and serves).
    int8
        Quantize to 8-bit integers: a quarter of the size. Images of the run calibrate the
        ranges. Without either, web tries it, and the other
        formats stay in float32.
    float16
        With --format litert or coreml: store weights in 16-bit floats, half of the size. The
        Neural Engine of Apple's chips computes in nothing else.
    max_drop
        With --int8 and --float16: most accuracy to lose, as a share of images, each scored by
        the member that was not trained on it. If more is lost, nothing is written.
    prune
        Keep only so many members: those with the least log loss on their held-out images.
    promise
        Precision to promise of each class's label, such as 0.95: the least confidence of
        each class that keeps it stands on the file's card.
    costs
        What mistakes cost, as for bestiary predict: the costs stand on the file's card.
    quiet
        Show no progress.

    Examples
    --------
    >>> import bestiary
    >>> exported = bestiary.export("run", "model.onnx", quiet=True)
    >>> [file.name for file in exported.files]
    ['model.onnx']
    """
    from bestiary.display import Display
    from bestiary.exporting.export import ExportOptions, export_run
    from bestiary.exporting.folders import FOLDER_FORMATS, export_folder
    from bestiary.run.opening import opened_run

    asked = ExportOptions(int8, float16, max_drop, prune, promise, costs)
    write = export_folder if format in FOLDER_FORMATS else export_run
    with opened_run(os.fspath(run), data=data) as opened:
        return write(opened, Path(out), format, asked, Display(quiet))
