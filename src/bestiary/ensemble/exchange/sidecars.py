"""Predictions -> an XMP sidecar next to each image, with its classes as keywords.

Lightroom, digiKam, darktable and others show keywords of ``a.jpg.xmp`` with ``a.jpg``. Images are
never changed, and a sidecar that another program wrote is left as it is.
"""

from pathlib import Path
from xml.sax.saxutils import escape

import polars as pl

from bestiary.atomic import write_text
from bestiary.ensemble.exchange.answers import (
    ANIMAL,
    FAILED,
    UNCLASSIFIED,
    Classifier,
    with_kind,
)
from bestiary.errors import ArgumentError
from bestiary.storage.boxes import BoxFolder
from bestiary.storage.files import Root

WRITER = "bestiary"
_XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="{writer}">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
    xmlns:digiKam="http://www.digikam.org/ns/1.0/">
   <dc:subject><rdf:Bag>{flat}</rdf:Bag></dc:subject>
   <lr:hierarchicalSubject><rdf:Bag>{bars}</rdf:Bag></lr:hierarchicalSubject>
   <digiKam:TagsList><rdf:Seq>{slashes}</rdf:Seq></digiKam:TagsList>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
"""


def write_sidecars(
    predictions: pl.DataFrame, root: Root, classifier: Classifier
) -> tuple[int, int]:
    """Write a sidecar for each image that was read.

    Args:
        predictions: As `predict` writes them.
        root: Folder on this machine that their paths start from.
        classifier: What has classified.

    Returns:
        Number of sidecars written, and number of those of other programs that were left.

    Raises:
        ArgumentError: The images are in a store.
        BestiaryError: A sidecar cannot be written.
    """
    source = check_taggable(root)
    table = with_kind(predictions).filter(pl.col("kind") != FAILED)
    keywords: dict[str, list[tuple[str, ...]]] = {}
    for row in table.iter_rows(named=True):
        tags = keywords.setdefault(row["file"], [])
        if (tag := _tag(row, classifier)) not in tags:
            tags.append(tag)
    n_left = 0
    for file, tags in keywords.items():
        sidecar = source / f"{file}.xmp"
        if sidecar.exists() and not _is_own(sidecar):
            n_left += 1
        else:
            write_text(sidecar, _xmp(tags))
    return len(keywords) - n_left, n_left


def check_taggable(root: Root) -> Path:
    """Return the folder of images on this machine.

    Raises:
        ArgumentError: They are in a store.
    """
    source = root.folder if isinstance(root, BoxFolder) else root
    if not isinstance(source, Path):
        raise ArgumentError("--tag: the images are in a store; fetch them, then predict the copy")
    return source


def _tag(row: dict[str, object], classifier: Classifier) -> tuple[str, ...]:
    """A keyword and those above it, the highest first."""
    if row["kind"] == ANIMAL:
        return ("animal", *_lineage(str(row["label"]), classifier), str(row["label"]))
    return ("animal", UNCLASSIFIED) if row["kind"] == UNCLASSIFIED else ("empty",)


def _lineage(label: str, classifier: Classifier) -> list[str]:
    if classifier.taxonomy is None:
        return []
    ranks = reversed(classifier.taxonomy.ranks)
    taxa = (classifier.taxonomy.column(rank).get(label) for rank in ranks)
    return [taxon for taxon in taxa if taxon]


def _xmp(tags: list[tuple[str, ...]]) -> str:
    def bag(words: list[str]) -> str:
        return "".join(f"<rdf:li>{escape(word)}</rdf:li>" for word in words)

    flat = dict.fromkeys(word for tag in tags for word in tag)
    return _XMP.format(
        writer=WRITER,
        flat=bag(list(flat)),
        bars=bag(["|".join(word.replace("|", " ") for word in tag) for tag in tags]),
        slashes=bag(["/".join(word.replace("/", " ") for word in tag) for tag in tags]),
    )


def _is_own(sidecar: Path) -> bool:
    try:
        with sidecar.open("rb") as stream:
            return f'x:xmptk="{WRITER}"'.encode() in stream.read(1024)
    except OSError:
        return False
