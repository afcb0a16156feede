"""A file of a detector or of a labeling tool -> `Detections`, its format recognized by its content.

Knows nothing of images.
"""

from pathlib import Path

from bestiary.data.detections.coco import read_coco
from bestiary.data.detections.cvat import read_cvat
from bestiary.data.detections.json_stream import file_has, first_byte
from bestiary.data.detections.label_studio import read_label_studio
from bestiary.data.detections.megadetector import read_megadetector
from bestiary.data.detections.types import Detections
from bestiary.errors import DataError

SUFFIXES = (".json", ".xml")


def is_detections(data: str | Path) -> bool:
    """Whether a path is named like a file of detections."""
    return Path(str(data)).suffix.lower() in SUFFIXES


def is_megadetector(file: Path) -> bool:
    """Whether a file is of MegaDetector's batch format."""
    return first_byte(file) == b"{" and file_has(file, b'"detection_categories"')


def read_detections(file: Path, min_confidence: float) -> Detections:
    """Read a file of detections.

    Args:
        file: MegaDetector's batch format, COCO, COCO Camera Traps, Label Studio's JSON, or CVAT's
            XML.
        min_confidence: Boxes of which the detector is less sure are no samples.

    Raises:
        DataError: It is none of these, or damaged.
    """
    first = first_byte(file)
    if first == b"<":
        return read_cvat(file, min_confidence)
    if first == b"[":
        return read_label_studio(file, min_confidence)
    if is_megadetector(file):
        return read_megadetector(file, min_confidence)
    if first == b"{" and file_has(file, b'"images"', b'"annotations"', b'"categories"'):
        return read_coco(file, min_confidence)
    raise DataError(
        f"{file}: is no file of detections; bestiary reads MegaDetector's batch format, COCO, COCO "
        f"Camera Traps, Label Studio's JSON and CVAT's XML"
    )
