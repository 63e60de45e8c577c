"""Goldens of VQA accuracy: what LAVIS's copy of the official VQA tool makes of answers. Writes test/fixtures/metrics/vqa.json."""

import contextlib
import io
import json
import random

import _lavis  # noqa: F401
from _fixtures import FIXTURES
from lavis.common.vqa_tools.vqa import VQA
from lavis.common.vqa_tools.vqa_eval import VQAEval

ANSWERS = [
    "yes", "no", "Yes.", "two", "2", "the dog", "a dog", "dog", "dogs", "t-shirt", "t shirt", "tshirt", "don't know", "dont know", "1,000", "1000",
    "3.5", "3 . 5", "5:30 p.m.", "red, white and blue", "red white blue", "None", "0", "no, he isn't", "cat/dog", "a\tcat\n", "  the  end ", "ten",
    "yall'd've", "somebody'd", "youre an idiot", "100%", "$5", "it's @ home", "e.g. this...", "?", "", "half-eaten", "half - eaten", "ow's'at",
    "I'm", "Im", "shes", "lets", "“red”", "x" + "." * 40, "a b\u00a0c", "٣,٤ b-c", "three, four", "on the table.", "table",
]  # fmt: skip


def annotated(rng: random.Random, index: int) -> dict:
    kinds = rng.sample(ANSWERS, rng.choice([1, 2, 3, 4]))
    answers = [rng.choice(kinds) for _ in range(10)]
    prediction = rng.choice(kinds) if rng.random() < 0.8 else rng.choice(ANSWERS)
    types = {"questionType": rng.choice(["is the", "what", "how many"]), "answerType": rng.choice(["yes/no", "number", "other"])}
    return {"id": index, "prediction": prediction, "answers": answers, **types}


def evaluate(cases: list[dict]) -> dict:
    truth, results = VQA(), VQA()
    truth.dataset = {
        "annotations": [
            {
                "question_id": case["id"],
                "image_id": 0,
                "question_type": case["questionType"],
                "answer_type": case["answerType"],
                "answers": [{"answer": answer, "answer_id": i + 1} for i, answer in enumerate(case["answers"])],
            }
            for case in cases
        ]
    }
    truth.questions = {"questions": []}
    truth.createIndex()
    results.qa = {case["id"]: {"answer": case["prediction"]} for case in cases}
    tool = VQAEval(truth, results)
    with contextlib.redirect_stdout(io.StringIO()):
        tool.evaluate()
    return {"each": [tool.evalQA[case["id"]] for case in cases], **tool.accuracy}


def main() -> None:
    rng = random.Random(1)
    tool = VQAEval()
    cases = [annotated(rng, i) for i in range(120)]
    golden = {
        "processed": [
            {"text": text, "punctuation": (p := tool.processPunctuation(text)), "both": tool.processDigitArticle(p)} for text in ANSWERS
        ],
        # The entries that do something: words are in lower case by then.
        "contractions": {word: to for word, to in tool.contractions.items() if word != to and word == word.lower()},
        "questions": cases,
        "evaluation": evaluate(cases),
    }
    path = FIXTURES / "metrics" / "vqa.json"
    path.parent.mkdir(exist_ok=True)
    parts = [f'"{name}":{json.dumps(value, separators=(",", ":"), ensure_ascii=False)}' for name, value in golden.items()]
    path.write_text("{" + ",\n".join(parts) + "}\n")
    print(f"{path.relative_to(FIXTURES.parents[1])}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
