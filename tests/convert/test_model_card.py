"""The model card's licence texts, which the caller gives."""

from pathlib import Path

from tk_instruct.checkpoint import Description
from tk_instruct.convert.model_card import compose
from tk_instruct.convert.tensors import Checkpoint
from tk_instruct.model.config import T5Config


def test_each_licence_text_stands_once_and_unknown_tasks_are_named(tmp_path: Path) -> None:
    about = Description(
        model={},
        vocabulary={},
        data={"content": {"b_1": "", "a_1": "", "mine": "", "a_2": ""}},
        gin="",
    )
    config = T5Config(
        vocab_size=384,
        d_model=16,
        num_heads=2,
        head_dim=8,
        d_ff=24,
        num_encoder_layers=1,
        num_decoder_layers=1,
    )
    path = str(tmp_path / "checkpoints" / "3")
    checkpoint = Checkpoint(path, "ours", config, 3, {}, about=about)
    texts = {"a": "The tasks of A: CC-BY-4.0.", "b": "The tasks of B: MIT."}
    card = compose(checkpoint, "name", lambda task: texts.get(task.split("_")[0]))
    assert (
        "4 tasks: `a_1`, `a_2`, `b_1`, `mine`.\n\n"
        "- The tasks of A: CC-BY-4.0.\n"
        "- The tasks of B: MIT.\n"
        "- `mine`: licence not recorded.\n"
    ) in card
