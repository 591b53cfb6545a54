"""The folder broken/: files that cannot be labeled, and why."""

from __future__ import annotations

from samples import files, prompts
from samples.art import flat, glow, gradient
from samples.sample import Maker


def broken(maker: Maker) -> None:
    """Files that cannot be labeled, and why."""
    whole = files.encode(maker.scene("strawberry", gradient(480, 360, "ffebee", "ef9a9a")), "JPEG", quality=88)
    maker.add(
        "broken/truncated.jpg",
        "a JPEG that ends after 60 % of its bytes",
        files.cut(whole, 0.6),
        None,
        error_kind="truncated",
        needs_pixels=True,
        format="jpeg",
        size=(480, 360),
    )
    lemon = files.encode(maker.scene("lemon", flat(320, 320, "fffde7")), "PNG")
    text = prompts.infotext(prompts.LEMON, (320, 320), "v1.10.1")
    maker.add(
        "broken/truncated_with_prompt.png",
        "a PNG that ends after half of its bytes, behind its prompt",
        files.cut(files.add_png_chunks(lemon, [files.png_text("parameters", text)]), 0.5),
        None,
        error_kind="truncated",
        needs_pixels=True,
        format="png",
        size=(320, 320),
        generation=prompts.LEMON,
    )
    whole = files.encode(maker.scene("blossom", glow(400, 300, "fff3e0", "ffb74d")), "PNG")
    maker.add(
        "broken/corrupt_pixels.png",
        "a PNG with flipped bits in its pixel data",
        files.corrupt_pixels(whole),
        None,
        error_kind="corrupt",
        needs_pixels=True,
        format="png",
        size=(400, 300),
    )
    maker.add(
        "broken/claims_60000x60000.png",
        "a PNG of 100 bytes whose header claims 60,000 × 60,000 pixels",
        files.claiming_png(60_000, 60_000),
        None,
        error_kind="too_large",
        needs_pixels=True,
        format="png",
        size=(60_000, 60_000),
    )
    maker.add(
        "broken/text_named.png",
        "a text file with the extension .png",
        b"This is not a picture, whatever its name says.\n",
        None,
        error_kind="not_an_image",
    )
    maker.add("broken/zero_bytes.jpg", "a file without a byte", b"", None, error_kind="empty")
