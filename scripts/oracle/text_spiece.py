"""T5's tokenizer as SentencePiece itself writes it (spiece.model), and what transformers makes of text with it.

test/fixtures/text/spiece: a small model whose table of normalisation has a few rules of every form, and cases.json. The whole table that T5
has, nmt_nfkc, is too large to be kept: a model with it is made for the moment and compared here, every character and many texts, in both
forms, spiece.model and the tokenizer.json that transformers saves; wants `dist/`.
"""

import json
import random
import subprocess
import tempfile
import unicodedata
from pathlib import Path

import sentencepiece
from _fixtures import FIXTURES
from text import CASES, corpus
from transformers import T5Tokenizer

HERE = Path(__file__).resolve().parent
FOLDER = FIXTURES / "text" / "spiece"


def train(folder: Path, size: int, **normalization: str) -> None:
    texts = folder / "corpus.txt"
    texts.write_text("\n".join(line for text in corpus() for line in text.splitlines() if line.strip()))
    sentencepiece.SentencePieceTrainer.train(
        input=str(texts), model_prefix=str(folder / "spiece"), vocab_size=size, model_type="unigram", character_coverage=1.0,
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1, pad_piece="<pad>", minloglevel=2, num_threads=1, hard_vocab_limit=False, **normalization,
    )  # fmt: skip
    texts.unlink()
    (folder / "spiece.vocab").unlink()


def rules() -> str:
    """Some of NFKC and of NMT's spaces and controls, as a table for SentencePiece: code points from, code points to."""
    found = {}
    for text in CASES:
        for i, character in enumerate(text):
            for part in (character, text[i : i + 2], text[i : i + 3]):
                composed = unicodedata.normalize("NFKC", part)
                if composed != part and len(found) < 400:
                    found[part] = composed
    for character in "\t\n\r\u00a0\u1680\u2009\u2028\u2029\u3000\ufeff\u200b\u2581":
        found[character] = " "
    for code in (*range(1, 9), *range(14, 32), 0x7F):
        found[chr(code)] = ""
    hexes = lambda text: " ".join(f"{ord(character):X}" for character in text)  # noqa: E731
    return "".join(f"{hexes(source)}\t{hexes(target)}\n" for source, target in sorted(found.items()))


def outcomes(tokenizer, texts):
    ids = [tokenizer(text).input_ids for text in texts]
    decoded = [tokenizer.decode(row) for row in ids]
    plain = [tokenizer.decode(row, skip_special_tokens=True) for row in ids]
    return [dict(text=text, ids=row, decoded=a, plain=b) for text, row, a, b in zip(texts, ids, decoded, plain)]


def compare(folder: Path, texts: list[str], form: str) -> None:
    """Fails where our ids or texts are others than transformers'."""
    expected = outcomes(T5Tokenizer.from_pretrained(folder), texts)
    (folder / "expected.json").write_text(json.dumps(expected))
    subprocess.run(["node", HERE / "text_spiece.mjs", str(folder), str(folder / "expected.json"), form], check=True)


with tempfile.TemporaryDirectory() as temporary:
    table = Path(temporary) / "rules.tsv"
    table.write_text(rules())
    FOLDER.mkdir(parents=True, exist_ok=True)
    train(FOLDER, 300, normalization_rule_tsv=str(table))
    tokenizer = T5Tokenizer.from_pretrained(FOLDER)
    recorded = dict(length=len(tokenizer), cases=outcomes(tokenizer, CASES))
    (FIXTURES / "text" / "spiece.cases.json").write_text(json.dumps(recorded) + "\n")
    print("spiece.model:", (FOLDER / "spiece.model").stat().st_size, "bytes,", len(tokenizer), "tokens")

rng = random.Random(3)
points = [chr(code) for code in range(1, 0x110000) if not 0xD800 <= code < 0xE000]
named = [character for character in points if unicodedata.category(character) != "Cn"]
singles = ["a" + "b".join(named[i : i + 40]) for i in range(0, len(named), 40)]
mixed = ["".join(rng.choices(named[:20000], k=rng.randrange(1, 12))) for _ in range(3000)]
marks = [character for character in named if unicodedata.combining(character)]
accented = ["".join(rng.choice("aeiouAEInо ﬁ½") + "".join(rng.choices(marks[:200], k=rng.randrange(3))) for _ in range(8)) for _ in range(3000)]
texts = CASES + singles + mixed + accented
with tempfile.TemporaryDirectory() as temporary:
    folder = Path(temporary)
    train(folder, 400, normalization_rule_name="nmt_nfkc")
    compare(folder, texts, "spiece.model")
    T5Tokenizer.from_pretrained(folder).save_pretrained(folder / "saved")
    compare(folder / "saved", texts, "tokenizer.json")
