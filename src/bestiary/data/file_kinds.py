"""A file's name and first bytes -> its format: an image, an image that is not read, or no image.

A name may lie or have no suffix, so the first bytes decide wherever the suffix is not that of an
image. Knows nothing of pixels and labels.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass

HEAD_BYTES = 512  # enough for every signature below, and for the brands of a HEIF file

SUFFIX_FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".mpo": "JPEG",
    ".png": "PNG",
    ".apng": "PNG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".dib": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".gif": "GIF",
    ".avif": "AVIF",
    ".heic": "HEIF",
    ".heif": "HEIF",
    ".hif": "HEIF",
    ".jp2": "JPEG2000",
    ".j2k": "JPEG2000",
    ".j2c": "JPEG2000",
    ".jpc": "JPEG2000",
    ".jpf": "JPEG2000",
    ".jpx": "JPEG2000",
    ".ppm": "PPM",
    ".pgm": "PPM",
    ".pbm": "PPM",
    ".pnm": "PPM",
    ".ico": "ICO",
}
"""Suffix -> format, in Pillow's words, of the images that bestiary reads."""

FORMATS = tuple(dict.fromkeys(SUFFIX_FORMATS.values()))

_RAW = "a camera's raw file"
_FOREIGN_SUFFIXES = {
    ".3fr": _RAW,
    ".arw": _RAW,
    ".cr2": _RAW,
    ".cr3": _RAW,
    ".crw": _RAW,
    ".dng": _RAW,
    ".erf": _RAW,
    ".iiq": _RAW,
    ".kdc": _RAW,
    ".mef": _RAW,
    ".mos": _RAW,
    ".mrw": _RAW,
    ".nef": _RAW,
    ".nrw": _RAW,
    ".orf": _RAW,
    ".pef": _RAW,
    ".raf": _RAW,
    ".rw2": _RAW,
    ".rwl": _RAW,
    ".sr2": _RAW,
    ".srf": _RAW,
    ".srw": _RAW,
    ".x3f": _RAW,
    ".ai": "a drawing (Illustrator)",
    ".eps": "a drawing (PostScript)",
    ".svg": "a drawing (SVG)",
    ".svgz": "a drawing (SVG)",
    ".wmf": "a drawing (WMF)",
    ".emf": "a drawing (EMF)",
    ".bpg": "a BPG image",
    ".czi": "a microscope's file (CZI)",
    ".nd2": "a microscope's file (ND2)",
    ".lif": "a microscope's file (LIF)",
    ".dcm": "a DICOM image",
    ".dds": "a DDS texture",
    ".djvu": "a DjVu document",
    ".exr": "an OpenEXR image",
    ".fits": "a FITS image",
    ".hdr": "a Radiance image",
    ".jls": "a JPEG-LS image",
    ".jxl": "a JPEG XL image",
    ".jxr": "a JPEG XR image",
    ".pcx": "a PCX image",
    ".pfm": "a float image (PFM)",
    ".psb": "a Photoshop file",
    ".psd": "a Photoshop file",
    ".qoi": "a QOI image",
    ".tga": "a Targa image",
    ".xcf": "a GIMP file",
    ".xbm": "an X bitmap",
    ".xpm": "an X pixmap",
}
"""Suffix -> what the file is, of images that bestiary does not read."""

_SIGNATURES = (
    (rb"\xff\xd8\xff", "JPEG"),
    (rb"\x89PNG\r\n\x1a\n", "PNG"),
    (rb"GIF8[79]a", "GIF"),
    (rb"BM.{4}\0\0\0\0", "BMP"),
    (rb"II[*+]\0|MM\0[*+]", "TIFF"),
    (rb"RIFF.{4}WEBP", "WEBP"),
    (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "JPEG2000"),
    (rb"P[1-6]\s+(#|\d)", "PPM"),
)
"""Pattern at the start of a file -> format of an image that bestiary reads."""

_HEIF_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
)
_AVIF_BRANDS = frozenset({b"avif", b"avis"})

_FOREIGN_SIGNATURES = (
    (rb"II[*+]\0.{4}CR", _RAW),
    (rb"....ftypcrx", _RAW),
    (rb"FUJIFILMCCD-RAW|IIRO|IIRS|IIU\0|\0MRM|FOVb", _RAW),
    (rb"8BPS", "a Photoshop file"),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "a JPEG XL image"),
    (rb"\x76\x2f\x31\x01", "an OpenEXR image"),
    (rb"#\?(RADIANCE|RGBE)", "a Radiance image"),
    (rb".{128}DICM", "a DICOM image"),
    (rb"gimp xcf", "a GIMP file"),
    (rb"SIMPLE  =", "a FITS image"),
    (rb"DDS ", "a DDS texture"),
    (rb"qoif", "a QOI image"),
    (rb"BPG\xfb", "a BPG image"),
    (rb"AT&TFORM", "a DjVu document"),
    (rb"%!PS", "a drawing (PostScript)"),
    (rb"\xef?\xbb?\xbf?\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!DOCTYPE svg[^>]*>\s*)?<svg",
     "a drawing (SVG)"),
)  # fmt: skip
"""Pattern at the start of a file -> what it is, of images that bestiary does not read."""

