"""The text tower of a CLIP in steps, for prompts that grow: what many texts have in common is computed once.

A causal tower never looks ahead, so the keys and values of a prompt's positions hold for whatever follows. The graph
takes them in and continues each prompt by many short texts at once; run on the prompt itself, with nothing before it,
it gives them out.

    input_ids  int64 [pictures, texts, length]  what follows, padded behind the end token
    start      int64 [pictures]                 positions that stand before it
    keys       float [pictures, layers, heads, before, width]  of those positions; more are masked, at least one is there
    values     float, likewise
    text_embeds  float [pictures, texts, embedding]  not normalised
    new_keys, new_values  float [pictures, layers, heads, texts * length, width]  of the positions of `input_ids`
"""

import torch
from torch import nn

import export_common as common

INPUTS = ["input_ids", "start", "keys", "values"]
OUTPUTS = ["text_embeds", "new_keys", "new_values"]
MASKED = -30000.0
"""As in the plain tower: finite, with room in 16 bits."""


class TextSteps(nn.Module):
    """A causal [`TextTower`] whose attention also looks at positions that were computed before."""

    def __init__(self, tower):
        super().__init__()
        if not tower.causal or tower.pool == "last":
            raise SystemExit("only a causal text tower that pools at its end token can go in steps")
        self.tower = tower

    def forward(self, input_ids, start, keys, values):
        pictures, texts, length = input_ids.shape
        steps = torch.arange(length, device=input_ids.device)
        # Padding may reach behind the last place; nobody looks at it.
        places = (start[:, None] + steps[None, :]).clamp(max=self.tower.context - 1)
        x = self.tower.embedding(input_ids) + self.tower.places[places][:, None]
        x = x.flatten(1, 2)
        before = torch.arange(keys.shape[3], device=input_ids.device)
        before_mask = (before[None, :] >= start[:, None]).to(x.dtype)[:, None, None, :] * MASKED
        ahead_mask = (steps[None, :] > steps[:, None]).to(x.dtype) * MASKED
        new_keys, new_values = [], []
        for layer, block in enumerate(self.tower.blocks):
            query, key, value = block.attn.split(block.ln_1(x))
            new_keys.append(key)
            new_values.append(value)
            fold = (pictures, query.shape[1], texts, length, query.shape[3])
            # Every position looks at the common ones: one product a picture and head, whatever the number of texts.
            common_scores = query @ keys[:, layer].transpose(-1, -2) + before_mask
            own_scores = query.reshape(fold) @ key.reshape(fold).transpose(-1, -2) + ahead_mask
            scores = torch.cat([common_scores, own_scores.flatten(2, 3)], -1).softmax(-1)
            common_share, own_share = scores[..., : keys.shape[3]], scores[..., keys.shape[3] :]
            own = own_share.reshape(*fold[:4], length) @ value.reshape(fold)
            mixed = common_share @ values[:, layer] + own.flatten(2, 3)
            x = x + block.ls_1(block.attn.out(mixed.transpose(1, 2).flatten(2)))
            x = x + block.ls_2(block.mlp(block.ln_2(x)))
        rows = x.reshape(pictures * texts, length, x.shape[-1])
        pooled = self.tower.pooled(rows, input_ids.flatten(0, 1))
        return pooled.reshape(pictures, texts, -1), torch.stack(new_keys, 1), torch.stack(new_values, 1)


def export_chain(tower, folder, precision="fp32", check=True):
    """Writes `text_steps.onnx` beside the plain tower; its files, none for a tower that cannot go in steps."""
    if not tower.causal or tower.pool == "last":
        return []
    module = TextSteps(tower)
    layers, attention = len(tower.blocks), tower.blocks[0].attn
    ids = torch.randint(1, 9, (2, 3, 4))
    # An end token for each text, where the pooling looks for one.
    ids[..., -1] = tower.embedding.num_embeddings - 1
    cache = torch.randn(2, layers, attention.heads, 5, attention.head_width)
    example = (ids, torch.tensor([5, 3]), cache, cache * 0.5)
    dynamic = [
        {0: "pictures", 1: "texts", 2: ("length", 2, tower.context)}, {0: "pictures"},
        {0: "pictures", 3: ("before", 2, tower.context)}, {0: "pictures", 3: ("before", 2, tower.context)},
    ]  # fmt: skip
    return common.export_graph(module, example, folder / "text_steps.onnx", (INPUTS, OUTPUTS), dynamic, precision, check)
