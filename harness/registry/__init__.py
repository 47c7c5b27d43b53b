"""From a benchmark task to its instruction and few-shot examples."""

from harness.registry.names import suggest
from harness.registry.registry import RegisteredTask, Registry
from harness.registry.spec import FewShotExample, Instruction, TaskSpec

__all__ = ["FewShotExample", "Instruction", "RegisteredTask", "Registry", "TaskSpec", "suggest"]
