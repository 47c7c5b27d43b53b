"""From text to weights: the stages in order, with a gate behind each."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from tools.train_embedded.attributes import Attribute, WordClasses, own_attributes
from tools.train_embedded.bag import Ragged, principal_axes, train_bag
from tools.train_embedded.data import allowed, distillation_texts
from tools.train_embedded.episodes import Episode, EpisodeMaker
from tools.train_embedded.families import Families
from tools.train_embedded.gates import Encode, Validation, emotion_score, shots_accuracy, sts_score, validate
from tools.train_embedded.journal import Journal
from tools.train_embedded.matching import Matching, MatchRecipe, accuracy, fit, prepare
from tools.train_embedded.model import CONTENT, VOCAB, save_model
from tools.train_embedded.plant import MATCH_DIMS, Plant, plant, set_answer, set_matching
from tools.train_embedded.prompts import Encoder, bare, encode_all, fork
from tools.train_embedded.teacher import teacher_vectors
from tools.train_embedded.texts import clean
from tools.train_embedded.tokenizer import save_tokenizer, train_tokenizer
from tools.train_embedded.wordnet import WordNet

HELD_OUT_SEED = 5
HELD_OUT_NOISE = 0.05
"""Standard error of the sum of two accuracies over 150 episodes each."""
AXES_TEXTS = 60_000
# Three own examples for the gates' few-shot prompts; no words of any task.
ALIKE_EXAMPLES = (
    ("The shop closes at six.", "At six o'clock the store shuts."),
    ("Two kids are splashing in a pool.", "Children play in the water."),
    ("The firm lost money last year.", "Last year the company made a loss."),
)
FEELING_EXAMPLES = (
    ("what a day, everything is fine", "happiness"),
    ("leave me alone with that", "rage"),
    ("the dark house made her tremble", "fright"),
)


class GateError(RuntimeError):
    """A stage came out worse than it may."""


@dataclass(frozen=True)
class Settings:
    """All sizes of a run."""

    rare_glosses: int = 25_000
    own_sentences: int = 40_000
    max_texts: int | None = None
    """Only so many texts, for a short run."""
    vocab: int = VOCAB
    bag_epochs: int = 6
    plant: Plant = field(default_factory=Plant)
    matching: MatchRecipe = field(default_factory=MatchRecipe)
    classes: int | None = None
    """Only so many word classes, for a short run."""
    held_out_episodes: int = 150


TINY = Settings(
    max_texts=300,
    vocab=600,
    bag_epochs=2,
    matching=MatchRecipe(episodes=10, shots=2, steps=4, batch=8),
    classes=12,
    held_out_episodes=4,
    own_sentences=300,
    rare_glosses=0,
)
"""A run of seconds that goes through all stages; its gates are off, its model is worthless."""


def training_texts(wordnet: Path | WordNet, settings: Settings) -> list[str]:
    """Return the distillation texts."""
    database = WordNet(wordnet) if isinstance(wordnet, Path) else wordnet
    texts = distillation_texts(database, rare_glosses=settings.rare_glosses, own_sentences=settings.own_sentences)
    return texts[: settings.max_texts]


def episode_texts(wordnet: WordNet, count: int) -> list[str]:
    """Return the queries of some episodes of training, for the overlap check."""
    classes = WordClasses(wordnet, Families(wordnet))
    attributes = [*own_attributes(), *classes.nouns(), *classes.adjectives()]
    maker = EpisodeMaker(attributes, natural_sentences(wordnet), random.Random(0))
    drawn = [maker.draw(3) for _ in range(count // 4)]
    return list(dict.fromkeys(text for episode in drawn for text in (*episode.texts, episode.instruction)))


def natural_sentences(wordnet: WordNet) -> list[str]:
    """Return WordNet's example sentences of middling length, in which attributes are looked for."""
    found = (clean(example) for synset in wordnet for example in synset.examples)
    return [example for example in found if 4 <= example.count(" ") <= 16 and allowed(example)]


class HeldOut(NamedTuple):
    """Episodes over attributes that training never asks for."""

    composed: list[Episode]
    natural: list[Episode]


def held_out_episodes(classes: WordClasses, natural: list[str], count: int) -> HeldOut:
    """Draw validation episodes: a held-out attribute is asked for, own and other ones stand beside it."""
    rng = random.Random(HELD_OUT_SEED)
    held = [*classes.held_out(), *classes.adjectives(held_out=True)]
    maker = EpisodeMaker([*held, *own_attributes(), *classes.nouns()[::6]], natural, rng, targets=range(len(held)))
    return HeldOut(
        [maker.draw(5, natural_share=0.0, precise_share=0.0) for _ in range(count)],
        [maker.draw(5, natural_share=1.0, precise_share=0.0) for _ in range(count)],
    )


