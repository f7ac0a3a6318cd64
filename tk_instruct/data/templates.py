"""Prompt templates: pairs of texts with placeholders, such as {premise}, for fields."""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property

from tk_instruct.errors import UserError

OPTIONS = "options_"  # the placeholder of the block of options

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


class Template:
    """Two texts with placeholders. Braces without a name inside are ordinary characters."""

    def __init__(self, name: str, inputs: str, targets: str) -> None:
        self.name = name
        self.inputs = inputs
        self.targets = targets
        self._formats = tuple(map(_format, (inputs, targets)))

    def __repr__(self) -> str:
        return f"Template({self.name!r}, {self.inputs!r}, {self.targets!r})"

    @cached_property
    def placeholders(self) -> frozenset[str]:
        return frozenset(_PLACEHOLDER.findall(self.inputs + self.targets))

    @property
    def shows_options(self) -> bool:
        return OPTIONS in self.placeholders

    def asks_for(self, field: str) -> bool:
        """Whether the targets are this field alone."""
        return self.targets == f"{{{field}}}"

    @cached_property
    def without_options(self) -> "Template":
        """The template without the options and the white space before them."""
        inputs = re.sub(rf"\s*\{{{OPTIONS}\}}", "", self.inputs)
        return Template(self.name, inputs, self.targets)

    def render(self, values: Mapping[str, str], example: str) -> tuple[str, str]:
        """The inputs and targets of an example. Raises UserError if a placeholder has no value."""
        inputs, targets = self._formats
        try:
            return inputs % values, targets % values
        except KeyError as error:
            raise UserError(
                f"{self.name}: {{{error.args[0]}}} has no value in example {example}, which has "
                f"{', '.join(values)}; correct the placeholder"
            ) from error


def _format(text: str) -> str:
    """The text for the % operator, the fastest formatting that takes values by name."""
    return _PLACEHOLDER.sub(r"%(\1)s", text.replace("%", "%%"))


def options_block(options: Sequence[str]) -> str:
    """The block of options at the end of a prompt, in the given order."""
    return "OPTIONS:\n- " + "\n- ".join(options)
