"""The embedded model: a small decoder in bge-en-icl's format that needs no download.

Its weights come from a fixed seed: it is *untrained*, a stand-in that exercises the whole path (special tokens, template,
last-token pooling, examples) and whose scores say nothing about few-shot learning. It is written once into the cache folder
and then loaded by the very code that loads any model directory.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from harness import paths
from harness.encoder.hashing import cache_dir

SEED = 20_240_915
CONFIG = {
    "architectures": ["MistralModel"],
    "model_type": "mistral",
    "vocab_size": 4096,
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 8192,
    "rope_theta": 10000.0,
    "rms_norm_eps": 1e-5,
    "sliding_window": None,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "torch_dtype": "float32",
}


def _weights() -> dict[str, np.ndarray]:
    """Draw all weights; numpy's generator gives the same numbers on every machine and torch version."""
    rng = np.random.default_rng(SEED)
    hidden, inner = int(CONFIG["hidden_size"]), int(CONFIG["intermediate_size"])  # type: ignore[call-overload]
    head = hidden // int(CONFIG["num_attention_heads"])  # type: ignore[call-overload]
    kv = head * int(CONFIG["num_key_value_heads"])  # type: ignore[call-overload]

    def normal(rows: int, columns: int, scale: float) -> np.ndarray:
        return (rng.standard_normal((rows, columns)) * scale).astype(np.float32)

    weights = {"embed_tokens.weight": normal(int(CONFIG["vocab_size"]), hidden, 1.0)}  # type: ignore[call-overload]
    for layer in range(int(CONFIG["num_hidden_layers"])):  # type: ignore[call-overload]
        name = f"layers.{layer}."
        # Small queries and keys: attention stays near the mean of what went before, a bag of words with some order.
        weights[name + "self_attn.q_proj.weight"] = normal(hidden, hidden, 0.02)
        weights[name + "self_attn.k_proj.weight"] = normal(kv, hidden, 0.02)
        weights[name + "self_attn.v_proj.weight"] = normal(kv, hidden, hidden**-0.5)
        weights[name + "self_attn.o_proj.weight"] = normal(hidden, hidden, 6.0 * hidden**-0.5)
        weights[name + "mlp.gate_proj.weight"] = normal(inner, hidden, 0.3 * hidden**-0.5)
        weights[name + "mlp.up_proj.weight"] = normal(inner, hidden, hidden**-0.5)
        weights[name + "mlp.down_proj.weight"] = normal(hidden, inner, inner**-0.5)
        weights[name + "input_layernorm.weight"] = np.ones(hidden, dtype=np.float32)
        weights[name + "post_attention_layernorm.weight"] = np.ones(hidden, dtype=np.float32)
    weights["norm.weight"] = np.ones(hidden, dtype=np.float32)
    return weights


def embedded_directory() -> Path:
    """Return the model's directory, writing it into the cache folder at first use."""
    from safetensors.numpy import save_file

    tokenizer = paths.PACKAGE_DIR / "encoder" / "embedded_tokenizer"
    recipe = json.dumps(CONFIG, sort_keys=True) + str(SEED) + Path(__file__).read_text(encoding="utf-8")
    recipe += "".join(path.read_text(encoding="utf-8") for path in sorted(tokenizer.glob("*.json")))
    directory = cache_dir() / "embedded" / hashlib.sha256(recipe.encode()).hexdigest()[:16]
    if directory.is_dir():
        return directory
    directory.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=directory.parent, prefix=".building-"))
    for path in tokenizer.glob("*.json"):
        shutil.copy(path, building / path.name)
    (building / "config.json").write_text(json.dumps(CONFIG, indent=1), encoding="utf-8")
    save_file(_weights(), building / "model.safetensors", metadata={"format": "pt"})
    try:
        os.rename(building, directory)  # noqa: PTH104 -- Path.rename would replace; here the first writer wins
    except OSError:
        shutil.rmtree(building)
        if not directory.is_dir():
            raise
    return directory
