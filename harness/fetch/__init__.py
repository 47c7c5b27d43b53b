"""Downloads for later work without the network: models and data sets at fixed revisions, verified and resumable.

Files go into the very caches that `run --offline` reads. huggingface_hub loses a partial file when its process ends, and checks
sizes alone; `download.py` therefore fetches each file itself, into a partial file that a later process goes on with, and gives
it to huggingface_hub's cache after its SHA-256 (or git hash) is right.
"""
