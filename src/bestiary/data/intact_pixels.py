"""A damaged image file whose pixels are all there -> the same file without what is damaged.

Faults in metadata do not make an image unusable: a wrong checksum in a text chunk of a PNG, or a
missing end mark of a JPEG. Nothing here guesses pixels.
"""

import struct
import zlib
from collections.abc import Iterator

JPEG_START = b"\xff\xd8\xff"
PNG_START = b"\x89PNG\r\n\x1a\n"
JPEG_END = b"\xff\xd9"
INFLATED_BYTES = 1 << 20  # at a time
N_COEFFICIENTS = 64  # of a block of a JPEG
UNSENT = 255  # bits of a coefficient that are still to come

# Chunks that decide the pixels or turn them. Critical ones begin with a capital (PNG, section 5.4).
_PIXEL_CHUNKS = (b"tRNS", b"sBIT", b"eXIf")
_START_OF_SCAN = 0xDA
_PROGRESSIVE = 0xC2
_SINGLE_BYTES = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length


def has_damaged_metadata(content: bytes) -> bool:
    """Return whether a file that decodes has a wrong checksum in its metadata or no end mark.

    Args:
        content: The whole file.
    """
    if content.startswith(JPEG_START):
        return with_end_mark(content) is not None
    return not all(_is_critical(chunk) or _has_right_checksum(chunk) for chunk in _chunks(content))


def has_damaged_pixels(content: bytes) -> bool:
    """Return whether the pixels of a PNG are damaged, which Pillow does not notice everywhere.

    A wrong checksum of a chunk alone does not count: the compressed stream has one of its own.

    Args:
        content: The whole file.
    """
    streams = [chunk for chunk in _chunks(content) if chunk[4:8] == b"IDAT"]
    is_whole = all(len(chunk) == 12 + int.from_bytes(chunk[:4]) for chunk in streams)
    if not is_whole or all(_has_right_checksum(chunk) for chunk in streams):
        return False  # what is cut off is noticed when the image is decoded
    inflater = zlib.decompressobj()
    try:
        for chunk in streams:
            pending = chunk[8:-4]
            while pending:
                inflater.decompress(pending, INFLATED_BYTES)
                pending = inflater.unconsumed_tail
    except zlib.error:
        return True
    return not inflater.eof


def without_metadata(content: bytes) -> bytes | None:
    """Remove the chunks of a PNG that do not decide its pixels.

    Args:
        content: The whole file.

    Returns:
        The shorter file; None if there is nothing to remove, or if its pixels are damaged too.
    """
    kept = [PNG_START]
    n_removed = 0
    for chunk in _chunks(content):
        decides_pixels = chunk[4:8] in _PIXEL_CHUNKS and _has_right_checksum(chunk)
        if _is_critical(chunk) or decides_pixels:
            kept.append(chunk)
        else:
            n_removed += 1
    return b"".join(kept) if n_removed and not has_damaged_pixels(content) else None


def _chunks(content: bytes) -> Iterator[bytes]:
    """Yield the chunks of a PNG; the last may be cut short. Another file has none."""
    if not content.startswith(PNG_START):
        return
    position = len(PNG_START)
    while position + 8 <= len(content):
        (length,) = struct.unpack_from(">I", content, position)
        end = position + 12 + length
        yield content[position:end]
        position = end


def _is_critical(chunk: bytes) -> bool:
    return chunk[4:5].isupper()


def with_end_mark(content: bytes) -> bytes | None:
    """Add the end mark to a JPEG that lacks it.

    Args:
        content: The whole file.

    Returns:
        The longer file. It is for a decoder that refuses missing blocks. None if the mark is there,
        or if scans of a progressive JPEG are missing, which no decoder notices.
    """
    trimmed = content.rstrip(b"\0\r\n ")
    if trimmed.endswith(JPEG_END) or not _has_all_scans(content):
        return None
    return content + JPEG_END


def _has_right_checksum(chunk: bytes) -> bool:
    return zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:])


def _has_all_scans(content: bytes) -> bool:
    """Whether the scans of a JPEG send every bit of every coefficient (ITU-T T.81, annex G)."""
    is_progressive = False
    components: dict[int, list[int]] = {}  # number of the component -> bits still to come
    position = 2
    while position + 4 <= len(content):
        if content[position] != 0xFF:
            # Inside the data of a scan: go on at the next marker.
            position = content.find(b"\xff", position)
            if position < 0:
                break
            continue
        marker = content[position + 1]
        if marker in (0x00, 0xFF) or marker in _SINGLE_BYTES:
            position += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(content[position + 2 : position + 4])
        segment = content[position + 4 : position + 2 + length]
        if marker == _PROGRESSIVE:
            is_progressive = True
        if marker == _START_OF_SCAN and not _read_scan(segment, components):
            return False
        position += 2 + length

    if not is_progressive:
        return bool(components)
    sent = [not any(bits) for bits in components.values()]
    return bool(sent) and all(sent)


def _read_scan(header: bytes, components: dict[int, list[int]]) -> bool:
    """Note which bits a scan sends; return whether its header is complete."""
    n_components = header[0] if header else 0
    if not n_components or len(header) < 4 + 2 * n_components:
        return False
    first, last, approximation = header[1 + 2 * n_components : 4 + 2 * n_components]
    for index in range(n_components):
        bits = components.setdefault(header[1 + 2 * index], [UNSENT] * N_COEFFICIENTS)
        for coefficient in range(first, min(last, N_COEFFICIENTS - 1) + 1):
            bits[coefficient] = approximation & 0x0F
    return True
