"""Which vocabulary a name means, its sentinels and fingerprint, and training a small one."""

from pathlib import Path

import gin
import pytest
import sentencepiece
import seqio
import tensorflow as tf

from tk_instruct.data import vocabulary as vocabularies
from tk_instruct.data.seqio_bridge.declarations import ConfiguredVocabulary
from tk_instruct.data.vocabulary import (
    ByteVocabulary,
    SentencePieceVocabulary,
    fingerprint,
    model_bytes,
    train_sentencepiece,
    vocabulary,
)
from tk_instruct.errors import UserError

TEXT = "Definition: Give the opposite of the adjective.\n\nNow complete the following example -"


def processor(path: Path) -> sentencepiece.SentencePieceProcessor:
    return sentencepiece.SentencePieceProcessor(model_file=str(path))


def test_a_sentencepiece_model_gets_a_hundred_sentinels(mini_vocabulary: Path) -> None:
    base = processor(mini_vocabulary)
    found = vocabulary(str(mini_vocabulary))
    assert found.vocab_size == base.vocab_size() + 100
    assert found.eos_id == 1
    assert list(found.encode(TEXT)) == base.encode(TEXT)
    assert found.decode(base.encode(TEXT)) == TEXT.replace("\n\n", " ")
    assert list(found.encode("<extra_id_0>"))[-1] == found.vocab_size - 1
    assert list(found.encode("<extra_id_99>"))[-1] == found.vocab_size - 100


def test_a_model_that_holds_sentinels_gets_no_more(mini_vocabulary: Path, tmp_path: Path) -> None:
    """What a checkpoint keeps is the same vocabulary when it is loaded from there."""
    first = vocabulary(str(mini_vocabulary))
    content = model_bytes(first)
    assert content is not None
    (tmp_path / "saved.model").write_bytes(content)
    second = vocabulary(str(tmp_path / "saved.model"))
    assert second.vocab_size == first.vocab_size
    assert list(second.encode(TEXT + "<extra_id_7>")) == list(first.encode(TEXT + "<extra_id_7>"))
    assert model_bytes(second) == content
    assert fingerprint(second) == fingerprint(first)


def test_bytes() -> None:
    found = vocabulary("bytes")
    assert list(found.encode("aé")) == [100, 198, 172]
    assert model_bytes(found) is None
    assert fingerprint(found) == fingerprint(seqio.ByteVocabulary())
    assert fingerprint(found) != fingerprint(seqio.ByteVocabulary(extra_ids=100))


