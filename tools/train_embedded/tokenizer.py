"""The model's tokenizer: a byte-level BPE of lower-cased text with the special tokens of bge-en-icl."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

SPECIALS = ("<unk>", "<s>", "</s>", "<instruct>", "<query>", "<response>")
UNK, BOS, EOS, INSTRUCT, QUERY, RESPONSE = range(6)
SETTINGS = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "pad_token": "<unk>",
    "padding_side": "left",
    "model_max_length": 8192,
    "clean_up_tokenization_spaces": False,
}


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Any:
    """Train the tokenizer; the same texts in the same order give the same file.

    Returns:
        `tokenizers.Tokenizer`.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Lowercase()  # a cased vocabulary of this size splits everyday words
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=list(SPECIALS),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", BOS), ("</s>", EOS)]
    )
    return tokenizer


def save_tokenizer(tokenizer: Any, directory: Path) -> None:
    """Write tokenizer.json and tokenizer_config.json."""
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(directory / "tokenizer.json"), pretty=False)
    (directory / "tokenizer_config.json").write_text(json.dumps(SETTINGS, indent=1) + "\n", encoding="utf-8")
