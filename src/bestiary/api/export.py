"""TODO api.export"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bestiary.api.arguments import Place, open_run

if TYPE_CHECKING:
    from bestiary.exporting.export import Exported


def export(
    run: Place,
    out: Place,
    /,
    *,
    format: Literal["onnx", "openvino", "torch"] = "onnx",
    int8: bool = False,
    max_drop: float = 0.01,
    prune: int | None = None,
    quiet: bool = False,
) -> "Exported":
    """Write all members of a run as one file that needs no bestiary.

    Pixels go in, calibrated probabilities come out: normalization, members,
    views at test time, averaging and temperature are inside, and so are the class
    names, how to make the input, and the thresholds for sets, sure answers and
    unknown images. The file is opened again and compared with the network.

    Parameters ---------- run Folder of a trained run, or its address in a store. out File to write:
    .onnx, .xml (its weights go to .bin beside it) or .pt2. Nothing is ever overwritten. format
    onnx, openvino (faster on a CPU) or torch (a program of torch.export). int8 Compute in 8-bit
    integers: a quarter of the size. Ranges are taken from images of the run. max_drop With int8:
    the share of images, each judged by the member that was not trained on it, that may be lost to
    it at most; beyond that nothing is written. prune Keep only so many members, those with the
    least log loss on the images that they held out. quiet Show no progress.
    """
    from bestiary.display import Display
    from bestiary.exporting.export import export_run

    with open_run(run) as found:
        return export_run(
            found,
            Path(out),
            format,
            int8=int8,
            max_drop=max_drop,
            prune=prune,
            display=Display(quiet),
        )
