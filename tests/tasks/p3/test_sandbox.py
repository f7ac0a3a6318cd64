"""What a template cannot do: reach Python, files and the network, or go on and grow without end."""

import sys
import time
from collections.abc import Sequence
from typing import Any

import pytest
from jinja2 import TemplateError

from tk_instruct.tasks.p3 import sandbox
from tk_instruct.tasks.p3.sandbox import LimitError

DOUBLED = 40  # times: 2**40 of anything is too much


def first(options: Sequence[Any], count: int) -> Any:
    return options[0]


def render(source: str, **values: Any) -> str:
    return sandbox.render(source, values, first)


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ text.__class__.__base__ }}",
        "{{ ('' | map(attribute='__class__') | list)[0].x }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ joiner.__init__.__globals__ }}",
        "{{ namespace.__init__.__globals__['__builtins__'] }}",
        "{{ range.__class__('x', (), {}) }}",
        "{{ (text.upper).__self__.__class__.x }}",
        "{{ '{0.__class__.__mro__}'.format(text) }}",
        "{{ '{0.__class__.__mro__}'.format_map({'0': text}) }}",
        "{{ text.encode().hex() }}",
        "{{ ([text] | map(attribute='ljust') | first)(100000) }}",
        "{{ dict.fromkeys(range(9)) }}",
        "{{ ('<' | e).ljust(100000) }}",
        "{{ ('<' | safe).format(text) }}",
        "{{ (1).to_bytes(100, 'big') }}",
        "{{ text | attr('__class__') }}",
        "{{ x.__globals__.y }}",
    ],
)
def test_python_s_internals_are_out_of_reach(source: str) -> None:
    with pytest.raises(TemplateError):
        render(source, text="a text", x=first)


@pytest.mark.parametrize(
    "source",
    [
        "{% include '/etc/hostname' %}",
        "{% import '/etc/hostname' as names %}",
        "{% from '/etc/hostname' import name %}",
        "{% extends '/etc/hostname' %}",
        "{% include 'http://localhost/x' ignore missing %}",
    ],
)
def test_a_template_opens_neither_files_nor_connections(source: str) -> None:
    opened: list[str] = []
    watching = True

    def watch(event: str, args: tuple[Any, ...]) -> None:
        if watching and (event == "open" or event.startswith("socket")):
            opened.append(event)

    sys.addaudithook(watch)  # stays for the process
    try:
        with pytest.raises(TemplateError, match="reads another file"):
            render(source)
    finally:
        watching = False
    assert not opened


# Two equal tuples: to compare them, or to hash one, takes 2**40 steps.
TWINS = "{% set x = ('a',) %}{% set y = ('a',) %}" + (
    "{% set x = (x, x) %}{% set y = (y, y) %}" * DOUBLED
)


