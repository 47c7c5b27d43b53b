"""`prompt`: the exact string that a model reads for a task."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from harness.errors import ConfigError, DatasetUnavailableError, InputTextError, ModelLoadError

if TYPE_CHECKING:
    from harness.prompts.profile import ModelProfile
    from harness.prompts.template import TaskPrompt
    from harness.types import Side

_PLACEHOLDER = "{text}"
_TOKENIZER_FILES = [
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "config.json",
    "vocab*",
    "merges.txt",
    "*.model",
]


class _TokenCounts(NamedTuple):
    prompt_tokens: int
    """Tokens of the whole string, begin and end tokens included."""
    ids: int
    """Ids that the model reads: after the text was cut to the length limit."""
    truncated: bool
    max_tokens: int


@click.command(
    "prompt",
    short_help="Show the exact prompt of a task.",
    epilog="""\b
Examples
  icl-harness prompt --task Banking77Classification --num-fewshot 2 --text "Where is my card?"
  icl-harness prompt --task SciFact --document --text "A passage." --no-tokens
  icl-harness prompt --task STS16 --model BAAI/bge-en-icl --no-tokens > prompt.txt""",
)
@click.option("-t", "--task", required=True, help="Task, alias or part; see `list tasks`.")
@click.option("-k", "--num-fewshot", default="all", show_default=True, help="Number of examples, or 'all'.")
@click.option("--text", help="The text to put in; without it the place is shown as {text}.")
@click.option("-m", "--model", default="embedded", show_default=True, help="Model: embedded, a directory, or a hub id.")
@click.option("--revision", help="Hub commit, tag or branch of the model.")
@click.option("--profile", help="Model profile by name or file; found by the model's name otherwise.")
@click.option("--examples", default="curated", show_default=True, metavar="SET", help="'curated' or a folder.")
@click.option("--instructions", default="default", show_default=True, help="Instruction set: 'default' or 'mteb'.")
@click.option(
    "--registry-dir",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="DIR",
    help="Folder with further task files.",
)
@click.option("--document", is_flag=True, help="Show a document of a retrieval or reranking task.")
@click.option("--no-tokens", is_flag=True, help="Do not count tokens: needs no tokenizer, so no model files.")
@click.option("--offline", is_flag=True, help="Never touch the network for the tokenizer.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with the string and all facts.")
def prompt_command(
    task: str,
    num_fewshot: str,
    text: str | None,
    document: bool,
    no_tokens: bool,
    as_json: bool,
    registry_dir: tuple[Path, ...],
    **flags: Any,
) -> None:
    """Show the exact string that a model reads for one text of a task.

    The string goes to stdout, the facts (examples, tokens, fingerprint) to stderr. Into a pipe or file the string is written
    byte for byte as UTF-8, with no newline added; on a terminal a newline follows it.

    Tokens are those of the string as shown; ids are what the model reads, begin and end tokens included, after the text (never the
    examples) was cut to the profile's length. Of the model only the tokenizer is loaded.
    """
    from harness.encoder.sources import check_model_name
    from harness.prompts.profile import find_profile
    from harness.prompts.shots import parse_num_fewshot
    from harness.registry.registry import Registry
    from harness.runners.prompts import PromptPolicy

    _check_text(text)
    registry = Registry.load(registry_dir, examples=flags["examples"])
    entry = registry.get(task)
    check_model_name(flags["model"])
    profile = find_profile(flags["model"], flags["profile"])
    policy = PromptPolicy(
        registry=registry,
        profile=profile,
        num_fewshot=parse_num_fewshot(num_fewshot),
        instructions=flags["instructions"],
    )
    choice = policy.for_registered(task)
    side = _side(profile, entry.task_type, task, document=document)
    shown = _PLACEHOLDER if text is None else text
    rendered = choice.prompt.render_query(shown) if side == "query" else choice.prompt.render_document(shown)
    counts = None
    if not no_tokens and profile.kind != "words":  # a baseline counts words and has no tokenizer
        tokenizer = _load_tokenizer(flags["model"], flags["revision"], profile, offline=flags["offline"])
        counts = _count(tokenizer, profile, choice.prompt, side, text or "")
    facts = {
        "task": task,
        "task_type": entry.task_type,
        "side": side,
        "document": document,
        "profile": profile.name,
        "model": flags["model"],
        "num_fewshot": choice.prompt.num_fewshot if side == "query" else 0,
        "examples_available": len(entry.examples),
        "examples_set": choice.examples_set,
        "instructions": choice.instruction_set,
        "instruction": choice.prompt.instruction if side == "query" else None,
        "text_given": text is not None,
        **({} if counts is None else counts._asdict()),
        "prompt_fingerprint": choice.prompt.fingerprint,
    }
    if as_json:
        click.echo(json.dumps({**facts, "prompt": rendered}, ensure_ascii=False, indent=1))
        return
    _write(rendered)
    for line in _fact_lines(facts):
        click.echo(line, err=True)


def _check_text(text: str | None) -> None:
    try:
        (text or "").encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputTextError("--text is not UTF-8. Give it in UTF-8.") from error


def _side(profile: ModelProfile, task_type: str, task: str, *, document: bool) -> Side:
    """Return the template that a text takes.

    Raises:
        ConfigError: a document was asked for where every text is a query.
    """
    side = profile.side(task_type, "document" if document else "query")
    if document and side == "query":
        raise ConfigError(
            f"--document: task {task!r} ({task_type}) has no documents; every text of it takes the prompt. "
            "Leave --document out."
        )
    return side


def _tokenizer_directory(model: str, revision: str | None, *, offline: bool) -> Path:
    """Return a folder with a model's tokenizer; of a hub model only the tokenizer's files are fetched."""
    from harness.encoder import sources

    if Path(model).is_dir() or model == sources.EMBEDDED:
        return sources.resolve_source(model, revision=revision).directory
    packaged = sources.minilm_package_dir() if model in (sources.MINILM, sources.MINILM_ID) and not revision else None
    if packaged is not None:
        return packaged
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    hub_id = sources.MINILM_ID if model == sources.MINILM else model
    try:
        return Path(
            snapshot_download(hub_id, revision=revision, local_files_only=offline, allow_patterns=_TOKENIZER_FILES)
        )
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise DatasetUnavailableError(
            f"the tokenizer of {model!r} is not on this machine and the hub did not give it. Leave the token count out with "
            "--no-tokens, or give a model directory."
        ) from error


def _load_tokenizer(model: str, revision: str | None, profile: ModelProfile, *, offline: bool) -> Any:
    """Load a tokenizer as the encoder does, with the same checks and repair.

    Raises:
        ModelLoadError: there is no tokenizer, or it does not fit the profile.
    """
    directory = _tokenizer_directory(model, revision, offline=offline)
    from harness.encoder.repair import check_special_tokens, ensure_ends
    from harness.encoder.tokenization import load_tokenizer

    try:
        tokenizer = load_tokenizer(directory, profile.tokenization)
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelLoadError(f"{directory}: the tokenizer cannot be loaded: {reason}") from error
    check_special_tokens(tokenizer, profile.special_tokens, str(directory))
    if profile.kind == "decoder" and profile.end_token is not None:
        ensure_ends(tokenizer, profile.begin_token, profile.end_token, str(directory))
    return tokenizer


def _count(tokenizer: Any, profile: ModelProfile, prompt: TaskPrompt, side: Side, text: str) -> _TokenCounts:
    from harness.encoder.tokenization import PromptTokenizer

    max_tokens = profile.query_max_tokens if side == "query" else profile.document_max_tokens
    rendered = prompt.render_query(text) if side == "query" else prompt.render_document(text)
    tokens = len(tokenizer(rendered, verbose=False)["input_ids"])
    if profile.kind == "sentence-transformer":
        return _TokenCounts(tokens, min(tokens, max_tokens), tokens > max_tokens, max_tokens)
    counter = PromptTokenizer(tokenizer, profile, profile.tokenization)
    if side == "query":
        encoded = counter.queries(prompt, [text], max_tokens)
    else:
        encoded = counter.documents(prompt, [text], max_tokens)
    return _TokenCounts(tokens, len(encoded.ids[0]), encoded.truncated > 0, max_tokens)


def _write(rendered: str) -> None:
    if sys.stdout.isatty():
        click.echo(rendered)
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(rendered.encode("utf-8"))
    sys.stdout.buffer.flush()


def _fact_lines(facts: dict[str, Any]) -> list[str]:
    if facts["side"] == "query":
        shots = f"{facts['num_fewshot']} of {facts['examples_available']} ({facts['examples_set']})"
        what = f"query, instruction set {facts['instructions']}"
    else:
        shots = "none on this side"
        what = "document" if facts["document"] else "bare text: the profile gives this task type no prompt"
    lines = [
        f"task         {facts['task']} ({facts['task_type']})",
        f"side         {what}",
        f"examples     {shots}",
        f"profile      {facts['profile']}",
    ]
    if "ids" in facts:
        text = "" if facts["text_given"] else " around an empty text"
        cut = f", the text cut to the limit of {facts['max_tokens']}" if facts["truncated"] else ""
        lines += [f"tokens       {facts['prompt_tokens']}{text}", f"ids          {facts['ids']}{text}{cut}"]
    return [*lines, f"fingerprint  {facts['prompt_fingerprint']}"]


__all__ = ["prompt_command"]
