"""Where tokens end in a text, and the tokenizer of Tk-Instruct's published checkpoints."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import seqio
from hypothesis import example, given
from hypothesis import strategies as st
from sentencepiece import sentencepiece_model_pb2

from tk_instruct.data.tokenization import TOKENIZERS, KeepingLastSpace, Plain
from tk_instruct.data.vocabulary import vocabulary
from tk_instruct.tasks.superni.prompt import Budget

TEXTS = ["Name the colour of the fruit.", "Output: a hot, red one.", "Input: what is ½ of 1?"] * 9
# Unknown characters, ones that stand for several (½ is 1⁄2, and one holds spaces), ones that
# are composed, white space of many kinds.
HARD = ["{", "}", "<", "~", "漢", "字", "😀", "½", "…", "ﷺ", "ﬁ", "e\u0301", "\u1100\u1161"]
SPACES = [" ", "\n", "\t", "\u3000", "\u200b", "▁", "\x00"]
texts = st.lists(
    st.sampled_from([*HARD, *SPACES, "Output: ", "red", "one", "a", "<extra_id_0>", "</s>"])
    | st.text(max_size=3),
    max_size=14,
).map("".join)


def unigram(**options: Any) -> bytes:
    """A small SentencePiece model made as T5's is: unigram, normalised by nmt_nfkc."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS),
        model_writer=model,
        vocab_size=70,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        num_threads=1,
        minloglevel=2,
        **options,
    )
    return model.getvalue()


def tokenizer_json(model: bytes) -> dict[str, Any]:
    """What a fast tokenizer keeps of a SentencePiece model."""
    proto: Any = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model)
    charsmap = base64.b64encode(proto.normalizer_spec.precompiled_charsmap).decode()
    return {
        "model": {
            "type": "Unigram",
            "unk_id": 2,
            "vocab": [(piece.piece, piece.score) for piece in proto.pieces],
        },
        "normalizer": {"type": "Precompiled", "precompiled_charsmap": charsmap},
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"},
    }


def fast_tokenizer(model: bytes) -> Any:
    """T5's fast tokenizer as transformers 4 makes it from spiece.model (SpmConverter)."""
    import tokenizers

    said = tokenizer_json(model)
    made = tokenizers.Tokenizer(tokenizers.models.Unigram(said["model"]["vocab"], unk_id=2))
    charsmap = base64.b64decode(said["normalizer"]["precompiled_charsmap"])
    made.normalizer = tokenizers.normalizers.Sequence(
        [
            tokenizers.normalizers.Precompiled(charsmap),
            tokenizers.normalizers.Replace(tokenizers.Regex(" {2,}"), " "),
        ]
    )
    made.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace("▁", prepend_scheme="always")
    return made


@pytest.fixture(scope="module")
def vocabularies(
    mini_vocabulary: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, seqio.Vocabulary]:
    """All kinds that a run can name."""
    folder = tmp_path_factory.mktemp("vocabularies")
    (folder / "spiece.model").write_bytes(unigram())
    (folder / "json").mkdir()
    (folder / "json" / "tokenizer.json").write_text(json.dumps(tokenizer_json(unigram())))
    return {
        "pairs": vocabulary(str(mini_vocabulary)),
        "unigram": vocabulary(str(folder / "spiece.model")),
        "tokenizer.json": vocabulary(str(folder / "json" / "tokenizer.json")),
        "bytes": vocabulary("bytes"),
    }


KINDS = pytest.mark.parametrize("kind", ["pairs", "unigram", "tokenizer.json", "bytes"])
NAMES = pytest.mark.parametrize("name", TOKENIZERS)


def test_ends_of_bytes(vocabularies: dict[str, seqio.Vocabulary]) -> None:
    """Inside a character its end is not reached."""
    for name in TOKENIZERS:
        tokenizer = TOKENIZERS[name](vocabularies["bytes"])
        assert tokenizer.ends("aé漢b ") == [1, 1, 2, 2, 2, 3, 4, 5]
        assert tokenizer.encode("é ") == [198, 172, 35]


@KINDS
@NAMES
def test_ends_are_of_the_texts_own_characters(
    kind: str, name: str, vocabularies: dict[str, seqio.Vocabulary]
) -> None:
    tokenizer = TOKENIZERS[name](vocabularies[kind])

    @given(texts)
    def check(text: str) -> None:
        ends = tokenizer.ends(text)
        assert len(ends) == len(tokenizer.encode(text))
        assert ends == sorted(ends)
        assert all(0 <= end <= len(text) for end in ends)
        # All but white space and what is normalised away is in some token.
        assert not text[max(ends, default=0) :].strip("".join(SPACES) + "\ufeff").isalnum()

    check()


