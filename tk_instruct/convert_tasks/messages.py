"""Chat messages to rows of {instruction, input, output} and back.

  without an input   user: the instruction                           assistant: the output
  with an input      system: the instruction      user: the input    assistant: the output

Other fields of a row are carried along.
"""

from typing import Any

from tk_instruct import schema
from tk_instruct.errors import UserError

from . import instructions, rows
from .rows import Row

_TURNS = (["user", "assistant"], ["system", "user", "assistant"])


def to_messages(row: Row) -> dict[str, Any]:
    """The row with `messages` in place of instruction, input and output.

    Raises UserError for a row that is no such row, or has several outputs or messages already.
    """
    place, fields = row
    instruction, input_, outputs = instructions.parse(row)
    if len(outputs) > 1:
        raise UserError(
            f"{place}: output is {schema.shortened(list(outputs))}, and the assistant says one "
            "text; keep one"
        )
    contents = [instruction, *filter(None, [input_]), *outputs]
    turns = _TURNS[1] if input_ else _TURNS[0]
    messages = [
        {"role": role, "content": content} for role, content in zip(turns, contents, strict=True)
    ]
    return {"messages": messages} | _others(fields, ("instruction", "input", "output"), place)


def to_instruction(row: Row) -> dict[str, Any]:
    """The row with instruction, input and output in place of `messages`; input may be empty.

    Raises UserError for messages that are no single exchange of texts.
    """
    place, fields = row
    given = fields.get("messages")
    if not isinstance(given, list):
        raise UserError(
            f"{place}: messages is {schema.shortened(given)} but must be a list of "
            '{"role": …, "content": …}; correct the file'
        )
    roles, contents = [], []
    for k, message in enumerate(given):
        where = f"messages[{k}]"
        if not isinstance(message, dict) or message.keys() != {"role", "content"}:
            raise UserError(
                f"{place}: {where} is {schema.shortened(message)} but must be an object with role "
                "and content, and nothing else; correct the file"
            )
        roles.append(message["role"])
        contents.append(rows.text(message["content"], place, f"{where}.content"))
    if roles not in _TURNS:
        raise UserError(
            f"{place}: the roles are {schema.shortened(roles)}, and must be those of one exchange: "
            "user and assistant, before them system if there is one; split or remove the row"
        )
    instruction, input_, output = contents if len(contents) == 3 else (contents[0], "", contents[1])
    own = {"instruction": instruction, "input": input_, "output": output}
    return own | _others(fields, ("messages",), place, taken=own)


def _others(
    fields: Any, replaced: tuple[str, ...], place: str, taken: Any = ("messages",)
) -> dict[str, Any]:
    others = {name: value for name, value in fields.items() if name not in replaced}
    for name in others:
        if name in taken:
            raise UserError(
                f"{place}: has {name} and {replaced[0]}, and one would replace the other; rename it"
            )
    return others
