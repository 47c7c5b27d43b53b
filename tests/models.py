"""Builders of tiny models and tokenizers in bge-en-icl's format; everything from fixed seeds, nothing downloaded."""

from __future__ import annotations

import importlib.util
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

Style = Literal["llama", "bytes"]
Ends = Literal["both", "begin", "none"]

BASE_TOKENS = ("<unk>", "<s>", "</s>")
ICL_TOKENS = ("<instruct>", "<query>", "<response>")
_TEMPLATES: dict[Ends, str] = {"both": "<s> $A </s>", "begin": "<s> $A", "none": "$A"}

_WORDS = (
    "the of and to in is that for it as was with be by on not he his but at are this have from or had an they which one "
    "you were all her she there would their we him been has when who will no more if out so what up said its about than "
    "into them can only other time new some could these two may first then do any like my now over such our man me even "
    "most made after also did many off before must well back through years much where your way down should because long "
    "each just state people those too mr how little good world make very year still see own work men day get here between "
    "both life being under three never know same last another while us might great old come right used take question "
    "answer passage retrieve protein sugar window river engine market doctor school river-bank weather city search query "
    "document sentence meaning similar given classify topic category label heat water energy money price card account"
)
WORDS = _WORDS.split()


def training_lines(count: int = 400) -> list[str]:
    """Return made-up sentences that a tokenizer learns a small vocabulary from."""
    rng = random.Random(7)
    ends = (".", "?", "!", ", then", ";", ":")
    return [
        " ".join(rng.choice(WORDS) for _ in range(rng.randint(4, 14))).capitalize() + rng.choice(ends)
        for _ in range(count)
    ]


def _learn(lines: Sequence[str], pre_tokenizer: Any, size: int) -> tuple[list[str], list[tuple[str, str]]]:
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizer
    alphabet = pre_tokenizers.ByteLevel.alphabet() if isinstance(pre_tokenizer, pre_tokenizers.ByteLevel) else []
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=sorted(alphabet), show_progress=False)
    learner.train_from_iterator(lines, trainer)
    model = json.loads(learner.to_str())["model"]
    pieces = sorted(model["vocab"], key=model["vocab"].__getitem__)
    return pieces, [(left, right) for left, right in model["merges"]]


