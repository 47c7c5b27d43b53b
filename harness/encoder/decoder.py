"""A transformers causal decoder as a text encoder: ids in, last-token hidden states out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError

from harness.encoder.batching import plan_batches, split_batch
from harness.encoder.budget import LEAST_BUDGET, batch_budget
from harness.encoder.lean import keep_freed_memory
from harness.encoder.packed import (
    MIN_SHARED_TOKENS,
    PREFIX_BLOCK_TOKENS,
    PackedModel,
    common_prefix_length,
    plan_packs,
    split_pack,
    unsupported_reason,
)
from harness.encoder.repair import check_special_tokens, ensure_ends
from harness.encoder.tokenization import PromptTokenizer, TokenizedTexts, load_tokenizer
from harness.errors import EncodingError, ModelLoadError
from harness.prompts.profile import Attention, ModelProfile, Tokenization
from harness.prompts.template import TaskPrompt

logger = logging.getLogger(__name__)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# What transformers and safetensors raise at damaged or foreign files.
LOAD_ERRORS = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, ImportError, SafetensorError)
_Texts = tuple[tuple[str, ...], TaskPrompt, str, int]
Advance = Callable[[int, int], None]
"""Called after every batch with the number of texts and of tokens done."""


def pick_device(device: str) -> str:
    """Return the torch device of a --device value; `auto` prefers CUDA.

    Raises:
        ModelLoadError: CUDA was asked for and is not there.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ModelLoadError(f"--device {device}: torch sees no CUDA device here. Use --device cpu.")
    return device


def pick_dtype(dtype: str, device: str) -> str:
    """Return the dtype name of a --dtype value; `auto` is float32 on CPU and bfloat16 on CUDA."""
    if dtype != "auto":
        return dtype
    return "bfloat16" if device.startswith("cuda") else "float32"


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a torch error means that a smaller batch may work."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return "out of memory" in text or "can't allocate memory" in text or "not enough memory" in text


def check_weights(model: Any, tokenizer: Any, missing: Collection[str], where: str) -> None:
    """Refuse a model whose files do not hold all its weights: transformers draws the others at random, with a warning.

    Raises:
        ModelLoadError: weights are missing, or the tokenizer has tokens that the embedding matrix lacks.
    """
    if missing:
        names = ", ".join(sorted(missing)[:3])
        raise ModelLoadError(
            f"{where}: the files lack {len(missing)} of the model's weights ({names}{', ...' if len(missing) > 3 else ''}), "
            "which would be random numbers. Is the download complete, and does config.json belong to it?"
        )
    rows = int(model.get_input_embeddings().num_embeddings)
    highest = max(number for token, number in tokenizer.get_vocab().items() if token != tokenizer.pad_token)
    if highest >= rows:
        raise ModelLoadError(
            f"{where}: the tokenizer's highest token id is {highest}, but the model has embeddings for {rows} tokens only. "
            "The tokenizer belongs to another model."
        )


def check_causal(model: Any, device: str, where: str) -> None:
    """Refuse a model that looks ahead, for which right padding without a mask would change the vectors.

    Raises:
        ModelLoadError: a token's hidden state depends on the token behind it.
    """
    ids = torch.tensor([[3, 4, 5, 6], [3, 4, 5, 7]], device=device)
    with torch.inference_mode():
        hidden = model(input_ids=ids, use_cache=False).last_hidden_state
    before = hidden[:, :3].float()
    allowed = max(1e-3, 8 * torch.finfo(hidden.dtype).eps) * float(before.abs().max())
    if float((before[0] - before[1]).abs().max()) > allowed:
        raise ModelLoadError(
            f"{where}: this is no causal decoder: a token's state depends on the token behind it. Use a profile of kind "
            "sentence-transformer for such a model."
        )


