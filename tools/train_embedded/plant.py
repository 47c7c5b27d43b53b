"""Planting: weights, computed and not trained, with which the decoder does a static bag's work and can use examples.

A causal decoder of random weights learns neither in the minutes at hand. Four attention layers with hand-set weights do:

0. Every token learns whether it stands in an instruction or a query, and how many segments began before it.
1. `</s>` takes the mean of its own text's tokens: the static bag. `<response>` takes the mean of the examples' responses.
2. `<response>` compares that mean with every token of the query before it, and takes the mean of those most like it.
3. `</s>` adds what `<response>` found, the more the shorter the examples' responses are (labels, not texts).

Nothing in it knows any attribute: what the examples ask for is found by likeness of token vectors. Training starts here.

Notation: `x` is the residual stream, of norm 1 at the start; RMSNorm makes it 16 long. A rotary pair is the slots (i, i + 32) of a
head; pairs from 8 on turn by less than 0.01 radian a token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tools.train_embedded.model import CONTENT, HEAD_DIM, HEADS, HIDDEN, new_model
from tools.train_embedded.tokenizer import BOS, EOS, INSTRUCT, QUERY, RESPONSE

CONST = 240
FLAG = {BOS: 241, INSTRUCT: 242, QUERY: 243, RESPONSE: 244, EOS: 245}
INSIDE_INSTRUCTION = 246
"""1 / (2 segments) between `<instruct>` and `<query>`, else 0."""
INSIDE_QUERY = 247
"""1 / (2 segments) between `<query>` and `<response>`, else 0."""
REST = 248
"""What float16 loses of a token's norm. A difference of 2 ** -12 would move attention by 7 %: `COUNT` enters it 300-fold."""
COUNT = 249
"""Share of `<s>` among `<s>` and the `<instruct>` so far: 1 / (1 + segments)."""
_SHARE = 0.3
"""How much of a share enters the stream."""
LABEL = 250
"""Of `<response>`: share of `<response>` tokens among the response tokens, large where responses are short."""
FLAG_SIZE = 0.6
MAX_CONTENT = 0.6
"""Largest norm of a token's content, of a whole of 1."""
EMPTY = 1e-4
"""Content of `</s>`: what is left of an empty text, which must have some direction; a thousandth of any other's content."""
_U = HIDDEN**0.5
_MATCH_PAIRS = range(8, 28)
MATCH_DIMS = 2 * len(_MATCH_PAIRS)


@dataclass(frozen=True)
class Plant:
    """The numbers of the planted weights that are chosen on validation data."""

    mean: float = 0.03
    """How much of the mean of its tokens a token adds to its stream (layer 1). Small, so that norms, by which all else is divided, stay."""
    match: float = 12.0
    """Sharpness of the comparison of responses and query tokens (layer 2)."""
    found: float = 0.045
    """How much of the tokens found `<response>` adds (layer 2)."""
    answer: float = 0.3
    """How much of that `</s>` adds (layer 3)."""
    gate: float = 80.0
    """Slope of the gate in the share of `LABEL` (layer 3)."""
    threshold: float = 0.17
    """Share at which the gate is half open."""
    output: float = 3.3
    """Scale of the output vectors; their norm, about 1.7, decides how strongly a logistic regression on them is regularised."""