def _finish(tokenizer: Tokenizer, directory: Path, ends: Ends, config: dict[str, Any]) -> None:
    tokenizer.add_special_tokens(
        [AddedToken(token, normalized=False, special=True) for token in (*BASE_TOKENS, *ICL_TOKENS)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=_TEMPLATES[ends], special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(directory / "tokenizer.json"))
    settings = {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "pad_token": "<unk>",
        "padding_side": "left",
        "clean_up_tokenization_spaces": False,
        "model_max_length": 1_000_000,
        "additional_special_tokens": list(ICL_TOKENS),
        **config,
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


def _legacy_llama(vocab: dict[str, int], merges: list[tuple[str, str]]) -> Tokenizer:
    """Return a tokenizer as transformers writes one for a Llama sentencepiece model with `legacy`: Prepend and Replace."""
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return tokenizer


LLAMA_CONFIG: dict[str, Any] = {"tokenizer_class": "LlamaTokenizer", "legacy": True}
FAST_CONFIG: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast"}


def build_tokenizer(directory: Path, *, style: Style, ends: Ends = "both") -> int:
    """Write a tokenizer; AutoTokenizer loads it.

    Args:
        directory: folder to write into.
        style: `llama`: BPE over `▁`-words with byte fallback; `bytes`: byte-level BPE.
        ends: what its tokenizer.json puts around an input: `<s> ... </s>`, `<s> ...` or nothing.

    Returns:
        The number of tokens.
    """
    lines = training_lines()
    if style == "llama":
        pieces, merges = _learn(lines, pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always"), 500)
        names = [*BASE_TOKENS, *(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
        tokenizer = _legacy_llama({name: number for number, name in enumerate(names)}, merges)
        config = LLAMA_CONFIG
    else:
        pieces, merges = _learn(lines, pre_tokenizers.ByteLevel(add_prefix_space=False), 700)
        names = [*BASE_TOKENS, *pieces]
        tokenizer = Tokenizer(models.BPE({name: number for number, name in enumerate(names)}, merges))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        config = FAST_CONFIG
    _finish(tokenizer, directory, ends, config)
    return tokenizer.get_vocab_size()


def mistral_v1_file() -> Path | None:
    """Return Mistral-7B-v0.1's sentencepiece model inside the PyPI package mistral-common, if that is installed."""
    spec = importlib.util.find_spec("mistral_common")
    if spec is None or not spec.submodule_search_locations or importlib.util.find_spec("sentencepiece") is None:
        return None
    file = Path(next(iter(spec.submodule_search_locations))) / "data" / "tokenizer.model.v1"
    return file if file.is_file() else None


def build_mistral_tokenizer(directory: Path, *, ends: Ends = "both", model_type: str | None = "mistral") -> None:
    """Write bge-en-icl's tokenizer as far as it is public: Mistral's, legacy normalizer, three added tokens.

    `model_type` goes into a config.json beside it; under transformers 5 it decides whether AutoTokenizer takes
    tokenizer.json as it stands (`mistral`) or rebuilds it with other blanks (None: LlamaTokenizer).
    """
    import sentencepiece

    source = sentencepiece.SentencePieceProcessor(model_file=str(mistral_v1_file()))
    vocab = {source.id_to_piece(number): number for number in range(source.get_piece_size())}
    scored = []
    for piece, number in vocab.items():
        parts = [(piece[:at], piece[at:]) for at in range(1, len(piece))]
        known = [(left, right) for left, right in parts if left in vocab and right in vocab]
        known.sort(key=lambda pair: (vocab[pair[0]], vocab[pair[1]]))
        scored += [(source.get_score(number), pair) for pair in known]
    scored.sort(key=lambda entry: (entry[0], len(entry[1][0]), len(entry[1][1])), reverse=True)
    _finish(_legacy_llama(vocab, [pair for _, pair in scored]), directory, ends, LLAMA_CONFIG)
    if model_type is not None:
        (directory / "config.json").write_text(json.dumps({"model_type": model_type}), encoding="utf-8")


def build_model(
    directory: Path, *, style: Style = "llama", ends: Ends = "both", layers: int = 2, seed: int = 7, **config: Any
) -> Path:
    """Write a tiny random Mistral model with its tokenizer and return the directory.

    Its weights are drawn with a spread of 0.3, fifteen times the usual one, so that every token moves the vector.
    """
    import torch
    from transformers import MistralConfig, MistralModel

    size = build_tokenizer(directory, style=style, ends=ends)
    settings = {
        "vocab_size": size,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "initializer_range": 0.3,
        "max_position_embeddings": 8192,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = MistralModel(MistralConfig(**{**settings, **config}))
    model.save_pretrained(directory)
    return directory


def varied_texts(count: int, seed: int = 0) -> list[str]:
    """Return texts that are hard on a tokenizer: the fixed ones first, then drawn ones of every kind."""
    fixed = [
        "",
        " ",
        "\n",
        "\t\n \n",
        "a",
        "é",
        ".",
        "  leading blanks",
        "trailing blanks   ",
        "\n\nleading lines",
        "trailing lines\n\n\n",
        "many\n\n\n\n\n\n\nlines\nin\r\n\r\none text\r",
        "tabs\tand\t\ttabs",
        "emoji 😀👍🏽👨‍👩‍👧‍👦🇫🇷 in text",
        "😀" * 40,
        "مرحبا بالعالم هذا نص طويل",
        "שלום עולם and then English",
        "日本語のテキストです。漢字かな交じり文。",
        "Ὀδυσσεύς Straße naïve cafe\u0301 ﬁn",
        "a\u200bb\u200fc\u2028d\u2029e\u00a0f\ufeffg",
        "control \x01\x02\x1b\x7f\x85 characters",
        "▁already▁marked▁ words ▁",
        "<0x0A> and <0xE2> as text",
        "a text with </s> inside and <s> too",
        "<query>a marker first",
        "<instruct>x\n<query>y\n<response>z\n\n",
        "< query > <Query> <response",
        "{instruction} {text} {} {0} %s",
        "don ' t , do n't . it 's ! we 've ?",
        "word " * 700,
        "averyverylongwordwithoutanyblank" * 60,
        "line\n" * 600,
        "多字节" * 400,
        "😀 " * 300,
        "</s>" * 600,
        "x" * 5000,
    ]
    rng = random.Random(seed)
    kinds = (
        lambda: rng.choice(WORDS),
        lambda: rng.choice(WORDS).upper(),
        lambda: str(rng.randint(0, 10**6)),
        lambda: chr(rng.randint(0x21, 0x7E)) * rng.randint(1, 4),
        lambda: chr(rng.randint(0xC0, 0x24F)),
        lambda: chr(rng.randint(0x5D0, 0x5EA)) * rng.randint(1, 5),
        lambda: chr(rng.randint(0x4E00, 0x9FFF)) * rng.randint(1, 3),
        lambda: chr(rng.randint(0x1F300, 0x1F64F)),
        lambda: rng.choice((*ICL_TOKENS, "<s>", "</s>", "<unk>")),
        lambda: chr(rng.randint(1, 31)),
    )
    weights = (60, 6, 6, 6, 4, 3, 3, 3, 1, 1)
    gaps = (" ",) * 20 + ("  ", "\n", "\n\n", "", ", ", "\t", "   \n ")
    texts = list(fixed)
    while len(texts) < count:
        words = rng.choice((1, 2, 5, 10, 20, 40, 80, 400))
        pieces = [rng.choices(kinds, weights)[0]() + rng.choice(gaps) for _ in range(rng.randint(1, words))]
        edge = rng.choice(("", "", "", " ", "  ", "\n"))
        texts.append(edge + "".join(pieces) + rng.choice(("", "", " ", "\n\n")))
    return texts[:count]
