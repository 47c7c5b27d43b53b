"""From a --model value to a TextEncoder."""

from __future__ import annotations

from dataclasses import dataclass

from harness.encoder.embedded import embedded_directory
from harness.encoder.sources import BASELINES, ModelSource, check_model_name, resolve_source
from harness.encoder.text_encoder import Backend, TextEncoder
from harness.errors import ConfigError
from harness.prompts.profile import Attention, ModelProfile, Tokenization, find_profile


@dataclass(frozen=True, kw_only=True)
class EncoderOptions:
    """How to load and run a model; None leaves the choice to profile and device."""

    revision: str | None = None
    profile: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    batch_tokens: int | None = None
    query_max_tokens: int | None = None
    document_max_tokens: int | None = None
    tokenization: Tokenization | None = None
    attention: Attention = "auto"
    trust_remote_code: bool = False
    offline: bool = False


def load_text_encoder(model: str, options: EncoderOptions | None = None) -> TextEncoder:
    """Find, load and check a model.

    Args:
        model: a built-in name (`embedded`, `all-MiniLM-L6-v2`, `tfidf`, ...), a directory, or a hub id.
        options: how to load it.

    Raises:
        ConfigError: unknown name or profile, or a model that does not fit its profile.
        DatasetUnavailableError: the hub cannot be reached.
    """
    options = options or EncoderOptions()
    check_model_name(model)
    profile = find_profile(model, options.profile)
    if (model in BASELINES) != (profile.kind == "words"):
        raise ConfigError(
            f"model {model!r} does not fit profile {profile.name!r}: profiles of kind words belong to the built-in "
            f"baselines ({', '.join(BASELINES)}), which take no other."
        )
    source = resolve_source(model, revision=options.revision, offline=options.offline)
    return TextEncoder(
        backend=_backend(model, source, profile, options),
        source=source,
        query_max_tokens=options.query_max_tokens or profile.query_max_tokens,
        document_max_tokens=options.document_max_tokens or profile.document_max_tokens,
        lasting=profile.kind != "words",
    )


def _backend(model: str, source: ModelSource, profile: ModelProfile, options: EncoderOptions) -> Backend:
    if profile.kind == "words":
        from harness.encoder.baselines import baseline_backend

        return baseline_backend(
            model,
            source,
            profile,
            device=options.device,
            dtype=options.dtype,
            batch_tokens=options.batch_tokens,
        )
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # its bar over weight tensors says nothing and breaks ours
    if profile.kind == "sentence-transformer":
        from harness.encoder.sentence import SentenceEncoder

        return SentenceEncoder(
            source.directory,
            profile,
            device=options.device,
            dtype=options.dtype,
            batch_tokens=options.batch_tokens,
            trust_remote_code=options.trust_remote_code,
        )
    from harness.encoder.decoder import DecoderEncoder

    return DecoderEncoder(
        source.directory,
        profile,
        device=options.device,
        dtype=_embedded_dtype(options.dtype) if source.directory == embedded_directory() else options.dtype,
        batch_tokens=options.batch_tokens,
        tokenization=options.tokenization,
        attention=options.attention,
        trust_remote_code=options.trust_remote_code,
    )


def _embedded_dtype(dtype: str) -> str:
    """Return the dtype of the embedded model, whose attention hangs on token norms that bfloat16 does not keep."""
    if dtype == "bfloat16":
        raise ConfigError(
            "--dtype bfloat16: the embedded model does not survive it (MiniSTS falls from 67 to 49 points). "
            "Use --dtype float32 or float16."
        )
    return "float32" if dtype == "auto" else dtype
