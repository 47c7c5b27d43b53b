"""The columns of scores.parquet and the version of everything a run writes.

One row per model, configuration, task, split, subset and metric. Scores are fractions (0-1; correlations -1 to 1), never
percentages. A part of an aggregate task (CQADupstack) has its own rows and names its aggregate in `part_of`; the aggregate
itself has no rows, it is the mean of its parts and is counted once, at report time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = 1


class ScoreRow(BaseModel):
    """One score. The order of the fields is the order of the columns."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model_name: str
    """org/name; `local/<folder>` for a model loaded from a directory."""
    model_revision: str
    """Hub commit, or the beginning of the weights hash."""
    model_label: str
    """Remark that belongs beside every score of the model, such as "untrained"; usually empty."""
    configuration: str
    """Short name of the configuration inside its run: k0, k3, kall."""
    num_fewshot: int
    """Few-shot examples in front of every query of this task; with `all` it differs by task."""
    examples_set: str
    """Set the examples come from; "none" for zero-shot."""
    instructions: str
    """Instruction set."""
    prompt_fingerprint: str
    """SHA-256 of everything that the prompt puts around a text."""
    task_name: str
    task_type: str
    part_of: str
    """Aggregate task that this one is a part of; usually empty."""
    split: str
    hf_subset: str
    metric: str
    """mteb's key of the metric."""
    score: float
    is_main: bool
    """Whether this is the task's headline metric."""
    dataset_revision: str
    partial: bool
    """True for a --limit run: not comparable with a full one."""
    limit: int
    """Value of --limit; 0 for a full run."""
    dtype: str
    tokenization: str
    query_max_tokens: int
    document_max_tokens: int
    normalized: bool
    texts: int
    """Texts that the task asked vectors for."""
    texts_encoded: int
    """Texts that were really encoded; the others came from the store."""
    encode_seconds: float
    evaluation_seconds: float
    mteb_version: str
    result_key: str
    """SHA-256 of the whole identity of this result."""
    run_id: str
    """Identifier of the run directory that made it."""


def arrow_schema() -> pa.Schema:
    """Return the Arrow schema of scores.parquet."""
    import pyarrow as pa

    arrow = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    hints = {"str": str, "int": int, "float": float, "bool": bool}
    fields = []
    for name, field in ScoreRow.model_fields.items():
        annotation = field.annotation
        python_type = hints[annotation] if isinstance(annotation, str) else annotation
        fields.append(pa.field(name, arrow[python_type], nullable=False))  # type: ignore[index]
    return pa.schema(fields, metadata={"schema_version": str(SCHEMA_VERSION)})
