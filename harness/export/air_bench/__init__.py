"""AIR-Bench submissions: writing what its board reads, and checking a zip for what the board refuses or mis-scores.

Nothing here imports air-benchmark; the tests hold both against it.
"""
