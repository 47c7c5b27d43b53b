"""From texts to token ids, exactly as the model's authors do it, or in one clean pass."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import ModelLoadError, PromptBudgetError
from harness.prompts.profile import ModelProfile, Tokenization
from harness.prompts.template import TaskPrompt

CHUNK_TEXTS = 1024


class TokenizedTexts(NamedTuple):
    """Ids of N texts and how many of them lost their end."""

    ids: list[list[int]]
    truncated: int


def load_tokenizer(directory: Path, tokenization: Tokenization, *, trust_remote_code: bool = False) -> Any:
    """Load a model's tokenizer as a tokenisation wants it.

    transformers 4 took tokenizer.json as it stands, transformers 5 rebuilds some Llama-style ones so that a blank behind a
    special token no longer makes a lone `▁` (facts: 31 ids of a query become 29). `official-4x` reads the file as it
    stands, which gives the ids of transformers 4 whatever the text holds; the others take what AutoTokenizer gives.

    Raises:
        ModelLoadError: no tokenizer, a damaged one, or `official-4x` and a directory without tokenizer.json.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if tokenization == "official-4x" and not (directory / "tokenizer.json").is_file():
        raise ModelLoadError(
            f"{directory}: --tokenization official-4x needs a tokenizer.json, and there is none. Use official or clean."
        )
    try:
        if tokenization == "official-4x":
            return PreTrainedTokenizerFast.from_pretrained(str(directory))
        return AutoTokenizer.from_pretrained(str(directory), trust_remote_code=trust_remote_code)
    except Exception as error:  # the tokenizers library raises no narrower type at a damaged file
        reason = " ".join(str(error).split())[:300]
        raise ModelLoadError(f"{directory}: the tokenizer cannot be loaded: {reason}") from error


class PromptTokenizer:
    """Applies a profile's tokenisation to queries and documents.

    Queries follow FlagICLModel (icl.py, `encode_queries_single_device`): the wrapped query is cut to the budget, decoded,
    put between prefix and suffix, and tokenised again, so that neither prefix nor suffix is ever cut.
    """

    def __init__(self, tokenizer: Any, profile: ModelProfile, tokenization: Tokenization) -> None:
        self.tokenizer = tokenizer
        self.profile = profile
        self.tokenization = tokenization
        self._begin = profile.begin_token or ""
        self._end = profile.end_token or ""

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def query_budget(self, prompt: TaskPrompt, max_tokens: int) -> int:
        """Return the tokens left for instruction and text.

        Upstream counts `<s>` and the suffix together with `</s>`; for Mistral and bge-en-icl's suffix at 512 this is 507.

        Raises:
            PromptBudgetError: the instruction alone fills the budget, so no token of a text would be read.
        """
        budget = max_tokens - len(self._ids(self._begin)) - len(self._ids(prompt.suffix + self._end))
        needed = len(self._ids(prompt.wrap_query("")))
        if budget <= needed:
            raise PromptBudgetError(
                f"--query-max-tokens {max_tokens} leaves {max(budget, 0)} tokens for instruction and text, and the "
                f"instruction takes {needed}. Use at least {max_tokens - budget + needed + 1}."
            )
        return budget

    def queries(self, prompt: TaskPrompt, texts: Sequence[str], max_tokens: int) -> TokenizedTexts:
        """Tokenise queries with their prompt; ids hold begin and end tokens."""
        budget = self.query_budget(prompt, max_tokens)
        out: list[list[int]] = []
        truncated = 0
        for start in range(0, len(texts), CHUNK_TEXTS):
            wrapped = [prompt.wrap_query(text) for text in texts[start : start + CHUNK_TEXTS]]
            if self.tokenization == "clean":
                bodies, cut = self._cut_by_offsets(wrapped, budget)
                strings = [prompt.prefix + body + prompt.suffix for body in bodies]
                out += [list(ids) for ids in self.tokenizer(strings)["input_ids"]]
            else:
                bodies, cut = self._cut_by_decoding(wrapped, budget)
                strings = [prompt.prefix + body + prompt.suffix for body in bodies]
                limit = self._retokenized_limit(prompt, max_tokens)
                encoded = self.tokenizer(strings, truncation=True, max_length=limit)
                out += [list(ids) for ids in encoded["input_ids"]]
            truncated += cut
        return TokenizedTexts(out, truncated)

    def documents(self, prompt: TaskPrompt, texts: Sequence[str], max_tokens: int) -> TokenizedTexts:
        """Tokenise documents; ids hold begin and end tokens and at most `max_tokens` in all."""
        out: list[list[int]] = []
        truncated = 0
        for start in range(0, len(texts), CHUNK_TEXTS):
            strings = [prompt.render_document(text) for text in texts[start : start + CHUNK_TEXTS]]
            # One token more than allowed tells a text that fits from one that was cut.
            longer = self.tokenizer(strings, truncation=True, max_length=max_tokens + 1)["input_ids"]
            over = [index for index, ids in enumerate(longer) if len(ids) > max_tokens]
            chunk = [list(ids) for ids in longer]
            if over:
                cut = self.tokenizer([strings[i] for i in over], truncation=True, max_length=max_tokens)
                for index, ids in zip(over, cut["input_ids"], strict=True):
                    chunk[index] = list(ids)
            out += chunk
            truncated += len(over)
        return TokenizedTexts(out, truncated)

    def _retokenized_limit(self, prompt: TaskPrompt, max_tokens: int) -> int:
        # icl.py: new_max_length. The slack absorbs tokens that decoding and tokenising again may add.
        fixed = len(self._ids(prompt.prefix)) + len(self._ids(prompt.suffix))
        return (fixed + max_tokens + 8) // 8 * 8 + 8

    def _cut_by_decoding(self, wrapped: list[str], budget: int) -> tuple[list[str], int]:
        longer = self.tokenizer(wrapped, truncation=True, max_length=budget + 1, add_special_tokens=False)
        ids = [list(one) for one in longer["input_ids"]]
        truncated = sum(len(one) > budget for one in ids)
        if truncated:
            encoded = self.tokenizer(wrapped, truncation=True, max_length=budget, add_special_tokens=False)
            ids = [list(one) for one in encoded["input_ids"]]
        decoded: list[str] = self.tokenizer.batch_decode(ids)
        return decoded, truncated

    def _cut_by_offsets(self, wrapped: list[str], budget: int) -> tuple[list[str], int]:
        encoded = self.tokenizer(wrapped, add_special_tokens=False, return_offsets_mapping=True)
        bodies: list[str] = []
        truncated = 0
        for text, offsets in zip(wrapped, encoded["offset_mapping"], strict=True):
            if len(offsets) <= budget:
                bodies.append(text)
            else:
                truncated += 1
                bodies.append(text[: offsets[budget - 1][1]])
        return bodies, truncated
