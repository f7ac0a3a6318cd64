"""Chat messages to rows of {instruction, input, output} and back.

  without an input   user: the instruction                           assistant: the output
  with an input      system: the instruction      user: the input    assistant: the output

A chat is `messages` of {role, content}, or `conversations` of {from, value} by human and gpt. Other
fields of a row are carried along, those of a message are not.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tk_instruct import schema
from tk_instruct.errors import UserError

from . import instructions, rows
from .rows import Row

_TURNS = (["user", "assistant"], ["system", "user", "assistant"])
FIELDS = ("messages", "conversations")

_NAMES = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "developer": "system"}
_CALLS = ("tool_calls", "function_call")


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
    replaced = ("instruction", *instructions.names(instructions.OF_INSTRUCTIONS, fields))
    return {"messages": messages} | _others(fields, replaced, place, taken=("messages",))


def to_instruction(row: Row) -> dict[str, Any]:
    """The row with instruction, input and output in place of its chat; input may be empty.

    Raises UserError for messages that are no single exchange of texts.
    """
    place, fields = row
    field = next((name for name in FIELDS if name in fields), FIELDS[0])
    given = fields.get(field)
    if not isinstance(given, list):
        raise UserError(
            f"{place}: {field} is {schema.shortened(given)} but must be a list of "
            '{"role": …, "content": …}; correct the file'
        )
    turns = [_turn(message, place, f"{field}[{k}]") for k, message in enumerate(given)]
    roles, contents = [role for role, _ in turns], [content for _, content in turns]
    if roles not in _TURNS:
        raise UserError(
            f"{place}: the roles are {schema.shortened(roles)}, and must be those of one exchange: "
            "user and assistant, before them system if there is one; split or remove the row"
        )
    instruction, input_, output = contents if len(contents) == 3 else (contents[0], "", contents[1])
    own = {"instruction": instruction, "input": input_, "output": output}
    return own | _others(fields, (field,), place, taken=own)


def _turn(message: Any, place: str, where: str) -> tuple[Any, str]:
    """Who speaks, and what is said."""
    is_object = isinstance(message, dict)
    keys = ("from", "value") if is_object and "from" in message else ("role", "content")
    if not is_object or not message.keys() >= {*keys}:
        raise UserError(
            f"{place}: {where} is {schema.shortened(message)} but must be an object with role and "
            "content; correct the file"
        )
    if call := next((name for name in _CALLS if message.get(name)), None):
        raise UserError(
            f"{place}: {where} has {call}, and an output is a text alone; remove the row"
        )
    if message.get("weight") == 0:
        raise UserError(
            f"{place}: {where} has the weight 0, so it is not to be trained on; remove the row"
        )
    role, content = (message[key] for key in keys)
    match content:
        case [{"type": "text", "text": part}]:
            content = part
    name = _NAMES.get(role, role) if isinstance(role, str) else role
    return name, rows.text(content, place, f"{where}.{keys[1]}")


def _others(
    fields: Mapping[str, Any], replaced: Sequence[str], place: str, taken: Collection[str]
) -> dict[str, Any]:
    others = {name: value for name, value in fields.items() if name not in replaced}
    for name in others:
        if name in taken:
            raise UserError(
                f"{place}: has {name} and {replaced[0]}, and one would replace the other; rename it"
            )
    return others
