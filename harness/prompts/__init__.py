"""Prompt strings of a model family; no files, no models."""

from harness.prompts.template import PromptTemplate, TaskPrompt, build_prompt, fill

__all__ = ["PromptTemplate", "TaskPrompt", "build_prompt", "fill"]
