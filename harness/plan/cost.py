"""From groups of texts to tokens, vectors and bytes.

A query's input is `shared text own`, where *shared* is all that stands in front of every query of the task alike (begin
token, examples, instruction, opening marks) and *own* closes it (suffix, end token). A decoder computes the shared part once
for a task and number of examples; without sharing, every query carries it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.plan.statistics import TextGroup
from harness.plan.tokenizers import TokenCounter
from harness.prompts.profile import ModelProfile
from harness.prompts.template import TaskPrompt

BYTES_PER_COMPONENT = 4
"""Vectors are kept as float32."""
STORE_BYTES_PER_TEXT = 32 + 52
"""Key in the shard, and the index row (measured; tests/plan)."""
MIN_SHARED_TOKENS = 16
"""A shorter common prefix is not worth sharing (harness/encoder/packed.py)."""


@dataclass(frozen=True)
class PromptTokens:
    """Tokens around the texts of one task."""

    shared: int
    """In front of every query, the begin token included."""
    examples: int
    """The part of `shared` that the examples make."""
    own: int
    """Behind every query, the end token included."""
    document: int
    """Around every document."""
    query_limit: int
    """Most tokens of a query's text."""
    document_limit: int


@dataclass(frozen=True)
class Cost:
    """What some texts cost. Sums of costs are costs."""

    texts: int = 0
    distinct: int = 0
    """Texts that go through the model; an upper bound where `exact` is False."""
    tokens: int = 0
    """Tokens that go through the model, what is shared once."""
    tokens_unshared: int = 0
    """The same if every query carried the prefix by itself."""
    vectors: int = 0
    exact: bool = True

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.texts + other.texts,
            self.distinct + other.distinct,
            self.tokens + other.tokens,
            self.tokens_unshared + other.tokens_unshared,
            self.vectors + other.vectors,
            self.exact and other.exact,
        )

    def __sub__(self, other: Cost) -> Cost:
        return Cost(
            self.texts - other.texts,
            self.distinct - other.distinct,
            self.tokens - other.tokens,
            self.tokens_unshared - other.tokens_unshared,
            self.vectors - other.vectors,
            self.exact and other.exact,
        )


def vector_bytes(vectors: int, embed_dim: int) -> int:
    """Return the bytes of float32 vectors."""
    return vectors * embed_dim * BYTES_PER_COMPONENT


def store_bytes(vectors: int, embed_dim: int) -> int:
    """Return the bytes that the store on disk takes for them: vectors, keys and index."""
    return vectors * (embed_dim * BYTES_PER_COMPONENT + STORE_BYTES_PER_TEXT)


def prompt_tokens(
    prompt: TaskPrompt, profile: ModelProfile, counter: TokenCounter, query_max: int, document_max: int
) -> PromptTokens:
    """Count what stands around the texts of a task.

    Args:
        prompt: the task's prompt.
        profile: the model family.
        counter: counts tokens.
        query_max: length limit of instruction and query, begin, suffix and end included.
        document_max: length limit of documents, begin and end included.
    """
    examples, query, document = counter.lengths([prompt.prefix, prompt.wrap_query(""), prompt.render_document("")])
    (suffix,) = counter.lengths([prompt.suffix]) if prompt.suffix else (0,)
    if profile.kind == "sentence-transformer":
        ends = 2  # [CLS] and [SEP] of the model's own pipeline
        return PromptTokens(examples + query, examples, ends, document + ends, query_max - ends, document_max - ends)
    begin, end = int(profile.begin_token is not None), int(profile.end_token is not None)
    return PromptTokens(
        shared=begin + examples + query,
        examples=examples,
        own=suffix + end,
        document=document + begin + end,
        query_limit=max(query_max - begin - query - suffix - end, 1),
        document_limit=max(document_max - document - begin - end, 1),
    )


def group_cost(
    group: TextGroup,
    prompt: PromptTokens,
    profile: ModelProfile,
    task_type: str,
    *,
    family: str,
    scale: float,
    chars_per_token: float,
) -> Cost:
    """Return the cost of one group of texts.

    Args:
        group: the texts.
        prompt: tokens around them.
        profile: the model family; decides the side, and whether a prefix can be shared.
        task_type: mteb task type.
        family: tokenizer family of the statistics.
        scale: tokens of the model's tokenizer per token of that family.
        chars_per_token: of that family.
    """
    is_query = profile.side(task_type, group.side or None) == "query"
    around = prompt.own if is_query else prompt.document
    limit = prompt.query_limit if is_query else prompt.document_limit
    own = round(group.tokens(limit, family, scale, chars_per_token)) + group.distinct * around
    unshared = own + group.distinct * prompt.shared if is_query else own
    shares = is_query and shares_prefix(prompt, profile, group)
    return Cost(
        texts=group.texts,
        distinct=group.distinct,
        tokens=own if shares else unshared,
        tokens_unshared=unshared,
        vectors=group.distinct,
        exact=group.exact,
    )


def shares_prefix(prompt: PromptTokens, profile: ModelProfile, group: TextGroup) -> bool:
    """Whether the model computes what stands in front of a group's texts once; that costs `prompt.shared` once."""
    long_enough = prompt.shared >= MIN_SHARED_TOKENS and group.distinct > group.calls
    return profile.kind == "decoder" and long_enough


def total(costs: Iterable[Cost]) -> Cost:
    """Return the sum."""
    return sum(costs, Cost())
