"""Renders templates that nobody has checked, in jinja2's sandbox and with a limit on work.

A template reaches neither Python's internals nor files nor the network. It pays for each step and
for the size of each value that it works on, before the work is done, out of a fixed sum. So every
template ends in a few seconds, and fails in the same place on every machine. Only the filters and
methods that are listed here can be used: their results are not much larger than what was paid for.
"""

import re
import time
from collections import Counter
from collections.abc import (
    Callable,
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    Sequence,
    ValuesView,
)
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from types import BuiltinMethodType, MethodType
from typing import Any

from jinja2 import Template, TemplateError, TemplateSyntaxError, meta, nodes, pass_context
from jinja2.runtime import Context
from jinja2.sandbox import SandboxedEnvironment, SecurityError

MOST_OUTPUT = 1_000_000  # characters
MOST_SOURCE = 100_000  # characters of a template
_MOST_WORK = 20_000_000  # characters and list items, and for each operation:
_STEP = 50
_MOST_SECONDS = 10.0
_MOST_NUMBER = 100_000  # as the argument of a filter
_MOST_BITS = 256  # of a product or a power
_MOST_BITS_READ = 15_000  # of a number in a text: as many digits as Python reads
_MOST_DEPTH = 100  # of lists in lists; C code that goes deeper ends the interpreter


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FILTERS = _words(
    """abs capitalize count d default dictsort e escape first float format groupby int items join
    last length list lower map max min reject rejectattr replace reverse round safe select
    selectattr sort string sum title trim truncate unique upper wordcount"""
)
_METHODS: Mapping[type, frozenset[str]] = {
    str: _words(
        """capitalize casefold count endswith find index isalnum isalpha isascii isdecimal isdigit
        islower isnumeric isspace istitle isupper join lower lstrip partition removeprefix
        removesuffix replace rfind rindex rpartition rsplit rstrip split splitlines startswith strip
        swapcase title upper"""
    ),
    list: _words("append clear copy count extend index insert pop remove reverse sort"),
    tuple: _words("count index"),
    dict: _words("clear copy get items keys pop popitem setdefault update values"),
}
# Methods whose cost does not depend on the size of their object.
_CHEAP = _words("append get items keys pop popitem setdefault update values")
_RANDOM = {"choice", "random"}
_ASKS, _DEFAULTS = {"defined", "undefined"}, {"default", "d"}
# A width or a precision of more than 999, or one that is an argument, as in %9999d and %.*f.
_WIDE = re.compile(r"%[-#0 +]*(\*|[0-9]{4}|[0-9]*\.(\*|[0-9]{4}))")
_WIDE_BEHIND_KEY = re.compile(r"\*|[0-9]{4}")  # a key, as in %(key)9999d, may hold any text
_NUMBER = re.compile(r"[0-9]{1,3}")
_HALF_PAIR = re.compile("[\ud800-\udfff]")


class LimitError(Exception):
    """A template that works too long or makes something too large."""


class _Render:
    """One rendering: the work that is left to it, and its random choices."""

    def __init__(self, choose: Callable[[Sequence[Any], int], Any]) -> None:
        self._choose = choose
        self.work_left = _MOST_WORK
        self._num_choices = 0
        self._ends = time.thread_time() + _MOST_SECONDS

    def pay(self, work: int) -> None:
        self.work_left -= work + _STEP
        if self.work_left < 0 or time.thread_time() > self._ends:
            raise LimitError("it works too long, or makes something too large")

    def choose(self, options: Sequence[Any]) -> Any:
        self._num_choices += 1
        return self._choose(options, self._num_choices)


_current: ContextVar[_Render] = ContextVar("current")


def _pay(*values: Any, times: int = 1) -> None:
    current = _current.get()
    current.pay(_size(values, current.work_left) * times)


