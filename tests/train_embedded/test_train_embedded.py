"""The training tool: what its parts promise, and a run of seconds through all stages."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from harness.encoder.embedded import embedded_directory
from harness.encoder.load import EncoderOptions, load_text_encoder
from harness.encoder.sources import minilm_package_dir
from harness.prompts.profile import find_profile
from harness.prompts.template import build_prompt
from harness.registry.spec import FewShotExample
from tools.train_embedded.attributes import WordClasses, own_attributes
from tools.train_embedded.bag import principal_axes
from tools.train_embedded.episodes import CANDIDATES, Episode, EpisodeMaker
from tools.train_embedded.families import UNSEEN_VALUES, Families
from tools.train_embedded.grammar import sentences
from tools.train_embedded.matching import Matching, prepare
from tools.train_embedded.model import load_model, save_model
from tools.train_embedded.overlap import overlapping
from tools.train_embedded.plant import MATCH_DIMS, Plant, plant, set_matching
from tools.train_embedded.prompts import Encoder, bare, encode_all, fork
from tools.train_embedded.tokenizer import BOS, EOS, RESPONSE, train_tokenizer
from tools.train_embedded.wordnet import WordNet

pytestmark = pytest.mark.model

CLASSES = {
    "fruit tree": ("a tree that bears fruit", "appletree peartree figtree plumtree cherrytree limetree olivetree"),
    "weapon": ("any instrument or instrumentality used in fighting", "spear club bow sling dagger lance whip"),
    "vessel": ("a craft for water", "canoe raft barge kayak yacht dinghy trawler"),
    "musical instrument": (
        "any of various devices or contrivances that make music",
        "lute lyre fiddle zither oboe tuba gong",
    ),
}


def line(offset: int, kind: str, lex: str, words: list[str], pointers: list[tuple[str, int, str]], gloss: str) -> str:
    named = " ".join(f"{word.replace(' ', '_')} 0" for word in words)
    links = " ".join(f"{symbol} {target:08d} {part} 0000" for symbol, target, part in pointers)
    return f"{offset:08d} {lex} {kind} {len(words):02x} {named} {len(pointers):03d} {links} | {gloss}  ".replace(
        "  |", " |"
    )


@pytest.fixture(scope="module")
def wordnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a database of a few made-up classes in WordNet's format."""
    folder = tmp_path_factory.mktemp("wordnet")
    nouns, counts = ["  1 licence"], []
    offset = 100
    for name, (definition, words) in CLASSES.items():
        root = offset
        nouns.append(line(root, "n", "06", [name], [], definition))
        for word in words.split():
            offset += 1
            gloss = f'a {word} that people know; "we saw the old {word} beside the tall wall"'
            nouns.append(line(offset, "n", "06", [word], [("@", root, "n")], gloss))
            counts.append(f"{word}%1:06:00:: 1 5")
        offset += 1
    nouns.append(line(900, "n", "07", ["loudness"], [], "how loud a thing is"))
    adjectives = []
    for place, word in enumerate(("loud", "soft")):
        adjectives.append(line(910 + place, "a", "00", [word], [("=", 900, "n")], f"{word} to the ear"))
        counts.append(f"{word}%3:00:00:: 1 5")
    (folder / "data.noun").write_text("\n".join(nouns) + "\n", encoding="ascii")
    (folder / "data.adj").write_text("\n".join(adjectives) + "\n", encoding="ascii")
    (folder / "data.verb").write_text("", encoding="ascii")
    (folder / "data.adv").write_text("", encoding="ascii")
    (folder / "cntlist.rev").write_text("\n".join(counts) + "\n", encoding="ascii")
    return folder


def maker(wordnet: Path, seed: int = 0) -> EpisodeMaker:
    database = WordNet(wordnet)
    classes = WordClasses(database, Families(database))
    natural = [example for synset in database for example in synset.examples]
    return EpisodeMaker([*own_attributes(), *classes.nouns(), *classes.adjectives()], natural, random.Random(seed))


def test_wordnet_reader_finds_words_glosses_examples_and_classes(wordnet: Path) -> None:
    database = WordNet(wordnet)
    canoe = next(synset for synset in database if "canoe" in synset.words)

    assert (canoe.definition, canoe.examples) == (
        "a canoe that people know",
        ("we saw the old canoe beside the tall wall",),
    )
    assert (canoe.frequency, database.synsets[canoe.parents[0]].words) == (5, ("vessel",))
    names = [attribute.name for attribute in WordClasses(database, Families(database)).nouns()]
    assert names == ["fruit tree", "vessel"]