_OTHER_SIGNATURES = (
    (rb"\s*<(!doctype )?html", "a web page"),
    (rb"\s*<\?xml", "an XML document"),
    (rb"version https://git-lfs", "a pointer of Git LFS, fetch the file with git lfs pull"),
    (rb"%PDF", "a PDF document"),
    (rb"PK\x03\x04", "a zip archive"),
    (rb"\x1f\x8b", "a gzip archive"),
    (rb"\x1a\x45\xdf\xa3|RIFF.{4}AVI |....ftyp(qt|mp4|isom|M4V|3gp)", "a video"),
    (rb"\s*[{\[]\s*\"", "a JSON document"),
)
"""Pattern at the start of a file -> what else is found under the name of an image."""


@dataclass(frozen=True, slots=True)
class FileKind:
    """What a file is.

    Attributes:
        is_image: Whether it is an image in some format, one that bestiary reads or another.
        problem: Why an image cannot be read, a short phrase; empty if it is to be decoded.
    """

    is_image: bool
    problem: str = ""


IMAGE = FileKind(is_image=True)
NO_IMAGE = FileKind(is_image=False)


def file_kind(name: str, read_head: Callable[[], bytes]) -> FileKind:
    """Tell whether a file is an image.

    Args:
        name: Name of the file. The suffix of an image that bestiary reads is believed, since
            decoding tells what is really in it.
        read_head: Reads the first `HEAD_BYTES` bytes; called for other suffixes only. May raise
            OSError.

    Example:
        >>> file_kind("IMG_1", lambda: b"GIF89a...")
        FileKind(is_image=True, problem='')
        >>> file_kind("IMG_1.NEF", lambda: b"MM")
        FileKind(is_image=True, problem="a camera's raw file: convert it to PNG or JPEG")
    """
    suffix = suffix_of(name)
    if suffix in SUFFIX_FORMATS:
        return IMAGE
    # Raw files look like TIFF, but their first image is a small preview.
    foreign = _FOREIGN_SUFFIXES.get(suffix)
    if foreign is None:
        try:
            head = read_head()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            return FileKind(is_image=True, problem=f"cannot be read ({reason})")
        foreign = foreign_image(head)
        if not foreign:
            return IMAGE if image_format(head) else NO_IMAGE
    return FileKind(is_image=True, problem=f"{foreign}: convert it to PNG or JPEG")


def suffix_of(name: str) -> str:
    """The suffix of a file name in lower case, with its dot; empty if there is none."""
    _, suffix = os.path.splitext(name)
    return suffix.lower()


def image_format(head: bytes) -> str:
    """Name the format of an image that bestiary reads by its first bytes; else empty."""
    for pattern, name in _SIGNATURES:
        if re.match(pattern, head, re.DOTALL):
            return name
    return _isobmff_format(head)


def foreign_image(head: bytes) -> str:
    """Say what an image is that bestiary does not read, by its first bytes; else empty."""
    return _match(_FOREIGN_SIGNATURES, head)


def describe_content(head: bytes) -> str:
    """Say what is in a file that is not an image which bestiary reads; empty if unknown.

    Args:
        head: First bytes of the file.

    Example:
        >>> describe_content(b"<!DOCTYPE html><html>")
        'a web page'
    """
    return foreign_image(head) or _match(_OTHER_SIGNATURES, head)


def _match(signatures: tuple[tuple[bytes, str], ...], head: bytes) -> str:
    for pattern, words in signatures:
        if re.match(pattern, head, re.DOTALL | re.IGNORECASE):
            return words
    return ""


def _isobmff_format(head: bytes) -> str:
    """Tell HEIF from AVIF by the brands in the first box (ISO/IEC 14496-12, section 4.3)."""
    if head[4:8] != b"ftyp":
        return ""
    size = min(int.from_bytes(head[:4]), len(head))
    brands = {head[8:12]}
    for start in range(16, size - 3, 4):
        brands.add(head[start : start + 4])

    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIF" if brands & _HEIF_BRANDS else ""
