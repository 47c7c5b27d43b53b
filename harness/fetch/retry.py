"""How often and when a failed request is tried again."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from harness.errors import DatasetUnavailableError
from harness.fetch.failures import TemporaryError

Result = TypeVar("Result")


@dataclass(frozen=True)
class RetryPolicy:
    """A bounded number of attempts with exponentially growing, randomly varied waits between them.

    A hub that says how long to wait (Retry-After) is waited for as long as it says, up to `longest_asked_seconds`.
    """

    attempts: int = 6
    """First attempt included."""
    first_wait_seconds: float = 1.0
    longest_wait_seconds: float = 60.0
    longest_asked_seconds: float = 600.0
    """A longer Retry-After ends the item: the state is kept for another day."""

    def wait_seconds(self, failures: int, asked_seconds: float | None, rng: random.Random) -> float:
        """Return how long to wait after so many failures (at least 1)."""
        # The factor spreads the clients that failed at the same moment (full range of half to one and a half).
        own = min(self.longest_wait_seconds, self.first_wait_seconds * 2.0 ** min(failures - 1, 32)) * rng.uniform(
            0.5, 1.5
        )
        return own if asked_seconds is None else max(asked_seconds, own)


@dataclass
class Retrier:
    """Calls something until it succeeds, fails for good, or has failed too often."""

    policy: RetryPolicy
    sleep: Callable[[float], None]
    say: Callable[[str], None]
    rng: random.Random = field(default_factory=random.Random)

    def __call__(self, attempt: Callable[[], Result]) -> Result:
        """Return what `attempt` returns.

        Raises:
            DatasetUnavailableError: it raised TemporaryError too often, or the hub asks for too long a wait.
            HarnessError: whatever else it raises ends it at once.
        """
        failures = 0
        while True:
            try:
                return attempt()
            except TemporaryError as failure:
                # Bounded all the same: a file has only so many pieces.
                failures = 1 if failure.got_on else failures + 1
                if failures >= self.policy.attempts:
                    raise DatasetUnavailableError(f"{failure} (tried {failures} times)") from failure
                asked = failure.retry_after_seconds
                if asked is not None and asked > self.policy.longest_asked_seconds:
                    raise DatasetUnavailableError(f"{failure}; the hub asks to wait {asked:.0f} s") from failure
                wait = self.policy.wait_seconds(failures, asked, self.rng)
                self.say(f"{failure}; attempt {failures + 1} of {self.policy.attempts} in {wait:.1f} s")
                self.sleep(wait)
