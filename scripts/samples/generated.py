"""The folder generated/: art that carries generation data, each in another slot."""

from __future__ import annotations

from PIL import Image

from samples import files, prompts
from samples.art import blobs, checks, flat, glow, gradient, stripes, waves
from samples.prompts import Generation
from samples.sample import Maker


def carrying(image: Image.Image, before_pixels: list[bytes], after_pixels: list[bytes] = ()) -> bytes:
    """Writes a PNG with further chunks."""
    return files.add_png_chunks(files.encode(image, "PNG"), before_pixels, after_pixels)


def carry(maker: Maker, name: str, what: str, generation: Generation, emoji: str, data: bytes, **rest) -> None:
    """Adds a sample that carries generation data."""
    maker.add(f"generated/{name}", what, data, emoji, generation=generation, **rest)


def generated(maker: Maker) -> None:
    """Art that carries generation data, each in another slot."""
    size = (512, 512)
    fox = maker.scene("fox", blobs(*size, "dfefff", "ffffff", 3))
    text = prompts.infotext(prompts.FOX, size, "v1.10.1")
    carry(
        maker,
        "a1111_text.png",
        "A1111 infotext in a tEXt chunk, with a LoRA",
        prompts.FOX,
        "fox",
        carrying(fox, [files.png_text("parameters", text)]),
    )
    cup = maker.scene("hot beverage", checks(640, 512, "fbe4d8", "e4f1ee", 40))
    text = prompts.infotext(prompts.HOT_BEVERAGE, (640, 512), "v1.10.1")
    carry(
        maker,
        "a1111_itxt.png",
        "A1111 infotext beyond Latin-1 in an iTXt chunk, prompt of two lines",
        prompts.HOT_BEVERAGE,
        "hot beverage",
        carrying(cup, [files.png_international_text("parameters", text)]),
    )
    rocket = maker.scene("rocket", gradient(512, 768, "0b7a75", "d7f9f1"), 0.9)
    text = prompts.infotext(prompts.ROCKET, (512, 768), "v1.7.0")
    carry(
        maker,
        "a1111_ztxt_after_pixels.png",
        "infotext in a zTXt chunk behind the pixels",
        prompts.ROCKET,
        "rocket",
        carrying(rocket, [], [files.png_compressed_text("parameters", text)]),
    )
    dragon = maker.scene("dragon", glow(768, 512, "e7f7d4", "3e6b4f"), 0.95)
    text = prompts.infotext(prompts.DRAGON, (768, 512), "v1.10.1")
    carry(
        maker,
        "a1111_usercomment.jpg",
        "A1111 infotext in EXIF UserComment (UTF-16, big-endian), two LoRAs",
        prompts.DRAGON,
        "dragon",
        files.encode(dragon, "JPEG", quality=88, exif=files.exif([], [files.user_comment(text)])),
    )
    unicorn = maker.scene("unicorn", stripes(*size, "fff0fb", "e7e4ff", 24))
    text = prompts.infotext(prompts.UNICORN, size, "v1.9.4")
    carry(
        maker,
        "a1111_exif.webp",
        "A1111 infotext in a WebP EXIF chunk",
        prompts.UNICORN,
        "unicorn",
        files.encode(unicorn, "WEBP", quality=85, exif=files.exif([], [files.user_comment(text)])),
    )
    tiger = maker.scene("tiger face", glow(*size, "fff4d6", "f0a04b"), 0.9)
    text = prompts.infotext(prompts.TIGER, size, "f2.0.1v1.10.1-previous-669-gdfdcbab6")
    carry(
        maker,
        "forge_stealth_alpha.png",
        "Forge infotext hidden in the lowest bit of alpha, and nowhere else",
        prompts.TIGER,
        "tiger face",
        files.encode(files.with_stealth_alpha(tiger, text), "PNG"),
        needs_pixels=True,
    )
    owl = maker.scene("owl", gradient(*size, "101b3b", "3c4a7d"))
    graph, workflow = prompts.comfyui_graphs(size)
    carry(
        maker,
        "comfyui_graph.png",
        "ComfyUI graph and workflow, seed beyond 2^63",
        prompts.OWL,
        "owl",
        carrying(owl, [files.png_text("prompt", graph), files.png_text("workflow", workflow)]),
    )
    cat = maker.scene("cat face", flat(*size, "f6f1e7"), 0.9)
    texts = [files.png_text(*pair) for pair in prompts.novelai_texts(size).items()]
    carry(
        maker,
        "novelai_comment.png",
        "NovelAI V4.5: Description and Comment JSON",
        prompts.CAT,
        "cat face",
        carrying(cat, texts),
    )
    mushroom = maker.scene("mushroom", blobs(*size, "2f4f2f", "88a86b", 4), 0.85)
    text = prompts.swarmui_parameters(size)
    carry(
        maker,
        "swarmui_json.png",
        "SwarmUI JSON in `parameters`",
        prompts.MUSHROOM,
        "mushroom",
        carrying(mushroom, [files.png_text("parameters", text)]),
    )
    penguin = maker.scene("penguin", waves(*size, "e8f6ff", "8cc0de"))
    text = prompts.invokeai_metadata(size)
    carry(
        maker,
        "invokeai_json.png",
        "InvokeAI metadata",
        prompts.PENGUIN,
        "penguin",
        carrying(penguin, [files.png_text("invokeai_metadata", text)]),
    )
