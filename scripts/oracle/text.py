"""Tokenizers of the three kinds that BLIP-2 has, and what Hugging Face's libraries make of text with them.

test/fixtures/text/bert is a real one (bert-base-uncased, see the README there); the others are trained here, small: `opt`, byte-level BPE as
GPT-2's with OPT's special tokens, and `t5`, Unigram as SentencePiece's. `cases.json` holds the outcomes.
"""

import json
import random

from _fixtures import FIXTURES
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, Blip2Processor, BlipImageProcessor

TEXT = FIXTURES / "text"

ANIMALS = "cat dog horse elephant sheep parrot seagull tiger giraffe dolphin".split()
PLACES = "beach street kitchen garden mountain river market station library harbour".split()
ACTIONS = "sitting running sleeping standing jumping eating waiting looking playing flying".split()
COLOURS = "red blue green yellow purple orange black white brown grey".split()
STUFF = [
    "Question: which city is this? Answer: it's Singapore, isn't it?",
    "The year 2023 had 365 days; 1,234.56 dollars and 100% of 50°C.",
    "naïve café — “quotes” … ça va? Übergröße, señor, smørrebrød, żółw",
    "日本語のテキスト 中文 한국어 Ελληνικά Русский עברית العربية हिन्दी",
    "emoji 🚢🌊 🙂 and math ∑∫√ x² ≤ y",
    "\ufeffbom \ufeffbom in\ufeffside nel\u0085next nel \u0085next two  spaces   three \n\n lines",
    "def f(x):\n\treturn x ** 2  # comment\n\n",
]

CASES = [
    "a photo of",
    "Question: which city is this? Answer:",
    "a small sailboat in the top left on a red background",
    "",
    " ",
    "   leading and trailing   ",
    "two  spaces   three\n\nnewlines\ttab\r\nCRLF",
    "don't won't I'LL they're it's we've I'd 'tis",
    "ΣΟΦΟΣ Σ ÅΣ.ΑΣ",
    "İstanbul ıI K Å Ω ẞß ǅ",
    "naïve café e\u0301 a\u0300\u0301b \u0345",
    "日本語のテキスト 㐀䶵 豈",
    "𠀀𠀁 𪜀 𫝀𫠠𫠠 \U0002f800\U0002f801",
    "각 각 \u1112\u1161\u11ab",
    "\ufeffbom in\ufeffside",
    "nel\u0085next \u2028line \u2029paragraph",
    "bom \ufeffbom  \ufeff nel \u0085next  \u0085\u0085 \u0085\n",
    "zero\u200bwidth \u200d \u2060 soft\u00adhyphen",
    "a\u0000b\x01c\x7fd\x1be \x1c x\x1f",
    "nbsp\u00a0x \u1680ogham \u3000ideographic \u2009thin \u180e",
    "🚢🇫🇷👩\u200d👩\u200d👧 🙂🏽 \U0001f1e6",
    "\u0378unassigned \ue000private \U0010ffff \ufffd \U000e0001tag",
    "ﬁ ligature ½ ² ① Ⅻ ＡＢ ﬀ ㍍",
    "שלום עולם مرحبا \u202ertl\u202c \u0e33 हिन्दी",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟘𝟙",
    "$1,234.56 100% #hash @at _under_score_ ^`~|<>=+ a/b\\c",
    "‘quotes’ — dash… ¿qué? «x» „y“",
    "x" * 100,
    "x" * 101,
    "1234567890 ٣٤ ९ 12ab34",
    "\u2581underline ▁▁ x▁y",
    "</s> literal<pad> and <s>text</s>",
    "[SEP] literal [CLS]x[MASK] [sep]",
    "word</s>word <unk>[UNK]",
    "<extra_id_0> in the middle<extra_id_1>",
    "Hello, world! ¡Hola! 你好，世界！",
    "a.b,c;d:e!f?g(h)i[j]k{l}m",
    "CamelCase ALLCAPS mIxEd",
    "tail\n",
    "\n",
]


def corpus() -> list[str]:
    rng = random.Random(5)
    scenes = [
        f"a {rng.choice(COLOURS)} {rng.choice(ANIMALS)} {rng.choice(ACTIONS)} in the {rng.choice(PLACES)}" for _ in range(400)
    ]
    return scenes + STUFF * 20