@pytest.mark.parametrize(
    "source",
    [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}",
        "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "{% for i in [1, 2] recursive %}{% if loop.depth < 60 %}{{ loop([1, 2]) }}{% endif %}"
        "{% endfor %}",
        "{% set text = 'a' * 900000 %}{% for i in range(99999) %}{{ text | length }}{% endfor %}",
        "{% set x = [] %}{% for i in range(99999) %}{% set _ = x.append(x) %}{% endfor %}{{ x }}",
        "{% set ns = namespace(x='a') %}{% for i in range(99999) %}{% set ns.x = ns.x ~ 'aaaaaaaa' "
        "%}{% endfor %}",
        TWINS + "{{ x == y }}",
        TWINS + "{{ x in [y] }}",
        TWINS + "{{ x is eq y }}",
        TWINS + "{{ {x: 1} }}",
        TWINS + "{{ {}[x] }}",
        "{% set x = 'a' * 1000000 %}{{ range(99999) | map('string') | select('in', x) | list }}",
        "{% set x = ('f' * 9000000) | int(base=16) %}{{ x // 3 }}",
    ],
)
def test_endless_work_ends(source: str) -> None:
    started = time.process_time()
    with pytest.raises(LimitError):
        render(source)
    # Not a measurement: without the limit these would take days.
    assert time.process_time() - started < 60


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'x' * 10**10 }}",
        "{{ 10**10 * 'x' }}",
        "{{ ['x'] * 10**10 }}",
        "{{ 10 ** 10 ** 10 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '%*d' % (1000000000, 1) }}",
        "{{ '%1000000000d' | format(1) }}",
        "{{ 'x' | truncate(10**10) }}",
        "{{ ([['x']] * 99999) | sum(start=[]) }}",
        "{{ [1, 2] | join('x' * 19999999) }}",
        "{% set x = 2 %}" + "{% set x = x * x %}" * DOUBLED,
        "{% set x = 'aa' %}" + "{% set x = x ~ x %}" * DOUBLED,
        "{% set x = 'aa' %}" + "{% set x = x + x %}" * DOUBLED,
        "{% set x = ['aa'] %}" + "{% set x = x + x %}" * DOUBLED,
        "{% set x = ['aa'] %}" + "{% set _ = x.extend(x) %}" * DOUBLED,
        "{% set x = 'aa' %}" + "{% set x = x.replace('a', x) %}" * DOUBLED,
        "{% set x = 'aa' %}" + "{% set x = x | replace('a', x) %}" * DOUBLED,
        "{% set x = 'aa' %}" + "{% set x = x.join(x) %}" * DOUBLED,
        "{% set x = 'aa' %}" + "{% set x = x | list | join(x) %}" * DOUBLED,
        "{% set x = 'aa' %}" + "{% set x %}{{ x }}{{ x }}{% endset %}" * DOUBLED,
        "{% set x = ['aa'] %}" + "{% set x = [x, x] %}" * DOUBLED + "{{ x }}",
        "{% set x = 'aa' %}" + "{% set x = x | replace(old='a', new=x) %}" * DOUBLED,
        "{% set x = [1] %}{% set _ = x.extend(x | select) %}",
        "{% set x = [1] %}{% set _ = x.extend(zip(x, x)) %}",
        "{{ ('%(a)s' * 100000) % {'a': 'x' * 100000} }}",
        "{{ ('%(a)s' * 100000) | format(a='x' * 100000) }}",
        "{{ '%(a)99999999d' % {'a': 1} }}",
        "{{ ('%.999f' * 900000) % ((1.5,) * 900000) }}",
        "{{ ['%1000000000d'] | format(1) }}",
        "{{ text % 1 }}",
        "{{ text * 10**10 }}",
        "{% set x = 'x' * 1000000 %}{% set ns = namespace(l=[]) %}{% for i in range(99999) %}"
        "{% set ns.l = [ns.l, x[1:]] %}{% endfor %}",
        "{% set x = dict(zip(range(99999), range(99999))) %}{% set ns = namespace(l=[]) %}"
        "{% for i in range(9999) %}{% set ns.l = [ns.l, x.values() | list] %}{% endfor %}",
    ],
)
def test_nothing_grows_without_end(source: str) -> None:
    with pytest.raises(LimitError):
        render(source, text=b"%1000000000d")


