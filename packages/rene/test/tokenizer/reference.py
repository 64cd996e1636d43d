# Writes fixtures/*.json: small tokenizers of each kind, and the tokenizers library's (Rust) results for
# difficult texts and ids.
#
#   pip install tokenizers sentencepiece        # written with 0.23.2 and 0.2.2
#   python reference.py
import base64
import json
import os
import random
import struct
import tempfile

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer
from tokenizers import decoders as D
from tokenizers import models as M
from tokenizers import normalizers as N
from tokenizers import pre_tokenizers as P
from tokenizers import processors as PP
from tokenizers import trainers as T

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures")
os.makedirs(HERE, exist_ok=True)

CORPUS = [
    "The sea is deep and the lake is not. A lighthouse stands where the river ends.",
    "don't can't won't it's they'll we've I'm HELLO Hello hello THE The the",
    "1234567890 3.14159 1,000,000 2024-01-01 0x41",
    "日本語のテキスト、中文文本，한국어 텍스트",
    "naïve café déjà vu Straße Ünïcödé русский текст ελληνικά",
    "👍🏽 😀 👩‍👩‍👧 emoji",
    "for (let i = 0; i < 10; i++) { console.log(i); }",
] * 10

GPT4 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TIKTOKEN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
    r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)
O200K = "|".join(
    [
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
BLOOM = r" ?[^(\s|[.,!?…。，、।۔،])]+"


def split(pattern, behavior="isolated", invert=False):
    return P.Split(Regex(pattern), behavior, invert)


def plain(tokenizer):
    return json.loads(tokenizer.to_str())


def byte_level(pre, normalizer=None, post=None, special=("<|endoftext|>",), added=(), size=330):
    t = Tokenizer(M.BPE())
    if normalizer:
        t.normalizer = normalizer
    if post:
        t.post_processor = post
    t.pre_tokenizer = pre
    t.decoder = D.ByteLevel()
    trainer = T.BpeTrainer(
        vocab_size=size,
        special_tokens=list(special),
        initial_alphabet=P.ByteLevel.alphabet(),
        show_progress=False,
    )
    t.train_from_iterator(CORPUS, trainer)
    if added:
        t.add_tokens(list(added))
    return plain(t)


def in_bytes(*pre):
    return P.Sequence([*pre, P.ByteLevel(add_prefix_space=False, use_regex=False)])


def sentence_bpe(normalizer, pre, decoder, added=(), **model):
    """A BPE model that falls back to bytes, as Llama's, Mistral's and Gemma's."""
    t = Tokenizer(M.BPE())
    t.pre_tokenizer = P.Metaspace(split=True)
    tokens = [f"<0x{i:02X}>" for i in range(256)]
    trainer = T.BpeTrainer(
        vocab_size=400,
        special_tokens=["<unk>", "<s>", "</s>", *tokens],
        limit_alphabet=70,
        show_progress=False,
    )
    t.train_from_iterator(CORPUS, trainer)
    made = plain(t)
    made["model"].update({"unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True, **model})
    made["added_tokens"] = made["added_tokens"][:3]
    t = Tokenizer.from_str(json.dumps(made))
    if normalizer:
        t.normalizer = normalizer
    t.pre_tokenizer = pre
    t.decoder = decoder
    t.post_processor = PP.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    if added:
        t.add_tokens(list(added))
    return plain(t)


LLAMA = D.Sequence([D.Replace("▁", " "), D.ByteFallback(), D.Fuse(), D.Strip(" ", 1, 0)])


def unigram(normalizer, pre, decoder, **model):
    t = Tokenizer(M.Unigram())
    if normalizer:
        t.normalizer = normalizer
    t.pre_tokenizer = pre
    t.decoder = decoder
    special = ["<pad>", "</s>", "<unk>"]
    t.train_from_iterator(
        CORPUS,
        T.UnigramTrainer(
            vocab_size=160, unk_token="<unk>", special_tokens=special, show_progress=False
        ),
    )
    made = plain(t)
    made["model"].update(model)
    if model.get("byte_fallback"):
        made["model"]["vocab"] += [[f"<0x{i:02X}>", -50.0] for i in range(256)]
    return made


def protobuf(data):
    """The fields of a message, without its schema."""
    at = 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        key = number()
        if key & 7 == 0:
            yield key >> 3, number()
            continue
        size = number() if key & 7 == 2 else {1: 8, 5: 4}[key & 7]
        yield key >> 3, data[at : at + size]
        at += size


def precompiled():
    """SentencePiece's own model, with a small map of characters."""
    rules = {"ﬁ": "fi", "Ａ": "A", "①": "1", "ｶﾞ": "ガ", "ｶ": "カ", "\u200b": "", "\u3000": " ", "e\u0301": "\u00e9", "½": "1/2"}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        with open("rules.tsv", "w") as file:
            for source, target in rules.items():
                hexes = [" ".join(f"{ord(c):X}" for c in text) for text in (source, target)]
                file.write("\t".join(hexes) + "\n")
        with open("corpus.txt", "w") as file:
            file.write("\n".join(CORPUS))
        sentencepiece.SentencePieceTrainer.train(
            input="corpus.txt",
            model_prefix="made",
            vocab_size=160,
            normalization_rule_tsv="rules.tsv",
            hard_vocab_limit=False,
            minloglevel=2,
        )
        with open("made.model", "rb") as file:
            data = file.read()
    vocab = []
    charsmap = b""
    for field, value in protobuf(data):
        if field == 1:
            piece = dict(protobuf(value))
            score = struct.unpack("<f", piece[2])[0] if 2 in piece else 0.0
            vocab.append([piece[1].decode(), score])
        if field == 3:
            charsmap = dict(protobuf(value))[2]
    made = unigram(None, P.Metaspace(), D.Metaspace())
    made["added_tokens"] = []
    made["model"].update(vocab=vocab, unk_id=0)
    made["normalizer"] = {
        "type": "Sequence",
        "normalizers": [
            {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap).decode()},
            {"type": "Strip", "strip_left": False, "strip_right": True},
            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"},
        ],
    }
    made["pre_tokenizer"] = {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "WhitespaceSplit"},
            {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
        ],
    }
    return made


def word_piece(normalizer, pre, decoder, **model):
    t = Tokenizer(M.WordPiece(unk_token="[UNK]", **model))
    t.normalizer = normalizer
    t.pre_tokenizer = pre
    t.decoder = decoder
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    t.train_from_iterator(
        CORPUS, T.WordPieceTrainer(vocab_size=200, special_tokens=special, show_progress=False)
    )
    t.post_processor = PP.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return plain(t)


def clip():
    t = Tokenizer(M.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    t.normalizer = N.Sequence([N.NFC(), N.Replace(Regex(r"\s+"), " "), N.Lowercase()])
    words = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
    t.pre_tokenizer = P.Sequence([split(words, "removed", True)])
    t.decoder = D.BPEDecoder("</w>")
    trainer = T.BpeTrainer(
        vocab_size=200, special_tokens=["<unk>"], end_of_word_suffix="</w>", show_progress=False
    )
    t.train_from_iterator(CORPUS, trainer)
    return plain(t)


def word_level(pre, decoder=None, normalizer=None):
    t = Tokenizer(M.WordLevel(unk_token="<unk>"))
    t.pre_tokenizer = pre
    if normalizer:
        t.normalizer = normalizer
    if decoder:
        t.decoder = decoder
    special = ["<unk>", "|", "<pad>"]
    t.train_from_iterator(
        CORPUS, T.WordLevelTrainer(vocab_size=120, special_tokens=special, show_progress=False)
    )
    return plain(t)


ADDED = [
    AddedToken("    ", normalized=True),
    AddedToken("<mask>", lstrip=True, special=True),
    AddedToken("[R]", rstrip=True),
    AddedToken("foo", single_word=True),
    AddedToken("<|x|>", special=True),
    AddedToken("<|x|><|y|>", special=True),
]

KINDS = {
    "byte_level": lambda: byte_level(P.ByteLevel(add_prefix_space=False), N.NFC(), added=ADDED),
    "roberta": lambda: byte_level(
        P.ByteLevel(add_prefix_space=True),
        post=PP.RobertaProcessing(("</s>", 1), ("<s>", 0)),
        special=["<s>", "</s>"],
    ),
    "gpt4": lambda: byte_level(in_bytes(split(GPT4))),
    "tiktoken": lambda: byte_level(in_bytes(split(TIKTOKEN))),
    "o200k": lambda: byte_level(in_bytes(split(O200K))),
    "splits": lambda: byte_level(
        in_bytes(
            P.Split(" ", "merged_with_next"),
            P.Split("a", "merged_with_previous"),
            P.Split("é", "contiguous"),
            split(r"[b-d]", "removed"),
        ),
        N.NFKC(),
    ),
    "inverted": lambda: byte_level(in_bytes(split(r"\w+|[^\w\s]+", "removed", True))),
    "bloom": lambda: byte_level(
        P.Sequence(
            [
                split(BLOOM),
                P.Digits(individual_digits=True),
                P.Punctuation("contiguous"),
                P.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
    ),
    "llama": lambda: sentence_bpe(
        N.Sequence([N.Prepend("▁"), N.Replace(" ", "▁")]),
        None,
        LLAMA,
        added=[AddedToken("<tool>", normalized=True), AddedToken("<|x|>", special=True)],
    ),
    "mistral": lambda: sentence_bpe(None, P.Metaspace("▁", "first", False), LLAMA, fuse_unk=False),
    "gemma": lambda: sentence_bpe(
        N.Replace(" ", "▁"),
        P.Split(" ", "merged_with_previous"),
        D.Sequence([D.Replace("▁", " "), D.ByteFallback(), D.Fuse()]),
        added=[AddedToken("\n\n", normalized=False), AddedToken("▁▁", normalized=False)],
    ),
    "metaspace": lambda: sentence_bpe(
        None, P.Metaspace("▁", "always", True), D.Metaspace("▁", "always", True), byte_fallback=False
    ),
    "joined": lambda: sentence_bpe(
        None,
        P.Metaspace("▁", "never", True),
        D.Sequence([D.ByteFallback(), D.Fuse(), D.Replace("▁▁", "  "), D.Replace("▁", " "), D.Strip(" ", 2, 0)]),
        ignore_merges=True,
    ),
    "unigram": lambda: unigram(
        N.Sequence([N.Nmt(), N.NFKC(), N.Replace(Regex(" {2,}"), " ")]), P.Metaspace(), D.Metaspace()
    ),
    "unigram_bytes": lambda: unigram(
        None, P.Metaspace("▁", "first", False), LLAMA, byte_fallback=True
    ),
    "precompiled": precompiled,
    "bert": lambda: word_piece(N.BertNormalizer(), P.BertPreTokenizer(), D.WordPiece()),
    "word_piece": lambda: word_piece(
        N.Sequence([N.NFD(), N.StripAccents(), N.Strip()]),
        P.Whitespace(),
        D.WordPiece(cleanup=False),
        max_input_chars_per_word=8,
    ),
    "clip": clip,
    "word_level": lambda: word_level(P.Sequence([P.CharDelimiterSplit(" "), P.Punctuation("removed")])),
    "ctc": lambda: word_level(P.FixedLength(3), D.CTC("<pad>", "|", True), N.Lowercase()),
}

TEXTS = [
    "",
    " ",
    "The sea is deep",
    "  two  spaces ",
    "it's IT'S it'ſ don't",
    "\ufeffBOM first",
    "line\u0085next\u2028line",
    "a\u00a0b\u3000c\u200bd\u200de",
    "tabs\t\tand\r\nlines\n\n\nend\n",
    "日本語と한국어",
    "👩‍👩‍👧 👍🏽 😀",
    "e\u0301 a\u0323\u0302 ½ ① ﬁ Ａ ｶﾞ",
    "x²y³ Ⅷ ٣ 1234567",
    "ΑΣ ς İ ǅ ẞ",
    "<s>hello</s> <unk>",
    "a <mask>  b[R]  c foo afoo foo1 <|x|><|y|><|x|>",
    "<tool> and <TOOL> [MASK][mask]",
    "▁▁already ▁marked",
    "<0x41><0xZZ>",
    "…¿«»—_-,.!?;:'\"()[]{}",
    "\x00\x07\x1b[0m\x7f\ufffd\ufffe",
    "ｶ\u0f7c\u0eba\u0301\u07fd \u1acf",
    "ab" * 40,
    " " * 40 + "x" + "\n" * 5,
    "𠀞𠃿 \U000323b0's \U0001fac8",
]

RANGES = [
    (0x20, 0x7E), (0x20, 0x7E), (0x20, 0x7E), (0, 0x7F), (0x80, 0x24F), (0x250, 0x36F),
    (0x370, 0x52F), (0x530, 0x6FF), (0x900, 0xDFF), (0xE00, 0x11FF), (0x1E00, 0x206F),
    (0x2070, 0x2BFF), (0x3000, 0x30FF), (0x4E00, 0x4FFF), (0xAC00, 0xACFF), (0xF900, 0xFFFF),
    (0x1D400, 0x1D7FF), (0x1F300, 0x1FAFF), (0, 0x10FFFF),
]


def random_text(rng):
    parts = []
    for _ in range(rng.randrange(1, 8)):
        if rng.random() < 0.6:
            parts.append(rng.choice(rng.choice(TEXTS).split(" ")))
        low, high = rng.choice(RANGES)
        codes = [rng.randint(low, high) for _ in range(rng.randrange(3))]
        parts.append("".join(chr(c) for c in codes if not 0xD800 <= c <= 0xDFFF))
        parts.append(rng.choice(["", "", " ", "  ", "\n"]))
    return "".join(parts)


def random_ids(rng, tokenizer):
    ids = []
    for _ in range(rng.randrange(1, 10)):
        data = rng.choice(["é".encode(), "日👍".encode(), "日".encode()[:2], bytes([rng.randrange(256)])])
        known = [tokenizer.token_to_id(f"<0x{byte:02X}>") for byte in data]
        if rng.random() < 0.5 and None not in known:
            ids += known
        else:
            ids.append(rng.randrange(tokenizer.get_vocab_size() + 2))
    return ids


def decoded(tokenizer, ids):
    try:
        return [ids, *(tokenizer.decode(ids, skip_special_tokens=skip) for skip in (False, True))]
    except BaseException:  # the library fails on a few ids, such as a strip of what is empty
        return None


for name, make in KINDS.items():
    made = make()
    tokenizer = Tokenizer.from_str(json.dumps(made))
    rng = random.Random(name)
    texts = TEXTS + [random_text(rng) for _ in range(35)]
    encode = [
        [text, *(tokenizer.encode(text, add_special_tokens=add).ids for add in (True, False))]
        for text in texts
    ]
    decode = [decoded(tokenizer, entry[1]) for entry in encode[::2]]
    decode += [decoded(tokenizer, random_ids(rng, tokenizer)) for _ in range(40)]
    decode = [entry for entry in decode if entry]
    with open(os.path.join(HERE, f"{name}.json"), "w") as file:
        json.dump({"tokenizer": made, "encode": encode, "decode": decode}, file, ensure_ascii=True)
        file.write("\n")

PATTERNS = [
    r"(?i:'s|'t|ll)", r"(?i)k+", r"(?i:[a-k]+)", r"(?i:[^s])", r"a(?i)b(?-i)c", r"(?i:σ)",
    r"a++b", r"a*+a", r"\p{L}?+1", r"a{1,2}+", r"a{2}+", r"a{,2}b", r"a{2,}", r"{a", r"a{x}",
    r"(?>a+)b", r"(?>a|ab)c", r"(?>\r\n|\n)", r"(?<=a)b", r"(?<!a|é)b", r"(?=b)", r"b(?!c)",
    r"\Aa", r"a\z", r"a\Z", r"^.", r".$", r"\b", r"\B", r"\bb", r"(?m:.+)", r".+", r"\h+", r"\H+",
    r"[[:alpha:]]+", r"[[:^alpha:]]+", r"[[:punct:]]+", r"[[:space:]]", r"[[:upper:]]", r"[[:word:]]+",
    r"[[:alnum:]_]+", r"[[:cntrl:]]", r"[[:digit:]]+", r"[[:xdigit:]]+", r"[[:blank:]]+",
    r"\p{Alpha}+", r"\p{Punct}", r"\p{Han}+", r"\p{Greek}+", r"\p{^L}+", r"\P{L}+", r"\p{Lu}\p{Ll}*",
    r"[^\r\n\p{L}\p{N}]+", r"[\p{L}\p{M}]+", r"[^\s\p{P}]+", r"[a-c&&[^b]]+", r"[\w&&\D]+", r"[^a[b\s]]+",
    r"[]a]+", r"[a\]]+", r"[\s\S]", r"[^\S\n]+", r"[\d.]+", r"[a-]+", r"\s+(?!\S)|\s+", r"\w+", r"[\w]+",
    r"\W+", r"\d+", r"\D", r"\s+", r"\S+", r"\R", r"\N+", r"\O", r"\x61|\x{1F600}|\u00e9", r"\t|\e|\a",
    r"(?x: a b )c?", r"(a)(b)\2", r"(?<n>b)\k<n>", r"(?:a|b)*c", r"(a+)+b", r"(?:ab)+", r"a??b",
    r"a+?b", r"(?:a?b?)*", r"\Gab", r"a\Kb", r"(?:\p{L}\p{M}*)+|\p{N}", r"(?<=\s)\S", r"\p{Word}+",
    # One character that equals several when case is ignored.
    r"(?i)ss", r"(?i)ß", r"(?i)ẞ+", r"(?i)sß", r"(?i)ßs", r"(?i)ſs", r"(?i)[ß]", r"(?i)[^ß]+", r"(?i)[ßx]+",
    r"(?i)[sß]", r"(?i)x[sß]", r"(?i)s{2}", r"(?i)(?:s)s", r"(?i:s)(?i:s)", r"(?i)s(?i)s", r"(?i)(s)s",
    r"(?i)(?>s)s", r"(?i)ss+", r"(?i)s|ss", r"(?i)(?:ß|x)", r"(?i)(?<=ss)x", r"(?i)(?<=ß)x", r"(?i)(?<=[ß])x",
    r"(?i)x(?!ss)", r"(?i)[[a-zß]&&[^a-c]]", r"(?i)\p{Ll}+", r"(?i)[ß]?x", r"(?i)ffi", r"(?i)ﬃ", r"(?i)ﬀi",
    r"(?i)fﬁ", r"(?i)fi", r"(?i)office", r"(?i)st", r"(?i)[ﬁ-ﬆ]+", r"(?i)ŉ", r"(?i)ʼn", r"(?i)ǰ", r"(?i)İ",
    r"(?i)i̇", r"(?i)ı̇", r"(?i)ΐ", r"(?i)և", r"(?i)ᾳ", r"(?i)[ᾀ-ᾯ]", r"(?i)αι",
    r"a(?i)b|c", r"x|(?i)b|c", r"(a(?i)b|c)d", r"a(?i)b|c(?-i)d|e", r"(?:a(?i)|b)c",
]
SUBJECTS = [
    "", "aab abc aaab", "ABC abC kKK lſS'S'ſ", "a\nb\r\nab\n", "é\u0301b日本語 αΒγσς",
    "x²½_9٣Ⅷ a1.5-b]", "\u0085\ufeff\u00a0 \u3000\u200b\t \x1b\x07\x7f", "😀a👍🏽 ab", "{a a{x} bb abab acab",
    "ABCaf09_ Zz, .!¿…€+$", "\n\n \n", "ab" * 5 + "c",
    "ss SS sS ſs ß ẞ sss ßs sß ssx ßx xß ẞx xss", "ffi ﬃ ﬀi fﬁ FFI ﬁ ﬂ ﬆ st ﬅ ff oﬃce oﬀice OFFICE",
    "ŉ ʼn ʼN ǰ ǰ İ i̇ ı̇ ΐ ΐ ΐ և եւ ﬓ ᾳ αι ᾼ ΑΙ ἀι ᾀ ᾈ",
    "aB aC AC C c ab x X B b E e CD cD d aCd Cd cd aBd",
]
regexes = []
for pattern in PATTERNS:
    pre = split(pattern)
    regexes.append([pattern, [[text for text, _ in pre.pre_tokenize_str(s)] for s in SUBJECTS]])
with open(os.path.join(HERE, "..", "regexes.json"), "w") as file:
    json.dump({"texts": SUBJECTS, "patterns": regexes}, file, ensure_ascii=True)
    file.write("\n")
