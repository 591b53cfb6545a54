"""How the sample pictures are stored: the containers, pixel formats and damage that Pillow does not write."""

from __future__ import annotations

import gzip
import io
import struct
import zlib

import numpy as np
from PIL import Image

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]

ORIENTATION_TAG = 0x0112

# TIFF field types.
ASCII, SHORT, LONG, RATIONAL, UNDEFINED = 2, 3, 4, 5, 7
TYPE_BYTES = {ASCII: 1, SHORT: 2, LONG: 4, RATIONAL: 8, UNDEFINED: 1}


def encode(image: Image.Image, kind: str, **options) -> bytes:
    """Lets Pillow write a picture."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


# ---------------------------------------------------------------- PNG


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """Returns a chunk with its length and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_rows(pixels: np.ndarray) -> bytes:
    """Returns the unfiltered rows of (height, width, channels)."""
    big_endian = pixels.astype(">u2") if pixels.dtype == np.uint16 else pixels
    return b"".join(b"\0" + row.tobytes() for row in big_endian) if pixels.size else b""


def png(pixels: np.ndarray, interlaced: bool = False, chunks: list[bytes] = ()) -> bytes:
    """Writes (height, width, channels) of 8 or 16 bits as PNG; `chunks` go before the pixels."""
    height, width, channels = pixels.shape
    depth, colour_type = pixels.dtype.itemsize * 8, {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, int(interlaced))
    passes = [pixels[y::dy, x::dx] for x, y, dx, dy in ADAM7] if interlaced else [pixels]
    data = zlib.compress(b"".join(map(png_rows, passes)), 9)
    return PNG_SIGNATURE + b"".join(
        [png_chunk(b"IHDR", header), *chunks, png_chunk(b"IDAT", data), png_chunk(b"IEND", b"")]
    )


def png_text(keyword: str, text: str) -> bytes:
    """Returns a tEXt chunk (latin-1)."""
    return png_chunk(b"tEXt", keyword.encode("latin-1") + b"\0" + text.encode("latin-1"))


def png_international_text(keyword: str, text: str) -> bytes:
    """Returns an iTXt chunk (UTF-8, not compressed)."""
    return png_chunk(b"iTXt", keyword.encode("latin-1") + b"\0\0\0\0\0" + text.encode())


def png_compressed_text(keyword: str, text: str) -> bytes:
    """Returns a zTXt chunk."""
    return png_chunk(b"zTXt", keyword.encode("latin-1") + b"\0\0" + zlib.compress(text.encode("latin-1"), 9))


def add_png_chunks(data: bytes, before_pixels: list[bytes] = (), after_pixels: list[bytes] = ()) -> bytes:
    """Adds chunks to a finished PNG, behind its header or before its end."""
    header_end = len(PNG_SIGNATURE) + 25
    return b"".join([data[:header_end], *before_pixels, data[header_end:-12], *after_pixels, data[-12:]])


def with_stealth_alpha(image: Image.Image, text: str) -> Image.Image:
    """Hides text in the lowest bit of alpha as Forge does: down the columns, gzip, length in bits."""
    payload = gzip.compress(text.encode(), mtime=0)
    message = b"stealth_pngcomp" + struct.pack(">I", len(payload) * 8) + payload
    bits = np.unpackbits(np.frombuffer(message, np.uint8))
    pixels = np.array(image.convert("RGBA"))
    alpha = pixels[..., 3].T.copy().reshape(-1)
    alpha[:] = 254
    alpha[: len(bits)] |= bits
    pixels[..., 3] = alpha.reshape(image.width, image.height).T
    return Image.fromarray(pixels, "RGBA")


# ---------------------------------------------------------------- EXIF and TIFF


def field_bytes(kind: int, value, order: str) -> tuple[int, bytes]:
    """Returns a field's count and bytes; a rational is a (numerator, denominator) pair."""
    if kind == ASCII:
        data = value.encode() + b"\0"
    elif kind == UNDEFINED:
        data = value
    elif kind == RATIONAL:
        data = struct.pack(order + "II", *value)
    else:
        values = value if isinstance(value, (list, tuple)) else [value]
        data = struct.pack(order + ("H" if kind == SHORT else "I") * len(values), *values)
    return len(data) // TYPE_BYTES[kind], data


def directory(fields: list[tuple], offset: int, order: str) -> bytes:
    """Returns a TIFF directory of (tag, type, value) at `offset`, followed by the values that do not fit in it."""
    table, values = struct.pack(order + "H", len(fields)), b""
    values_at = offset + 2 + 12 * len(fields) + 4
    for tag, kind, value in sorted(fields, key=lambda field: field[0]):
        count, data = field_bytes(kind, value, order)
        if len(data) <= 4:
            place = data.ljust(4, b"\0")
        else:
            place = struct.pack(order + "I", values_at + len(values))
            values += data + b"\0" * (len(data) % 2)
        table += struct.pack(order + "HHI", tag, kind, count) + place
    return table + struct.pack(order + "I", 0) + values


def exif(main: list[tuple], photo: list[tuple] = ()) -> bytes:
    """Returns a big-endian EXIF block with IFD0 `main` and, where given, the Exif IFD `photo`."""
    start = b"MM\0\x2a\0\0\0\x08"
    if not photo:
        return b"Exif\0\0" + start + directory(main, 8, ">")
    pointer = [*main, (0x8769, LONG, 0)]
    photo_at = 8 + len(directory(pointer, 8, ">"))
    pointer[-1] = (0x8769, LONG, photo_at)
    return b"Exif\0\0" + start + directory(pointer, 8, ">") + directory(photo, photo_at, ">")


def user_comment(text: str) -> tuple:
    """Returns a UserComment field as the A1111 family writes it: UTF-16, big-endian, no mark."""
    return (0x9286, UNDEFINED, b"UNICODE\0" + text.encode("utf-16-be"))


def tiff_rgb16(pixels: np.ndarray) -> bytes:
    """Writes (height, width, 3) of 16 bits as a little-endian TIFF of one uncompressed strip."""
    height, width, _ = pixels.shape
    data = pixels.astype("<u2").tobytes()
    fields = [
        (0x0100, LONG, width), (0x0101, LONG, height), (0x0102, SHORT, [16, 16, 16]), (0x0103, SHORT, 1),
        (0x0106, SHORT, 2), (0x0111, LONG, 8), (0x0115, SHORT, 3), (0x0116, LONG, height),
        (0x0117, LONG, len(data)), (0x011C, SHORT, 1),
    ]  # fmt: skip
    return b"II\x2a\0" + struct.pack("<I", 8 + len(data)) + data + directory(fields, 8 + len(data), "<")


# ---------------------------------------------------------------- damage


def cut(data: bytes, share: float) -> bytes:
    """Keeps the first `share` of a file."""
    return data[: int(len(data) * share)]


def corrupt_pixels(data: bytes) -> bytes:
    """Flips bits in the middle of a PNG's first IDAT and leaves its checksum as it was."""
    start = data.index(b"IDAT") + 4
    length = struct.unpack(">I", data[start - 8 : start - 4])[0]
    middle = start + length // 2
    damaged = bytes(byte ^ 0x5A for byte in data[middle : middle + 64])
    return data[:middle] + damaged + data[middle + 64 :]


def claiming_png(width: int, height: int) -> bytes:
    """Returns a PNG of a few bytes whose header claims `width` x `height` pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000), 9)
    return PNG_SIGNATURE + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")
