"""Which prompt a task gets: from the registry, or mteb's own instruction for a task that is in no registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import FewShotError
from harness.prompts.profile import ModelProfile
from harness.prompts.shots import configuration_name
from harness.prompts.shuffle import shuffled_examples
from harness.prompts.template import TaskPrompt, build_prompt
from harness.registry.registry import DEFAULT_INSTRUCTIONS, Registry
from harness.store.run_dir import canonical_sha256

if TYPE_CHECKING:
    from mteb import TaskMetadata

# mteb 2.26 `abstask_prompt` of each task class, for tasks whose metadata hold no prompt.
_TYPE_PROMPTS = {
    "Classification": "Classify user passages.",
    "MultilabelClassification": "Classify user passages.",
    "Regression": "Given a text, predict its value.",
    "Clustering": "Identify categories in user passages.",
    "PairClassification": "Retrieve text that are semantically similar to the given text.",
    "STS": "Retrieve semantically similar text.",
    "Summarization": "Given a news summary, retrieve other semantically similar summaries.",
    "BitextMining": "Retrieve parallel sentences.",
}
_RETRIEVAL_PROMPT = "Retrieve text based on user query."


@dataclass(frozen=True)
class PromptChoice:
    """The prompt of a task and what it was made of."""

    prompt: TaskPrompt
    examples_set: str
    instruction_set: str
    registered: bool
    examples_sha: str = ""
    """SHA-256 of the examples' queries and responses in their order; empty for zero-shot."""


@dataclass(frozen=True, kw_only=True)
class PromptPolicy:
    """How prompts are made for one configuration of a run."""

    registry: Registry
    profile: ModelProfile
    num_fewshot: int | None
    """None: all examples that the task has."""
    instructions: str = DEFAULT_INSTRUCTIONS
    fewshot_seed: int | None = None
    """Choose and order the examples by this seed; None takes the first k in file order."""

    @property
    def configuration(self) -> str:
        """Short name of this configuration inside its run: k0, k3, kall, k3-s1."""
        return configuration_name(self.num_fewshot, self.fewshot_seed)

    def for_registered(self, task_name: str) -> PromptChoice:
        """Return the prompt of a task in the registry.

        Raises:
            TaskNotFoundError: the registry lacks the task.
            FewShotError: not enough examples, or a model that takes none.
        """
        task = self.registry.get(task_name)
        if self.num_fewshot != 0 and self.profile.template.example is None:
            raise FewShotError(
                f"profile {self.profile.name!r} takes no few-shot examples. Use --num-fewshot 0, or a profile with "
                "an `example` template (docs/profiles.md)."
            )
        examples = task.first_examples(self.num_fewshot)
        if self.fewshot_seed is not None and examples:
            examples = shuffled_examples(task.examples, self.fewshot_seed, self.num_fewshot)
        instruction = task.instruction(self.instructions)
        return PromptChoice(
            prompt=build_prompt(self.profile.prompt_template, instruction.text, examples),
            examples_set=task.examples_set if examples else "none",
            instruction_set=self.instructions,
            registered=True,
            examples_sha=canonical_sha256([[one.query, one.response] for one in examples]) if examples else "",
        )

    def for_metadata(self, metadata: TaskMetadata) -> PromptChoice:
        """Return the prompt of any mteb task; one outside the registry must be zero-shot.

        Raises:
            FewShotError: examples were asked for and the registry lacks the task.
        """
        if metadata.name in self.registry:
            return self.for_registered(metadata.name)
        if self.num_fewshot != 0:
            raise FewShotError(
                f"task {metadata.name!r} is not in the registry, so it has no few-shot examples. Ask for "
                "--num-fewshot 0, or add one YAML file for it (docs/adding-a-task.md)."
            )
        return PromptChoice(
            prompt=build_prompt(self.profile.prompt_template, mteb_instruction(metadata)),
            examples_set="none",
            instruction_set="mteb",
            registered=False,
        )

    def fingerprint(self) -> str:
        """Return a hash over the prompts of all registered tasks, for caches that know no single task."""
        import hashlib

        digest = hashlib.sha256()
        for task in sorted(self.registry, key=lambda entry: entry.name):
            instruction = task.instructions.get(self.instructions)
            examples = task.examples if self.num_fewshot is None else task.examples[: self.num_fewshot]
            if self.profile.template.example is None:
                examples = ()
            elif self.fewshot_seed is not None:
                examples = shuffled_examples(task.examples, self.fewshot_seed, len(examples))
            prompt = build_prompt(self.profile.prompt_template, instruction.text if instruction else "", examples)
            digest.update(f"{task.name}\0{prompt.fingerprint}\n".encode())
        return digest.hexdigest()


def mteb_instruction(metadata: TaskMetadata) -> str:
    """Return the query-side instruction that mteb itself would give a task."""
    prompt = metadata.prompt
    if isinstance(prompt, str) and prompt:
        return prompt
    if isinstance(prompt, dict) and prompt.get("query"):
        return str(prompt["query"])
    return _TYPE_PROMPTS.get(str(metadata.type), _RETRIEVAL_PROMPT)
