"""The times of interrogator_parity --costs: clip-interrogator as it is, and labelmill, in turn on one thread.

Ranking the full merged table, building a table's embeddings, and `best` with a text tower of --tower. Where the
package would take hours, both take fewer candidates and steps; the table says so.
"""

import resource
import subprocess
import time

import interrogator_models as models
import interrogator_parity as parity
import numpy as np
import torch


def peak_mib(who) -> float:
    return resource.getrusage(who).ru_maxrss / 1024


@torch.no_grad()
def rank(peer, pictures: int) -> float:
    """Seconds a picture that the package takes to rank made-up pictures against its merged table."""
    from clip_interrogator import clip_interrogator as package

    width = peer.artists.embeds[0].shape[0]
    vectors = torch.nn.functional.normalize(torch.from_numpy(np.random.default_rng(1).normal(size=(pictures, width))).float(), dim=1)
    tables = [peer.artists, peer.flavors, peer.mediums, peer.movements, peer.trendings]
    began = time.perf_counter()
    for vector in vectors:
        # As interrogate_fast does it for every picture.
        package._merge_tables(tables, peer).rank(vector[None], 32)
    return (time.perf_counter() - began) / pictures


@torch.no_grad()
def build(peer, labels) -> float:
    """Seconds that the package takes to embed labels."""
    from clip_interrogator import clip_interrogator as package

    began = time.perf_counter()
    package.LabelTable(labels, None, peer)
    return time.perf_counter() - began


def measure(arguments) -> None:
    """Prints the table of times."""
    import open_clip

    torch.manual_seed(arguments.seed)
    width, layers, heads = arguments.tower
    clip = open_clip.model.CLIP(**models.clip_config(width, layers, heads)).eval()
    folder = arguments.work / f"costs-{layers}x{width}"
    if not (folder / models.CLIP_NAME / "model.toml").is_file():
        parity.export_parity_clip(clip, folder, models.CLIP_NAME)
        torch.save(clip.state_dict(), folder / "clip.pt")
    clip.load_state_dict(torch.load(folder / "clip.pt"))
    paths = parity.prepare_pictures(arguments.data_dir, arguments.work / "pictures", arguments.pictures)
    captions = ["a picture of a cat"] * len(paths)
    cache = folder / "cache"
    more = {"captions": captions, "cache": str(cache), "pictures": [str(path) for path in paths]}
    rows = []
    peer = parity.load_peer(clip, None, None, arguments, folder / "peer-cache", parity.Margins())
    if "build" in arguments.only:
        labels = (peer.flavors.labels * (arguments.built // len(peer.flavors.labels) + 1))[: arguments.built]
        theirs = build(peer, labels)
        # Flavors alone, cut to as many terms.
        job = parity.job(arguments, folder, ["fast"], tables=["flavors"], table_terms=arguments.built, captions=[""])
        ours = parity.ask_labelmill(arguments, job)["fast"]["opening_secs"]
        rows.append((f"embedding {arguments.built:,} terms, text tower {layers} x {width}", theirs, ours))
    if "best" in arguments.only:
        terms = {"min_flavors": arguments.min_terms, "max_flavors": arguments.max_terms}
        began = time.perf_counter()
        for path, caption in zip(paths, captions, strict=True):
            peer.interrogate(parity.Image.open(path).convert("RGB"), caption=caption, **terms)
        theirs = (time.perf_counter() - began) / len(paths)
        ours = parity.ask_labelmill(arguments, parity.job(arguments, folder, ["best"], **more))["best"]["secs"] / len(paths)
        what = f"`best`, text tower {layers} x {width}, {arguments.candidates} candidates, {arguments.max_terms} steps, a picture"
        rows.append((what, theirs, ours))
    if "rank" in arguments.only:
        job = parity.job(arguments, folder, [], table_terms=None, ranked=arguments.ranked, batch=32, cache=str(folder / "full-cache"))
        ours = parity.ask_labelmill(arguments, job)["ranking"]["secs"] / arguments.ranked
        # Our caches are its caches: it embeds nothing.
        arguments.table_terms = 1 << 30
        peer = parity.load_peer(clip, None, None, arguments, folder / "full-cache", parity.Margins())
        rows.append(("ranking the whole merged table (111,867 terms), a picture", rank(peer, arguments.ranked // 8), ours))
    print("| what | clip-interrogator 0.6.0 | labelmill | times |\n|---|---:|---:|---:|")
    for what, theirs, ours in rows:
        print(f"| {what} | {theirs:.3f} s | {ours:.4f} s | {theirs / ours:.1f} |")
    print(f"\npeak memory: {peak_mib(resource.RUSAGE_SELF):.0f} MiB, labelmill {peak_mib(resource.RUSAGE_CHILDREN):.0f} MiB")
    load = subprocess.run(["uptime"], capture_output=True, text=True).stdout.strip()
    print(f"one thread each, in turn; {load}")
