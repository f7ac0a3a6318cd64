"""The synthetic FLAN, its vocabulary, and gin told where both are."""

from pathlib import Path

import gin
import pytest


@pytest.fixture(scope="session")
def flan_dir(_own_cache: None) -> str:
    """Every dataset of FLAN in TFDS's format, with synthetic examples."""
    from tk_instruct import configuration

    configuration.import_declarations()
    from tk_instruct.tasks.flan.mini import mini_flan

    return mini_flan()


@pytest.fixture(scope="session")
def flan_vocabulary(flan_dir: str) -> Path:
    """A SentencePiece model trained on its prompts, 2,000 pieces."""
    from tk_instruct.tasks.flan.mini import flan_vocabulary

    gin.bind_parameter("tfds_data_dir.directory", flan_dir)
    return Path(flan_vocabulary(2000))


@pytest.fixture
def on_mini_flan(flan_dir: str, flan_vocabulary: Path) -> None:
    gin.bind_parameter("tfds_data_dir.directory", flan_dir)
    gin.bind_parameter("vocabulary.name", str(flan_vocabulary))
