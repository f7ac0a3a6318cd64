"""Tokenizers as transformers saves them: tokenizer.json, sentinels, added tokens."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from sentencepiece import SentencePieceProcessor, sentencepiece_model_pb2

from tk_instruct.data.vocabulary import train_sentencepiece, vocabulary
from tk_instruct.errors import UserError

TEXT = "Give the opposite of the adjective. { hot }\n"
PIECES = ["<pad>", "</s>", "<unk>", "▁", "a", "b", "▁ab", "▁b"]
SCORES = [0.0, 0.0, 0.0, -3.0, -4.0, -4.0, -5.0, -6.0]
SENTINELS = ["<extra_id_1>", "<extra_id_0>"]


def tokenizer_json(**changed: Any) -> dict[str, Any]:
    """A unigram model of eight pieces and two sentinels, as transformers 5 saves it."""
    vocab = [*zip(PIECES, SCORES, strict=True), *((piece, 0.0) for piece in SENTINELS)]
    added = [*enumerate(PIECES[:3]), *enumerate(SENTINELS, start=len(PIECES))]
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    return {
        "version": "1.0",
        "added_tokens": [
            {"id": i, "content": content, "special": True, "normalized": False, "lstrip": False}
            | {"rstrip": False, "single_word": False}
            for i, content in added
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace],
        },
        "post_processor": None,
        "decoder": metaspace,
        "model": {"type": "Unigram", "unk_id": 2, "vocab": vocab, "byte_fallback": False},
        **changed,
    }


def write(folder: Path, **files: Any) -> Path:
    """A folder with spiece.model and JSON files."""
    folder.mkdir(exist_ok=True)
    (folder / "spiece.model").write_bytes(train_sentencepiece([TEXT], 50))
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder / "spiece.model"


def num_pieces(path: Path) -> int:
    return len(SentencePieceProcessor(model_file=str(path)))


def test_tokenizer_json_alone(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(tokenizer_json()))
    found = vocabulary(str(path))
    # ▁ab is likelier than ▁, a, b and than ▁b cut off from an a.
    texts = {"ab b": [6, 7], "ba": [7, 4], "a": [3, 4], "ab z": [6, 3, 2], "<extra_id_0>": [9]}
    for text, ids in texts.items():
        assert list(found.encode(text)) == ids
    assert found.decode([6, 7]) == "ab b"
    assert (found.vocab_size, found.eos_id, found.tokenizer.unk_id()) == (10, 1, 2)


def test_tokenizer_json_as_transformers_reads_it(shared_data: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", minversion="5")
    from tk_instruct.convert.vocabularies import without_sentinels

    model = shared_data / "t5-vocabulary" / "sentencepiece.model"
    (tmp_path / "4").mkdir()
    (tmp_path / "4" / "spiece.model").write_bytes(without_sentinels(model.read_bytes())[0])
    transformers.T5Tokenizer.from_pretrained(tmp_path / "4").save_pretrained(tmp_path / "5")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "5")
    ours, original = (vocabulary(str(p)) for p in (tmp_path / "5" / "tokenizer.json", model))
    for text in (
        "Definition: Grüße, 3.5% of  it?\n\nInput: ﬁ １２ a\u00a0b",
        "中文 текст 🙂",
        "Fill in <extra_id_0> and <extra_id_99> .",
    ):
        assert list(ours.encode(text)) == theirs(text).input_ids[:-1] == list(original.encode(text))


@pytest.mark.parametrize(
    "changed",
    [
        {"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}},
        {"model": {"type": "Unigram", "unk_id": 0, "vocab": tokenizer_json()["model"]["vocab"]}},
        {"model": {"type": "Unigram", "unk_id": 2, "vocab": [["a", 0.0], ["b", 0.0], ["c", 0.0]]}},
        {"model": None},
        {"normalizer": {"type": "Lowercase"}},
        {"pre_tokenizer": {"type": "ByteLevel"}},
        {"pre_tokenizer": None},
    ],
)
def test_a_tokenizer_json_of_another_kind(changed: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(tokenizer_json(**changed)))
    with pytest.raises(UserError, match=r"tokenizer.json is no tokenizer of T5's kind .* give the"):
        vocabulary(str(path))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"tokenizer": tokenizer_json(model={"vocab": [["<pad>", "x"]]})},
            r'tokenizer.json: model.vocab\[0\]\[1\] is "x" but must be a number; fetch or save',
        ),
        (
            {"tokenizer": {"normalizer": {"type": "", "precompiled_charsmap": "%"}}},
            'normalizer.precompiled_charsmap is "%" but must be base64',
        ),
        ({"tokenizer": {"pre_tokenizer": ["Metaspace"]}}, "pre_tokenizer is .* must be an object"),
        (
            {"tokenizer_config": {"extra_ids": 10**9}},
            "tokenizer_config.json: extra_ids is 1000000000 but must be a whole number <= 10000",
        ),
        ({"tokenizer_config": {"added_tokens_decoder": {"9" * 5000: {"content": "a"}}}}, "must"),
        ({"added_tokens": {"a": [1]}}, "added_tokens.json: .* must be a whole number"),
        ({"special_tokens_map": ["<pad>"]}, "special_tokens_map.json: the document is .* object"),
    ],
)
def test_damaged_files_beside_a_model(files: Any, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "hf", **files)
    with pytest.raises(UserError, match=message):
        vocabulary(str(path))


def test_a_damaged_charsmap(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    normalizer = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(b"abc").decode()}
    path.write_text(json.dumps(tokenizer_json(normalizer=normalizer)))
    with pytest.raises(
        UserError, match=r"tokenizer.json cannot be loaded as a SentencePiece model"
    ):
        vocabulary(str(path))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"added_tokens": {"{": 200, "}": 201, "\n": 202}},
            r"added_tokens.json adds '\{' \(200\), '\}' \(201\), '\\n' \(202\) to the tokenizer",
        ),
        (
            {"tokenizer_config": {"added_tokens_decoder": {"200": {"content": "{"}}}},
            r"tokenizer_config.json adds '\{' \(200\)",
        ),
        (
            {"tokenizer": {"added_tokens": [{"id": 200, "content": "<sep>"}]}},
            r"tokenizer.json adds '<sep>' \(200\)",
        ),
        (
            {"special_tokens_map": {"additional_special_tokens": ["<extra_id_0>", "<user>"]}},
            "special_tokens_map.json adds '<user>' to the tokenizer, tokens that its Sentence",
        ),
        ({"tokenizer_config": {"extra_special_tokens": {"a": "<user>"}}}, "adds '<user>'"),
        ({"tokenizer_config": {"additional_special_tokens": [{"content": "<u>"}]}}, "'<u>'"),
        ({"special_tokens_map": {"pad_token": "[PAD]"}}, r"adds '\[PAD\]' \(0\)"),
        ({"special_tokens_map": {"pad_token": {"content": "</s>"}}}, r"adds '</s>' \(0\)"),
        ({"added_tokens": {f"<{i}>": 300 + i for i in range(20)}}, "'<7>' .307. and 12 more to"),
        ({"added_tokens": {"<extra_id_0>": 40}}, r"adds '<extra_id_0>' \(40\)"),
    ],
)
def test_added_tokens_are_refused(files: Any, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "hf", **files)
    with pytest.raises(UserError, match=message):
        vocabulary(str(path))


def test_what_transformers_lists_beside_a_model_of_t5(tmp_path: Path) -> None:
    base = num_pieces(write(tmp_path / "hf"))
    sentinels = [f"<extra_id_{i}>" for i in range(100)]
    ids = {token: base + 99 - i for i, token in enumerate(sentinels)}
    special = {"pad_token": "<pad>", "eos_token": {"content": "</s>"}, "unk_token": "<unk>"}
    path = write(
        tmp_path / "hf",
        added_tokens=ids,
        special_tokens_map={**special, "additional_special_tokens": sentinels},
        tokenizer_config={
            **special,
            "extra_ids": 100,
            "added_tokens_decoder": {
                str(number): {"content": token}
                for token, number in {"<pad>": 0, "</s>": 1, "<unk>": 2, **ids}.items()
            },
        },
    )
    assert vocabulary(str(path)).vocab_size == base + 100


@pytest.mark.parametrize("extra_ids", [0, 300])
def test_the_number_of_sentinels_is_the_one_of_the_folder(extra_ids: int, tmp_path: Path) -> None:
    path = write(tmp_path / "hf", tokenizer_config={"extra_ids": extra_ids})
    found = vocabulary(str(path))
    assert found.vocab_size == num_pieces(path) + extra_ids
    if extra_ids:
        assert list(found.encode("<extra_id_0>")) == [found.vocab_size - 1]


def test_a_model_of_other_special_ids(tmp_path: Path) -> None:
    proto: Any = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]
    proto.ParseFromString(train_sentencepiece([TEXT], 50))
    proto.pieces[1].piece, proto.pieces[2].piece = "<s>", "</s>"
    proto.pieces[0].piece, proto.pieces[0].type = "<unk>", proto.pieces[2].type
    proto.pieces[2].type = proto.pieces[1].type
    (tmp_path / "spiece.model").write_bytes(proto.SerializeToString())
    with pytest.raises(
        UserError, match="EOS is 2 and the unknown token 0, but models here have T5"
    ):
        vocabulary(str(tmp_path / "spiece.model"))


def test_added_pieces_of_the_model_itself_are_no_added_tokens(tmp_path: Path) -> None:
    path = write(tmp_path / "hf")
    model = SentencePieceProcessor(model_file=str(path))
    write(tmp_path / "hf", added_tokens={model.id_to_piece(7): 7})
    assert vocabulary(str(path)).vocab_size == len(model) + 100


def test_two_tokenizers_in_a_folder_are_the_same(tmp_path: Path) -> None:
    path = write(tmp_path / "hf")
    model = SentencePieceProcessor(model_file=str(path))
    vocab = [[model.id_to_piece(i), model.get_score(i)] for i in range(len(model))]
    sentinels = [[f"<extra_id_{i}>", 0.0] for i in reversed(range(100))]
    write(tmp_path / "hf", tokenizer={"model": {"type": "Unigram", "vocab": vocab + sentinels}})
    assert vocabulary(str(path)).vocab_size == len(model) + 100
    vocab[4], vocab[5] = vocab[5], vocab[4]
    write(tmp_path / "hf", tokenizer={"model": {"type": "Unigram", "vocab": vocab + sentinels}})
    other = write(tmp_path / "hf").rename(tmp_path / "hf" / "sentencepiece.model")
    with pytest.raises(
        UserError, match=r"is not the model of tokenizer.json beside it: .* is 5 in"
    ):
        vocabulary(str(other))
