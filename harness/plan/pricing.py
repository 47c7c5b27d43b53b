"""Works and prompts in, costs out: what a run encodes, in its order, with nothing encoded twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.plan.cost import Cost, PromptTokens, group_cost, prompt_tokens, shares_prefix, total
from harness.plan.model import AIR_TABLE, TaskPlan
from harness.plan.statistics import Overlap, Statistics, TextGroup, example_texts
from harness.plan.tokenizers import TokenCounter
from harness.plan.works import OWN, Work
from harness.prompts.profile import ModelProfile
from harness.registry.registry import Registry
from harness.runners.prompts import PromptPolicy
from harness.types import ASYMMETRIC_TYPES, Side

if TYPE_CHECKING:
    from harness.prompts.template import TaskPrompt


@dataclass
class Pricer:
    """Prices tasks one after the other; remembers what the earlier ones have encoded."""

    registry: Registry
    profile: ModelProfile
    statistics: Statistics
    counter: TokenCounter
    query_max_tokens: int
    document_max_tokens: int
    overlaps: Sequence[Overlap] = ()
    _made: set[tuple[Overlap, Side, str]] = field(default_factory=set)
    """Texts of several tasks that are encoded already, by the side and prompt they were encoded under."""

    @property
    def family(self) -> str:
        """Tokenizer family whose packaged counts are taken."""
        return self.statistics.family_of(self.profile.name)

    def price(self, work: Work, policies: Sequence[PromptPolicy]) -> list[TaskPlan]:
        """Return the plan of a task under each configuration, in the order in which a run does them."""
        plans: list[TaskPlan] = []
        scales = self._scales(work)
        made: set[TextGroup] = set()
        for policy in policies:
            prompt = _prompt(work, policy)
            around = prompt_tokens(prompt, self.profile, self.counter, self.query_max_tokens, self.document_max_tokens)
            plans.append(self._task_plan(work, policy.configuration, prompt, around, scales, made))
        return plans

    def _task_plan(
        self,
        work: Work,
        configuration: str,
        prompt: TaskPrompt,
        around: PromptTokens,
        scales: dict[str, float],
        made: set[TextGroup],
    ) -> TaskPlan:
        """Price one configuration; `made` holds the documents that an earlier one has encoded, and is added to."""
        costs: list[Cost] = []
        shared_documents = 0
        prefix_pass = False
        sides: set[Side] = set()
        for group in work.statistics.groups if work.statistics else ():
            side = self.profile.side(work.task_type, group.side or None)
            cost = self._group_cost(work, group, around, scales)
            if side == "document" and group in made:
                shared_documents += group.distinct
                costs.append(Cost(texts=cost.texts, exact=cost.exact))
                continue
            if side == "document":
                made.add(group)
            prefix_pass |= side == "query" and shares_prefix(around, self.profile, group)
            sides.add(side)
            costs.append(cost)
        shared = [self._overlap_cost(work, one, around, scales) for one in self._shared(work, prompt, sides)]
        if prefix_pass:
            costs.append(Cost(tokens=around.shared))
        return TaskPlan(
            task=work.name,
            part_of=work.part_of,
            task_type=work.task_type,
            configuration=configuration,
            num_fewshot=prompt.num_fewshot,
            prefix_tokens=around.examples,
            cost=total(costs) - total(shared),
            source=work.source,
            missing=work.missing,
            shared_documents=shared_documents,
            shared_texts=sum(one.distinct for one in shared),
        )

    def _shared(self, work: Work, prompt: TaskPrompt, sides: set[Side]) -> list[Overlap]:
        """Return the texts of this task that an earlier one has encoded under the same prompt, and note all it has now."""
        found = []
        for one in self.overlaps:
            if work.name not in one.tasks:
                continue
            marked = one.side if work.task_type in ASYMMETRIC_TYPES else None
            side = self.profile.side(work.task_type, marked)
            if side not in sides:
                continue
            key = (one, side, prompt.query_fingerprint if side == "query" else prompt.document_template)
            if key in self._made:
                found.append(one)
            self._made.add(key)
        return found

    def _overlap_cost(self, work: Work, overlap: Overlap, around: PromptTokens, scales: dict[str, float]) -> Cost:
        side = overlap.side if work.task_type in ASYMMETRIC_TYPES else ""
        group = TextGroup(
            side=side,
            split="",
            subset="",
            texts=0,
            distinct=overlap.texts,
            exact=True,
            calls=0,
            mean_chars=0.0,
            max_chars=0,
            curves=overlap.curves,
        )
        return self._group_cost(work, group, around, scales)

    def _group_cost(self, work: Work, group: TextGroup, around: PromptTokens, scales: dict[str, float]) -> Cost:
        return group_cost(
            group,
            around,
            self.profile,
            work.task_type,
            family=OWN if work.own_tokens else self.family,
            scale=scales.get(group.side, 1.0),
            chars_per_token=self.statistics.chars_per_token(self.family, work.name, group.side),
        )

    def _scales(self, work: Work) -> dict[str, float]:
        """Return, by side, the tokens of the model's tokenizer per token of the family.

        AIR-Bench's counts are of neither, and those made now are of the model's own tokenizer.
        """
        if work.own_tokens or work.source == AIR_TABLE or work.name not in self.registry:
            return {}
        texts = example_texts(self.registry.get(work.name))
        return {
            side: self.statistics.scale(self.family, work.name, side, some, self.counter)
            for side, some in texts.items()
        }


def _prompt(work: Work, policy: PromptPolicy) -> TaskPrompt:
    if work.registered:
        return policy.for_registered(work.name).prompt
    import mteb

    return policy.for_metadata(mteb.get_task(work.name).metadata).prompt
