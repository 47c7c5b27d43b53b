"""The rankings of one result file against its set: queries, documents, numbers of hits, scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from harness.export.air_bench.parse import Hits
from harness.export.air_bench.rules import Finding
from harness.registry.air_bench import AirBenchSet
from harness.registry.air_bench_layout import MAX_HITS
from harness.report.text import plural, shorten

if TYPE_CHECKING:
    from harness.export.air_bench.ids import Ids


def check_rankings(member: str, results: Any, air_set: AirBenchSet, ids: Ids | None) -> list[Finding]:
    """Return what is wrong with the rankings of one file; a finding stands for all queries that have the fault.

    Args:
        member: path in the zip, for the findings.
        results: `search_results`, parsed.
        air_set: the set that the file is of.
        ids: the set's ids; without them the number of queries is compared.
    """
    if not isinstance(results, Hits):
        return [Finding("not-rankings", member, f"search_results is no object but {_shown(results)}")]
    if not results.count:
        return [Finding("no-rankings", member, "search_results is empty")]
    wrong = {key: value for key, value in results.fields.items() if not isinstance(value, Hits)}
    if wrong or not results.fields:
        key = next(iter(wrong), "")
        return [Finding("not-rankings", member, f"query {key!r} has no object of hits but {_shown(wrong.get(key))}")]
    queries: dict[str, Hits] = results.fields
    findings = [] if results.repeated is None else [
        Finding("duplicate-key", member, f"query {results.repeated!r} stands there twice")
    ]  # fmt: skip
    findings += list(_faults(member, queries, air_set))
    return [*findings, *_ids(member, queries, air_set, ids)]


def _faults(member: str, queries: dict[str, Hits], air_set: AirBenchSet) -> Iterator[Finding]:
    limit = min(MAX_HITS, air_set.corpus_size)
    looked_for: dict[str, tuple[Callable[[Hits], object], Callable[[Hits], str]]] = {
        "duplicate-key": (lambda hits: hits.repeated is not None, lambda hits: f"document {hits.repeated!r} twice"),
        "not-a-number": (lambda hits: hits.not_numbers is not None, lambda hits: f"document {hits.not_numbers!r}"),
        "not-finite": (lambda hits: hits.not_finite is not None, lambda hits: f"document {hits.not_finite!r}"),
        "not-float": (
            lambda hits: hits.not_float is not None and hits.not_numbers is None,
            lambda hits: f"document {hits.not_float!r}",
        ),
        "too-many-hits": (lambda hits: hits.count > MAX_HITS, lambda hits: f"{hits.count} hits"),
        "no-hits": (lambda hits: hits.count == 0, lambda hits: f"0 of {limit} hits"),
    }
    names = {
        "duplicate-key": "a document stands twice", "not-a-number": "a score is no number",
        "not-finite": "a score is NaN or infinite", "not-float": "a score is no float",
        "too-many-hits": f"more than {MAX_HITS} hits", "no-hits": "a query has no hits",
    }  # fmt: skip
    for code, (found, shown) in looked_for.items():
        hit = [(query, hits) for query, hits in queries.items() if found(hits)]
        if hit:
            query, hits = hit[0]
            count = plural(len(hit), "query").replace("querys", "queries")
            yield Finding(code, member, f"{names[code]} in {count}, first in {query!r}: {shown(hits)}")


def _ids(member: str, queries: dict[str, Hits], air_set: AirBenchSet, ids: Ids | None) -> Iterator[Finding]:
    wanted = air_set.queries["test"]
    if ids is None:
        if len(queries) < wanted:
            yield Finding("missing-query", member, f"{len(queries)} of the {wanted} queries are there")
        elif len(queries) > wanted:
            what = f"{len(queries)} queries where {air_set.version} has {wanted}"
            yield Finding("unknown-query", member, what)
        return
    if dev := sorted(queries.keys() & (ids.dev_queries - ids.queries)):
        what = f"{len(dev)} queries of the split dev ({shorten(dev, 3)}) in a file of the split test"
        yield Finding("unknown-query", member, what)
    if unknown := sorted(queries.keys() - ids.queries - ids.dev_queries):
        yield Finding("unknown-query", member, f"{len(unknown)} unknown query ids ({shorten(unknown, 3)})")
    if absent := sorted(ids.queries - queries.keys()):
        yield Finding(
            "missing-query", member, f"{len(absent)} of {len(ids.queries)} queries are missing ({shorten(absent, 3)})"
        )
    strange = {query: hits for query, hits in queries.items() if hits.unknown}
    if strange:
        query, hits = next(iter(strange.items()))
        total = sum(hits.unknown for hits in strange.values())
        what = f"{total} hits are no documents of the set, first {hits.first_unknown!r} of query {query!r}"
        yield Finding("unknown-document", member, what)


def _shown(value: Any) -> str:
    return "an object" if isinstance(value, Hits) else repr(value)[:60]
