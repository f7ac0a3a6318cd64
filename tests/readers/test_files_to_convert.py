"""Tables, instructions, prompts and chats that are made into task files."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
from damage import OfEachReader, OfEachReaderInAFolder, Reader, lines

from tk_instruct.files import Path as AnyPath


def table(path: Path) -> None:
    from tk_instruct.convert_tasks import rows, table
    from tk_instruct.convert_tasks.findings import tidied
    from tk_instruct.convert_tasks.task_file import TaskFile

    new = partial(TaskFile, definition="Do.")
    found = rows.read(AnyPath(path))[1]
    tidied(table.read("t", found, table.Columns(), new))[0].content()


def examples(path: Path) -> None:
    from tk_instruct.convert_tasks.table import read_demonstrations

    for example in read_demonstrations(AnyPath(path)):
        json.dumps(example.record()).encode()


def grouped(by: str, *names: str) -> Callable[[Path], None]:
    def read(path: Path) -> None:
        from tk_instruct.convert_tasks import instructions, rows
        from tk_instruct.convert_tasks.task_file import TaskFile

        found = rows.read(AnyPath(path))[1]
        new = TaskFile if by == "by_instruction" else partial(TaskFile, definition="Do.")
        for task in getattr(instructions, by)(found, "a_", *names, new):
            task.content()

    return read


def chats(path: Path) -> None:
    from tk_instruct.convert_tasks import messages, rows

    for row in rows.read(AnyPath(path))[1]:
        made = messages.to_instruction(row)
        json.dumps(messages.to_messages(rows.Row("", made)), ensure_ascii=False).encode()


def ni_v1(path: Path) -> None:
    from tk_instruct.tasks.natural_instructions_v1.task_files import read

    for task in read([AnyPath(path)]):
        task.content()


def parquet(**columns: Any) -> bytes:
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table(columns), sink)
    return sink.getvalue().to_pybytes()


V1 = {
    "Title": "t",
    "Prompt": "p",
    "Definition": "d",
    "Things to Avoid": "-",
    "Emphasis & Caution": "-",
    "Examples": {"Positive Examples": [], "Negative Examples": ["-"]},
    "Instances": [{"input": "a", "output": ["b"]}],
}
READERS = [
    Reader(
        "csv",
        table,
        b'id,input,outputs\r\n1,"a ""b""","[""c""]"\r\n2,d,e\r\n',
        "t.csv",
        words=(",", '"', "\r", "\n", "[", "\0", "\ufeff"),
    ),
    Reader(
        "parquet", table, parquet(input=["a", "b"], output=[["c"], ["d"]]), "t.parquet", share=0.5
    ),
    Reader("json_lines", table, lines({"input": "a", "output": ["b", 3, True]}), "t.jsonl"),
    Reader("json_list", table, json.dumps([{"input": 1, "output": 2.5}]).encode(), "t.json"),
    Reader("examples", examples, b"input,output,explanation\na,b,c\n", "t.csv"),
    Reader(
        "instructions",
        grouped("by_instruction"),
        lines({"instruction": "a", "input": "", "output": "b"}, {"instruction": "a", "output": 1}),
        "t.jsonl",
    ),
    Reader(
        "prompts",
        grouped("by_template", "file"),
        lines({"inputs": "a", "targets": "b", "dataset": "c", "template": "d", "id": 1}),
        "t.jsonl",
    ),
    Reader(
        "chats",
        chats,
        lines({"messages": [{"role": role, "content": "a"} for role in ("user", "assistant")]}),
        "t.jsonl",
    ),
    Reader("ni_v1", ni_v1, json.dumps(V1).encode(), "subtask001_a.json"),
]


class TestFilesToConvert(OfEachReader, OfEachReaderInAFolder):
    readers = READERS
