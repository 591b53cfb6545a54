#!/usr/bin/env python3
"""Makes tests/golden/decode: tiny pictures of every pixel format, and what Pillow makes of them.

Needs numpy and Pillow (13.0.0 made the files that are checked in). Run from anywhere; the result is
the same byte for byte with the same versions. What it writes:

  NAME.EXT       pictures of 24 x 16 pixels (a few other sizes), one for each pixel format
  decode.txt     a line a picture: file, width, height, channels, and where its pixels begin in
                 decode.zlib; or file and `error KIND`
  decode.zlib    those pixels as Pillow decodes them, RGB or RGBA, in one zlib stream
  resize.txt     a line a case: name, source width, height, channels, fit, filter, size, alpha,
                 background, and where its samples begin in resize.zlib
  resize.zlib    of each square the first and last row, then 400 pixels spread over it

The sources of the resize cases are not stored: R = (7x + 13y) & 255, G = (3x ^ 5y) & 255,
B = (xy + 31) & 255, A = (5x + 11y) & 255.
"""
import hashlib
import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

OUT = Path(__file__).resolve().parent.parent / "tests" / "golden" / "decode"
WIDTH, HEIGHT = 24, 16
SAMPLES = 400

FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
}

# First 16 hex digits of SHA-256 of whole squares, computed once with Pillow 13.0.0 by another hand.
KNOWN = {
    "640x427": "c21f8cf5ea25cc20 640c01d16369b2f6 b3b655b5b42a981f 9afe8a54e60e88e9 af957480396513c9",
    "1023x768": "13d69a8393c7c004 bdd52f2bdd107c49 a54b2b3dbd3094bb 8ef28eade6973883 2885f6826934ab69",
    "300x451": "7ec681a6465d8509 89264cb6340f3635 b976bf694209f869 9a0d2bd2e43ddd91 9882ca3da135310d",
    "37x91": "5ff3beb083b7aedd 26797096bbb4f879 12ead8fe05391463 f820f27a1019ccc5 8b2fe5e91afba90b",
}


# --- sources -------------------------------------------------------------------------------------


def formula(width, height, channels=3):
    """The picture that the tests compute by the same formula."""
    y, x = np.mgrid[0:height, 0:width].astype(np.int64)
    planes = [7 * x + 13 * y, (3 * x) ^ (5 * y), x * y + 31, 5 * x + 11 * y]
    return np.stack(planes[:channels], axis=-1).astype(np.uint8)


