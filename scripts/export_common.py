"""What the export scripts share: one way to write a graph, its checksums and its manifest."""

import hashlib
import json
import pathlib
import re

import numpy as np
import onnx
import torch
from PIL import Image

OPSET = 18
PRECISIONS = ["fp32", "fp16", "half-weights"]
"""The last keeps 32-bit arithmetic and stores weights in 16 bits; for graphs below 2 GiB."""

LARGEST_PLAIN_FILE = 1_900_000_000
"""Protobuf ends at 2 GiB; larger weights go into `NAME.onnx.data`, which the manifest lists."""


class InPrecision(torch.nn.Module):
    """A module computed in another precision, 32-bit floats outside."""

    def __init__(self, module, dtype):
        super().__init__()
        self.module = module.to(dtype)
        self.dtype = dtype

    def forward(self, given):
        made = self.module(given.to(self.dtype) if given.is_floating_point() else given)
        if isinstance(made, (list, tuple)):
            return tuple(one.float() for one in made)
        return made.float()


def export_graph(module, example, path: pathlib.Path, names, dynamic, precision="fp32", check=True):
    """Writes `module` as ONNX.

    `example`: a tuple of inputs of at least 2 rows. `names`: (input names, output names).
    `dynamic`: for each input, {dimension: its name, or (name, smallest, largest)}; a name that two
    inputs share is one length.
    `check`: run the written file beside the module. Returns the names of the files that were written.
    """
    if precision == "fp16":
        module = InPrecision(module, torch.float16)
    module = module.eval().requires_grad_(False)
    dims = {}
    shapes = []
    for axes in dynamic:
        shapes.append({})
        for axis, said in axes.items():
            name, smallest, largest = said if isinstance(said, tuple) else (said, 2, 1 << 16)
            shapes[-1][axis] = dims.setdefault(name, torch.export.Dim(name, min=smallest, max=largest))
    path.parent.mkdir(parents=True, exist_ok=True)
    weights = sum(one.numel() * one.element_size() for one in module.state_dict().values())
    program = torch.onnx.export(
        module, example, dynamo=True, input_names=list(names[0]), output_names=list(names[1]),
        dynamic_shapes=tuple(shapes), opset_version=OPSET, verbose=False,
    )  # fmt: skip
    for value in program.model.graph:
        # Names of this machine's source files, of no use to anybody.
        value.metadata_props.clear()
        value.doc_string = None
    path.unlink(missing_ok=True)
    data = path.with_name(path.name + ".data")
    data.unlink(missing_ok=True)
    program.save(str(path), external_data=weights > LARGEST_PLAIN_FILE)
    del program
    if precision == "half-weights":
        half_weights(path)
    elif check and precision == "fp32":
        check_graph(module, example, path, names)
    return [path.name] + ([data.name] if data.exists() else [])


def check_graph(module, example, path: pathlib.Path, names):
    """Runs the written graph on one row and on all rows of the example, beside the module itself.

    Tracing assumes at least two rows; this shows that one row is as good."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for rows in (1, len(example[0])):
        given = [one[:rows] for one in example]
        wanted = module(*given)
        wanted = wanted if isinstance(wanted, (list, tuple)) else [wanted]
        made = session.run(list(names[1]), {name: one.numpy() for name, one in zip(names[0], given)})
        for name, one, reference in zip(names[1], made, wanted):
            off = float(np.abs(one - reference.numpy()).max() / max(float(reference.abs().max()), 1e-6))
            print(f"{path.name}: {name} of {rows} rows differs from torch by {off:.1e} of its largest value")
            if not off < 1e-3:
                raise SystemExit(f"{path} does not compute what the module does")


@torch.no_grad()
def round_weights(module: torch.nn.Module):
    """Makes every weight one that a 16-bit float holds."""
    for parameter in module.parameters():
        parameter.copy_(parameter.half().float())


def half_weights(path: pathlib.Path):
    """Stores a graph's weights as 16-bit floats with a cast behind each: half the file, all
    arithmetic in 32 bits."""
    model = onnx.load(path)
    kept, casts = [], []
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < 64 or not np.isfinite(values.astype(np.float16)).all():
            kept.append(tensor)
            continue
        kept.append(onnx.numpy_helper.from_array(values.astype(np.float16), tensor.name + "_half"))
        casts.append(onnx.helper.make_node("Cast", [tensor.name + "_half"], [tensor.name], to=onnx.TensorProto.FLOAT))
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    nodes = casts + list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    path.write_bytes(model.SerializeToString(deterministic=True))


def sha256(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def slug(text: str) -> str:
    """A model's name as manifests want it."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")