def _attention(model: Any, layer: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    attention = model.layers[layer].self_attn
    return tuple(getattr(attention, f"{name}_proj").weight.data for name in "qkvo")  # type: ignore[return-value]


def _set(weight: Tensor, heads: range, slot: int, sources: dict[int, float]) -> None:
    for head in heads:
        for source, value in sources.items():
            weight[head * HEAD_DIM + slot, source] += value


def _identity(v: Tensor, o: Tensor, scale: float, extra: dict[int, int] | None = None) -> None:
    """Hand the content through; `extra` maps a target dimension to its source."""
    for dim in range(CONTENT):
        v[dim, dim] += 1.0
        o[dim, dim] += scale
    for target, source in (extra or {}).items():
        v[target, source] += 1.0
        o[target, target] += scale


def plant(bag: np.ndarray, settings: Plant, seed: int, blank: Sequence[int] = ()) -> Any:
    """Return the planted model.

    Args:
        bag: `[V, CONTENT]` token vectors of the static bag.
        settings: see `Plant`.
        seed: of the weights that have no effect yet.
        blank: tokens without meaning (line breaks).
    """
    torch.manual_seed(seed)
    model = new_model(len(bag))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 1:
                weight.fill_(1.0)
            elif "mlp.gate" in name or "mlp.up" in name:
                weight.normal_(0.0, 1.0 / _U)  # what is behind them starts at zero
                weight[:, CONTENT:] = 0.0
            elif "embed" not in name:
                weight.zero_()
        _embed(model.embed_tokens.weight.data, bag, blank)
        _kinds(model)
        _means(model, settings)
        _matching(model, settings)
        _answer(model, settings)
        model.norm.weight.data[:CONTENT] = settings.output
        model.norm.weight.data[CONTENT:] = 0.0
    return model


def _embed(table: Tensor, bag: np.ndarray, blank: Sequence[int]) -> None:
    norms = np.linalg.norm(bag, axis=1)
    largest = np.quantile(norms, 0.999)
    content = bag * (np.minimum(1.0, largest / np.maximum(norms, 1e-9)) * MAX_CONTENT / largest)[:, None]
    table.zero_()
    table[:, :CONTENT] = torch.from_numpy(content.astype(np.float32))
    for token, dim in FLAG.items():
        table[token, :CONTENT] = 0.0
        table[token, dim] = FLAG_SIZE
    table[list(blank), :CONTENT] = 0.0
    table[EOS, 0] = EMPTY
    table.copy_(table.half())
    _fill_norm(table, CONST)
    _fill_norm(table, REST)


def _fill_norm(table: Tensor, dim: int) -> None:
    """Bring every row's norm up to 1 with one dimension, as nearly as float16 can without passing it."""
    wanted = (1.0 - table.double().square().sum(1)).clamp(min=0.0).sqrt()
    nearest = wanted.half()
    above = nearest.double() > wanted
    # for positive numbers the next lower float16 is the next lower bit pattern
    lower = (nearest.view(torch.int16) - above.to(torch.int16)).view(torch.float16)
    table[:, dim] = lower.to(table.dtype)


_MARK = FLAG_SIZE * _U
"""A flag behind RMSNorm."""
_ONE = (1.0 - FLAG_SIZE**2) ** 0.5 * _U
"""The constant of a marker behind RMSNorm."""
_ROOT = HEAD_DIM**0.5


def _kinds(model: Any) -> None:
    """Shares of markers so far: exact at any distance, since every marker counts alike."""
    q, k, v, o = _attention(model, 0)
    q.zero_()
    k.zero_()
    v[: 3 * HEAD_DIM] = 0.0
    o.zero_()
    plans = (
        (COUNT, {BOS: 1.0, INSTRUCT: 0.0}),
        (INSIDE_INSTRUCTION, {BOS: 0.0, INSTRUCT: 1.0, QUERY: -1.0}),
        (INSIDE_QUERY, {BOS: 0.0, QUERY: 1.0, RESPONSE: -1.0}),
    )
    for head, (target, values) in enumerate(plans):
        _set(q, range(head, head + 1), 31, {CONST: 30.0 * _ROOT / (_ONE * _MARK)})
        _set(k, range(head, head + 1), 31, {FLAG[kind]: 1.0 for kind in values})
        for kind, value in values.items():
            v[head * HEAD_DIM, FLAG[kind]] = value / _MARK
        o[target, head * HEAD_DIM] = _SHARE


_SEG = _SHARE * _U
"""A share of 1 behind the RMSNorm of layers 1 to 3, about."""


def _only_own_text(q: Tensor, k: Tensor, kind: int) -> None:
    """A token of this kind sees the query's tokens of its own segment alone, evenly; of a bare text all tokens."""
    heads = range(HEADS)
    _set(q, heads, 31, {FLAG[kind]: -1.0 * _ROOT / _MARK})
    _set(k, heads, 31, {**dict.fromkeys(FLAG.values(), 40.0 / _MARK), INSIDE_INSTRUCTION: 600.0 / _SEG})
    # an earlier segment has the larger share of <s>
    _set(q, heads, 30, {FLAG[kind]: -1.0 * _ROOT / _MARK})
    _set(k, heads, 30, {COUNT: 600.0 / _SEG})


def _look_at_begin(q: Tensor, k: Tensor, strength: float, *but: int) -> None:
    """All tokens but those of some kinds see `<s>` alone, which carries no content, and so stay as they are."""
    heads = range(HEADS)
    _set(q, heads, 28, {CONST: strength * _ROOT / (_ONE * _MARK)})
    for kind in but:
        _set(q, heads, 28, {FLAG[kind]: -strength * _ROOT / (_MARK * _MARK)})
    _set(k, heads, 28, {FLAG[BOS]: 1.0})


def _means(model: Any, settings: Plant) -> None:
    q, k, v, o = _attention(model, 1)
    heads = range(HEADS)
    _only_own_text(q, k, EOS)
    # <response> sees the responses before it, with their markers
    _set(q, heads, 29, {FLAG[RESPONSE]: -1.0 * _ROOT / _MARK})
    far = {
        INSIDE_INSTRUCTION: 600.0 / _SEG,
        INSIDE_QUERY: 600.0 / _SEG,
        FLAG[BOS]: 40.0 / _MARK,
        FLAG[EOS]: 40.0 / _MARK,
    }
    _set(k, heads, 29, far)
    _look_at_begin(q, k, 300.0, EOS, RESPONSE)
    _identity(v, o, settings.mean, {LABEL: FLAG[RESPONSE]})


def _matching(model: Any, settings: Plant) -> None:
    q, k, _, _ = _attention(model, 2)
    heads = range(HEADS)
    _only_own_text(q, k, RESPONSE)
    _look_at_begin(q, k, 300.0, RESPONSE)
    # without examples there is nothing to compare: <response> looks at <s> too, and stays empty
    _set(
        q, heads, 28, {COUNT: 2000.0 * _ROOT / (_SEG * _MARK), FLAG[RESPONSE]: -0.3 * 2000.0 * _ROOT / (_MARK * _MARK)}
    )
    first_axes = np.eye(MATCH_DIMS, CONTENT)  # they hold the most
    set_matching(model, settings.match * first_axes, first_axes, settings.found * np.eye(CONTENT))


def set_matching(model: Any, query: np.ndarray, key: np.ndarray, value: np.ndarray) -> None:
    """Plant how responses and query tokens are compared, and what of the tokens found is added (layer 2).

    Args:
        model: planted model, changed in place.
        query: `[MATCH_DIMS, CONTENT]`: axes of the responses' mean.
        key: `[MATCH_DIMS, CONTENT]`: axes of the query's tokens.
        value: `[CONTENT, CONTENT]`: from the tokens found to what is added.
    """
    q, k, v, o = _attention(model, 2)
    slots = [slot for pair in _MATCH_PAIRS for slot in (pair, pair + HEAD_DIM // 2)]
    for head in range(HEADS):
        places = [head * HEAD_DIM + slot for slot in slots]
        q[places, :CONTENT] = torch.from_numpy(query.astype(np.float32))
        k[places, :CONTENT] = torch.from_numpy(key.astype(np.float32))
    v[:CONTENT, :CONTENT] = torch.eye(CONTENT)
    o[:CONTENT, :CONTENT] = torch.from_numpy(value.astype(np.float32))


def set_answer(model: Any, answer: float) -> None:
    """Plant how much `</s>` adds of what `<response>` found (layer 3)."""
    _, _, _, o = _attention(model, 3)
    o[:CONTENT, :CONTENT] = answer * torch.eye(CONTENT)


def _answer(model: Any, settings: Plant) -> None:
    q, k, v, o = _attention(model, 3)
    heads = range(HEADS)
    # </s> itself or the <response> just before it; every other token is out of reach
    _set(q, heads, 31, {FLAG[EOS]: 40.0 * _ROOT / (_MARK * _MARK)})
    _set(k, heads, 31, {FLAG[RESPONSE]: 1.0, FLAG[EOS]: 1.0})
    _set(q, heads, 30, {FLAG[EOS]: -1.0 * _ROOT / _MARK})
    _set(k, heads, 30, {COUNT: 600.0 / _SEG})
    # LABEL holds mean * share * _MARK of an unnormalised stream
    share = settings.mean * _MARK * _U
    _set(q, heads, 29, {FLAG[EOS]: settings.gate * _ROOT / _MARK})
    _set(k, heads, 29, {LABEL: 1.0 / share, FLAG[EOS]: settings.threshold / _MARK})
    _identity(v, o, settings.answer)
