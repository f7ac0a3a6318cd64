"""Files of P3: trees of templates, templates, and rows in all formats."""

import gzip
import io
import json
from pathlib import Path
from typing import Any

import gin
import pyarrow as pa
import pyarrow.parquet as pq
from damage import OfEachReader, Reader, lines

TREE = b"""dataset: folder
templates:
  a1: !Template
    answer_choices: no ||| yes
    id: a1
    jinja: '{{ text }} {{ answers.text[0] }}? ||| {{ answer_choices[label] }}'
    metadata: !TemplateMetadata
      metrics: [Accuracy]
      original_task: true
    name: one
"""
JINJA = (
    b"{% for x, y in zip(words, range(3)) %}{{ x ~ y | string }}{{ x[1:] * 2 }}{% endfor %}"
    b"{% set n = namespace(a=[]) %}{% if text is defined and 'a' in text %}{% set _ = "
    b"n.a.append(text | default('b') | upper) %}{% endif %}{% macro f(k) %}{{ k + 1 }}"
    b"{% endmacro %}{{ n.a | join(', ') }}{{ f(2) }}{{ ['p', 'q'] | choice }}|||"
    b"{{ words | length }}"
)
ROWS = [
    {"text": "a b", "label": 1, "answers": {"text": ["x", "y"]}, "words": ["a", "b"]},
    {"text": "c ||| d", "label": 0, "answers": {"text": []}, "words": []},
]


def templates(path: Path) -> None:
    from tk_instruct.tasks.p3.templates import Path as AnyPath
    from tk_instruct.tasks.p3.templates import Tree, _parsed

    _parsed.cache_clear()
    tree = Tree(AnyPath(path.parent.parent))
    for dataset in tree.datasets():
        for template in tree.templates(dataset).values():
            json.dumps([template.name, template.jinja, template.answer_choices]).encode()
    tree.about.encode()


def template(path: Path) -> None:
    """Any text as a template: its result is a text, a dropped row or a UserError."""
    from tk_instruct.errors import UserError
    from tk_instruct.tasks.p3.rendering import apply
    from tk_instruct.tasks.p3.templates import Template

    try:
        source = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise UserError("templates are texts") from error
    for row in ROWS:
        for made in (Template("1", "a", source), Template("1", "a", "a|||b", source)):
            str(apply(made, row, lambda options, count: options[0], "here"))


def rows(path: Path) -> None:
    from tk_instruct import suite
    from tk_instruct.tasks.p3 import rows
    from tk_instruct.tasks.p3.templates import DatasetName

    suite.import_configurables()
    for cached in (rows._content, rows._num_rows, rows._columns):
        cached.cache_clear()
    with gin.unlock_config():
        gin.bind_parameter("P3.data", str(path.parent.parent))
    at = rows.place(DatasetName(path.parent.name), "train")
    names = rows.columns(at)
    for row in rows.rows(at, names):
        repr(row).encode("utf-8", "surrogatepass")
    rows.num_rows(at)
    rows.fingerprint(at)


def note_of_a_download(path: Path) -> Any:
    from tk_instruct.tasks.p3 import hub

    return hub.licence(path.parent.name, None, path.parent.parent).encode()


def parquet() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), file)
    return file.getvalue()


_NOTE = {"dataset": "folder", "branch": "main", "commit": "c0ffee", "licence": "mit"}
_WORDS = ["{{ ", " }}", "{% for i in ", " %}", "{% endfor %}", " | ", "|||", "__class__", "("]

READERS = [
    Reader(
        "templates", templates, TREE, "folder/templates.yaml", ["&a ", "*a", "<<: ", "!!python"]
    ),
    Reader("template", template, JINJA, "template.txt", _WORDS),
    Reader("rows_jsonl", rows, lines(*ROWS), "folder/train.jsonl"),
    Reader("rows_gz", rows, gzip.compress(lines(*ROWS)), "folder/train.jsonl.gz"),
    Reader("rows_parquet", rows, parquet, "folder/train.parquet"),
    Reader("note", note_of_a_download, json.dumps(_NOTE).encode(), "folder/source.json"),
]


class TestFilesOfP3(OfEachReader):
    readers = READERS
