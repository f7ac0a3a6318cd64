"""What SeqIO's registries hold of this project is what this project's own registry holds."""

import json
from pathlib import Path

import gin
import pytest
import seqio

from tk_instruct import suite
from tk_instruct.data import registry
from tk_instruct.data.seqio_bridge import declarations


@pytest.fixture
def data(flan_dir: str, mini_dir: Path, p3_dir: Path, tmp_path: Path) -> None:
    """Little data for every suite that has mixtures."""
    gin.bind_parameter("tfds_data_dir.directory", flan_dir)
    gin.bind_parameter("SuperNI.data_dir", str(mini_dir))
    gin.bind_parameter("P3.data", str(p3_dir))
    for part, num_lines in (("t0", 7), ("cot", 11), ("dialog", 13)):
        path = tmp_path / f"{part}.jsonl"
        lines = [json.dumps({"inputs": f"{k}?", "targets": f"{k}."}) for k in range(num_lines)]
        path.write_text("\n".join(lines))
        gin.bind_parameter(f"FLAN2022.{part}", str(path))


def test_seqio_draws_at_the_same_rates(data: None) -> None:
    """In every mixture of every suite."""
    names = []
    for name in suite.suites():
        declarations.declare(name)
        declared = registry.declared_by(name)
        names += [found.name for found in declared if isinstance(found, registry.Mixture)]
    assert {"superni_def", "flan_all", "flan_holdout_nli_fewshot", "flan_2022"} <= set(names)
    assert {"t0_train", "t0_eval_score_eval", "p3_train"} <= set(names)
    for name in names:
        mixture = seqio.get_mixture_or_task(name)
        # SeqIO asks for the number of examples again for each mixture that a task is part of.
        with registry._each_counted_once():
            theirs = {task.name: mixture.get_rate(task) for task in mixture.tasks}
        total = sum(theirs.values())
        tasks = [task.name for task in registry.tasks_of(name)]
        ours = dict(zip(tasks, registry.rates_of(name), strict=True))
        expected = {task: rate / total for task, rate in theirs.items()}
        assert ours == pytest.approx(expected, rel=1e-12), name
