"""The two towers of a CLIP as plain modules that any exporter understands."""

import torch
from torch import nn


class Attention(nn.Module):
    """torch's MultiheadAttention over one batch-first sequence, in plain operations."""

    def __init__(self, attention: nn.MultiheadAttention):
        super().__init__()
        self.heads, self.head_width = attention.num_heads, attention.head_dim
        self.qkv = nn.Linear(attention.embed_dim, 3 * attention.embed_dim)
        self.qkv.weight, self.qkv.bias = attention.in_proj_weight, attention.in_proj_bias
        self.out = attention.out_proj

    def split(self, x):
        """Queries (scaled), keys and values, each [batch, head, position, head width]."""
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, self.head_width))
        query, key, value = (one.transpose(1, 2) for one in qkv.unbind(2))
        return query * self.head_width**-0.5, key, value

    def mix(self, query, key, value, mask=None):
        """Softmax attention of given queries over given keys and values."""
        scores = query @ key.transpose(-1, -2)
        if mask is not None:
            scores = scores + mask
        return self.out((scores.softmax(-1) @ value).transpose(1, 2).flatten(2))

    def forward(self, query, _key=None, _value=None, attn_mask=None, **_options):
        # Called in the place of torch's module, which returns the weights too.
        return self.mix(*self.split(query), attn_mask), None


class TextTower(nn.Module):
    """open_clip's text transformer for any sequence length up to its context.

    A causal tower pools at the end token, so what stands behind it never counts, and rows can be
    cut to the longest text of a batch.
    """

    def __init__(self, model):
        super().__init__()
        text = getattr(model, "text", model)
        self.embedding, self.places = text.token_embedding, text.positional_embedding
        self.blocks, self.norm = text.transformer.resblocks, text.ln_final
        self.projection = text.text_projection
        self.pool = getattr(text, "pool_type", None) or text.text_pool_type
        self.end = getattr(text, "eos_id", None) or getattr(text, "text_eos_id", None)
        self.causal = text.attn_mask is not None
        self.context = text.context_length
        if getattr(text, "cls_emb", None) is not None or getattr(text, "use_pad_mask", False):
            raise SystemExit("text towers with a class token or a padding mask (CoCa) are not exported")

    def mask(self, x):
        """What no position may look at: those behind it."""
        if not self.causal:
            return None
        length = x.shape[1]
        steps = torch.arange(length, device=x.device)
        behind = steps[None, :] > steps[:, None]
        # Finite, as 16-bit floats have no room for more and -inf makes not-a-numbers in some kernels.
        return behind.to(x.dtype) * -30000.0

    def embed(self, ids, first=0):
        """Token and position embeddings of ids that begin at position `first`."""
        return self.embedding(ids) + self.places[first : first + ids.shape[1]]

    def pooled(self, x, ids):
        """The position that stands for the text, normalised and projected."""
        if self.pool == "last":
            x = x[:, -1]
        else:
            marks = ids if self.pool == "argmax" else (ids == self.end).int()
            index = marks.argmax(-1)[:, None, None].expand(-1, 1, x.shape[-1])
            x = x.gather(1, index)[:, 0]
        x = self.norm(x)
        if self.projection is None:
            return x
        return self.projection(x) if isinstance(self.projection, nn.Linear) else x @ self.projection

    def forward(self, input_ids):
        x = self.embed(input_ids)
        mask = self.mask(x)
        for block in self.blocks:
            x = block(x, attn_mask=mask)
        return self.pooled(x, input_ids)


class ImageTower(nn.Module):
    """`encode_image` alone, with nothing of the text tower in the graph."""

    def __init__(self, visual):
        super().__init__()
        self.visual = visual

    def forward(self, pixel_values):
        return self.visual(pixel_values)


def use_plain_attention(module: nn.Module):
    """Puts [`Attention`] in the place of torch's modules, whose shortcut no exporter knows."""
    for name, child in module.named_children():
        if isinstance(child, nn.MultiheadAttention) and child.in_proj_weight is not None and child.batch_first:
            setattr(module, name, Attention(child))
        else:
            use_plain_attention(child)


class HfImage(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixel_values):
        made = self.model.get_image_features(pixel_values=pixel_values)
        return made if isinstance(made, torch.Tensor) else made.pooler_output


class HfText(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids):
        made = self.model.get_text_features(input_ids=input_ids)
        return made if isinstance(made, torch.Tensor) else made.pooler_output
