"""Trees of templates: where they are found, which version they are, what is refused."""

import shutil
import tarfile
from pathlib import Path

import gin
import pytest

from tk_instruct import suite
from tk_instruct.errors import MissingDataError, UserError
from tk_instruct.tasks.p3 import templates
from tk_instruct.tasks.p3.templates import DatasetName, Tree

ONE = """dataset: {dataset}
templates:
  aa11: !Template
    answer_choices: no ||| yes
    id: 'aa11'
    jinja: '{{{{ text }}}} ||| {{{{ answer_choices[label] }}}}'
    metadata: !TemplateMetadata
      choices_in_prompt: null
      metrics: [Accuracy]
      original_task: true
    name: the name
    reference: ''
    task_template: true
"""


@pytest.fixture(autouse=True)
def _configurables() -> None:
    suite.import_configurables()


def write(folder: Path, content: str = ONE, dataset: str = "mine") -> Path:
    path = folder / dataset / "templates.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        content.replace("{dataset}", dataset).replace("{{{{", "{{").replace("}}}}", "}}")
    )
    return path


def use(folder: Path) -> Tree:
    gin.bind_parameter("P3.templates", str(folder))
    return templates.tree()


@pytest.mark.parametrize(
    "place", ["", "templates", "promptsource/templates", "promptsource-9/promptsource/templates"]
)
def test_a_tree_is_found_in_checkouts_archives_and_as_itself(tmp_path: Path, place: str) -> None:
    write(tmp_path / place)
    tree = use(tmp_path)
    assert tree.root == templates.Path(tmp_path / place)
    assert tree.datasets() == [DatasetName("mine")]
    [template] = tree.templates(DatasetName("mine")).values()
    assert (template.name, template.answer_choices) == ("the name", "no ||| yes")
    assert template.metadata == templates.Metadata(True, None, ("Accuracy",), None)
    assert template.is_scored


def test_a_data_set_may_have_a_slash_and_a_subset(tmp_path: Path) -> None:
    write(tmp_path, dataset="somebody/data")
    write(tmp_path, ONE.replace("{dataset}", "glue\nsubset: rte"), dataset="glue/rte")
    tree = use(tmp_path)
    assert tree.datasets() == [DatasetName("glue", "rte"), DatasetName("somebody/data")]
    assert all(tree.templates(dataset) for dataset in tree.datasets())
    assert tree.templates(DatasetName("other")) == {}


def test_the_version_is_told_by_the_fingerprint(shared_data: Path, tmp_path: Path) -> None:
    for version, name in (("0.1.0", "0.1.0"), ("after 0.2.3, commit 7dab96a", "HEAD")):
        archive = shared_data / "promptsource" / f"promptsource-{name}-templates.tar.gz"
        with tarfile.open(archive) as tar:
            tar.extractall(tmp_path / name, filter="data")
        tree = use(tmp_path / name)
        assert tree.version == version
    path = tree.root / "trec" / "templates.yaml"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert tree.version == version  # lines of Windows
    path.write_bytes(path.read_bytes().replace(b"Which", b"What"))
    assert tree.version == "unknown"


def test_a_run_can_ask_for_a_version(tmp_path: Path) -> None:
    write(tmp_path)
    gin.bind_parameter("P3.templates_version", "0.1.0")
    with pytest.raises(UserError, match=r"='0.1.0', and .* is unknown .*give --p3_templates"):
        use(tmp_path)


def test_our_own_tree_is_what_is_used_without_another() -> None:
    assert templates.tree() == Tree(templates.Path(templates.OWN))
    assert templates.tree().version == "this project's own"


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    path = write(tmp_path)
    tree = use(tmp_path)
    before = templates.template_of(DatasetName("mine"), "the name")
    fingerprint = tree.fingerprint
    path.write_text(path.read_text().replace("{{ text }}", "Read: {{ text }}"))
    after = templates.template_of(DatasetName("mine"), "the name")
    assert after.jinja.startswith("Read:")
    assert templates.digest(before) != templates.digest(after)
    assert tree.fingerprint != fingerprint


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: the name", "\tname: the name", r"line 11, column 5: not YAML \(found .* tab"),
        ("answer_choices: no ||| yes", "answer_choices: no", "is false but must be a string; put"),
        ("name: the name", "name: 3", "template 3: name is 3 but must be a string; put it in q"),
        ("    name: the name\n", "", "template 'aa11': name is missing"),
        ("id: 'aa11'", "id: 'bb22'", "the id 'bb22' and stands at 'aa11'; make them the same"),
        (
            "metrics: [Accuracy]",
            "metrics: Accuracy",
            "template 'the name': metadata.metrics is \"Accuracy\" but must be a list",
        ),
        (
            "!TemplateMetadata",
            "!!python/object/apply:os.system",
            "apply:os.system is none of the tags !Template, ",
        ),
        ("    name: the name\n", "    name: the name\n    name: other\n", "the key 'name' twice"),
        ("    name: the name\n", "    ? [name]\n    : x\n", "key .'name'., which is no text"),
        ("    name: the name\n", "    <<: {name: x}\n", "merge is none of the tags"),
        ("  aa11:", "  aa11", r"line 4, column 19: not YAML \(mapping .*; correct it: fields "),
        (
            "dataset: {dataset}",
            "dataset: other",
            "says that it is of other, and its folder is mine",
        ),
        ("templates:", "others:", "templates is missing"),
    ],
)
def test_a_damaged_file_is_refused_with_the_repair(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in ONE
    path = write(tmp_path, ONE.replace(old, new))
    with pytest.raises(UserError, match=message) as caught:
        use(tmp_path).datasets()
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_bytes(ONE.replace("the name", "schön").encode("latin-1"))
    with pytest.raises(UserError, match=r"not UTF-8 at byte \d+ \(.*\); save it as UTF-8"):
        use(tmp_path).datasets()


def test_names_differ_within_a_data_set(tmp_path: Path) -> None:
    second = ONE.partition("templates:\n")[2].replace("aa11", "bb22")
    write(tmp_path, ONE + second)
    with pytest.raises(UserError, match="two templates have the name 'the name'; rename one"):
        use(tmp_path).datasets()


def test_aliases_that_multiply_do_not_grow(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]" for k in range(1, 20)]
    write(tmp_path, ONE + "\n".join(lines) + "\n")
    [template] = use(tmp_path).templates(DatasetName("mine")).values()
    assert template.name == "the name"
    write(tmp_path, "\n".join(lines) + "\n" + ONE.replace("metrics: [Accuracy]", "metrics: *a19"))
    with pytest.raises(UserError, match="must be a string") as caught:
        use(tmp_path).datasets()
    assert len(str(caught.value)) < 500


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no DATASET/templates.yaml; give a checkout of"):
        use(tmp_path / "nothing")
    write(tmp_path)
    gin.bind_parameter("P3.templates", str(tmp_path))
    with pytest.raises(MissingDataError, match=r"'x' of glue/rte is not in .*version 0\.1\.0"):
        templates.template_of(DatasetName("glue", "rte"), "x")
    shutil.rmtree(tmp_path / "mine")
    with pytest.raises(MissingDataError, match="'the name' of mine is not in"):
        templates.template_of(DatasetName("mine"), "the name")
