"""Write transformers4_ids.json: what FlagICLModel feeds its model under transformers 4. Not a test.

python -m venv tf4 && tf4/bin/pip install transformers==4.57.6 sentencepiece mistral-common==1.13.1
tf4/bin/python -m tests.encoder.make_transformers4_ids > tests/encoder/transformers4_ids.json
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from tests.models import build_mistral_tokenizer, varied_texts

INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query."
EXAMPLE = (" what is a virtual interface", "A virtual interface is software.\n\n It mimics hardware ")
QUERIES = ["how much protein should a female eat", "summit define", " how much", "  how much", "▁how", "how  much "]
SUFFIX = "\n<response>"


def main() -> None:
    """Follow icl.py, `encode_queries_single_device` and `encode_single_device`, line by line."""
    import transformers
    from transformers import AutoTokenizer

    wrapper = f"<instruct>{INSTRUCTION}\n<query>"
    prefix = f"{wrapper}{EXAMPLE[0]}\n<response>{EXAMPLE[1]}\n\n"
    texts = QUERIES + [text for text in varied_texts(56, seed=4) if len(text) < 200] + ["over the limit " * 200]
    with tempfile.TemporaryDirectory() as folder:
        build_mistral_tokenizer(Path(folder))
        tokenizer = AutoTokenizer.from_pretrained(folder, add_bos_token=True, add_eos_token=True)
    rows = []
    for text in texts:
        row = {"text": text, "document": tokenizer(text, truncation=True, max_length=512)["input_ids"]}
        for name, shown in (("query", ""), ("query_1_shot", prefix)):
            budget = 512 - 1 - len(tokenizer(f"{SUFFIX}</s>", add_special_tokens=False)["input_ids"])
            inner = tokenizer([wrapper + text], truncation=True, max_length=budget, add_special_tokens=False)
            fixed = sum(len(tokenizer(part, add_special_tokens=False)["input_ids"]) for part in (shown, SUFFIX))
            string = shown + tokenizer.batch_decode(inner["input_ids"])[0] + SUFFIX
            limit = (fixed + 512 + 8) // 8 * 8 + 8
            ids = tokenizer(string, truncation=True, max_length=limit)["input_ids"]
            row[name] = ids
        rows.append(row)
    head = {"transformers": transformers.__version__, "instruction": INSTRUCTION, "example": EXAMPLE}
    json.dump({**head, "rows": rows}, sys.stdout, ensure_ascii=True, separators=(",", ":"))


if __name__ == "__main__":
    main()
