"""The model's shape, what its dimensions are for, and its files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from tools.train_embedded.tokenizer import BOS, EOS, UNK

VOCAB = 8192
HIDDEN = 256
HEADS = 4
HEAD_DIM = HIDDEN // HEADS
LAYERS = 4
CONTENT = 240
"""Dimensions that carry meaning; the others carry a token's kind and place and are left out of the output."""

CONFIG: dict[str, Any] = {
    "architectures": ["MistralModel"],
    "model_type": "mistral",
    "vocab_size": VOCAB,
    "hidden_size": HIDDEN,
    "intermediate_size": 256,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": HEADS,
    "head_dim": HEAD_DIM,
    "max_position_embeddings": 8192,
    # A wide spread of rotary frequencies: three quarters of a head's dimensions hardly turn within a prompt, so that a product of
    # query and key compares meanings wherever they stand.
    "rope_theta": 1e8,
    "rms_norm_eps": 1e-6,
    "sliding_window": None,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
    "pad_token_id": UNK,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
}


def new_model(vocab: int = VOCAB) -> Any:
    """Return a transformers MistralModel of the configuration, attention by plain products (fast to train at this size)."""
    from transformers import MistralConfig, MistralModel

    config = MistralConfig(**{**{k: v for k, v in CONFIG.items() if k != "architectures"}, "vocab_size": vocab})
    config._attn_implementation = "eager"
    return MistralModel(config).float()


def save_model(model: Any, directory: Path) -> None:
    """Write config.json and model.safetensors (float16)."""
    from safetensors.torch import save_file

    directory.mkdir(parents=True, exist_ok=True)
    config = {**CONFIG, "vocab_size": int(model.config.vocab_size)}
    (directory / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    weights = {name: value.detach().to(torch.float16).contiguous() for name, value in model.state_dict().items()}
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})


def load_model(directory: Path) -> Any:
    """Load what `save_model` wrote, as float32."""
    from safetensors.torch import load_file

    weights = load_file(directory / "model.safetensors")
    model = new_model(int(weights["embed_tokens.weight"].shape[0]))
    model.load_state_dict({name: value.float() for name, value in weights.items()})
    return model