class DecoderEncoder:
    """Encodes texts with a causal language model, pooled on the end token.

    The packed path (harness/encoder/packed.py) shares a common prefix and has no padding. The plain path pads rows on the
    right: under causal attention nothing before the padding sees it, so that no mask is needed and positions are the same
    in every batch.
    """

    kind = "decoder"

    def __init__(
        self,
        directory: Path,
        profile: ModelProfile,
        *,
        device: str = "auto",
        dtype: str = "auto",
        batch_tokens: int | None = None,
        tokenization: Tokenization | None = None,
        attention: Attention = "auto",
        trust_remote_code: bool = False,
    ) -> None:
        """Load tokenizer and model.

        Args:
            directory: model directory.
            profile: the model family's profile.
            device: `auto`, `cpu`, `cuda`, `cuda:1`.
            dtype: `auto`, `float32`, `bfloat16`, `float16`.
            batch_tokens: tokens of one forward pass; None takes the device's full budget, or what its free memory allows.
            tokenization: None takes the profile's.
            attention: `shared` computes a common prefix once and packs texts without padding, `naive` is the plain padded
                forward of whole inputs, `auto` is `shared` wherever it gives the same vectors.
            trust_remote_code: run code of the model's repository.

        Raises:
            ModelLoadError: not a causal decoder's directory, or its tokenizer does not fit the profile.
        """
        from transformers import AutoModel

        where = str(directory)
        self.profile = profile
        self.device = pick_device(device)
        self.dtype = pick_dtype(dtype, self.device)
        self.tokenization: Tokenization = tokenization or profile.tokenization
        try:
            self.tokenizer: Any = load_tokenizer(directory, self.tokenization, trust_remote_code=trust_remote_code)
            check_special_tokens(self.tokenizer, profile.special_tokens, where)
            self.tokenizer_repaired = bool(profile.end_token) and ensure_ends(
                self.tokenizer, profile.begin_token, str(profile.end_token), where
            )
            loaded: tuple[Any, dict[str, Any]] = AutoModel.from_pretrained(
                where, dtype=DTYPES[self.dtype], trust_remote_code=trust_remote_code, output_loading_info=True
            )
            self.model, report = loaded
            self.embed_dim = int(self.model.config.hidden_size)
            check_weights(self.model, self.tokenizer, report["missing_keys"], where)
            self.model.to(self.device).eval()
        except ModelLoadError:
            raise
        except LOAD_ERRORS as error:
            raise ModelLoadError(
                f"{where}: the model cannot be loaded: {' '.join(str(error).split())[:300]}"
            ) from error
        check_causal(self.model, self.device, where)
        self.prompt_tokenizer = PromptTokenizer(self.tokenizer, profile, self.tokenization)
        if self.device == "cpu":
            keep_freed_memory()
        self.batch_tokens = batch_tokens or batch_budget(self.model.config, self.model.dtype, self.device)
        self._tokenizing = ThreadPoolExecutor(1, thread_name_prefix="tokenize")
        self._ahead: dict[_Texts, Future[TokenizedTexts]] = {}
        self.packed, self.attention = self._choose_attention(attention, where)

    def _choose_attention(self, attention: Attention, where: str) -> tuple[PackedModel | None, str]:
        """Return the packed path if it is wanted and exact for this model, and a word on which path it is and why."""
        if attention == "naive":
            return None, "naive"
        packed = None
        reason = unsupported_reason(self.model)
        if reason is None:
            packed = PackedModel(self.model)
            reason = packed.difference_to(self._forward)
        if reason is None:
            return packed, "shared"
        if attention == "shared":
            raise ModelLoadError(f"{where}: --attention shared cannot be used: {reason}. Use --attention naive.")
        return None, f"naive ({reason})"

    def tokenize_ahead(self, texts: Sequence[str], prompt: TaskPrompt, side: str, max_tokens: int) -> None:
        """Begin to tokenise, in a thread of its own, what a later `encode` will be called with."""
        key = (tuple(texts), prompt, side, max_tokens)
        self._ahead[key] = self._tokenizing.submit(self._tokenize, *key)

    def tokenize(self, texts: Sequence[str], prompt: TaskPrompt, side: str, max_tokens: int) -> TokenizedTexts:
        """Tokenise texts of one side; ids hold begin and end tokens."""
        key = (tuple(texts), prompt, side, max_tokens)
        # Always in that thread: a tokenizer keeps its truncation as state and serves one caller at a time.
        return (self._ahead.pop(key, None) or self._tokenizing.submit(self._tokenize, *key)).result()

    def _tokenize(self, texts: Sequence[str], prompt: TaskPrompt, side: str, max_tokens: int) -> TokenizedTexts:
        if side == "query":
            return self.prompt_tokenizer.queries(prompt, texts, max_tokens)
        return self.prompt_tokenizer.documents(prompt, texts, max_tokens)

    def encode(
        self, texts: Sequence[str], prompt: TaskPrompt, side: str, max_tokens: int, advance: Advance | None = None
    ) -> tuple[np.ndarray, int]:
        """Encode texts of one side.

        Returns:
            Vectors `[N, D]` float32, not normalised, in the order of the texts, and the number of texts that were cut.
        """
        tokenized = self.tokenize(texts, prompt, side, max_tokens)
        return self.encode_ids(tokenized.ids, texts, advance), tokenized.truncated

    def encode_ids(
        self, ids: Sequence[Sequence[int]], texts: Sequence[str], advance: Advance | None = None
    ) -> np.ndarray:
        """Encode token ids; see `encode`. Out of memory halves the token budget for good and says so.

        Raises:
            EncodingError: one text alone, or the shared prefix, does not fit into memory; names it and its tokens.
        """
        if self.packed is None or not ids or not self.packed.sees_all_of(max(len(one) for one in ids)):
            return self._encode_batches(ids, texts, plan_batches, split_batch, self._forward, advance)
        shared = common_prefix_length(ids) if len(ids) > 1 else 0
        if shared < MIN_SHARED_TOKENS:
            shared = 0
        computed = self.packed.computed_tokens
        self._set_prefix(self.packed, ids[0][:shared])
        if advance is not None:
            advance(0, self.packed.computed_tokens - computed)
        own = [one[shared:] for one in ids]
        return self._encode_batches(own, texts, plan_packs, split_pack, self.packed.encode_pack, advance)

    def _set_prefix(self, packed: PackedModel, ids: Sequence[int]) -> None:
        while True:
            try:
                packed.set_prefix(ids, min(PREFIX_BLOCK_TOKENS, self.batch_tokens))
                return
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if self.batch_tokens <= LEAST_BUDGET:
                    raise EncodingError(
                        f"out of memory at the {len(ids)} tokens of examples and instruction that all texts share. "
                        "Use fewer examples (--num-fewshot), --dtype bfloat16, or --attention naive."
                    ) from error
                self._halve_budget(below=PREFIX_BLOCK_TOKENS)

    def _halve_budget(self, below: int | None = None) -> None:
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()
        self.batch_tokens = min(self.batch_tokens, below or self.batch_tokens) // 2
        logger.warning("out of memory: token budget halved to %d", self.batch_tokens)

    def _encode_batches(
        self,
        ids: Sequence[Sequence[int]],
        texts: Sequence[str],
        plan: Callable[[Sequence[int], int], list[list[int]]],
        split: Callable[[list[int], Sequence[int], int], list[list[int]]],
        forward: Callable[[Sequence[Sequence[int]]], np.ndarray],
        advance: Advance | None,
    ) -> np.ndarray:
        lengths = [len(one) for one in ids]
        vectors = np.zeros((len(ids), self.embed_dim), dtype=np.float32)
        pending = plan(lengths, self.batch_tokens)[::-1]
        while pending:
            batch = pending.pop()
            try:
                vectors[batch] = forward([ids[position] for position in batch])
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if len(batch) == 1:
                    text = texts[batch[0]]
                    raise EncodingError(
                        f"out of memory at a single text of {lengths[batch[0]]} tokens ({text[:60]!r}). "
                        "Use a smaller --query-max-tokens / --document-max-tokens, or --dtype bfloat16."
                    ) from error
                self._halve_budget()
                again = [part for old in [batch, *pending[::-1]] for part in split(old, lengths, self.batch_tokens)]
                pending = again[::-1]
                continue
            if advance is not None:
                advance(len(batch), sum(lengths[position] for position in batch))
        return vectors

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def _forward(self, rows: Sequence[Sequence[int]]) -> np.ndarray:
        longest = max(len(row) for row in rows)
        padded = torch.zeros((len(rows), longest), dtype=torch.long)
        for index, row in enumerate(rows):
            padded[index, : len(row)] = torch.tensor(row, dtype=torch.long)
        hidden = self.model(input_ids=padded.to(self.device), use_cache=False).last_hidden_state
        last = torch.tensor([len(row) - 1 for row in rows], device=hidden.device)
        pooled = hidden[torch.arange(len(rows), device=hidden.device), last]
        return np.asarray(pooled.float().cpu().numpy(), dtype=np.float32)