def train_opt() -> None:
    folder = TEXT / "opt"
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    tokenizer.train_from_iterator(
        corpus(),
        trainers.BpeTrainer(
            vocab_size=700,
            special_tokens=specials,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="</s> $A", pair="</s> $A </s> $B", special_tokens=[("</s>", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    tokenizer.model.save(str(folder))
    config = {
        "add_bos_token": True,
        "add_prefix_space": False,
        "bos_token": "</s>",
        "eos_token": "</s>",
        "unk_token": "</s>",
        "pad_token": "<pad>",
        "errors": "replace",
        "model_max_length": 2048,
        "tokenizer_class": "GPT2Tokenizer",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")


def train_t5() -> None:
    folder = TEXT / "t5"
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")]
    )
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.train_from_iterator(
        corpus(),
        trainers.UnigramTrainer(
            vocab_size=400, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
        ),
    )
    tokenizer.add_special_tokens(["<extra_id_0>", "<extra_id_1>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "pad_token": "<pad>",
        "extra_special_tokens": ["<extra_id_0>", "<extra_id_1>"],
        "model_max_length": 512,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")


SETTINGS = [
    {"padding": "longest"},
    {"padding": "longest", "padding_side": "left"},
    {"padding": "max_length", "max_length": 12, "truncation": True},
    {"padding": "max_length", "max_length": 12, "truncation": True, "padding_side": "left"},
    {"padding": "longest", "max_length": 6, "truncation": True, "add_special_tokens": False},
    {"padding": "longest", "max_length": 2, "truncation": True},
]
BATCH = ["a photo of", "Question: which city is this? Answer:", "", "a small sailboat in the top left on a red background"]


def outcomes(name: str) -> dict[str, object]:
    tokenizer = AutoTokenizer.from_pretrained(TEXT / name)
    cases = []
    for text in CASES:
        ids = tokenizer(text).input_ids
        cases.append(
            {
                "text": text,
                "ids": ids,
                "decoded": tokenizer.decode(ids),
                "plain": tokenizer.decode(ids, skip_special_tokens=True),
            }
        )
    rng = random.Random(11)
    # Ids that no text gives, a few beyond the vocabulary.
    drawn = [[rng.randrange(len(tokenizer) + 20) for _ in range(rng.randrange(1, 12))] for _ in range(30)]
    batches = []
    for setting in SETTINGS:
        encoded = tokenizer(BATCH, **setting)
        batches.append({"setting": setting, "ids": encoded.input_ids, "mask": encoded.attention_mask})
    processor = Blip2Processor(BlipImageProcessor(size={"height": 8, "width": 8}), tokenizer, num_query_tokens=3)
    image = FIXTURES / "photos" / "kinds" / "grey.png"
    processed = []
    for setting in [{}, *SETTINGS[:4]]:
        with_images = processor(images=[str(image)] * len(BATCH), text=BATCH, **setting)
        text_only = processor(text=BATCH, **setting)
        processed.append(
            {
                "setting": setting,
                "ids": with_images.input_ids,
                "mask": with_images.attention_mask,
                "text_ids": text_only.input_ids,
            }
        )
    return {
        "length": len(tokenizer) - 1,  # without <image>
        "special": {
            key: getattr(tokenizer, f"{key}_token_id") for key in ("bos", "eos", "pad", "unk", "cls", "sep", "mask")
        },
        "cases": cases,
        "drawn": [
            {"ids": ids, "decoded": tokenizer.decode(ids), "plain": tokenizer.decode(ids, skip_special_tokens=True)}
            for ids in drawn
        ],
        "batch": BATCH,
        "batches": batches,
        "image_id": tokenizer.convert_tokens_to_ids("<image>"),
        "processed": processed,
    }


if __name__ == "__main__":
    train_opt()
    train_t5()
    for kind in ("bert", "opt", "t5"):
        (TEXT / f"{kind}.cases.json").write_text(json.dumps(outcomes(kind), ensure_ascii=True, indent=None) + "\n")
