"""The folder formats/: every odd pixel format, container and shape."""

from __future__ import annotations

import numpy as np
from PIL import Image

from samples import files
from samples.art import blobs, checks, flat, glow, gradient, stripes
from samples.sample import Maker

# A stored picture of an orientation is turned so that a viewer sees it upright.
STORED_FOR_ORIENTATION = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90}


def png_formats(maker: Maker) -> None:
    """Every odd pixel format of PNG."""
    gift = np.asarray(maker.scene("wrapped gift", glow(160, 160, "fdf6e3", "b58900")).convert("L"))
    grey16 = gift.astype(np.uint16)[..., None] * 257
    maker.add("formats/grey_16bit.png", "16-bit grey", files.png(grey16), "wrapped gift")
    apple = np.asarray(maker.scene("red apple", gradient(200, 160, "eaf4ff", "9cc3e6"))).astype(np.uint16) * 257
    maker.add("formats/rgb_16bit.png", "16-bit RGB", files.png(apple), "red apple")
    cherries = maker.art.draw("cherries", 256).quantize(64, Image.Quantize.FASTOCTREE)
    maker.add(
        "formats/palette_transparent.png",
        "palette with transparent entries (tRNS)",
        files.encode(cherries, "PNG"),
        "cherries",
    )
    violin = maker.art.draw("violin", 240).convert("LA")
    maker.add("formats/grey_alpha.png", "grey with alpha", files.encode(violin, "PNG"), "violin")
    snowman = maker.scene("snowman", flat(300, 300, "ffffff"), 0.95)
    maker.add("formats/black_white_1bit.png", "1 bit a pixel", files.encode(snowman.convert("1"), "PNG"), "snowman")
    turtle = np.asarray(maker.scene("turtle", checks(301, 203, "d9f0e3", "a7d7c5", 20)))
    maker.add("formats/interlaced.png", "interlaced (Adam7), odd width and height", files.png(turtle, True), "turtle")
    octopus = np.array(maker.art.draw("octopus", 320))
    fade = np.clip(1.6 - np.hypot(*np.mgrid[-1:1:320j, -1:1:320j]) * 1.3, 0, 1)
    octopus[..., 3] = (octopus[..., 3] * fade + 0.5).astype(np.uint8)
    maker.add("formats/rgba_soft_alpha.png", "RGBA fading out to transparent", files.png(octopus), "octopus")
    bee = maker.scene("honeybee", gradient(240, 240, "fff7c2", "ffd54f"))
    maker.add(
        "formats/jpeg_named.png",
        "a good JPEG with the extension .png",
        files.encode(bee, "JPEG", quality=90),
        "honeybee",
    )


def jpeg_formats(maker: Maker) -> None:
    """CMYK, grey, progressive, turned."""
    pizza = maker.scene("pizza", flat(320, 240, "e8e3d9"), 0.95)
    maker.add(
        "formats/cmyk.jpg",
        "CMYK with Adobe's inverted inks",
        files.encode(pizza.convert("CMYK"), "JPEG", quality=90),
        "pizza",
    )
    elephant = maker.scene("elephant", glow(320, 240, "ffffff", "9aa5b1")).convert("L")
    maker.add("formats/grey.jpg", "grey", files.encode(elephant, "JPEG", quality=90), "elephant")
    butterfly = maker.scene("butterfly", gradient(480, 360, "d8f3dc", "74c69d"), 0.9)
    maker.add(
        "formats/progressive.jpg",
        "progressive",
        files.encode(butterfly, "JPEG", quality=85, progressive=True),
        "butterfly",
    )
    plane = maker.scene("airplane", blobs(1200, 400, "8ec5f4", "ffffff", 2), 0.95, (0.62, 0.5))
    maker.add(
        "formats/panorama_1200x400.jpg",
        "three times as wide as high, the airplane beside the middle",
        files.encode(plane, "JPEG", quality=85),
        "airplane",
    )
    for name, orientation, width, height in [("teddy bear", 6, 240, 360), ("bicycle", 3, 360, 240)]:
        picture = maker.scene(name, gradient(width, height, "cfe8ff", "6b8fb3"), 0.95)
        stored = picture.transpose(STORED_FOR_ORIENTATION[orientation])
        tags = files.exif([(files.ORIENTATION_TAG, files.SHORT, orientation)])
        turn = "a quarter to the left" if orientation == 6 else "upside down"
        maker.add(
            f"formats/orientation_{orientation}.jpg",
            f"stored {turn}, EXIF orientation {orientation}",
            files.encode(stored, "JPEG", quality=88, exif=tags),
            name,
            photo={"orientation": orientation},
        )


def other_formats(maker: Maker) -> None:
    """Animations, TIFF, BMP, AVIF."""
    frames = [maker.scene(name, flat(200, 200, "fff8e1"), 0.9) for name in ["rainbow", "umbrella", "snowman"]]
    animation = {"save_all": True, "append_images": frames[1:], "duration": 400, "loop": 0}
    maker.add(
        "formats/animated.gif",
        "animated; the first frame counts (the others show an umbrella and a snowman)",
        files.encode(frames[0], "GIF", **animation),
        "rainbow",
    )
    frames = [maker.scene(name, flat(240, 180, "e3f2fd"), 0.9) for name in ["dolphin", "crab", "octopus"]]
    animation["append_images"] = frames[1:]
    maker.add(
        "formats/animated.webp",
        "animated; the first frame counts (the others show a crab and an octopus)",
        files.encode(frames[0], "WEBP", quality=80, **animation),
        "dolphin",
    )
    guitar = np.asarray(maker.scene("guitar", gradient(160, 200, "fbe9e7", "bcaaa4"), 0.95)).astype(np.uint16) * 257
    maker.add("formats/rgb_16bit.tif", "16-bit RGB TIFF, not compressed", files.tiff_rgb16(guitar), "guitar")
    train = maker.scene("locomotive", stripes(320, 240, "eceff1", "cfd8dc", 20), 0.95)
    maker.add(
        "formats/lzw.tif",
        "TIFF with LZW compression",
        files.encode(train, "TIFF", compression="tiff_lzw"),
        "locomotive",
    )
    clock = maker.scene("alarm clock", flat(180, 180, "fce4ec"), 0.95)
    maker.add("formats/bmp_24bit.bmp", "24-bit BMP", files.encode(clock, "BMP"), "alarm clock")
    melon = maker.scene("watermelon", gradient(320, 240, "f1f8e9", "aed581"), 0.9)
    maker.add(
        "formats/watermelon.avif",
        "AVIF",
        files.encode(melon, "AVIF", quality=70),
        "watermelon",
        decoder_optional=True,
    )