class Scores(NamedTuple):
    """What a gate looks at."""

    bare: float
    """STSBenchmark through bare texts."""
    zero: Validation
    """Through zero-shot prompts."""
    few: Validation
    """Through prompts of three own examples."""
    composed: np.ndarray
    """Accuracy on held-out attributes, `[K + 1]`."""
    natural: np.ndarray

    def line(self) -> str:
        """One line for the log."""
        return (
            f"STSb {self.bare:.4f} bare, {self.zero.sts:.4f} k=0, {self.few.sts:.4f} k=3; "
            f"Emotion {self.zero.emotion:.4f} k=0, {self.few.emotion:.4f} k=3; held-out attributes k=0, 1, 3, 5: "
            f"composed {_few(self.composed)}, natural {_few(self.natural)}"
        )


def _few(accuracy: np.ndarray) -> str:
    return " ".join(f"{accuracy[k]:.3f}" for k in (0, 1, 3, 5) if k < len(accuracy))


@dataclass
class Training:
    """One run."""

    wordnet_folder: Path
    teacher_folder: Path
    cache: Path
    out: Path
    seed: int
    settings: Settings
    data: Path | None
    """Folder with STSBenchmark and EmotionClassification; None for no gates."""
    journal: Journal

    @cached_property
    def wordnet(self) -> WordNet:
        """The database."""
        return WordNet(self.wordnet_folder)

    @cached_property
    def classes(self) -> WordClasses:
        """Word classes, without the unseen families."""
        return WordClasses(self.wordnet, Families(self.wordnet))

    def run(self) -> str:
        """Train and write the model; return the SHA-256 of its weights."""
        say = self.journal.say
        texts = training_texts(self.wordnet, self.settings)
        tokenizer = train_tokenizer(texts, self.settings.vocab)
        encode = Encoder(tokenizer)
        say(f"data: {len(texts)} texts; tokenizer of {tokenizer.get_vocab_size()} tokens")
        targets, token_targets = self._teacher(texts, tokenizer)
        ids = Ragged([found.ids for found in tokenizer.encode_batch(texts, add_special_tokens=False)])
        bag = train_bag(
            ids,
            targets,
            token_targets,
            epochs=self.settings.bag_epochs,
            seed=self.seed,
            log=lambda step, loss: self.journal.step("static bag", {"step": float(step), "loss": loss}),
        )
        blank = sorted({*encode("a\n")[1:], *encode("a\n\n")[1:]})
        bag[blank] = 0.0
        bag_scores = self._bag_gate(bag, encode)
        model = plant(bag, self.settings.plant, self.seed, blank)
        held_out = held_out_episodes(self.classes, natural_sentences(self.wordnet), self.settings.held_out_episodes)
        planted = self._scores(model, encode, held_out)
        say(f"planted: {planted.line() if planted else 'no validation data'}")
        self._gate("planting", planted, bag_scores, None)
        self._in_context(model, encode, held_out, bag_scores, planted)
        return self._write(model, tokenizer, bag)

    def _in_context(
        self, model: Any, encode: Encoder, held_out: HeldOut, bag: Validation | None, planted: Scores | None
    ) -> None:
        """Fit the comparison, and undo it if its gate fails."""
        kept = {key: value.clone() for key, value in model.state_dict().items()}
        self._match(model, encode)
        found = self._scores(model, encode, held_out)
        self.journal.say(f"in-context stage: {found.line() if found else 'no validation data'}")
        try:
            self._gate("in-context stage", found, bag, planted)
        except GateError as error:
            self.journal.say(f"{error}; the planted weights are kept")
            model.load_state_dict(kept)

    def _attributes(self) -> tuple[list[Attribute], list[str]]:
        """Return what training asks for, and the natural sentences."""
        attributes = [*own_attributes(), *self.classes.nouns(), *self.classes.adjectives()]
        natural = natural_sentences(self.wordnet)
        if self.settings.classes is not None:
            return attributes[: self.settings.classes], natural[:500]
        return attributes, natural

    def _match(self, model: Any, encode: Encoder) -> None:
        settings, recipe = self.settings.plant, self.settings.matching
        attributes, natural = self._attributes()
        maker = EpisodeMaker(attributes, natural, random.Random(self.seed))
        table = model.embed_tokens.weight.detach().numpy()[:, :CONTENT].copy()
        data = prepare(encode, table, [maker.draw(recipe.shots) for _ in range(recipe.episodes)])
        fitted = Matching(MATCH_DIMS, settings.mean, settings.match, settings.found, settings.answer)
        before = accuracy(fitted, table, data)
        self.journal.say(
            f"in-context stage: {len(attributes)} attributes, {len(data.tokens)} queries with examples, {recipe.steps} steps"
        )
        fit(fitted, table, data, recipe, self.seed, lambda entry: self.journal.step("in-context stage", entry))
        self.journal.say(
            f"in-context stage: accuracy on its own queries {before:.3f} -> {accuracy(fitted, table, data):.3f}"
        )
        with torch.no_grad():
            set_matching(model, *(matrix.numpy() for matrix in fitted.planted()))
            set_answer(model, float(fitted.answer))

    def _teacher(self, texts: list[str], tokenizer: Any) -> tuple[np.ndarray, np.ndarray]:
        say = self.journal.say
        vectors = teacher_vectors(texts, self.cache, self.teacher_folder, say)
        strings = [tokenizer.decode([token]).strip() or "." for token in range(tokenizer.get_vocab_size())]
        token_vectors = teacher_vectors(strings, self.cache, self.teacher_folder, say)
        axes = principal_axes(vectors[:AXES_TEXTS], CONTENT)
        say(f"teacher: {len(vectors)} vectors, {len(token_vectors)} of tokens, on {CONTENT} axes")
        return _on_axes(vectors, axes).astype(np.float16), _on_axes(token_vectors, axes)

    def _bag_gate(self, bag: np.ndarray, encode: Encoder) -> Validation | None:
        if self.data is None:
            return None

        def mean(texts: Any) -> np.ndarray:
            return np.stack([bag[encode(text)].mean(0) for text in texts])

        found = validate(lambda texts: _unit(mean(texts)), self.data)
        self.journal.say(f"static bag: STSb {found.sts:.4f}, Emotion {found.emotion:.4f}")
        if found.sts < 0.72:
            raise GateError(f"static bag: STSb {found.sts:.4f} on validation, below 0.72")
        return found

    def _scores(self, model: Any, encode: Encoder, held_out: HeldOut) -> Scores | None:
        if self.data is None:
            return None
        model.eval()

        def prompted(instruction: str, examples: tuple[tuple[str, str], ...]) -> Encode:
            queries, responses = [q for q, _ in examples], [r for _, r in examples]
            return lambda texts: np.stack(
                [
                    found[-1]
                    for found in encode_all(
                        model, [fork(encode, instruction, [*queries, t], [*responses, ""]) for t in texts]
                    )
                ]
            )

        def plain(texts: Any) -> np.ndarray:
            return np.stack([found[0] for found in encode_all(model, [bare(encode, text) for text in texts])])

        pairs = [
            Validation(
                sts_score(prompted("Retrieve paraphrases.", ALIKE_EXAMPLES[:shots]), self.data),
                emotion_score(prompted("Classify how the writer feels.", FEELING_EXAMPLES[:shots]), self.data),
            )
            for shots in (0, 3)
        ]
        return Scores(
            sts_score(plain, self.data),
            pairs[0],
            pairs[1],
            shots_accuracy(model, encode, held_out.composed),
            shots_accuracy(model, encode, held_out.natural),
        )

    def _gate(self, stage: str, found: Scores | None, bag: Validation | None, planted: Scores | None) -> None:
        """Compare with the static bag and, behind the in-context stage, with the planted weights.

        Raises:
            GateError: what fell short, and by how much.
        """
        if found is None or bag is None:
            return
        checks = {
            "STSb bare": (found.bare, bag.sts - 0.01),
            "STSb k=0": (found.zero.sts, bag.sts - 0.01),
            "STSb k=3": (found.few.sts, found.zero.sts - 0.01),
            "Emotion k=0": (found.zero.emotion, bag.emotion - 0.02),
            "held-out attributes k=5 - k=0": (float(found.composed[5] - found.composed[0]), 0.12),
        }
        if planted is not None:
            checks["held-out attributes k=5, composed and natural"] = (
                float(found.composed[5] + found.natural[5]),
                float(planted.composed[5] + planted.natural[5]) - HELD_OUT_NOISE,
            )
        short = [f"{name} {value:.4f} < {least:.4f}" for name, (value, least) in checks.items() if value < least]
        if short:
            raise GateError(f"gate of the {stage} failed: {'; '.join(short)}")
        self.journal.say(f"gate of the {stage} passed")

    def _write(self, model: Any, tokenizer: Any, bag: np.ndarray) -> str:
        from safetensors.numpy import save_file

        save_model(model, self.out)
        save_tokenizer(tokenizer, self.out)
        save_file({"vectors": bag.astype(np.float16)}, str(self.out / "static_bag.safetensors"))
        for path in self.out.glob("*.safetensors"):
            path.chmod(0o644)
        sha = hashlib.sha256((self.out / "model.safetensors").read_bytes()).hexdigest()
        self.journal.say(f"weights: sha256 {sha}")
        self.journal.close()
        return sha


def _on_axes(vectors: np.ndarray, axes: np.ndarray) -> np.ndarray:
    return _unit(vectors.astype(np.float32) @ axes)


def _unit(vectors: np.ndarray) -> np.ndarray:
    unit: np.ndarray = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return unit


def deterministic(threads: int) -> None:
    """Fix what makes two runs of the same seed differ."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
