"""Is an example a text of the evaluation? Every example against every evaluation text, exactly and nearly."""

from harness.audit.index import ExampleIndex, ExampleText, Match
from harness.audit.scan import AuditResult, Hit, audit

__all__ = ["AuditResult", "ExampleIndex", "ExampleText", "Hit", "Match", "audit"]
