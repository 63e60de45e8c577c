"""Goldens of caption metrics: pycocoevalcap's BLEU, ROUGE-L and CIDEr of tokenised captions, and its PTBTokenizer's tokens (that one is Java).

Writes test/fixtures/metrics/captions.json.
"""

import json
import random
import subprocess
import sys

from _fixtures import FIXTURES

SITE = FIXTURES.parents[1] / ".peers" / "caption"
if not (SITE / "pycocoevalcap").is_dir():
    subprocess.run([sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(SITE), "pycocoevalcap==1.2"], check=True)
sys.path.insert(0, str(SITE))

from pycocoevalcap.bleu.bleu import Bleu  # noqa: E402
from pycocoevalcap.cider.cider import Cider  # noqa: E402
from pycocoevalcap.rouge.rouge import Rouge  # noqa: E402
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer  # noqa: E402

WORDS = "a the man dog red bus on of street two people sitting black-and-white 's is n't next to large small".split()

RAW = [
    "A man's dog isn't sitting on the black-and-white couch.",
    'Two "red" buses, parked side by side; it\'s 3:45 p.m.!',
    "The U.S. flag (with 50 stars) waves...",
    "A $5 bill & a 50% off sign / half-price",
    "They'll cannot gonna wanna don't can't won't I'm he'd we've you're",
    "Mr. Smith vs. Dr. Jones at St. Mary's no. 5 Jr. etc.",
    "it is 1,000.50 dollars; #1 @home a*b c+d e=f g_h",
    "'Hello' says `it` to a “fancy” café – naïve — yes…",
    "A cat.It jumped. a dog ,a cat",
    "rock 'n' roll",
    "women's restroom boys' bikes the 90's 1990s",
    "[bracket] {brace} a|b ~tilde ^hat",
    "a man in a t-shirt, holding a 12\" pizza -- or is it 14''?",
    "two-story 1/2 3-4 5:30 10-year-old 7th ave.",
    "A black .  white ?! a !! b",
    "a ... b .. c . . d",
    "a man,woman and child.standing a;b:c",
    "COCA-COLA's ad #hashtag @user",
    "$100 5c 5cm 20x 3rd 4K",
    "lemme gimme",
    "  A  plate of food\twith broccoli\nand rice .",
    "",
]


def sentence(rng: random.Random, most: int = 14) -> list[str]:
    return [rng.choice(WORDS) for _ in range(rng.randint(0 if most < 5 else 3, most))]


def varied(rng: random.Random, words: list[str]) -> list[str]:
    """The sentence with some of its words left out, replaced and added."""
    out = []
    for word in words:
        kind = rng.random()
        if kind < 0.7:
            out.append(word)
        elif kind < 0.8:
            out += [word, rng.choice(WORDS)]
        elif kind < 0.9:
            out.append(rng.choice(WORDS))
    return out


def corpus(rng: random.Random, pictures: int, most: int) -> list[dict]:
    pairs = []
    for _ in range(pictures):
        first = sentence(rng, most)
        references = [first, *(varied(rng, first) for _ in range(rng.randint(0, 4)))]
        pairs.append({"candidate": varied(rng, rng.choice(references)), "references": references})
    return pairs


def scored(pairs: list[dict]) -> dict:
    candidates = {i: [" ".join(pair["candidate"])] for i, pair in enumerate(pairs)}
    references = {i: [" ".join(words) for words in pair["references"]] for i, pair in enumerate(pairs)}
    bleu, bleu_each = Bleu(4).compute_score(references, candidates, verbose=0)
    rouge, rouge_each = Rouge().compute_score(references, candidates)
    cider, cider_each = Cider().compute_score(references, candidates)
    return {
        "pairs": pairs,
        "bleu": {"corpus": bleu, "each": [list(scores) for scores in zip(*bleu_each)]},
        "rougeL": {"corpus": float(rouge), "each": rouge_each.tolist()},
        "ciderD": {"corpus": float(cider), "each": cider_each.tolist()},
    }


def rounded(value):
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return float(f"{value:.10g}") if isinstance(value, float) else value


def main() -> None:
    rng = random.Random(1)
    corpora = [corpus(rng, pictures, most) for pictures, most in [(12, 14), (1, 10), (3, 4), (8, 30), (5, 2)]]
    same = [{"candidate": words, "references": [words]} for words in (["a", "dog"], ["two", "red", "people", "sitting", "on", "a", "bus"])]
    tokens = PTBTokenizer().tokenize({i: [{"caption": text}] for i, text in enumerate(RAW)})
    golden = {
        "corpora": [rounded(scored(pairs)) for pairs in [*corpora, same]],
        "tokens": [{"caption": text, "tokens": tokens[i][0].split()} for i, text in enumerate(RAW)],
    }
    path = FIXTURES / "metrics" / "captions.json"
    path.parent.mkdir(exist_ok=True)
    corpora_text = ",\n".join(json.dumps(item, separators=(",", ":")) for item in golden["corpora"])
    tokens_text = ",\n".join(json.dumps(item, separators=(",", ":"), ensure_ascii=False) for item in golden["tokens"])
    path.write_text(f'{{"corpora":[\n{corpora_text}\n],"tokens":[\n{tokens_text}\n]}}\n')
    print(f"{path.relative_to(FIXTURES.parents[1])}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