def _size(values: Any, most: int) -> int:
    """Characters and items in nested values, counted as often as they are met, until over most.

    Raises LimitError for values that are nested too deeply.
    """
    total, level = 0, [values]
    for _ in range(_MOST_DEPTH):
        deeper: list[Any] = []
        for value in level:
            if isinstance(value, str | bytes | range):
                total += len(value)
            elif isinstance(value, list | tuple | set | ValuesView | KeysView | ItemsView):
                total += len(value) + 10
                deeper += value
            elif isinstance(value, Mapping):
                total += len(value) + 10
                deeper += [*value.keys(), *value.values()]
            elif isinstance(value, _Items):
                deeper += value.made_of
            if total > most:
                return total
        if not deeper:
            return total
        level = deeper
    raise LimitError(f"it nests values more than {_MOST_DEPTH} deep")


def _pay_for_join(separator: str, items: Any) -> None:
    _pay(items)
    if hasattr(items, "__len__"):
        _current.get().pay(len(items) * len(separator))


def _pay_for_replacement(text: str, old: str, new: str) -> None:
    _pay(text)
    _current.get().pay(text.count(old) * len(new))


def _pay_for_format(text: str, values: Any) -> None:
    """Pays for what a format such as %9s makes of values, each of which may be used again."""
    _, key, behind = text.partition("%(")
    if _WIDE.search(text) or _WIDE_BEHIND_KEY.search(behind):
        raise LimitError(f"the format {text!r:.60} asks for a width of more than 999")
    if "%" in text:
        widest = max(map(int, _NUMBER.findall(text)), default=0)
        _pay(values, "x" * widest, times=text.count("%") if key or widest else 1)


@pass_context
def _choice(context: Context, options: Sequence[Any]) -> Any:
    """PromptSource's filter, which draws from Python's global generator."""
    _pay()
    return _current.get().choose(options)


@pass_context
def _most_frequent(context: Context, items: Sequence[Any]) -> list[Any] | None:
    """PromptSource's filter: the items that occur most often, in the order of their first ones."""
    _pay(items)
    if not items:
        return None
    counts = Counter(items).most_common()
    return [item for item, count in counts if count == counts[0][1]]


@pass_context
def _highlight(context: Context, text: str) -> str:
    """PromptSource's filter for its web page."""
    _pay(text)
    return f"<span style='color: #F08080'>{text}</span>"


@pass_context
def _joined(context: Context, values: Sequence[Any]) -> str:
    """The operator ~."""
    _pay(values)
    for value in values:
        _check_printable(value)
    return "".join(map(str, values))


@pass_context
def _paid_items(context: Context, values: Iterable[Any]) -> Iterator[Any]:
    """The items that a loop runs over."""
    return _Items(iter(values), (values,))


class _Items(Iterator[Any]):
    """What a filter or a function gives one after the other, perhaps without end.

    made_of: the values that it reads when it is asked for an item.
    """

    def __init__(self, items: Iterator[Any], made_of: tuple[Any, ...]) -> None:
        self._items, self.made_of = items, made_of

    def __next__(self) -> Any:
        _pay()
        return next(self._items)


def _result(value: Any, *made_of: Any) -> Any:
    """What a filter or a function gives, which is paid for."""
    return _Items(value, made_of) if isinstance(value, Iterator) else value


def _check_printable(value: Any) -> None:
    """Raises TypeError for what Python would print the address of."""
    if isinstance(value, _Items):
        raise TypeError("it prints an iterator; put | list or | join behind it")
    if isinstance(value, BuiltinMethodType | MethodType):
        raise TypeError(f"it prints the method {value.__name__}; put () behind it")


@pass_context
def _paid_value(context: Context, value: Any) -> Any:
    """What a comparison or a dictionary looks at, and [:] copies."""
    _pay(value)
    return value


@pass_context
def _paid_output(context: Context, value: Any) -> Any:
    """What {{ }} prints."""
    _pay(value)
    _check_printable(value)
    return value


_PLAIN = SandboxedEnvironment()  # whose filters are paid for here


