"""The persistent embedding store: vectors on disk, so that no text is encoded twice by any run.

    <HARNESS_CACHE>/embeddings/v1/
        shards/<sha256 of the file>.safetensors   immutable; keys [N, 32] and vectors [N, D]
        index.sqlite3                             key -> shard, row; rebuilt from the shards when damaged
        corrupt/                                  what was found damaged and set aside; never read again
        open.lock                                 held while the index is opened, replaced or rebuilt

Rules that the parts keep, and that make a kill at any point harmless:
    - Files below shards/ are made and removed only under the write lock of the index. So a temporary file that a holder
      of the lock finds was left by a dead process, and a shard named in the index is there.
    - A shard is renamed into place before the index names it, and leaves the index before it is removed. So what a kill
      leaves behind is at most a whole shard without index rows, which the next opening takes up again.
    - A vector is served only from a shard whose bytes had the hash in its name, from a row whose stored key is the key
      that was asked for. So a wrong index costs time, never a wrong vector.

The folder must be on a local disk: SQLite's write-ahead log does not work over NFS.
"""

from harness.encoder.vectors.maintenance import StoreInfo, VerifyReport
from harness.encoder.vectors.store import DEFAULT_MAX_BYTES, EmbeddingStore, embeddings_dir

__all__ = ["DEFAULT_MAX_BYTES", "EmbeddingStore", "StoreInfo", "VerifyReport", "embeddings_dir"]
