"""An instance as a prompt and its completion, in the published encodings.

Self-Instruct (arXiv:2212.10560), section 2.3.
"""

import re
from dataclasses import dataclass

from tk_instruct.randomness import choose, draw

# If a prompt ends in `Output:`, the completion begins with a space. GPT-3's completions end with an
# end-of-text mark; it is left out here, because each trainer adds its own.
WITH_INPUT = (
    "{instruction}\nInput: {input}\nOutput:",
    "{instruction}\n\nInput: {input}\n\nOutput:",
    "Task: {instruction}\nInput: {input}\nOutput:",
    "{instruction}\n\n{input}\n\nOutput:",
    "{instruction}\n\n{input}\n\n",
    "{instruction}\n{input}\n\n",
    "Task: {instruction}\n\n{input}\n\n",
)
WITHOUT_INPUT = (
    "{instruction} Output:",
    "{instruction}\nOutput:",
    "{instruction}\n\nOutput:",
    "{instruction}\n",
    "{instruction}\n\n",
    "Task: {instruction}\n\n",
)


@dataclass(frozen=True)
class Example:
    """An instance of a task, generated or a seed."""

    id: str
    task: str
    instruction: str
    input: str
    output: str
    is_classification: bool

    @property
    def texts(self) -> tuple[str, str, str]:
        return self.instruction, self.input, self.output

    @property
    def plain(self) -> dict[str, str]:
        return {"instruction": self.instruction, "input": self.input, "output": self.output}


def encode(example: Example, seed: int, field_name_removal: float) -> tuple[str, str]:
    """(prompt, completion) in one of the published encodings, drawn by (seed, id)."""
    input_ = example.input
    if draw(seed, "field name", example.id) < field_name_removal * 2**64:
        input_ = without_field_name(input_)
    templates = WITH_INPUT if input_ else WITHOUT_INPUT
    template = choose(templates, seed, "encoding", example.id)
    return render(template, example.instruction, input_, example.output)


def render(template: str, instruction: str, input_: str, output: str) -> tuple[str, str]:
    space = " " if template.endswith("Output:") else ""
    return template.format(instruction=instruction, input=input_), space + output


def without_field_name(input_: str) -> str:
    """Removes the field's name where the input has one field; double newlines become single.

    The name is a word or words at the beginning of the input, before a colon. (The published rule
    removes any text before a colon: `10:30` becomes `30`.)
    """
    if len(set(re.findall(r"(\w+):", input_))) == 1:
        input_ = re.sub(r"^[^\W\d][\w ]{,30}:\s+", "", input_)
    return input_.replace("\n\n", "\n")