def test_no_episode_shows_a_word_of_an_unseen_family_as_label_or_candidate(wordnet: Path) -> None:
    drawn = maker(wordnet)
    shown = {label for _ in range(100) for one in [drawn.draw(3)] for choices in one.candidates for label in choices}

    assert not shown & UNSEEN_VALUES
    assert not shown & set(CLASSES["musical instrument"][1].split())
    assert not shown & set(CLASSES["weapon"][1].split())
    assert shown & {"canoe", "dog", "loud"}


def test_an_episode_has_the_right_label_first_and_no_candidate_twice(wordnet: Path) -> None:
    drawn = maker(wordnet)
    for _ in range(50):
        episode = drawn.draw(4)
        assert len(episode.texts) == len(episode.labels) == len(episode.candidates) == 5
        for label, choices in zip(episode.labels, episode.candidates, strict=True):
            assert choices[0] == label
            assert len(set(choices)) == CANDIDATES


def test_the_same_seed_draws_the_same_episodes_and_sentences(wordnet: Path) -> None:
    assert [maker(wordnet, 3).draw(2) for _ in range(3)] == [maker(wordnet, 3).draw(2) for _ in range(3)]
    assert sentences(20, 1) == sentences(20, 1) != sentences(20, 2)


def test_principal_axes_are_orthonormal_and_hold_the_most_energy_first() -> None:
    vectors = np.random.default_rng(0).standard_normal((500, 12)) * np.linspace(3, 0.1, 12)
    axes = principal_axes(vectors, 5)
    energy = ((vectors @ axes) ** 2).sum(0)

    assert np.allclose(axes.T @ axes, np.eye(5), atol=1e-5)
    assert (np.diff(energy) <= 0).all()


def test_overlap_finds_a_repeated_sentence_and_leaves_short_labels() -> None:
    from harness.audit.sources import EvaluationText

    training = ["The cat sat on the warm brown mat.", "card payment", "nothing like it anywhere at all"]
    evaluation = [
        EvaluationText("T", "test", "0", "the cat sat on the warm brown mat"),
        EvaluationText("T", "test", "1", "card payment"),
    ]

    hits, short, compared = overlapping(training, evaluation)

    assert (hits, short, compared) == ({training[0]: {"T"}}, 1, {"T": 2})


@pytest.fixture(scope="module")
def planted() -> tuple[object, Encoder, np.ndarray]:
    """A planted model over random token vectors."""
    tokenizer = train_tokenizer(sentences(200, 1), 500)
    bag = np.random.default_rng(0).standard_normal((tokenizer.get_vocab_size(), 240)).astype(np.float32)
    encode = Encoder(tokenizer)
    blank = sorted({*encode("a\n")[1:], *encode("a\n\n")[1:]})
    bag[blank] = 0.0
    return plant(bag, Plant(), 0, blank).eval(), encode, bag


def test_planted_model_is_the_static_bag_on_bare_texts_and_on_prompts_without_examples(
    planted: tuple[object, Encoder, np.ndarray],
) -> None:
    model, encode, bag = planted
    for text in sentences(10, 5):
        wanted = bag[encode(text)].mean(0)
        asked = fork(encode, "Find texts that mean the same.", [text], [""])
        for found in encode_all(model, [bare(encode, text), asked]):
            cosine = float(found[0][:240] @ wanted / np.linalg.norm(wanted))
            assert cosine > 1 - 1e-4


def test_the_float16_file_weighs_all_tokens_of_a_text_alike(
    planted: tuple[object, Encoder, np.ndarray], tmp_path: Path
) -> None:
    model, encode, _ = planted
    save_model(model, tmp_path)
    stored = load_model(tmp_path).eval()
    table = stored.embed_tokens.weight.detach().double()
    norms = table[5:].square().sum(1).sqrt()

    assert (1 - norms).abs().max() < 1e-6
    for text in sentences(10, 5):
        wanted = table[encode(text), :240].numpy().mean(0)
        for kind in (bare(encode, text), fork(encode, "Find texts that mean the same.", [text], [""])):
            found = encode_all(stored, [kind])[0][0][:240]
            cosine = found @ wanted / np.linalg.norm(found) / np.linalg.norm(wanted)
            assert cosine > 1 - 1e-5


