"""The times of interrogator_parity --costs: clip-interrogator as it is, and labelmill, in turn on one thread.

Each part runs in a process of its own on either side, so that its peak memory is its own; making models and embeddings
that both read is not timed. Weights are made up. Where the package would take hours (`best`), both take fewer
candidates; the table says so. What follows for the towers of ViT-L, H and g is counted, not measured.

build  the embeddings of --built terms, text tower --tower
best   `best` over --pictures pictures with given captions, text tower --tower, --candidates candidates
rank   the full merged table (111,867 terms) of embeddings 512 wide, as ViT-B-32 has them
fast   whole `fast` over --pictures pictures: BLIP base, the image tower of ViT-B-32, the full merged table
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import interrogator_models as models
import interrogator_parity as parity
import numpy as np
import torch

PARTS = ["build", "best", "rank", "fast"]
WIDE_CLIP, CHAIN_CLIP, BLIP = "costs-wide", "costs-chain", "costs-blip"
CAPTION = "a picture of a cat"
# Width and layers of text towers.
REAL_TOWERS = {"ViT-L-14": (768, 12), "ViT-H-14": (1024, 24), "ViT-g-14": (1024, 24)}
ALL_TERMS = 1 << 30
PACKAGE_CHUNK = 2048  # the package's own: smaller ones would keep no term of a full table's chunk


# ---------------------------------------------------------------- models


def clip_config(name: str, arguments) -> dict:
    """open_clip's words: ViT-B-32's pictures over a text tower that is soon done with the tables, or --tower."""
    if name == WIDE_CLIP:
        # The text tower only makes the tables, which is not timed here.
        config = models.clip_config(64, 1, 2, embedding=512)
        layers = 2 if arguments.small else 12
        config["vision_cfg"] = {"image_size": 224, "patch_size": 32, "width": 768, "layers": layers, "head_width": 64}
        return config
    width, layers, heads = arguments.tower
    return models.clip_config(width, layers, heads)


def make_clip(name: str, arguments):
    """The model, its weights always the same; exported once."""
    import open_clip

    torch.manual_seed(arguments.seed)
    clip = open_clip.model.CLIP(**clip_config(name, arguments)).eval()
    folder = models_folder(arguments)
    if not (folder / name / "model.toml").is_file():
        parity.export_parity_clip(clip, folder, name, clip.visual.image_size[0])
    return clip


def blip_overrides(arguments) -> list[str]:
    return [f"{tower}_config.num_hidden_layers=2" for tower in ("vision", "text")] if arguments.small else []


def make_blip(arguments):
    """BLIP base with made-up weights, exported once: 32 new ids a caption on either side."""
    import export_blip

    model = export_blip.random_model(blip_overrides(arguments), arguments.seed).eval()
    out = models_folder(arguments) / BLIP
    if not (out / "model.toml").is_file():
        out.mkdir(parents=True, exist_ok=True)
        export_blip.write_graphs(model, out, False)
        facts = {"name": BLIP, "licence": "CC0-1.0", "origin": "made-up weights", "max_length": 33}
        export_blip.write_manifest(out, model.config, vocabulary(model), facts)
    return model


def vocabulary(model) -> list[str]:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "picture", "of"]
    return words + [f"w{index}" for index in range(len(words), model.config.text_config.vocab_size)]


class Words:
    """A tokenizer of made-up words."""

    def __init__(self, words: list[str]):
        self.words = words

    def decode(self, ids: list[int], skip_special_tokens: bool) -> str:
        begin = len(self.words) - 2
        return " ".join(self.words[index] for index in ids if index > 3 and index != begin)


def models_folder(arguments) -> Path:
    width, layers, _ = arguments.tower
    return arguments.work / f"costs-{layers}x{width}{'-small' if arguments.small else ''}"


def cache_of(name: str, arguments) -> Path:
    """Embeddings of tables, which either side reads."""
    return models_folder(arguments) / f"cache-{name}-{arguments.table_terms}"


# ---------------------------------------------------------------- the package


def pictures_of(arguments) -> list[Path]:
    return parity.prepare_pictures(arguments.data_dir, arguments.work / "pictures", arguments.pictures)


@torch.no_grad()
def run_peer(part: str, arguments) -> None:
    """One part by the package, in this process; prints what it took as JSON."""
    from clip_interrogator import clip_interrogator as package

    name = WIDE_CLIP if part in ("rank", "fast") else CHAIN_CLIP
    if part != "best":
        arguments.table_terms = ALL_TERMS if name == WIDE_CLIP else 1
    if name == WIDE_CLIP:
        arguments.chunk = PACKAGE_CHUNK
    blip = make_blip(arguments) if part == "fast" else None
    processor = parity.Processor(Words(vocabulary(blip)), 384) if blip else None
    clip = make_clip(name, arguments)
    folder = cache_of(name, arguments) if part != "build" else models_folder(arguments) / "cache-none"
    margins = parity.Margins()
    peer = parity.load_peer(clip, blip, processor, arguments, folder, margins, clip.visual.image_size[0])
    images = [parity.Image.open(path).convert("RGB") for path in pictures_of(arguments)]
    prompts: list[str] = []
    began = time.perf_counter()
    if part == "build":
        package.LabelTable(built_labels(peer, arguments), None, peer)
    elif part == "rank":
        rank(package, peer, arguments.ranked // 8)
    elif part == "best":
        terms = {"min_flavors": arguments.min_terms, "max_flavors": arguments.max_terms}
        prompts = [peer.interrogate(image, caption=CAPTION, **terms) for image in images]
    else:
        prompts = [peer.interrogate_fast(image, arguments.max_terms) for image in images]
    seconds = time.perf_counter() - began
    print(json.dumps({"secs": seconds, "prompts": prompts, "peak_mib": parity.peak_mib("self")}))


def built_labels(peer, arguments) -> list[str]:
    return peer.whole_flavors[: arguments.built]


def rank(package, peer, pictures: int) -> None:
    """Ranks made-up pictures as interrogate_fast does it for every picture."""
    width = peer.artists.embeds[0].shape[0]
    vectors = np.random.default_rng(1).normal(size=(pictures, width))
    vectors = torch.nn.functional.normalize(torch.from_numpy(vectors).float(), dim=1)
    tables = [peer.artists, peer.flavors, peer.mediums, peer.movements, peer.trendings]
    for vector in vectors:
        package._merge_tables(tables, peer).rank(vector[None], 32)


def ask_peer(part: str, arguments) -> dict:
    """The same in a process of its own."""
    command = [sys.executable, *arguments.command_line, "--as-peer", part]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


# ---------------------------------------------------------------- labelmill


def ask_labelmill(part: str, arguments) -> dict:
    """One part by labelmill."""
    folder = models_folder(arguments)
    pictures = [str(path) for path in pictures_of(arguments)]
    if part == "build":
        # Flavors alone, cut to as many terms, and not kept.
        job = parity.job(arguments, folder, ["fast"], CHAIN_CLIP, tables=["flavors"], table_terms=arguments.built)
        told = parity.ask_labelmill(arguments, job)
        return {"secs": told["fast"]["opening_secs"], "peak_mib": told["peak_mib"]}
    if part == "best":
        more = {"captions": [CAPTION] * len(pictures), "pictures": pictures, "batch": len(pictures)}
        cache = str(cache_of(CHAIN_CLIP, arguments))
        told = parity.ask_labelmill(arguments, parity.job(arguments, folder, ["best"], CHAIN_CLIP, cache=cache, **more))
        return told["best"] | {"peak_mib": told["peak_mib"]}
    arguments = type(arguments)(**vars(arguments) | {"table_terms": ALL_TERMS, "chunk": PACKAGE_CHUNK})
    cache = str(cache_of(WIDE_CLIP, arguments))
    if part == "rank":
        job = parity.job(arguments, folder, [], WIDE_CLIP, table_terms=None, ranked=arguments.ranked, batch=32, cache=cache)
        told = parity.ask_labelmill(arguments, job)
        return told["ranking"] | {"peak_mib": told["peak_mib"]}
    more = {"captioner": str(folder / BLIP), "pictures": pictures, "batch": min(16, len(pictures))}
    job = parity.job(arguments, folder, ["fast"], WIDE_CLIP, table_terms=None, cache=cache, **more)
    told = parity.ask_labelmill(arguments, job)
    return told["fast"] | {"peak_mib": told["peak_mib"]}


def prepare(part: str, arguments) -> None:
    """Makes models and the embeddings that both sides read."""
    if part == "fast":
        make_blip(arguments)
    make_clip(WIDE_CLIP if part in ("rank", "fast") else CHAIN_CLIP, arguments)
    if part == "build":
        return
    small = arguments if part == "best" else type(arguments)(**vars(arguments) | {"table_terms": ALL_TERMS})
    name = CHAIN_CLIP if part == "best" else WIDE_CLIP
    cut = small.table_terms if part == "best" else None
    cache = cache_of(name, small)
    # Opening makes every table; no picture is looked at.
    job = parity.job(small, models_folder(small), ["fast"], name, table_terms=cut, cache=str(cache))
    parity.ask_labelmill(small, job)


# ---------------------------------------------------------------- counted


def layer_operations(width: int, looked_at: float) -> float:
    """Multiplications of one position in one layer: four projections, the two of the MLP, attention."""
    return 12 * width * width + 2 * looked_at * width


def counted(arguments) -> None:
    """Prints how many times fewer multiplications the text towers of real models have to do."""
    import clip_interrogator
    import open_clip

    tokenize = open_clip.get_tokenizer("ViT-B-32")
    path = Path(clip_interrogator.__file__).parent / "data/flavors.txt"
    flavors = path.read_text(encoding="utf-8", errors="replace").splitlines()
    lengths = (tokenize(flavors[:: max(1, len(flavors) // 5000)]) != 0).sum(1).double()
    text, context, steps = float(lengths.mean()), 77, 8
    phrase, caption, candidates = text - 1, 8, 2035  # what follows a comma has no begin token
    print(f"\nComputed, not measured: multiplications of the text tower. Mean tokens of a flavor {text:.2f} with begin and")
    print(f"end; `best`: {candidates} candidates, {steps} steps after a caption of {caption} tokens.\n")
    print("| text tower | embedding a table | `best` |\n|---|---:|---:|")
    for name, (width, layers) in REAL_TOWERS.items():
        whole = context * layer_operations(width, context)
        build = whole / (text * layer_operations(width, text))
        theirs = ours = 0.0
        for step in range(steps):
            prompt = caption + 1 + step * phrase
            theirs += (candidates + 1) * whole
            # The prompt once, each candidate's own tokens, the winner once more by itself.
            ours += prompt * layer_operations(width, prompt) + candidates * phrase * layer_operations(width, prompt + phrase)
            ours += (prompt + phrase) * layer_operations(width, prompt + phrase)
        print(f"| {name}: {layers} x {width} | {build:.1f} | {theirs / ours:.1f} |")


# ---------------------------------------------------------------- the table


def what(part: str, arguments) -> tuple[str, float, float]:
    """What a part is called, and how many of it each side does."""
    width, layers, _ = arguments.tower
    count = arguments.pictures
    return {
        "build": (f"embedding {arguments.built:,} terms, text tower {layers} x {width}", 1, 1),
        "best": (
            f"`best`, text tower {layers} x {width}, {arguments.candidates} candidates, {arguments.min_terms} to "
            f"{arguments.max_terms} steps, a picture", count, count,
        ),
        "rank": ("ranking the full merged table (111,867 terms, 512 wide), a picture", arguments.ranked // 8, arguments.ranked),
        "fast": (f"whole `fast`, {'2 layers of ' if arguments.small else ''}BLIP base and ViT-B-32, a picture", count, count),
    }[part]  # fmt: skip


def measure(arguments) -> None:
    """Prints the table of times."""
    if arguments.as_peer:
        return run_peer(arguments.as_peer, arguments)
    rows = []
    for part in arguments.only:
        prepare(part, arguments)
        rounds = [(ask_peer(part, arguments), ask_labelmill(part, arguments)) for _ in range(arguments.rounds)]
        label, their_count, our_count = what(part, arguments)
        theirs = float(np.median([peer["secs"] for peer, _ in rounds])) / their_count
        ours = float(np.median([own["secs"] for _, own in rounds])) / our_count
        peaks = [max(side[index]["peak_mib"] for side in rounds) for index in (0, 1)]
        rows.append(f"| {label} | {theirs:.3f} s | {ours:.4f} s | {theirs / ours:.1f} | {peaks[0]:.0f} | {peaks[1]:.0f} |")
        print(rows[-1], file=sys.stderr, flush=True)
        if rounds[0][0].get("prompts"):
            pairs = list(zip(rounds[0][0]["prompts"], rounds[0][1]["prompts"], strict=True))
            print(f"{part}: {sum(a == b for a, b in pairs)} of {len(pairs)} prompts equal", file=sys.stderr, flush=True)
    print("| what | clip-interrogator 0.6.0 | labelmill | times | its peak MiB | ours |\n|---|---:|---:|---:|---:|---:|")
    print("\n".join(rows))
    counted(arguments)
    load = subprocess.run(["uptime"], capture_output=True, text=True).stdout.strip()
    print(f"\none thread each, in turn; {load}")