def soft(width=WIDTH, height=HEIGHT):
    """A picture with gradients and edges, as lossy formats like them."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    red = 255 * x / (width - 1)
    green = 255 * y / (height - 1)
    blue = np.where((x - width / 2) ** 2 + (y - height / 2) ** 2 < 30, 230, 40)
    return np.stack([red, green, blue], axis=-1).astype(np.uint8)


def soft_alpha():
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    alpha = np.clip(x * 12 - y * 3, 0, 255).astype(np.uint8)
    return np.dstack([soft(), alpha])


# --- containers that Pillow does not write -------------------------------------------------------

ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_rows(samples, depth):
    """Unfiltered rows: each a filter byte and the packed samples."""
    rows = b""
    for row in samples:
        flat = row.reshape(-1)
        if depth == 16:
            packed = flat.astype(">u2").tobytes()
        elif depth == 8:
            packed = flat.astype(np.uint8).tobytes()
        else:
            bits = ((flat[:, None] >> np.arange(depth - 1, -1, -1)) & 1).astype(np.uint8)
            packed = np.packbits(bits.reshape(-1)).tobytes()
        rows += b"\0" + packed
    return rows


def png(samples, color, depth, palette=None, transparency=None, interlaced=False):
    """A PNG file of `samples` (height, width, channels), in any colour type and bit depth."""
    height, width = samples.shape[:2]
    if interlaced:
        data = b"".join(png_rows(samples[y::dy, x::dx], depth) for x, y, dx, dy in ADAM7)
    else:
        data = png_rows(samples, depth)
    out = b"\x89PNG\r\n\x1a\n"
    out += png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, int(interlaced)))
    if palette is not None:
        out += png_chunk(b"PLTE", palette)
    if transparency is not None:
        out += png_chunk(b"tRNS", transparency)
    return out + png_chunk(b"IDAT", zlib.compress(data, 9)) + png_chunk(b"IEND", b"")


def riff_chunk(kind, data):
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def webp_animation(still, left, top, frame_width, frame_height, alpha):
    """An animation of one frame that covers a part of the canvas."""
    three = lambda number: struct.pack("<I", number)[:3]
    extended = bytes([0x02 | (0x10 if alpha else 0), 0, 0, 0]) + three(WIDTH - 1) + three(HEIGHT - 1)
    frame = three(left // 2) + three(top // 2) + three(frame_width - 1) + three(frame_height - 1) + three(100) + b"\0"
    body = riff_chunk(b"VP8X", extended) + riff_chunk(b"ANIM", b"\x10\x20\x30\x40\0\0")
    body += riff_chunk(b"ANMF", frame + still[12:]) * 2
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def bmp(header_rest, pixels, bits, compression, palette=b"", height=HEIGHT, masks=b""):
    """A BMP file with a 40-byte header; `masks` follow it."""
    info = struct.pack("<IiiHHIIiiII", 40, WIDTH, height, 1, bits, compression, len(pixels), 0, 0, len(palette) // 4, 0)
    offset = 14 + len(info) + len(masks) + len(palette) + len(header_rest)
    head = b"BM" + struct.pack("<IHHI", offset + len(pixels), 0, 0, offset)
    return head + info + masks + palette + header_rest + pixels


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


# --- the pictures --------------------------------------------------------------------------------


def png_files():
    noise = formula(WIDTH, HEIGHT, 4).astype(np.int64)
    wide = noise * 257 ^ (noise[..., ::-1] << 3)
    grey = noise[..., :1]
    palette = bytes((np.arange(256 * 3) * 37 % 256).astype(np.uint8))
    trns = bytes((np.arange(256) * 11 % 256).astype(np.uint8))
    for depth in (1, 2, 4, 8):
        yield f"grey{depth}.png", png(grey >> (8 - depth), 0, depth)
        used = 1 << depth
        yield f"palette{depth}.png", png(grey >> (8 - depth), 3, depth, palette[: used * 3])
        yield f"palette{depth}-trns.png", png(grey >> (8 - depth), 3, depth, palette[: used * 3], trns[: used - 1])
    yield "grey16.png", png(wide[..., :1], 0, 16)
    yield "grey8-trns.png", png(grey, 0, 8, transparency=struct.pack(">H", int(grey[3, 5, 0])))
    yield "grey-alpha8.png", png(noise[..., [0, 3]], 4, 8)
    yield "grey-alpha16.png", png(wide[..., [0, 3]], 4, 16)
    yield "rgb8.png", png(noise[..., :3], 2, 8)
    yield "rgb16.png", png(wide[..., :3], 2, 16)
    yield "rgb8-trns.png", png(noise[..., :3], 2, 8, transparency=struct.pack(">HHH", *map(int, noise[2, 7, :3])))
    yield "rgba8.png", png(noise, 6, 8)
    yield "rgba16.png", png(wide, 6, 16)
    yield "rgb8-interlaced.png", png(noise[..., :3], 2, 8, interlaced=True)
    yield "rgba16-interlaced.png", png(wide, 6, 16, interlaced=True)
    yield "grey1-interlaced.png", png(grey >> 7, 0, 1, interlaced=True)
    yield "palette4-interlaced.png", png(grey >> 4, 3, 4, palette[:48], interlaced=True)
    frames = [Image.fromarray(np.roll(soft(), shift, axis=1)) for shift in (0, 5)]
    yield "animated.png", saved(frames[0], "PNG", save_all=True, append_images=frames[1:], duration=50)


def jpeg_files():
    image = Image.fromarray(soft())
    for name, subsampling in (("444", 0), ("422", 1), ("420", 2)):
        yield f"ycc{name}.jpg", saved(image, "JPEG", quality=88, subsampling=subsampling)
    yield "progressive.jpg", saved(image, "JPEG", quality=80, progressive=True)
    yield "restarts.jpg", saved(image, "JPEG", quality=80, restart_marker_blocks=1)
    yield "rgb.jpg", saved(image, "JPEG", quality=80, keep_rgb=True)
    yield "grey.jpg", saved(image.convert("L"), "JPEG", quality=85)
    cmyk = saved(image.convert("CMYK"), "JPEG", quality=90)
    yield "cmyk.jpg", cmyk
    # The last byte of the Adobe segment says which transform was applied: 2 is YCCK.
    at = cmyk.index(b"Adobe") + 11
    yield "ycck.jpg", cmyk[:at] + b"\2" + cmyk[at + 1 :]
    plain = saved(image, "JPEG", quality=88)
    yield "stray-bytes.jpg", plain[:-2] + b"\0\0\0" + plain[-2:]
    yield "trailing-junk.jpg", plain + b"and more" * 9
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield f"orientation{orientation}.jpg", saved(image, "JPEG", quality=88, exif=exif)


def webp_files():
    image, alpha = Image.fromarray(soft()), Image.fromarray(soft_alpha())
    yield "lossy.webp", saved(image, "WEBP", quality=80)
    yield "lossless.webp", saved(image, "WEBP", lossless=True, exact=True)
    yield "lossy-alpha.webp", saved(alpha, "WEBP", quality=80)
    yield "lossless-alpha.webp", saved(alpha, "WEBP", lossless=True, exact=True)
    frames = [Image.fromarray(np.roll(soft_alpha(), shift, axis=1)) for shift in (0, 7)]
    yield "animated.webp", saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], quality=80)
    part = Image.fromarray(soft_alpha()[:10, :14])
    yield "animated-part.webp", webp_animation(saved(part, "WEBP", lossless=True, exact=True), 6, 4, 14, 10, True)
    part = Image.fromarray(soft()[:10, :14])
    yield "animated-part-opaque.webp", webp_animation(saved(part, "WEBP", quality=80), 6, 4, 14, 10, False)


def gif_files():
    image = Image.fromarray(soft())
    paletted = image.quantize(200, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    yield "palette.gif", saved(paletted, "GIF", interlace=0)
    yield "interlaced.gif", saved(paletted, "GIF", interlace=1)
    yield "two.gif", saved(image.convert("1"), "GIF")
    yield "transparent.gif", saved(paletted, "GIF", transparency=int(np.asarray(paletted)[4, 4]))
    frames = [Image.fromarray(np.roll(soft(), shift, axis=1)) for shift in (0, 5)]
    yield "animated.gif", saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50)


def bmp_files():
    image = Image.fromarray(soft())
    paletted = image.quantize(16, dither=Image.Dither.NONE)
    yield "rgb24.bmp", saved(image, "BMP")
    yield "grey8.bmp", saved(image.convert("L"), "BMP")
    yield "palette8.bmp", saved(paletted, "BMP")
    yield "one.bmp", saved(image.convert("1"), "BMP")
    rows = soft()
    bgrx = np.dstack([rows[..., ::-1], np.zeros(rows.shape[:2], np.uint8)])
    yield "rgb32.bmp", bmp(b"", bgrx[::-1].tobytes(), 32, 0)
    yield "top-down.bmp", bmp(b"", rows[..., ::-1].tobytes(), 24, 0, height=-HEIGHT)
    r, g, b = (rows[..., i].astype(np.uint16) for i in range(3))
    rgb565 = ((r >> 3) << 11 | (g >> 2) << 5 | b >> 3).astype("<u2")
    masks = struct.pack("<III", 0xF800, 0x07E0, 0x001F)
    yield "rgb565.bmp", bmp(b"", rgb565[::-1].tobytes(), 16, 3, masks=masks)
    colours = b"".join(bytes([i * 16, 255 - i * 16, i * 9, 0]) for i in range(16))
    index = (np.arange(WIDTH) // 3 % 16).astype(np.uint8)
    coded = b"".join(bytes([3, int(i)]) for i in index[::3]) + b"\0\0"
    yield "rle8.bmp", bmp(b"", coded * HEIGHT + b"\0\1", 8, 1, palette=colours)


def tiff_files():
    image, alpha = Image.fromarray(soft()), Image.fromarray(soft_alpha())
    for name, compression in (("raw", None), ("lzw", "tiff_lzw"), ("deflate", "tiff_adobe_deflate"), ("packbits", "packbits"), ("jpeg", "jpeg")):
        yield f"{name}.tif", saved(image, "TIFF", compression=compression)
    yield "grey8.tif", saved(image.convert("L"), "TIFF")
    yield "one.tif", saved(image.convert("1"), "TIFF")
    yield "fax4.tif", saved(image.convert("1"), "TIFF", compression="group4")
    yield "rgba.tif", saved(alpha, "TIFF")
    yield "cmyk.tif", saved(image.convert("CMYK"), "TIFF")
    yield "palette.tif", saved(image.quantize(64, dither=Image.Dither.NONE), "TIFF")
    wide = formula(WIDTH, HEIGHT, 1)[..., 0].astype(np.uint16) * 257
    yield "grey16.tif", saved(Image.fromarray(wide), "TIFF")
    yield "pages.tif", saved(image, "TIFF", save_all=True, append_images=[image.rotate(180)])


# What this build refuses although Pillow reads it, and what is refused on purpose.
REFUSED = {
    "palette.tif": "unsupported_format",
}


def expected(name, data):
    """The pixels that the tests compare with."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if name in ("grey16.png", "grey16.tif"):
        # Pillow clips 16-bit grey at 255; labelmill takes the high byte (see decode/png.rs).
        high = (np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)
        return np.stack([high] * 3, axis=-1)
    # In a GIF transparency is always possible, so labelmill always gives four channels.
    alpha = image.has_transparency_data or name.endswith(".gif")
    return np.asarray(image.convert("RGBA" if alpha else "RGB"))


