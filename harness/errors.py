"""Errors that a user can mend; each carries one line and an exit code.

HarnessError
+-- ConfigError (ValueError)              exit 2: usage, configuration, registry
|   +-- TaskNotFoundError (KeyError)      unknown task, benchmark, profile, with suggestions
|   +-- FewShotError                      the few-shot examples asked for cannot be had
|   +-- PromptBudgetError                 a prompt cannot be fitted without cutting the prefix
|   +-- ModelLoadError                    not a model, or its tokenizer does not fit the profile
|   +-- InputTextError (TypeError)        a text that cannot be encoded (None, lone surrogate)
+-- IncompleteRunError                    exit 3: some task of the run has no result
|   +-- TaskFailedError                   one task failed in its evaluation; the others go on
+-- IncomparableRunsError                 exit 4
+-- ResultSchemaError                     exit 5: a corrupt or untrusted file
+-- EncodingError                         exit 5: vectors that must not be scored (NaN, zero, wrong count)
+-- StorageError (OSError)                exit 74: disk full, no permission
+-- DatasetUnavailableError               exit 75: hub or data set not reachable; try again
+-- RunLockedError                        exit 75: another process holds the run directory
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_REGRESSION = 1
EXIT_USAGE = 2
EXIT_INCOMPLETE = 3
EXIT_NOT_COMPARABLE = 4
EXIT_CORRUPT = 5
EXIT_INTERNAL = 70
EXIT_IO = 74
EXIT_TEMPORARY = 75
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143

# When one command meets several failures, the first of these that occurred is its exit code.
EXIT_PRECEDENCE = (EXIT_CORRUPT, EXIT_INCOMPLETE, EXIT_NOT_COMPARABLE, EXIT_REGRESSION)


class HarnessError(Exception):
    """Base of all errors that are reported to the user as one line."""

    exit_code = EXIT_USAGE

    def __str__(self) -> str:
        # KeyError would show the repr of its argument.
        return " ".join(str(arg) for arg in self.args)


class ConfigError(HarnessError, ValueError):
    """A flag, configuration file or registry entry is wrong."""


class TaskNotFoundError(ConfigError, KeyError):
    """A task, benchmark or profile name is not known."""


class FewShotError(ConfigError):
    """The few-shot examples asked for cannot be had."""


class PromptBudgetError(ConfigError):
    """A prompt does not fit and must not be cut."""


class ModelLoadError(ConfigError):
    """A model or tokenizer cannot be loaded or does not fit its profile."""


class InputTextError(ConfigError, TypeError):
    """A text cannot be encoded."""


class IncompleteRunError(HarnessError):
    """At least one task of a run has no result."""

    exit_code = EXIT_INCOMPLETE


class TaskFailedError(IncompleteRunError):
    """One task of a run failed in a way that its data or its configuration explains."""


class IncomparableRunsError(HarnessError):
    """Two results differ in what was measured."""

    exit_code = EXIT_NOT_COMPARABLE


class ResultSchemaError(HarnessError):
    """A file is corrupt or is not what it claims to be."""

    exit_code = EXIT_CORRUPT


class EncodingError(HarnessError):
    """An encoder returned vectors that must not be scored."""

    exit_code = EXIT_CORRUPT


class StorageError(HarnessError, OSError):
    """Reading or writing failed (disk full, permissions)."""

    exit_code = EXIT_IO


class DatasetUnavailableError(HarnessError):
    """A data set or a hub cannot be reached now."""

    exit_code = EXIT_TEMPORARY


class RunLockedError(HarnessError):
    """Another process writes to this run directory."""

    exit_code = EXIT_TEMPORARY


def combine_exit_codes(codes: list[int]) -> int:
    """Return the exit code of a command that met several outcomes (see EXIT_PRECEDENCE)."""
    for code in EXIT_PRECEDENCE:
        if code in codes:
            return code
    return next((code for code in codes if code != EXIT_OK), EXIT_OK)