def _paid(name: str) -> Callable[..., Any]:
    """One of jinja2's filters. As it takes the context, it is not run when a template is parsed."""

    @pass_context
    def run(context: Context, value: Any, *args: Any, **kwargs: Any) -> Any:
        _pay(value, args, kwargs)
        for number in (*args, *kwargs.values()):
            if isinstance(number, int) and abs(number) > _MOST_NUMBER:
                raise LimitError(f"the filter {name} has the argument {number:.6g}")
        if name == "string":
            _check_printable(value)
        elif name == "format":
            _pay_for_format(str(value), kwargs or args)
        elif name == "join":
            value = value if hasattr(value, "__len__") else list(value)
            _pay_for_join(str(args[0] if args else kwargs.get("d", "")), value)
        elif name == "replace":
            texts = [*args, *(kwargs[of] for of in ("old", "new") if of in kwargs)]
            _pay_for_replacement(str(value), *map(str, texts[:2]))
        elif name == "sum":
            start = args[1] if len(args) > 1 else kwargs.get("start", 0)
            if not isinstance(start, int | float):
                raise LimitError("the filter sum starts with something that is no number")
        found = _PLAIN.call_filter(name, value, args, kwargs, context=context)
        if name == "int" and found.bit_length() > _MOST_BITS_READ:
            raise LimitError(f"the filter int gives a number of more than {_MOST_BITS_READ} bits")
        return _result(found, value, args)

    return run


def _paid_test(name: str) -> Callable[..., bool]:
    """One of jinja2's tests, such as `is in`."""

    @pass_context
    def run(context: Context, value: Any, *args: Any, **kwargs: Any) -> bool:
        _pay(value, args, kwargs)
        return bool(_PLAIN.call_test(name, value, args, kwargs))

    return run


class _Environment(SandboxedEnvironment):
    intercepted_binops = frozenset(["+", "*", "**", "%"])

    def __init__(self) -> None:
        super().__init__(finalize=_paid_output)
        self.filters = {name: _paid(name) for name in _FILTERS} | {
            **dict.fromkeys(_RANDOM, _choice),
            "most_frequent": _most_frequent,
            "highlight": _highlight,
            "~": _joined,
            "for": _paid_items,
            "value": _paid_value,
        }
        self.tests = {name: _paid_test(name) for name in _PLAIN.tests}
        del self.globals["lipsum"]
        self.globals["zip"] = zip

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        name = getattr(obj, "__name__", "")
        owner: Any = getattr(obj, "__self__", None)
        if isinstance(obj, BuiltinMethodType) or isinstance(owner, str):
            kind = str if isinstance(owner, str) else type(owner)  # jinja2's | safe is a str too
            if name not in _METHODS.get(kind, ()):
                raise SecurityError(f"the method {name} of {type(owner).__name__} is not allowed")
            _pay(() if name in _CHEAP else owner, args, kwargs)
            if kind is str and name == "join":
                _pay_for_join(owner, *args)
            elif kind is str and name == "replace" and len(args) >= 2:
                _pay_for_replacement(owner, args[0], args[1])
        elif name in ("format", "format_map"):  # jinja2's own in place of str's
            raise SecurityError(f"the method {name} of str is not allowed")
        else:
            _pay(args, kwargs)
        return _result(super().call(context, obj, *args, **kwargs), args)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(argument, tuple):  # which Python would hash, however large it is
            _pay(argument)
        return super().getitem(obj, argument)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        _pay(left, right)
        if operator == "%" and isinstance(left, str | bytes):
            _pay_for_format(left if isinstance(left, str) else left.decode("latin-1"), right)
        elif operator != "+":
            _check_product(operator, left, right)
        return super().call_binop(context, operator, left, right)


def _check_product(operator: str, left: Any, right: Any) -> None:
    """Pays for a repeated text or list. Raises LimitError for numbers that grow too long."""
    for value, times in ((left, right), (right, left)):
        if isinstance(value, str | bytes | list | tuple) and isinstance(times, int):
            return _pay(value, times=max(0, times))
    if isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length()
        if (bits * abs(right) if operator == "**" else bits + right.bit_length()) > _MOST_BITS:
            raise LimitError(f"a number of {operator} has more than {_MOST_BITS} bits")
    return None


_ENVIRONMENT = _Environment()


@dataclass(frozen=True)
class Compiled:
    """A template that can be rendered.

    Attributes:
        reads: the names that it reads and does not set.
        needs: those of them that it does not test with `is defined` or give a default.
        draws: whether it chooses at random.
    """

    template: Template
    reads: frozenset[str]
    needs: frozenset[str]
    draws: bool