def write_pictures():
    lines, pixels = [], b""
    for files in (png_files, jpeg_files, webp_files, gif_files, bmp_files, tiff_files):
        for name, data in files():
            (OUT / name).write_bytes(data)
            if name in REFUSED:
                lines.append(f"{name} error {REFUSED[name]}")
                continue
            array = expected(name, data)
            height, width, channels = array.shape
            lines.append(f"{name} {width} {height} {channels} {len(pixels)}")
            pixels += array.tobytes()
    (OUT / "decode.txt").write_text("\n".join(lines) + "\n")
    (OUT / "decode.zlib").write_bytes(zlib.compress(pixels, 9))


# --- the squares ---------------------------------------------------------------------------------


def opaque(image, alpha, background):
    if image.mode == "RGB":
        return image
    if alpha == "drop":
        return image.convert("RGB")
    canvas = Image.new("RGBA", image.size, (*background, 255))
    return Image.alpha_composite(canvas, image).convert("RGB")


def centre(image, size):
    width, height = image.size
    left, top = int(round((width - size) / 2.0)), int(round((height - size) / 2.0))
    return image.crop((left, top, left + size, top + size))


def through_jpeg(image, quality):
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def square(image, fit, resample, size, background):
    width, height = image.size
    if fit.startswith("squash-crop-"):
        side, *quality = (int(word) for word in fit.split("-")[2:] if word.isdigit())
        whole = image.resize((side, side), resample)
        return centre(through_jpeg(whole, quality[0]) if quality else whole, size)
    if fit.startswith("crop-from-"):
        side, short = int(fit.split("-")[2]), min(width, height)
        return centre(image.resize(tuple(side if one == short else int(side * one / short) for one in image.size), resample), size)
    if fit == "letterbox":
        long = max(width, height)
        inner = image.resize((max(width * size // long, 1), max(height * size // long, 1)), resample)
        canvas = Image.new("RGB", (size, size), tuple(background))
        canvas.paste(inner, ((size - inner.width) // 2, (size - inner.height) // 2))
        return canvas
    if fit == "squash":
        return image.resize((size, size), resample)
    if fit == "pad":
        side = max(width, height)
        canvas = Image.new("RGB", (side, side), tuple(background))
        canvas.paste(image, ((side - width) // 2, (side - height) // 2))
        return canvas if side == size else canvas.resize((size, size), resample)
    if fit == "crop":
        short = min(width, height)
        new_width, new_height = (size if side == short else int(size * side / short) for side in (width, height))
        left, top = int(round((new_width - size) / 2.0)), int(round((new_height - size) / 2.0))
        return image.resize((new_width, new_height), resample).crop((left, top, left + size, top + size))
    long = max(width, height)
    new_width, new_height = max(width * size // long, 1), max(height * size // long, 1)
    inner = np.asarray(image.resize((new_width, new_height), resample))
    left, top = size // 2 - new_width // 2, size // 2 - new_height // 2
    padding = ((top, size - top - new_height), (left, size - left - new_width), (0, 0))
    return Image.fromarray(np.pad(inner, padding, mode="edge"))


def resize_cases():
    for width, height in ((640, 427), (1023, 768), (300, 451), (37, 91)):
        known = KNOWN[f"{width}x{height}"].split()
        for case, digest in zip(("squash bicubic 384", "crop bicubic 224", "pad bicubic 448", "squash bilinear 448", "squash lanczos 512"), known):
            fit, resample, size = case.split()
            yield width, height, 3, fit, resample, int(size), "over", (255, 255, 255), digest
    for width, height in ((200, 131), (77, 160)):
        for fit in ("crop", "pad", "squash", "edge"):
            for resample in ("bicubic", "lanczos", "bilinear"):
                yield width, height, 4, fit, resample, 96, "over", (124, 116, 104), None
            yield width, height, 4, fit, "lanczos", 96, "drop", (255, 255, 255), None
    yield 96, 96, 3, "crop", "bicubic", 96, "over", (255, 255, 255), None
    yield 96, 60, 3, "pad", "bicubic", 96, "over", (0, 0, 0), None
    yield 1, 400, 3, "pad", "lanczos", 64, "over", (255, 255, 255), None
    yield 500, 2, 3, "edge", "bicubic", 64, "over", (255, 255, 255), None
    yield 3, 700, 3, "crop", "bilinear", 64, "over", (255, 255, 255), None
    # Pillow 13 makes these short before it makes them narrow.
    yield 150, 500, 4, "crop", "bicubic", 64, "over", (255, 255, 255), None
    yield 400, 700, 4, "squash", "bilinear", 200, "over", (0, 128, 255), None
    yield 100, 321, 3, "crop", "lanczos", 80, "over", (255, 255, 255), None
    yield 333, 77, 3, "squash", "nearest", 64, "over", (255, 255, 255), None
    for width, height in ((301, 200), (150, 420)):
        yield width, height, 4, "letterbox", "lanczos", 96, "over", (124, 116, 104), None
        yield width, height, 3, "crop-from-120", "bicubic", 96, "over", (255, 255, 255), None
        yield width, height, 3, "squash-crop-120", "bilinear", 96, "over", (255, 255, 255), None
    # Not resized: a level more or less before a JPEG is several behind it.
    yield 120, 120, 3, "squash-crop-120-jpeg-75", "bilinear", 96, "over", (255, 255, 255), None


def write_squares():
    lines, samples = [], b""
    for width, height, channels, fit, resample, size, alpha, background, digest in resize_cases():
        source = Image.fromarray(formula(width, height, channels))
        result = square(opaque(source, alpha, background), fit, FILTERS[resample], size, background)
        pixels = np.asarray(result).reshape(-1, 3)
        if digest is not None:
            seen = hashlib.sha256(pixels.tobytes()).hexdigest()[:16]
            assert seen == digest, f"{width}x{height} {fit} {resample} {size}: {seen}, known as {digest}"
        spread = (np.arange(SAMPLES, dtype=np.uint64) * 2654435761 % 4294967296 % (size * size)).astype(np.int64)
        colour = ",".join(map(str, background))
        lines.append(f"{width}x{height} {channels} {fit} {resample} {size} {alpha} {colour} {len(samples)}")
        samples += pixels[:size].tobytes() + pixels[-size:].tobytes() + pixels[spread].tobytes()
    (OUT / "resize.txt").write_text("\n".join(lines) + "\n")
    (OUT / "resize.zlib").write_bytes(zlib.compress(samples, 9))


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    for old in OUT.iterdir():
        old.unlink()
    write_pictures()
    write_squares()
    total = sum(path.stat().st_size for path in OUT.iterdir())
    print(f"{len(list(OUT.iterdir()))} files, {total} bytes in {OUT}")