def toml_value(value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml_value(one) for one in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml_value(one)}" for key, one in value.items()) + " }"
    if isinstance(value, (int, float)):
        return repr(value)
    # JSON's strings are TOML's basic strings.
    return json.dumps(str(value), ensure_ascii=False)


def write_manifest(folder: pathlib.Path, manifest: dict, extra_files=()):
    """Writes `model.toml`: plain keys, then tables, then lists of tables; None is left out. Every
    file is listed with its checksum."""
    plain, tables, lists = [], [], []
    for key, value in manifest.items():
        if value is None:
            continue
        if isinstance(value, dict):
            lines = [f"{name} = {toml_value(one)}" for name, one in value.items() if one is not None]
            tables.append(f"\n[{key}]\n" + "\n".join(lines))
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            lists += [f"\n[[{key}]]\n" + "\n".join(f"{name} = {toml_value(one)}" for name, one in row.items()) for row in value]
        else:
            plain.append(f"{key} = {toml_value(value)}")
    for name in extra_files:
        lists.append(f'\n[[files]]\nfile = {toml_value(name)}\nsha256 = "{sha256(folder / name)}"')
    (folder / "model.toml").write_text("\n".join(plain + tables + lists) + "\n", encoding="utf-8")


def add_arguments(parser):
    """The arguments that every export of a tagger has."""
    parser.add_argument("--to", type=pathlib.Path, required=True, help="folder that takes the model's folder")
    parser.add_argument("--name", help="name in the manifest")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32")
    parser.add_argument("--random-weights", action="store_true", help="the architecture alone, for tests and benchmarks")
    parser.add_argument("--pictures", type=pathlib.Path, help="with --random-weights: spread scores over these pictures")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--floor", type=float, default=0.05, help="lowest score kept, for the manifest")
    parser.add_argument("--no-check", dest="check", action="store_false", help="do not run the written graph beside torch")


def list_files(folder: pathlib.Path):
    for path in sorted(folder.iterdir()):
        print(f"{path}: {path.stat().st_size:,} bytes")


def read_pictures(folder, size: int) -> np.ndarray:
    """Pictures to adjust random weights to, squashed, uint8 NHWC; none: made-up ones."""
    if folder is None:
        return made_up_pictures(size)
    paths = sorted(path for path in folder.iterdir() if path.suffix in {".png", ".jpg", ".jpeg", ".webp"})
    return np.stack([np.asarray(Image.open(path).convert("RGB").resize((size, size), Image.BICUBIC)) for path in paths])


def made_up_pictures(size: int, count: int = 8, seed: int = 7) -> np.ndarray:
    """Pictures of no thing: smooth colour fields with some noise, uint8 NHWC."""
    generator = np.random.default_rng(seed)
    pictures = []
    for _ in range(count):
        coarse = generator.uniform(0, 255, (6, 6, 3)).astype(np.float32)
        field = torch.nn.functional.interpolate(
            torch.from_numpy(coarse).permute(2, 0, 1)[None], size=(size, size), mode="bicubic", align_corners=False
        )[0].permute(1, 2, 0).numpy()  # fmt: skip
        pictures.append(np.clip(field + generator.normal(0, 12, field.shape), 0, 255).astype(np.uint8))
    return np.stack(pictures)


def prepared(pictures: np.ndarray, mean, std) -> torch.Tensor:
    """uint8 NHWC to normalised float NCHW."""
    values = torch.from_numpy(pictures).float().permute(0, 3, 1, 2) / 255
    return (values - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)


def sharpen(module: torch.nn.Module, gain: float = 2.5):
    """Makes random attention look at something: as initialised, every head averages over all
    positions, so that a random tower hardly sees its picture. Queries and keys are scaled up."""
    for name, parameter in module.named_parameters():
        if name.endswith(("in_proj_weight", "qkv.weight")):
            width = parameter.shape[0] // 3
            with torch.no_grad():
                parameter[: 2 * width] *= gain
        elif re.search(r"(q_proj|k_proj|\.q|\.k)\.weight$", name):
            with torch.no_grad():
                parameter *= gain


@torch.no_grad()
def centre(layer: torch.nn.Module, biased: torch.nn.Module, run, batches):
    """Takes the mean of `layer`'s output over `batches` off it by way of the bias of `biased`, so
    that the embeddings of a random model differ by what the pictures differ in."""
    seen = []
    hook = layer.register_forward_hook(lambda _module, _given, made: seen.append(made.float().flatten(0, -2)))
    for batch in batches:
        run(batch)
    hook.remove()
    biased.bias -= torch.cat(seen).mean(0).to(biased.bias.dtype)