def test_another_comparison_changes_nothing_without_examples(planted: tuple[object, Encoder, np.ndarray]) -> None:
    _, encode, bag = planted
    model = plant(bag, Plant(), 0, []).eval()
    rng = np.random.default_rng(1)
    query, key = rng.standard_normal((2, MATCH_DIMS, 240))
    asked = [fork(encode, "Find texts that mean the same.", [text], [""]) for text in sentences(10, 5)]
    before = np.concatenate(encode_all(model, asked))
    with torch.no_grad():
        set_matching(model, query, key, 0.1 * rng.standard_normal((240, 240)))

    assert np.abs(np.concatenate(encode_all(model, asked)) - before).max() < 1e-4


def test_a_fork_has_the_state_of_the_prompt_that_ends_there(planted: tuple[object, Encoder, np.ndarray]) -> None:
    model, encode, _ = planted
    texts, labels = ["a red dog", "the blue ship sank", "she wore a hat"], ["dog", "ship", "hat"]
    together = encode_all(model, [fork(encode, "Find it.", texts, labels)])[0]

    for shots in range(3):
        alone = encode_all(model, [fork(encode, "Find it.", texts[: shots + 1], labels[: shots + 1])])[0]
        assert np.abs(alone[-1] - together[shots]).max() < 1e-5


def test_the_fitted_function_is_what_the_planted_decoder_computes(planted: tuple[object, Encoder, np.ndarray]) -> None:
    model, encode, _ = planted
    settings = Plant()
    texts, labels = ["a red dog", "the blue ship sank", "she wore a hat"], ["dog", "ship", "hat"]
    table = model.embed_tokens.weight.detach().numpy()[:, :240].copy()  # type: ignore[attr-defined]
    episode = Episode(
        "Find it.", False, tuple(texts), tuple(labels), (("dog", "ship", "hat", "a", "b", "c", "d", "e"),) * 3
    )
    data = prepare(encode, table, [episode])
    fitted = Matching(MATCH_DIMS, settings.mean, settings.match, settings.found, settings.answer)
    with torch.no_grad():
        ours = fitted(torch.from_numpy(table)[data.tokens.clamp(min=0)], data.tokens >= 0, data.responses).numpy()

    states = encode_all(model, [fork(encode, "Find it.", texts, labels)])[0][1:, :240]

    cosine = (states * ours).sum(1) / np.linalg.norm(states, axis=1) / np.linalg.norm(ours, axis=1)
    assert cosine.min() > 0.995


def test_prompts_of_training_are_the_ids_that_the_harness_encodes() -> None:
    tokenizer = load_text_encoder("embedded", EncoderOptions()).backend.tokenizer
    backend = load_text_encoder("embedded", EncoderOptions()).backend
    encode = Encoder(tokenizer.backend_tokenizer)
    examples = [("A Red dog's toy", "dog"), ("two  ships", "ship")]
    prompt = build_prompt(
        find_profile("embedded").template,
        "Find the label.",
        [FewShotExample(query=query, response=response, origin="test") for query, response in examples],
    )
    ids = backend.tokenize(["She wore a hat."], prompt, "query", 512).ids[0]  # type: ignore[union-attr]
    ours = fork(
        encode, "Find the label.", [*[q for q, _ in examples], "She wore a hat."], [*[r for _, r in examples], ""]
    )
    without_forks = [token for place, token in enumerate(ours.ids) if place not in ours.forks[:-1]]

    assert without_forks == ids
    assert (ids[0], ids[-2], ids[-1]) == (BOS, RESPONSE, EOS)
    assert embedded_directory().is_dir()


@pytest.mark.skipif(minilm_package_dir() is None, reason="the teacher is an optional package")
def test_the_command_trains_a_model_that_loads_and_does_so_again_with_the_same_weights(
    wordnet: Path, tmp_path: Path
) -> None:
    from tools.train_embedded.__main__ import main

    threads = torch.get_num_threads()
    arguments = ["--tiny", "--wordnet", str(wordnet), "--cache", str(tmp_path / "teacher"), "--seed", "3"]
    try:
        for name in ("one", "two"):
            done = CliRunner().invoke(main, [*arguments, "--out", str(tmp_path / name)])
            assert done.exit_code == 0, done.output
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(False)

    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two")]
    assert weights[0] == weights[1]
    assert {path.name for path in (tmp_path / "one" / "log").iterdir()} == {"train.log", "steps.csv", "curves.svg"}
    encoder = load_text_encoder(str(tmp_path / "one"), EncoderOptions(profile="bge-en-icl"))
    assert encoder.backend.embed_dim == 256


def test_a_missing_wordnet_is_one_line(tmp_path: Path) -> None:
    from tools.train_embedded.__main__ import main

    done = CliRunner().invoke(main, ["--wordnet", str(tmp_path), "--out", str(tmp_path / "out")])

    assert done.exit_code == 1
    assert "wordnet-base" in done.output
