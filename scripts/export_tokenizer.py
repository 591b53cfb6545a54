"""tokenizer.json files for exported CLIPs."""

import gzip
import pathlib
import string

TINY_MERGES = 1000
"""Merges of a cut-down vocabulary."""

TINY_WORDS = 512 + TINY_MERGES + 2
"""Its tokens: letters, letters that end a word, merges, start and end; 49,408 in the whole one."""


def write_clip_tokenizer(path: pathlib.Path, merges_kept=None):
    """open_clip's SimpleTokenizer as tokenizer.json, from the merges in its package (MIT). Cleaning
    that is more than white space and case (ftfy, HTML) is the caller's."""
    import open_clip
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    source = pathlib.Path(open_clip.__file__).with_name("bpe_simple_vocab_16e6.txt.gz")
    lines = gzip.open(source).read().decode("utf-8").split("\n")[1 : 49152 - 256 - 2 + 1]
    merges = [tuple(line.split()) for line in lines[:merges_kept]]
    letters = list(open_clip.tokenizer.bytes_to_unicode().values())
    words = letters + [letter + "</w>" for letter in letters] + ["".join(merge) for merge in merges]
    start, end = len(words), len(words) + 1
    vocabulary = {word: index for index, word in enumerate(words)}
    vocabulary |= {"<start_of_text>": start, "<end_of_text>": end}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, end_of_word_suffix="</w>", fuse_unk=False))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip(), normalizers.Lowercase()]
    )
    pattern = r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), behavior="removed", invert=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start_of_text> $A <end_of_text>", special_tokens=[("<start_of_text>", start), ("<end_of_text>", end)]
    )
    tokenizer.add_special_tokens([AddedToken(word, normalized=True, special=True) for word in ("<start_of_text>", "<end_of_text>")])
    tokenizer.save(str(path), pretty=False)
    return tokenizer


def write_stand_in_tokenizer(path: pathlib.Path, pad: str, end: str):
    """Letters and signs, for models with random weights whose own tokenizer is not in a package."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    signs = [pad, end, "<unk>", *string.ascii_lowercase, *string.digits, *string.punctuation]
    tokenizer = Tokenizer(models.WordLevel({sign: index for index, sign in enumerate(signs)}, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split("", "isolated")])
    tokenizer.post_processor = processors.TemplateProcessing(single=f"$A {end}", special_tokens=[(end, 1)])
    tokenizer.save(str(path), pretty=False)
    return tokenizer
