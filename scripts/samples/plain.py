"""The folders art/ and photos/: pictures without generation data."""

from __future__ import annotations

from samples import files
from samples.art import blobs, flat, glow, gradient, grain, landscape, stripes, waves
from samples.sample import Maker


def plain_art(maker: Maker) -> None:
    """Art without metadata, in many sizes and shapes."""
    rabbit = maker.scene("rabbit face", gradient(800, 600, "b7d7e0", "4f8a8b"))
    maker.add("art/rabbit_800x600.png", "rabbit face on a teal gradient", files.encode(rabbit, "PNG"), "rabbit face")
    flower = maker.scene("sunflower", gradient(640, 960, "6fb1e8", "e9f4c8"), 0.9)
    maker.add(
        "art/sunflower_640x960.jpg",
        "sunflower under a blue sky, portrait",
        files.encode(flower, "JPEG", quality=88),
        "sunflower",
    )
    crab = maker.scene("crab", grain(gradient(1600, 1067, "f2dfb6", "d9b779"), 0.01, 1), 0.75, (0.45, 0.55))
    maker.add(
        "art/crab_1600x1067.jpg",
        "crab on sand with grain, the largest picture",
        files.encode(crab, "JPEG", quality=80),
        "crab",
    )
    frog = maker.scene("frog", flat(60, 40, "ffffff"), 1.0)
    maker.add("art/frog_60x40.png", "frog on white, the smallest picture", files.encode(frog, "PNG"), "frog")
    cake = maker.scene("cupcake", stripes(512, 512, "f8c8dc", "fde4ec", 32))
    maker.add(
        "art/cupcake_512x512.webp",
        "cupcake on pink stripes, lossy WebP",
        files.encode(cake, "WEBP", quality=80),
        "cupcake",
    )
    boat = maker.scene("sailboat", waves(1024, 576, "bfe3ff", "2a6f97"), 0.8, (0.4, 0.5))
    maker.add(
        "art/sailboat_1024x576.webp",
        "sailboat on waves, lossless WebP",
        files.encode(boat, "WEBP", lossless=True),
        "sailboat",
    )
    plane = maker.scene("airplane", blobs(1200, 800, "8ec5f4", "ffffff", 2), 0.75, (0.55, 0.5))
    maker.add(
        "art/airplane_1200x800.jpg",
        "airplane among clouds",
        files.encode(plane, "JPEG", quality=85),
        "airplane",
    )
    hippo = maker.scene("hippopotamus", glow(400, 1000, "ffe9a8", "b3701f"), 0.9, (0.5, 0.6))
    maker.add(
        "art/hippopotamus_400x1000.jpg",
        "hippopotamus on a glow, tall",
        files.encode(hippo, "JPEG", quality=85, subsampling=0),
        "hippopotamus",
    )


def photos(maker: Maker) -> None:
    """Something like a photograph, with what a camera writes."""
    tags = files.exif(
        [
            (0x010F, files.ASCII, "Canon"),
            (0x0110, files.ASCII, "Canon EOS R6"),
            (files.ORIENTATION_TAG, files.SHORT, 1),
            (0x0132, files.ASCII, "2024:05:19 08:00:00"),
        ],
        [
            (0x829A, files.RATIONAL, (1, 250)),
            (0x829D, files.RATIONAL, (56, 10)),
            (0x8827, files.SHORT, 400),
            (0x9003, files.ASCII, "2024:05:18 19:42:07"),
            (0x9011, files.ASCII, "+02:00"),
            (0x920A, files.RATIONAL, (35, 1)),
            (0xA434, files.ASCII, "RF24-70mm F2.8 L IS USM"),
        ],
    )
    photo = {
        "taken_at": "2024-05-18T19:42:07",
        "taken_at_offset_minutes": 120,
        "camera": "Canon EOS R6",
        "lens": "RF24-70mm F2.8 L IS USM",
        "exposure_secs": 0.004,
        "f_number": 5.6,
        "iso": 400,
        "focal_length_mm": 35.0,
    }
    maker.add(
        "photos/evening_hills.jpg",
        "a made landscape with camera, lens, exposure, date and offset",
        files.encode(landscape(1200, 800, 5), "JPEG", quality=82, exif=tags),
        photo=photo,
    )
