"""From a benchmark task to its instruction and few-shot examples."""

from harness.registry.registry import RegisteredTask, Registry, suggest
from harness.registry.spec import FewShotExample, Instruction, TaskSpec

__all__ = ["FewShotExample", "Instruction", "RegisteredTask", "Registry", "TaskSpec", "suggest"]
