"""The prompt grammar of a model family as pure string work.

bge-en-icl (paper section 3; FlagEmbedding inference/embedder/decoder_only/icl.py) writes each demonstration as
`<instruct>{instruction}\\n<query>{query}\\n<response>{response}`, joins them by a blank line, and puts them in front of
`<instruct>{instruction}\\n<query>{text}\\n<response>`. Other families differ in these strings only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

from harness.errors import FewShotError


class Example(Protocol):
    """What a demonstration must have."""

    @property
    def query(self) -> str:
        """The example's query text."""

    @property
    def response(self) -> str:
        """The example's response text."""


@dataclass(frozen=True, kw_only=True)
class PromptTemplate:
    """The strings of one model family. `{instruction}`, `{text}`, `{query}` and `{response}` are filled in."""

    query: str
    """Around a query's text, with an instruction."""
    suffix: str = ""
    """Behind the query's text; never cut."""
    example: str | None = None
    """One demonstration; None where the family was not made for examples."""
    separator: str = "\n\n"
    """Between demonstrations and behind the last one."""
    document: str = "{text}"
    """Around a document's text."""


@dataclass(frozen=True)
class TaskPrompt:
    """What stands around the texts of one task: the rendered prefix and the pieces around the text."""

    instruction: str
    prefix: str
    """All demonstrations with their separators; "" for zero-shot."""
    query_template: str
    suffix: str
    document_template: str
    num_fewshot: int

    def wrap_query(self, text: str) -> str:
        """Return instruction and text, without prefix and suffix: the part that a length limit may cut."""
        return fill(self.query_template, instruction=self.instruction, text=text)

    def render_query(self, text: str) -> str:
        """Return the whole prompt of a query, nothing cut."""
        return self.prefix + self.wrap_query(text) + self.suffix

    def render_document(self, text: str) -> str:
        """Return a document as it is encoded: no instruction and no examples."""
        return fill(self.document_template, text=text)

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of everything that the prompt puts around a query or document."""
        canonical = json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(canonical.encode("utf-8")).hexdigest()

    @property
    def query_fingerprint(self) -> str:
        """SHA-256 (hex) of what stands around a query alone."""
        parts = [self.prefix, self.instruction, self.query_template, self.suffix]
        return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode("utf-8")).hexdigest()


def fill(template: str, **values: str) -> str:
    """Replace `{name}` by its value in one pass, so that braces inside a value stay as they are."""
    pieces: list[str] = []
    rest = template
    while rest:
        positions = [(rest.find("{" + name + "}"), name) for name in values]
        found = min(((at, name) for at, name in positions if at >= 0), default=None)
        if found is None:
            break
        at, name = found
        pieces += [rest[:at], values[name]]
        rest = rest[at + len(name) + 2 :]
    return "".join([*pieces, rest])


def build_prompt(template: PromptTemplate, instruction: str, examples: Sequence[Example] = ()) -> TaskPrompt:
    """Render the prefix of a task.

    Args:
        template: strings of the model family.
        instruction: the task's instruction; the demonstrations carry the same one.
        examples: demonstrations, in the order in which the model reads them.

    Raises:
        FewShotError: the family has no demonstration format and examples were given.
    """
    if examples and template.example is None:
        raise FewShotError(
            "this model's profile has no format for few-shot examples. Use --num-fewshot 0, or a profile "
            "with `example` in its template (see docs/profiles.md)."
        )
    demonstrations = [
        fill(template.example or "", instruction=instruction, query=one.query, response=one.response)
        for one in examples
    ]
    prefix = "".join(demonstration + template.separator for demonstration in demonstrations)
    return TaskPrompt(
        instruction=instruction,
        prefix=prefix,
        query_template=template.query,
        suffix=template.suffix,
        document_template=template.document,
        num_fewshot=len(examples),
    )