@KINDS
@NAMES
def test_a_cut_text_is_the_longest_start_of_tokens_that_fits(
    kind: str, name: str, vocabularies: dict[str, seqio.Vocabulary]
) -> None:
    tokenizer = TOKENIZERS[name](vocabularies[kind])

    @given(texts, st.integers(0, 12))
    @example("{a} <b> ~ 漢字 ", 5)
    @example("x ½ y", 4)
    @example("xﷺ y", 3)
    def check(text: str, limit: int) -> None:
        kept = Budget(tokenizer, limit).cut(text)
        assert text.startswith(kept)
        assert len(tokenizer.encode(kept)) <= limit
        ends = tokenizer.ends(text)
        assert len(kept) in {0, *ends}
        longer = {end for end in ends[:limit] if end > len(kept)}
        assert all(len(tokenizer.encode(text[:end])) > limit for end in longer)

    check()


@KINDS
@NAMES
def test_a_start_fits_with_what_comes_after_it(
    kind: str, name: str, vocabularies: dict[str, seqio.Vocabulary]
) -> None:
    tokenizer = TOKENIZERS[name](vocabularies[kind])

    @given(texts, texts, st.integers(0, 12))
    @example("a ", " b", 2)
    @example("x ½", "y", 3)
    def check(text: str, rest: str, room: int) -> None:
        budget = Budget(tokenizer, len(tokenizer.encode(rest)) + 1 + room)
        kept = budget.start(text, rest)
        assert text.startswith(kept)
        assert budget.admits(kept + rest)
        ends = tokenizer.ends(text)
        longer = {end for end in ends[:room] if end > len(kept)}
        assert not any(budget.admits(text[:end] + rest) for end in longer)

    check()


@NAMES
def test_unknown_characters_stay_in_a_cut_text(
    name: str, vocabularies: dict[str, seqio.Vocabulary]
) -> None:
    """As SentencePiece decodes them they would be ` ⁇ `, and newlines spaces."""
    for kind in ("unigram", "tokenizer.json"):
        tokenizer = TOKENIZERS[name](vocabularies[kind])
        text = "red\n\n{~} <red>  漢字 red ½ one"
        ids = tokenizer.encode(text)
        assert 2 in ids
        starts = {Budget(tokenizer, limit).cut(text) for limit in range(len(ids) + 1)}
        assert {"red", "red\n\n{~}", "red\n\n{~} <red>  漢字", text} <= starts


# The space at the end


def test_the_space_at_the_end_is_a_token(vocabularies: dict[str, seqio.Vocabulary]) -> None:
    for kind in ("pairs", "unigram", "tokenizer.json"):
        plain, keeping = Plain(vocabularies[kind]), KeepingLastSpace(vocabularies[kind])
        space = vocabularies[kind].tokenizer.piece_to_id("▁")
        for text in ("Output: ", "a red\n\n", " ", "red\u3000\t", "{ "):
            assert keeping.encode(text) == [*plain.encode(text), space]
            assert keeping.ends(text) == [*plain.ends(text), len(text)]
        for text in ("Output:", "", "  a red", "red {", "½"):
            assert keeping.encode(text) == plain.encode(text)
            assert keeping.ends(text) == plain.ends(text)


def test_a_model_that_drops_no_white_space_gets_no_second_token(tmp_path: Path) -> None:
    (tmp_path / "spiece.model").write_bytes(unigram(remove_extra_whitespaces=False))
    loaded = vocabulary(str(tmp_path / "spiece.model"))
    for text in ("Output: ", "red  ", " ", ""):
        assert KeepingLastSpace(loaded).encode(text) == Plain(loaded).encode(text)
    assert Plain(loaded).encode("red ")[-1] == loaded.tokenizer.piece_to_id("▁")


def test_ids_are_the_fast_tokenizers(vocabularies: dict[str, seqio.Vocabulary]) -> None:
    """Of texts without combining marks, which the two libraries normalise in different orders."""
    fast = fast_tokenizer(unigram())
    parts = [*HARD[:-2], *SPACES, "Output: ", "red", "a ", "one"]

    @given(st.lists(st.sampled_from(parts), max_size=12).map("".join))
    def check(text: str) -> None:
        expected = fast.encode(text).ids
        assert KeepingLastSpace(vocabularies["unigram"]).encode(text) == expected

    check()


def test_ids_are_those_of_t5s_fast_tokenizer(shared_data: Path) -> None:
    path = shared_data / "t5-vocabulary" / "sentencepiece.model"
    fast, keeping = fast_tokenizer(path.read_bytes()), KeepingLastSpace(vocabulary(str(path)))
    text = "Definition: Use {x} ~ y.\n\nNow complete the following example -\nInput: ½.\nOutput: "
    assert keeping.encode(text) == fast.encode(text).ids
    # ▁Out put : ▁
    assert keeping.encode(text)[-4:] == [3387, 2562, 10, 3]
