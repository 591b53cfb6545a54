"""What labelmill should say of each sample (samples.jsonl), compared with a row of a dataset."""

from __future__ import annotations

import json
from pathlib import Path

SETTINGS = ["steps", "sampler", "scheduler", "cfg_scale", "seed", "model", "model_hash", "clip_skip"]
PHOTO = ["camera", "lens", "exposure_secs", "f_number", "iso", "focal_length_mm"]
PHOTO += ["taken_at_offset_minutes", "orientation"]


def read_expected(path: str) -> list[dict]:
    """Reads samples.jsonl."""
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def differs(found, expected) -> bool:
    """Compares two values; numbers within a millionth."""
    if isinstance(expected, float) and isinstance(found, (int, float)):
        return abs(found - expected) > 1e-6 * max(1.0, abs(expected))
    return found != expected


def misses(row: dict, expected: dict, pixels: bool) -> list[str]:
    """Lists how a row differs from what is expected; `pixels` says whether the run decoded pictures."""
    wanted = {"status": expected["status"], "error_kind": expected["error_kind"]}
    unread = not pixels and expected["needs_pixels"]
    if row["status"] == "failed" and expected["decoder_optional"]:
        wanted = {"status": "failed", "error_kind": "unsupported_format"}
    elif unread and row["status"] == "ok":
        wanted = {"status": "ok", "error_kind": None}
    wanted |= {name: expected[name] for name in ["format", "width", "height"]}
    # Without pixels a prompt that is hidden in them is not found.
    if not (unread and expected["status"] == "ok"):
        wanted |= {name: expected[name] for name in ["metadata_status", "generator"]}
        # What a picture itself does not say is the interrogator's, where the plan has one.
        guessed = row.get("clip_prompt")
        wanted["prompt"] = expected["prompt"] or guessed
        guess_source = "interrogated" if guessed else row["prompt_source"]
        wanted["prompt_source"] = "metadata" if expected["prompt"] else guess_source
        wanted["negative_prompt"] = expected["negative_prompt"] or row["negative_prompt"] or None
    wanted |= {name: expected[name] for name in PHOTO if name in expected}
    found = [f"{name} {row[name]!r}, not {value!r}" for name, value in wanted.items() if differs(row[name], value)]
    if expected["taken_at"] and (row["taken_at"] is None or row["taken_at"].isoformat() != expected["taken_at"]):
        found.append(f"taken_at {row['taken_at']}, not {expected['taken_at']}")
    if row["prompt"] is not None and row["metadata_status"] == "prompt":
        found += settings_misses(row, expected)
    if (row["error"] is None) != (row["status"] == "ok"):
        found.append(f"status {row['status']} with error {row['error']!r}")
    return [f"{expected['path']}: {miss}" for miss in found]


def settings_misses(row: dict, expected: dict) -> list[str]:
    """Lists settings and LoRAs that differ."""
    settings, wanted = row["settings"] or {}, expected["settings"]
    found = [
        f"settings.{name} {settings.get(name)!r}, not {wanted[name]!r}"
        for name in SETTINGS
        if name in wanted and differs(settings.get(name), wanted[name])
    ]
    loras = [(lora["name"], lora["weight"]) for lora in row["loras"] or []]
    if loras != [(lora["name"], lora["weight"]) for lora in expected["loras"]]:
        found.append(f"loras {loras}, not {expected['loras']}")
    return found
