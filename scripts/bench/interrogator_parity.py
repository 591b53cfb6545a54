"""The comparison of interrogator_parity: labelmill against clip-interrogator 0.6.0, both in 32 bits on the CPU.

The package runs as it is but for two patches, so that its answers are reproducible: its `set` keeps order, and its
top-k breaks ties by index. Its tables are cut to --table-terms and its chunks to --chunk, so that a small table is
ranked in several chunks too.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent)]
import export_clip  # noqa: E402
import export_common as common  # noqa: E402
import interrogator_models as models  # noqa: E402
from export_towers import use_plain_attention  # noqa: E402

PEER_NAME = "ViT-B-32/parity"
MODES = ["caption", "fast", "classic", "best", "negative"]
TABLES = ["artists", "flavors", "mediums", "movements", "trendings", "negative"]


# ---------------------------------------------------------------- pictures


def prepare_pictures(data_dir: Path, folder: Path, count: int) -> list[Path]:
    """The repository's sample pictures and held-out art on a coloured ground, as RGB PNG files."""
    folder.mkdir(parents=True, exist_ok=True)
    samples = sorted(path for kind in ("art", "photos") for path in (ROOT / "tests/fixtures/samples" / kind).iterdir())
    samples = [path for path in samples if path.suffix in {".png", ".jpg", ".jpeg", ".webp"}]
    held_out = sorted((data_dir / "heldout").glob("*.png"))
    step = max(1, len(held_out) // max(1, count - len(samples)))
    chosen = (samples + held_out[::step])[:count]
    written = []
    for index, source in enumerate(chosen):
        target = folder / f"{index:03}.png"
        if not target.is_file():
            picture = Image.open(source).convert("RGBA")
            ground = Image.new("RGBA", picture.size, tuple(np.random.default_rng(index).integers(120, 256, 3)) + (255,))
            Image.alpha_composite(ground, picture).convert("RGB").save(target)
        written.append(target)
    return written


# ---------------------------------------------------------------- models


def export_parity_clip(model, folder: Path, name: str, size: int = models.PIXELS) -> None:
    """Our export of the CLIP, with the name under which the package keeps its caches."""
    model = use_plain(model)
    out = folder / name
    out.mkdir(parents=True, exist_ok=True)
    options = SimpleNamespace(precision="fp32", check=True)
    preprocess = {
        "size": size, "mean": models.demo.MEAN, "std": models.demo.STD, "resize_mode": "shortest",
        "interpolation": "bicubic",
    }  # fmt: skip
    image = export_clip.export_image(model, preprocess, out, options)
    tower, text = export_clip.export_text(model, out, options)
    steps = export_clip.export_chain(tower, out)
    export_clip.tokenizers.write_clip_tokenizer(out / "tokenizer.json")
    section = export_clip.text_section(model, tower, text, out, 0) | {"chain": steps[0]}
    manifest = {
        "name": name, "kind": "clip", "demo": True, "description": "for interrogator_parity", "licence": "CC BY 4.0",
        "origin": "scripts/bench/interrogator_models.py", "aliases": [PEER_NAME],
        "image": export_clip.image_section(preprocess, image, out), "text": section,
    }  # fmt: skip
    common.write_manifest(out, manifest, ["tokenizer.json", *steps])


def use_plain(model):
    """A copy that exporters understand; the package keeps torch's own attention."""
    import copy

    plain = copy.deepcopy(model)
    use_plain_attention(plain)
    return plain.eval().requires_grad_(False)


class Processor:
    """What the package asks of a BLIP processor, for the demo captioner's vocabulary."""

    def __init__(self, tokenizer, size: int):
        from transformers import BlipImageProcessor

        mean, std = models.demo.MEAN, models.demo.STD
        self.tokenizer = tokenizer
        self.pictures = BlipImageProcessor(size={"height": size, "width": size}, image_mean=mean, image_std=std)

    def __call__(self, images, return_tensors):
        return self.pictures(images=images, return_tensors=return_tensors)

    def batch_decode(self, ids, skip_special_tokens):
        return [self.tokenizer.decode(row.tolist(), skip_special_tokens=skip_special_tokens) for row in ids]


def load_captioner(data_dir: Path, folder: Path):
    """The demo captioner through transformers, and our export of the same weights."""
    import train_demo_captioner as captioner

    tokenizer = captioner.load_tokenizer(data_dir, captioner.demo.Art.load(data_dir))
    blip, steps = captioner.trained_model(data_dir, ROOT / "models/demo-clip", tokenizer.get_vocab_size())
    captioner.export(blip, tokenizer, folder / "parity-captioner", f"the demo captioner after {steps} steps")
    return blip, Processor(tokenizer, models.demo.IMAGE_PIXELS)


# ---------------------------------------------------------------- the package


class OrderedSet(dict):
    """The package's `set`, in the order of its phrases."""

    def __init__(self, items):
        super().__init__((item, None) for item in items)

    def remove(self, item):
        del self[item]


class Margins:
    """How near the runner-up of every choice came."""

    def __init__(self):
        self.gaps: list[float] = []

    def add(self, similarity: torch.Tensor, count: int = 1) -> None:
        values = similarity.flatten().float().sort(descending=True).values[: count + 1]
        # Equal terms are repeated lines of a table: which of them comes does not show.
        self.gaps += [gap for gap in (values[:-1] - values[1:]).tolist() if gap > 0]

    def take(self) -> list[float]:
        taken, self.gaps = self.gaps, []
        return taken


def load_peer(clip, blip, processor, arguments, cache: Path, margins: Margins, size: int = models.PIXELS):
    """clip-interrogator with our models, patched to be reproducible, on tables cut short."""
    import open_clip
    from clip_interrogator import clip_interrogator as peer

    peer.set = OrderedSet
    load_list = getattr(peer, "whole_load_list", peer.load_list)
    peer.whole_load_list = load_list
    peer.load_list = lambda path, name=None: load_list(path, name)[: arguments.table_terms // (2 if name == "artists.txt" else 1)]

    def rank(self, image_features, text_embeds, top_count=1, reverse=False):
        top_count = min(top_count, len(text_embeds))
        embeds = torch.stack([torch.from_numpy(row) for row in text_embeds])
        similarity = image_features @ embeds.T
        similarity = -similarity if reverse else similarity
        if top_count <= 32:
            margins.add(similarity, top_count)
        return similarity[0].sort(descending=True, stable=True).indices[:top_count].numpy()

    def rank_top(self, image_features, text_array, reverse=False):
        features = self.clip_model.encode_text(self.tokenize(text_array))
        features /= features.norm(dim=-1, keepdim=True)
        similarity = (features @ image_features.T).flatten()
        similarity = -similarity if reverse else similarity
        margins.add(similarity)
        return text_array[similarity.argmax().item()]

    if arguments.patched:
        peer.LabelTable._rank = rank
        peer.Interrogator.rank_top = torch.no_grad()(rank_top)
    config = peer.Config(clip_model_name=PEER_NAME, device="cpu", quiet=True, download_cache=False)
    config.cache_path, config.chunk_size = str(cache), arguments.chunk
    config.flavor_intermediate_count, config.caption_max_length = arguments.candidates, 32
    config.clip_model, config.caption_model, config.caption_processor = clip, blip, processor
    if blip is None:
        config.caption_model_name = None  # else it fetches its own
    config.clip_preprocess = open_clip.image_transform(size, False, models.demo.MEAN, models.demo.STD)
    interrogator = peer.Interrogator(config)
    interrogator.whole_flavors = load_list(config.data_path, "flavors.txt")
    return interrogator


@torch.no_grad()
def ask_peer(peer, paths, modes, arguments, margins: Margins) -> dict:
    """Prompts, seconds and margins of each mode."""
    images = [Image.open(path).convert("RGB") for path in paths]
    captions = [peer.generate_caption(image) for image in images]
    terms = {"min_flavors": arguments.min_terms, "max_flavors": arguments.max_terms}
    ask = {
        "caption": lambda image, caption: peer.generate_caption(image),
        "fast": lambda image, caption: peer.interrogate_fast(image, arguments.max_terms, caption=caption),
        "classic": lambda image, caption: peer.interrogate_classic(image, 3, caption=caption),
        "best": lambda image, caption: peer.interrogate(image, caption=caption, **terms),
        "negative": lambda image, caption: peer.interrogate_negative(image, arguments.max_terms),
    }
    answers = {"captions": captions}
    for mode in modes:
        margins.take()
        began = time.perf_counter()
        prompts = [ask[mode](image, caption) for image, caption in zip(images, captions, strict=True)]
        answers[mode] = {"prompts": prompts, "secs": time.perf_counter() - began, "gaps": margins.take()}
        print(f"clip-interrogator: {mode} in {answers[mode]['secs']:.1f} s", file=sys.stderr, flush=True)
    return answers


# ---------------------------------------------------------------- labelmill


def ask_labelmill(arguments, job: dict) -> dict:
    """Runs interrogate-bench on a job; also its peak memory in MiB."""
    path = arguments.work / "job.json"
    path.write_text(json.dumps(job))
    environment = dict(os.environ)
    libraries = sorted(Path(arguments.runtime).glob("**/libonnxruntime.so*"))
    environment.setdefault("ORT_DYLIB_PATH", str(libraries[0]) if libraries else "")
    process = subprocess.Popen([arguments.bench, path], stdout=subprocess.PIPE, env=environment, text=True)
    peaks = [0.0]
    # Not ru_maxrss: a child's begins with what its parent had.
    watch = threading.Thread(target=lambda: [peaks.append(peak) or time.sleep(0.1) for peak in iter(lambda: peak_mib(process.pid), None)])
    watch.start()
    said, _ = process.communicate()
    watch.join()
    if process.returncode != 0:
        raise SystemExit(f"interrogate-bench ended with {process.returncode}")
    return json.loads(said) | {"peak_mib": max(peaks)}


def peak_mib(pid) -> float | None:
    """The most memory that a process has held so far; none when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), None)


def job(arguments, folder: Path, modes, clip: str = models.CLIP_NAME, **more) -> dict:
    import clip_interrogator

    terms = Path(clip_interrogator.__file__).parent / "data"
    return {
        "model": str(folder / clip), "captioner": None, "terms": str(terms), "tables": TABLES,
        "table_terms": arguments.table_terms, "modes": modes, "peer": True, "threads": 1, "batch": 16,
        "max_terms": arguments.max_terms, "min_terms": arguments.min_terms, "candidates": arguments.candidates,
        "block": arguments.chunk, "cache": None,
    } | more  # fmt: skip


# ---------------------------------------------------------------- the comparison


@torch.no_grad()
def exact_cosines(clip, path: Path, texts: list[str]) -> list[float]:
    """Cosines of texts with a picture, by the same weights in 64 bits."""
    import copy

    import open_clip

    exact = copy.deepcopy(clip).double().eval()
    prepare = open_clip.image_transform(models.PIXELS, False, models.demo.MEAN, models.demo.STD)
    picture = exact.encode_image(prepare(Image.open(path).convert("RGB"))[None].double(), normalize=True)
    words = exact.encode_text(open_clip.get_tokenizer("ViT-B-32")(texts), normalize=True)
    return (words @ picture.T).flatten().tolist()


def explain(clip, path: Path, left: str, right: str) -> str:
    """Where two prompts part, and which of the two is nearer to the picture in 64 bits, there and as a whole."""
    theirs, ours = left.split(", "), right.split(", ")
    part = next((at for at, pair in enumerate(zip(theirs, ours)) if pair[0] != pair[1]), min(len(theirs), len(ours)))
    texts = [", ".join(theirs[: part + 1]), ", ".join(ours[: part + 1]), left, right]
    there, here, whole, own = exact_cosines(clip, path, texts)
    return (
        f"  package    {left}\n  labelmill  {right}\n"
        f"  in 64 bits, where they part: {there:.9f} and {here:.9f} ({there - here:+.1e}); whole: {whole - own:+.1e}"
    )


def compare(arguments) -> bool:
    """Prints the table of equal prompts; says whether all are equal."""
    margins = Margins()
    clip = models.train_clip(arguments.data_dir, arguments.work / "clip.pt", arguments.train_steps)
    folder = arguments.work / "models"
    if not (folder / models.CLIP_NAME / "model.toml").is_file():
        export_parity_clip(clip, folder, models.CLIP_NAME)
    blip, processor = load_captioner(arguments.data_dir, folder)
    paths = prepare_pictures(arguments.data_dir, arguments.work / "pictures", arguments.pictures)
    peer = load_peer(clip, blip, processor, arguments, arguments.work / "peer-cache", margins)
    wanted = ask_peer(peer, paths, MODES, arguments, margins)
    more = {"captioner": str(folder / "parity-captioner"), "pictures": [str(path) for path in paths]}
    made = ask_labelmill(arguments, job(arguments, folder, MODES, **more))
    (arguments.work / "answers.json").write_text(json.dumps({"peer": wanted, "labelmill": made}, indent=1))
    print(f"\n{len(paths)} pictures, {len(set(wanted['captions']))} different captions, {arguments.table_terms} terms a table")
    print("| mode | equal prompts | different ones | top-1 margins: smallest | median |\n|---|---:|---:|---:|---:|")
    all_equal = True
    for mode in MODES:
        pairs = list(zip(wanted[mode]["prompts"], made[mode]["prompts"], strict=True))
        equal = sum(left == right for left, right in pairs)
        gaps = wanted[mode]["gaps"]
        shown = f"{min(gaps):.1e} | {statistics.median(gaps):.1e}" if gaps else "– | –"
        print(f"| `{mode}` | {equal} of {len(pairs)} | {len(set(wanted[mode]['prompts']))} | {shown} |")
        all_equal &= equal == len(pairs)
        for path, (left, right) in zip(paths, pairs, strict=True):
            if left != right:
                print(f"{path.name} {mode}\n{explain(clip, path, left, right)}", file=sys.stderr)
    return all_equal


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bench", type=Path, required=True, help="the program interrogate-bench")
    parser.add_argument("--work", type=Path, required=True, help="keeps models, pictures and answers")
    parser.add_argument("--runtime", type=Path, required=True, help="folder of ONNX Runtime's library")
    parser.add_argument("--data-dir", type=Path, required=True, help="of train_demo_captioner.py, with its checkpoint")
    parser.add_argument("--pictures", type=int, default=36)
    parser.add_argument("--table-terms", type=int, default=600)
    parser.add_argument("--chunk", type=int, default=512)
    parser.add_argument("--candidates", type=int, default=512)
    parser.add_argument("--min-terms", type=int, default=8)
    parser.add_argument("--max-terms", type=int, default=32)
    parser.add_argument("--train-steps", type=int, default=1500)
    parser.add_argument("--costs", action="store_true", help="time both instead of comparing prompts")
    parser.add_argument("--only", nargs="+", default=["build", "best", "rank", "fast"], help="with --costs")
    parser.add_argument("--rounds", type=int, default=1, help="with --costs: medians of so many")
    parser.add_argument("--small", action="store_true", help="with --costs: 2 layers of BLIP and ViT-B-32, to try it out")
    parser.add_argument("--as-peer", help=argparse.SUPPRESS)
    parser.add_argument("--tower", type=lambda text: [int(part) for part in text.split(",")], default=[256, 12, 4],
                        help="with --costs: width, layers and heads of the text tower")  # fmt: skip
    parser.add_argument("--built", type=int, default=10_000, help="with --costs: terms that are embedded")
    parser.add_argument("--ranked", type=int, default=64, help="with --costs: pictures that are ranked")
    parser.add_argument("--seed", type=int, default=5)
    arguments = parser.parse_args()
    arguments.patched, arguments.command_line = not arguments.costs, sys.argv
    return arguments


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(1)
    arguments.work.mkdir(parents=True, exist_ok=True)
    if arguments.costs:
        import interrogator_costs

        interrogator_costs.measure(arguments)
    elif not compare(arguments):
        raise SystemExit("some prompts differ")


if __name__ == "__main__":
    main()