@lru_cache(maxsize=4096)
def compiled(source: str) -> Compiled:
    """Parses a template. Raises TemplateError if it cannot be parsed."""
    if len(source) > MOST_SOURCE:
        raise TemplateError(f"it has {len(source):,} characters, and {MOST_SOURCE:,} are allowed")
    try:
        tree = _ENVIRONMENT.parse(source)
        other_files = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)
        if any(tree.find(kind) for kind in other_files):
            raise TemplateError("it reads another file")
        reads = meta.find_undeclared_variables(tree) - _ENVIRONMENT.globals.keys()
        needs = reads - _optional(tree)
        filters = {node.name for node in tree.find_all(nodes.Filter)}
        for node in list(tree.find_all(nodes.For)):
            node.iter = _filtered(node.iter, "for")
        _pay_for_values(tree)
        _replace_concatenations(tree)
        template = _ENVIRONMENT.from_string(tree)
    except TemplateSyntaxError as error:
        reason = (error.message or "it is no template").rstrip(".")
        raise TemplateError(f"{reason} in line {error.lineno}") from error
    except (RecursionError, MemoryError, SyntaxError, ValueError) as error:
        # SyntaxError and MemoryError are Python's, for what jinja2 compiles to.
        raise TemplateError("it is nested too deeply") from error
    return Compiled(template, frozenset(reads), frozenset(needs), bool(filters & _RANDOM))


def _optional(tree: nodes.Template) -> set[str]:
    """Names that a template sets in some branch, tests for being there, or gives a default."""
    stored = {name.name for name in tree.find_all(nodes.Name) if name.ctx == "store"}
    asked: list[Any] = [test.node for test in tree.find_all(nodes.Test) if test.name in _ASKS]
    asked += [found.node for found in tree.find_all(nodes.Filter) if found.name in _DEFAULTS]
    return stored | {node.name for node in asked if isinstance(node, nodes.Name)}


def _filtered(node: Any, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


def _pay_for_values(tree: nodes.Template) -> None:
    """Makes a template pay for what it compares, copies by [:] and hashes as a dictionary's key."""
    for compare in list(tree.find_all(nodes.Compare)):
        sides: list[Any] = [compare, *compare.ops]
        for side in sides:
            side.expr = _filtered(side.expr, "value")
    for index in list(tree.find_all(nodes.Getitem)):
        if isinstance(index.arg, nodes.Slice):
            index.node = _filtered(index.node, "value")
    for pair in list(tree.find_all(nodes.Pair)):
        pair.key = _filtered(pair.key, "value")


def _replace_concatenations(node: nodes.Node) -> None:
    """Makes each a ~ b a filter of the list [a, b], which is paid for."""
    for field, value in node.iter_fields():
        several = value if isinstance(value, list) else [value]
        for position, child in enumerate(several):
            if not isinstance(child, nodes.Node):
                continue
            _replace_concatenations(child)
            if isinstance(child, nodes.Concat):
                items = nodes.List(child.nodes, lineno=child.lineno)
                several[position] = _filtered(items, "~")
        if not isinstance(value, list):
            setattr(node, field, several[0])


def render(
    source: str, values: Mapping[str, Any], choose: Callable[[Sequence[Any], int], Any]
) -> str:
    """The text of a template. Half a surrogate pair, which no file can hold, becomes U+FFFD.

    choose gives one of some options; its second argument is 1 at the first choice, then 2, and so
    on. Raises LimitError if the template works too long, TemplateError if it cannot be parsed or
    does what is not allowed, and whatever error an operation on the values raises.
    """
    template = compiled(source).template
    token = _current.set(_Render(choose))
    try:
        parts, length = [], 0
        for part in template.generate(values):
            parts.append(part)
            length += len(part)
            if length > MOST_OUTPUT:
                raise LimitError(f"its text has more than {MOST_OUTPUT:,} characters")
        return _HALF_PAIR.sub("\ufffd", "".join(parts))
    except (RecursionError, MemoryError) as error:
        raise LimitError("it calls itself too deeply, or makes something too large") from error
    finally:
        _current.reset(token)
