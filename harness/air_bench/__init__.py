"""AIR-Bench: its data, its metrics. What runs it is in `harness.runners.air_bench`."""