def test_the_fingerprint_is_of_the_content(mini_vocabulary: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.model"
    copy.write_bytes(mini_vocabulary.read_bytes())
    other = tmp_path / "other.model"
    other.write_bytes(train_sentencepiece([TEXT] * 3, 60))
    prints = [fingerprint(vocabulary(str(path))) for path in (mini_vocabulary, copy, other)]
    assert prints[0] == prints[1] != prints[2]
    assert fingerprint(vocabulary("bytes")) not in prints


def test_a_model_of_fewer_than_a_hundred_pieces(tmp_path: Path) -> None:
    path = tmp_path / "sentencepiece.model"
    path.write_bytes(train_sentencepiece([TEXT], 50))
    assert processor(path).vocab_size() < 100
    assert vocabulary(str(path)).vocab_size == processor(path).vocab_size() + 100


def test_the_name_comes_from_gin_before_the_environment(
    mini_vocabulary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TK_INSTRUCT_VOCABULARY", "bytes")
    assert isinstance(vocabulary(), ByteVocabulary)
    gin.bind_parameter("vocabulary.name", str(mini_vocabulary))
    assert vocabulary() == vocabulary(str(mini_vocabulary))


def test_no_name_says_how_to_give_one() -> None:
    with pytest.raises(UserError) as caught:
        vocabulary()
    assert str(caught.value).startswith(
        "no vocabulary is set: give --vocabulary, the gin macro VOCABULARY or "
        "$TK_INSTRUCT_VOCABULARY the path of a SentencePiece model, t5, mt5, umt5 or bytes"
    )


@pytest.mark.parametrize(
    ("name", "hint"),
    [("byte", "; did you mean 'bytes'? "), ("mt-5", "; did you mean 'mt5'? "), ("/no/file", " (a")],
)
def test_a_name_that_means_nothing_is_refused(name: str, hint: str) -> None:
    with pytest.raises(UserError) as caught:
        vocabulary(name)
    message = f"vocabulary={name!r} is neither a file nor one of t5, mt5, umt5, bytes{hint}"
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("content", [b"", b"not a model", b"version https://git-lfs.github.com/"])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "spiece.model"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"spiece\.model cannot be loaded as a SentencePiece model"):
        vocabulary(str(path))


ODD_TEXTS = [TEXT, "", " a  b ", "漢字 ǅ", "<extra_id_3>a <extra_id_99>", "\ttab\u3000wide", "\x00"]


def test_ids_and_texts_are_those_of_seqio(mini_vocabulary: Path) -> None:
    """Ids beyond the vocabulary, sentinels and what follows EOS too."""
    pairs = [
        (
            vocabulary(str(mini_vocabulary)),
            seqio.SentencePieceVocabulary(str(mini_vocabulary), 100),
        ),
        (vocabulary("bytes"), seqio.ByteVocabulary()),
    ]
    for ours, theirs in pairs:
        assert fingerprint(ours) == fingerprint(theirs)
        assert (ours.vocab_size, ours.eos_id) == (theirs.vocab_size, theirs.eos_id)
        for text in ODD_TEXTS:
            ids = list(ours.encode(text))
            assert ids == list(theirs.encode(text))
            last = ours.vocab_size
            for odd in (ids, [0, *ids, 2, last - 1, last, 10**6, 1, *ids], ids[::-1], [200, 220]):
                assert ours.decode(odd) == theirs.decode(odd)


def test_the_configured_vocabulary_is_seqios_own(
    mini_vocabulary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured = ConfiguredVocabulary()
    monkeypatch.setenv("TK_INSTRUCT_VOCABULARY", str(mini_vocabulary))
    theirs = seqio.SentencePieceVocabulary(str(mini_vocabulary), 100)
    assert isinstance(vocabulary(), SentencePieceVocabulary)
    for name in ("vocab_size", "pad_id", "eos_id", "unk_id", "bos_id", "extra_ids"):
        assert getattr(configured, name) == getattr(theirs, name), name
    ids = theirs.encode(TEXT)
    assert configured.encode(TEXT) == ids
    assert configured.encode_tf(tf.constant(TEXT)).numpy().tolist() == list(ids)
    odd = [*ids, theirs.vocab_size - 1, theirs.vocab_size, 10**6, theirs.eos_id, *ids]
    assert configured.decode(odd) == theirs.decode(odd)
    assert configured.decode_tf(tf.constant([odd])).numpy() == theirs.decode_tf(tf.constant([odd]))
    monkeypatch.setenv("TK_INSTRUCT_VOCABULARY", "bytes")
    assert configured.vocab_size == 259


def test_configured_vocabularies_are_equal_and_need_nothing() -> None:
    assert ConfiguredVocabulary() == ConfiguredVocabulary()
    assert len({ConfiguredVocabulary(), ConfiguredVocabulary()}) == 1
    assert ConfiguredVocabulary() != seqio.ByteVocabulary()
    with pytest.raises(UserError, match="no vocabulary is set"):
        _ = ConfiguredVocabulary().vocab_size


def test_training_gives_t5s_special_ids_and_the_same_model_each_time(tmp_path: Path) -> None:
    texts = [f"{TEXT} number {k}" for k in range(20)]
    content = train_sentencepiece(texts, 80)
    assert content == train_sentencepiece(iter(texts), 80)
    (tmp_path / "m").write_bytes(content)
    model = processor(tmp_path / "m")
    assert (model.pad_id(), model.eos_id(), model.unk_id(), model.bos_id()) == (0, 1, 2, -1)
    assert model.vocab_size() <= 80
    assert model.decode(model.encode("number 3")) == "number 3"


def test_a_size_that_does_not_suit_the_texts_is_refused() -> None:
    with pytest.raises(UserError, match=r"num_pieces=4 does not suit these texts \("):
        train_sentencepiece([TEXT], 4)


def test_the_t5_vocabulary(shared_data: Path) -> None:
    path = shared_data / "t5-vocabulary" / "sentencepiece.model"
    found = vocabulary(str(path))
    assert found.vocab_size == 32_100
    assert list(found.encode("translate English to German: That is good.")) == [
        *(13959, 1566, 12, 2968, 10, 466, 19, 207, 5)
    ]
    assert list(found.encode("<extra_id_0>")) == [32_099]
    assert vocabularies.NUM_SENTINELS == {"umt5": 300}
