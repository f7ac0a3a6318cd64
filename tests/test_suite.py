"""The contract of suites: what the mechanism may know of them, and how they are found."""

import re
from pathlib import Path

import gin
import pytest

from tk_instruct import cli, suite
from tk_instruct.configuration import loading
from tk_instruct.errors import UserError

ROOT = Path(__file__).parents[1]


def test_the_mechanism_names_no_suite() -> None:
    """Nor a data set of one: what is said in tk_instruct/ and gin/runs/ holds for every suite."""
    names = r"superni|super-?naturalinstructions|\bflan\b|flan_|\bp3\b|ni_v1|natural instructions"
    # Models that carry the name of a data set.
    allowed = re.compile(r"flan-t5", re.IGNORECASE)
    for path in [*(ROOT / "tk_instruct").rglob("*.py"), *(ROOT / "gin" / "runs").glob("*.gin")]:
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            found = re.search(names, allowed.sub("", line), re.IGNORECASE)
            assert not found, f"{path}:{number}: {line.strip()}"


def test_every_part_of_every_suite_is_there() -> None:
    for each in suite.suites().values():
        parts = [each.tasks, each.mixtures, each.doctor, each.mini, each.scores]
        parts += [each.published, each.origins, each.labelled]
        parts += [*each.configurables, *each.evaluations.values(), *each.baselines.values()]
        parts += [form.read for form in each.task_forms.values()]
        assert all(suite.part(part) for part in parts if part)


def test_flags_bind_parameters_that_exist() -> None:
    suite.import_configurables()
    for each in suite.suites().values():
        for parameter in (*(flag.binds for flag in each.flags), *each.seeds):
            name, _, field = parameter.partition(".")
            assert field in loading.values.annotations(f"tk_instruct.{name}")


def test_gin_settings_are_what_suites_say() -> None:
    suite.import_configurables()
    gin.parse_config(f"RANDOM_SEED = 3\n{suite.gin_settings()}")
    for each in suite.suites().values():
        for flag in each.flags:
            if flag.macro is not None:
                assert f"%{flag.macro}" in str(gin.query_parameter(flag.binds))
        for parameter in each.seeds:
            assert "%RANDOM_SEED" in str(gin.query_parameter(parameter))


def test_an_evaluation_refuses_flags_of_other_suites_data(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for suite_, flag, owner in (("flan", "data_dir", "superni"), ("superni", "jsonl", "jsonl")):
        value = "train=x" if flag == "jsonl" else "x"
        words = [f"--suite={suite_}", f"--{flag}={value}", "--predictions=y"]
        assert cli.main(["evaluate", *words]) == 2
        said = f"--{flag} is of {owner}'s data, which --suite {suite_} does not read; leave it out"
        assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("json.nothere", "the part 'json.nothere', and there is no module 'json.nothere'"),
        ("nothere.tasks", "there is no module 'nothere'"),
        ("json:declared", "the part 'json:declared', and json has no 'declared'"),
    ],
)
def test_a_part_that_is_not_there(reference: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        suite.part(reference)