def test_the_output_has_a_limit() -> None:
    assert len(render("{{ text }}", text="x" * sandbox.MOST_OUTPUT)) == sandbox.MOST_OUTPUT
    with pytest.raises(LimitError, match="more than 1,000,000 characters"):
        render("{{ text }}{{ text }}", text="x" * (sandbox.MOST_OUTPUT // 2 + 1))


@pytest.mark.parametrize(
    "source",
    [
        "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
        "{{ " + "-" * 3000 + "1 }}",
        "{{ " + "[" * 3000 + "]" * 3000 + " }}",
        "{% if 1 %}" * 2000 + "{% endif %}" * 2000,
        "x" * (sandbox.MOST_SOURCE + 1),
    ],
)
def test_what_is_nested_too_deeply_or_too_long_is_not_parsed(source: str) -> None:
    with pytest.raises(TemplateError, match=r"nested too deeply|characters"):
        render(source)


@pytest.mark.parametrize(
    "source",
    [
        "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
        "{% set ns = namespace(x=[]) %}{% for i in range(50000) %}{% set ns.x = [ns.x] %}"
        "{% endfor %}{{ ns.x }}",
        "{% set ns = namespace(x=()) %}{% for i in range(50000) %}{% set ns.x = (ns.x,) %}"
        "{% endfor %}{{ {ns.x: 1} }}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(50000) %}{% set ns.x = zip(ns.x) %}"
        "{% endfor %}{{ ns.x | list }}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(20000) %}{% set ns.x = ns.x | "
        "map('upper') %}{% endfor %}{{ ns.x | list }}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(20000) %}{% set ns.x = [ns.x] | "
        "map('first') %}{% endfor %}{{ ns.x | list }}",
    ],
)
def test_recursion_has_a_limit(source: str) -> None:
    with pytest.raises(LimitError):
        render(source)


def test_filters_and_methods_that_are_not_listed_are_refused() -> None:
    for source in ("{{ x | center(9) }}", "{{ x | urlize }}", "{{ x | wordwrap(3) }}"):
        with pytest.raises(TemplateError, match="No filter named"):
            render(source, x="x")
    with pytest.raises(TemplateError, match="the method zfill of str is not allowed"):
        render("{{ x.zfill(9) }}", x="x")


def test_half_a_surrogate_pair_is_not_printed() -> None:
    """No file and no tokenizer takes it."""
    assert render(r"{{ '\ud800' }}{{ x }}", x="\udfff \U0001f600") == "\ufffd\ufffd \U0001f600"


def test_an_address_is_not_printed() -> None:
    """It differs from run to run."""
    for source in ("{{ x.upper }}", "{{ x.upper | string }}", "{{ 'a' ~ x.upper }}"):
        with pytest.raises(TypeError, match=r"prints the method upper; put \(\) behind it"):
            render(source, x="x")
    with pytest.raises(TypeError, match=r"prints an iterator; put \| list or \| join"):
        render("{{ x | map('upper') }}", x="x")


def test_what_templates_do_is_done() -> None:
    assert render("{{ a ~ '-' ~ 2 ~ b }}", a="x", b=[1]) == "x-2[1]"
    assert render("{% for x in a if x %}{{ loop.index }}{{ x }},{% endfor %}", a="a b") == (
        "1a,2 ,3b,"
    )
    assert render("{% for x, y in zip(a, b) %}{{ x }}{{ y }}{% endfor %}", a="ab", b=[1, 2, 3]) == (
        "a1b2"
    )
    assert render("{{ a | map('upper') | join(', ') }}", a=["x", "y"]) == "X, Y"
    assert render("{% set _ = a.append(3) %}{{ a.pop(0) }}{{ a }}", a=[1, 2]) == "1[2, 3]"
    assert render("{{ '%.1f' | format(x) }} {{ '%s-%s' % (1, 2) }}", x=2.25) == "2.2 1-2"
    assert render("{{ '%s in 1999, %5.2f %%' % ('born', 1) }}") == "born in 1999,  1.00 %"
    assert render("{{ a | sum(attribute='n') }}", a=[{"n": 1}, {"n": 2}]) == "3"
    assert render("{{ ('x' | safe).upper() }}{{ a[1:] == [2] }}{{ 2 in a }}", a=[1, 2]) == (
        "XTrueTrue"
    )
    assert render("{{ zip(a, a) | map('first') | join }}", a="ab") == "ab"
    assert render("{{ 'ab' * 2 }}{{ 2 ** 10 }}{{ 7 % 4 }}") == "abab10243"
    assert render("{{ a | most_frequent | join(',') }}", a=[3, 1, 1, 3, 2]) == "3,1"
    assert render("{{ [] | most_frequent }}") == "None"
    assert render("{{ 'x' | highlight }}") == "<span style='color: #F08080'>x</span>"
    assert render("{{ missing }}|{{ a.missing }}|{{ a['x'] }}", a={"x": 1}) == "||1"


def test_choices_are_drawn_when_a_template_is_rendered_not_when_it_is_parsed() -> None:
    """jinja2 would fold a filter of constants while it parses."""
    source = "{{ ['a', 'b', 'c'] | choice }}{{ ['a', 'b', 'c'] | random }}{{ range(3) | choice }}"
    for shift, expected in ((0, "bc0"), (1, "ca1")):
        found = sandbox.render(source, {}, lambda o, count, shift=shift: o[(count + shift) % 3])
        assert found == expected


def test_what_a_template_reads_and_needs() -> None:
    source = (
        "{{ a }}{% if b is defined %}{{ b }}{% endif %}{{ c | default('x') }}"
        "{% set d = 1 %}{{ d }}{% for e in range(f) %}{{ e }}{% endfor %}{% if 0 %}"
        "{% set g = 1 %}{% endif %}{{ g }}"
    )
    found = sandbox.compiled(source)
    assert found.reads == {"a", "b", "c", "f", "g"}
    assert found.needs == {"a", "f"}
    assert not found.draws
    assert sandbox.compiled("{{ a | choice }}").draws
