"""
Conditions of rules (`data.words >= 300 && !data.draft`) and paths into an event's data (`data.author.id`).

The language is a strict subset of CEL (https://github.com/google/cel-spec/blob/master/doc/langdef.md): no macro but
`has(a.b)`, no maps, uints, bytes or regular expressions, nothing that loops. A text becomes tokens, then a tree, then
nested closures, once and for all; what an evaluation costs is bounded by the limits below and the size of the data.

Where CEL leaves room, or its implementations differ:

- `has(a.b.c)` is false, not an error, when `a.b` is missing. It is an error when `a.b` is there and no object.
- Numbers compare by exact value, an int with a double too. Ordering NaN is an error.
- `string(1.0)` is "1" and never has an exponent, `string(true)` is an error, and so is `double("1e999")`.
- What `+` joins is at most JOINED_LENGTH_MAX long.
"""

from __future__ import annotations

import difflib
import math
import operator
import re
import sys
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, assert_never

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

TEXT_LENGTH_MAX = 1_000
NODES_MAX = 200
DEPTH_MAX = 20
JOINED_LENGTH_MAX = 65_536

_EXCERPT_LENGTH_MAX = 60
_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1


class ConditionError(ValueError):
    """A text that is no condition or no path. The message leads with the column and says what to write instead."""

    def __init__(self, text: str, offset: int, reason: str) -> None:
        line, column = text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)
        place = f"line {line}, column {column}" if "\n" in text else f"column {column}"
        super().__init__(f"{place}: {reason}")


class Missing(Enum):
    """The type of MISSING."""

    MISSING = "missing"


#: What `Path.get` returns where there is no such field. A field that is null gives None.
MISSING: Final = Missing.MISSING


@dataclass(frozen=True, slots=True)
class Path:
    """A field of an event's data, such as `data.author.id`."""

    text: str
    _names: tuple[str, ...] = field(repr=False)

    def get(self, data: Mapping[str, Any] | None) -> object:
        """Return the value found there (null is None), or MISSING."""
        value: Any = data
        try:
            for name in self._names:
                value = value[name]
        except (KeyError, TypeError):  # TypeError: a step led into something that is no object
            return MISSING
        return value


@dataclass(frozen=True, slots=True)
class Condition:
    """A question about one event. Equal to every condition with the same text."""

    text: str
    _run: _Run = field(repr=False, compare=False)

    def check(self, data: Mapping[str, Any] | None, user: str, type: str) -> str | None:  # noqa: A002 as in CEL
        """Return None when it is true, else why it is not, such as `false` or `data.words is not there`."""
        try:
            verdict = self._run((data if data.__class__ is dict else dict(data or {}), user, type))
        except _Failure as failure:
            return str(failure)
        if verdict is True:
            return None
        return "false" if verdict is False else f"result is {_shown(verdict)}, not a bool"


def compile_condition(text: str) -> Condition:
    """Compile a condition. Raises ConditionError for one that is not well formed or goes beyond the limits above."""
    return Condition(text, _compiled(_Parser(text).condition()))


def compile_path(text: str) -> Path:
    """Compile a path: `data` and at least one `.name`. Raises ConditionError."""
    _refuse_overlong(text)
    valid = _PATH.match(text)
    end = valid.end() if valid else 0
    if end < len(text) or not valid:
        raise ConditionError(text, end, f"{_excerpt(text)!r} is not a path; a path looks like data.author.id")
    return Path(text, tuple(text.split(".")[1:]))


_PATH = re.compile(r"data(?:\.[A-Za-z_][A-Za-z0-9_]*)+")


def _refuse_overlong(text: str) -> None:
    if len(text) > TEXT_LENGTH_MAX:
        reason = f"too long, {len(text):,} characters where {TEXT_LENGTH_MAX:,} are allowed"
        raise ConditionError(text, TEXT_LENGTH_MAX, reason)


def _excerpt(text: str) -> str:
    return text if len(text) <= _EXCERPT_LENGTH_MAX else text[: _EXCERPT_LENGTH_MAX - 1] + "…"


class _Token(NamedTuple):
    kind: str
    text: str
    start: int


_TOKEN = re.compile(
    r"""
      (?P<space>  [\t\n\f\r ]+ | //[^\n\r]* )
    | (?P<double> (?: [0-9]+\.[0-9]+ | \.[0-9]+ ) (?: [eE][+-]?[0-9]+ )? | [0-9]+[eE][+-]?[0-9]+ )
    | (?P<uint>   (?: 0x[0-9a-fA-F]+ | [0-9]+ ) [uU] )
    | (?P<int>    0x[0-9a-fA-F]+ | [0-9]+ )
    | (?P<bytes>  [bB][rR]?["'] )
    | (?P<raw>    [rR] (?: \"{3}.*?\"{3} | '{3}.*?'{3} | "[^"\r\n]*" | '[^'\r\n]*' ) )
    | (?P<string> \"{3} (?: [^\\] | \\. )*? \"{3} | '{3} (?: [^\\] | \\. )*? '{3}
                | " (?: [^"\\\r\n] | \\. )* " | ' (?: [^'\\\r\n] | \\. )* ' )
    | (?P<name>   [A-Za-z_][A-Za-z0-9_]* )
    | (?P<symbol> && | \|\| | [=!<>]= | [-+*/%!<>?:.,()\[\]] )
    """,
    re.VERBOSE | re.DOTALL,
)
_LEFT_OUT = {"uint": "conditions have no uint, write the number without u", "bytes": "conditions have no bytes"}
_INSTEAD = {
    "=": "write == to compare",
    "&": "write && for and",
    "|": "write || for or",
    "and": "write && for and",
    "or": "write || for or",
    "not": "write ! for not",
    "True": "write true",
    "False": "write false",
    "None": "write null",
    "{": "conditions have no maps",
    '"': "the text has no closing quote",
    "'": "the text has no closing quote",
}


def _tokens(text: str) -> Iterator[_Token]:
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            found = text[position]
            raise ConditionError(text, position, _INSTEAD.get(found, f"unexpected {found!r}"))
        kind = str(match.lastgroup)
        if kind in _LEFT_OUT:
            raise ConditionError(text, position, _LEFT_OUT[kind])
        if kind != "space":
            yield _Token(kind, match[0], position)
        position = match.end()
    yield _Token("end", "end", len(text))


_ESCAPE = re.compile(
    r"\\(?:[xX](?P<x>[0-9a-fA-F]{2})|u(?P<u>[0-9a-fA-F]{4})|U(?P<U>[0-9a-fA-F]{8})|(?P<octal>[0-3][0-7]{2})|(?P<sign>.))",
    re.DOTALL,
)
_SURROGATES = range(0xD800, 0xE000)
_SIGNS = dict(zip("abfnrtv\\'\"`?", "\a\b\f\n\r\t\v\\'\"`?", strict=True))


def _string_value(text: str, token: _Token) -> str:
    quoted = token.text[1:] if token.kind == "raw" else token.text
    quote_length = 3 if quoted[:3] in ('"""', "'''") else 1
    body = quoted[quote_length:-quote_length]
    if token.kind == "raw":
        return body

    def character(escape: re.Match[str]) -> str:
        if escape["sign"] in _SIGNS:
            return _SIGNS[escape["sign"]]
        digits = escape["x"] or escape["u"] or escape["U"]
        code = int(digits, 16) if digits else int(escape["octal"] or "-1", 8)
        if 0 <= code <= sys.maxunicode and code not in _SURROGATES:
            return chr(code)
        offset = token.start + quote_length + escape.start()
        raise ConditionError(text, offset, f"{escape[0]} is no escape; a backslash is written \\\\")

    return _ESCAPE.sub(character, body)


@dataclass(frozen=True, slots=True)
class _Literal:
    source: str
    value: bool | int | float | str | None


@dataclass(frozen=True, slots=True)
class _Variable:
    source: str
    name: str


@dataclass(frozen=True, slots=True)
class _Select:
    source: str
    operand: _Node
    name: str


@dataclass(frozen=True, slots=True)
class _Has:
    """Whether `operand` has the first name, its field the second, and so on."""

    source: str
    operand: _Node
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _ListOf:
    source: str
    items: tuple[_Node, ...]


@dataclass(frozen=True, slots=True)
class _Unary:
    """An operator or a function of one value."""

    source: str
    name: str
    operand: _Node


@dataclass(frozen=True, slots=True)
class _Binary:
    """An operator, an index `[]`, or a method with one argument."""

    source: str
    name: str
    left: _Node
    right: _Node


@dataclass(frozen=True, slots=True)
class _Conditional:
    source: str
    test: _Node
    then: _Node
    otherwise: _Node


_Node: TypeAlias = _Literal | _Variable | _Select | _Has | _ListOf | _Unary | _Binary | _Conditional


def _steps(node: _Node) -> tuple[_Node, tuple[str, ...]]:
    """Return where a chain of `.name` and `["name"]` begins, and its names."""
    match node:
        case _Select(_, operand, name) | _Binary(_, "[]", operand, _Literal(_, str(name))):
            start, names = _steps(operand)
            return start, (*names, name)
        case _:
            return node, ()


_VARIABLES = ("data", "user", "type")
_FUNCTIONS = ("size", "int", "double", "string")
_METHODS = {"size": 0, "startsWith": 1, "endsWith": 1, "contains": 1}
_ABSENT_FUNCTIONS = frozenset({"all", "exists", "exists_one", "map", "filter", "matches"})
_CONSTANTS: Mapping[str, bool | None] = {"true": True, "false": False, "null": None}
_RESERVED = frozenset(
    {"as", "break", "const", "continue", "else", "for", "function", "if", "import", "in"}
    | {"let", "loop", "namespace", "package", "return", "var", "void", "while"}
)
_RELATIONS = ("==", "!=", "<", "<=", ">", ">=", "in")
_PRECEDENCE = {"||": 1, "&&": 2, **dict.fromkeys(_RELATIONS, 3), "+": 4, "-": 4, "*": 5, "/": 5, "%": 5}


class _Parser:
    """Recursive descent over the grammar of CEL; a binary operator climbs by precedence. Refuses what is too big."""

    def __init__(self, text: str) -> None:
        _refuse_overlong(text)
        self._text = text
        self._tokens = list(_tokens(text))
        self._position = 0
        self._nodes = 0
        self._depth = -1  # the whole condition lies at depth 0

    def condition(self) -> _Node:
        node = self._expression()
        if self._token.kind != "end":
            raise self._unexpected()
        return node

    @property
    def _token(self) -> _Token:
        return self._tokens[self._position]

    def _advance(self) -> _Token:
        token = self._token
        self._position += 1
        return token

    def _took(self, symbol: str) -> bool:
        if self._token.text != symbol:
            return False
        self._position += 1
        return True

    def _expect(self, symbol: str) -> None:
        if not self._took(symbol):
            raise self._unexpected(f", expected {symbol}")

    def _refusal(self, token: _Token, reason: str) -> ConditionError:
        return ConditionError(self._text, token.start, reason)

    def _unexpected(self, expected: str = "") -> ConditionError:
        found = _excerpt(self._token.text)
        return self._refusal(self._token, _INSTEAD.get(found, f"unexpected {found}{expected}"))

    def _source(self, start: int) -> str:
        """Count one more node, and return the text it was read from, for messages."""
        self._nodes += 1
        if self._nodes > NODES_MAX:
            raise ConditionError(self._text, start, f"too big, more than {NODES_MAX} names, values and operators")
        last = self._tokens[self._position - 1]
        return _excerpt(self._text[start : last.start + len(last.text)])

    def _deeper(self, levels: int = 1) -> None:
        self._depth += levels
        if self._depth > DEPTH_MAX:
            raise self._refusal(self._token, f"nested too deep, more than {DEPTH_MAX} levels")

    def _expression(self) -> _Node:
        self._deeper()
        start = self._token.start
        node = self._operation(1)
        if self._took("?"):
            then = self._operation(1)
            self._expect(":")
            otherwise = self._expression()
            node = _Conditional(self._source(start), node, then, otherwise)
        self._depth -= 1
        return node

    def _operation(self, precedence_min: int) -> _Node:
        start = self._token.start
        left = self._unary()
        while (precedence := _PRECEDENCE.get(self._token.text, 0)) >= precedence_min:
            name = self._advance().text
            right = self._operation(precedence + 1)
            left = _Binary(self._source(start), name, left, right)
        return left

    def _unary(self) -> _Node:
        sign, starts = self._token.text, []
        while sign in ("!", "-") and self._token.text == sign and not self._at_negative_number():
            starts.append(self._advance().start)
        self._deeper(len(starts))
        node = self._member()
        self._depth -= len(starts)
        for start in reversed(starts):
            node = _Unary(self._source(start), sign, node)
        return node

    def _at_negative_number(self) -> bool:
        return self._token.text == "-" and self._tokens[self._position + 1].kind in ("int", "double")

    def _member(self) -> _Node:
        start = self._token.start
        node = self._primary()
        while self._token.text in (".", "["):
            if self._took("["):
                key = self._expression()
                self._expect("]")
                node = _Binary(self._source(start), "[]", node, key)
            else:
                node = self._selection(start, node)
        return node

    def _selection(self, start: int, operand: _Node) -> _Node:
        self._expect(".")
        if self._token.kind != "name":
            raise self._unexpected(", expected a name")
        name = self._advance()
        if name.text in (*_CONSTANTS, "in"):
            raise self._refusal(name, f'{name.text} is a reserved word, write ["{name.text}"] instead of .{name.text}')
        if self._token.text != "(":
            return _Select(self._source(start), operand, name.text)
        if name.text not in _METHODS:
            raise self._unknown_function(name)
        arguments = self._arguments(name, _METHODS[name.text])
        source = self._source(start)
        return _Binary(source, name.text, operand, *arguments) if arguments else _Unary(source, name.text, operand)

    def _primary(self) -> _Node:
        token = self._token
        if token.kind == "name":
            return self._named()
        if token.kind in ("int", "double") or self._at_negative_number():
            return self._number()
        if token.kind in ("string", "raw"):
            self._advance()
            return _Literal(self._source(token.start), _string_value(self._text, token))
        if self._took("("):
            node = self._expression()
            self._expect(")")
            return node
        if self._took("["):
            items = self._items("]")
            return _ListOf(self._source(token.start), items)
        raise self._unexpected()

    def _number(self) -> _Node:
        start = self._token.start
        sign = "-" if self._took("-") else ""
        token = self._advance()
        if token.kind == "double":
            value = float(sign + token.text)
            fits = math.isfinite(value)
        else:
            value = int(sign + token.text, 16 if "x" in token.text else 10)
            fits = _INT_MIN <= value <= _INT_MAX
        if not fits:
            raise ConditionError(self._text, start, f"{_excerpt(sign + token.text)} does not fit into 64 bits")
        return _Literal(self._source(start), value)

    def _named(self) -> _Node:
        token = self._advance()
        if token.text in _CONSTANTS:
            return _Literal(self._source(token.start), _CONSTANTS[token.text])
        if token.text in _RESERVED:
            raise self._refusal(token, f"{token.text} is a reserved word")
        if self._token.text == "(":
            return self._called(token)
        if token.text not in _VARIABLES:
            raise self._unknown_name(token)
        return _Variable(self._source(token.start), token.text)

    def _called(self, name: _Token) -> _Node:
        if name.text == "has":
            (argument,) = self._arguments(name, 1)
            if not isinstance(argument, _Select):
                raise self._refusal(name, "has() asks for a field, as in has(data.author)")
            return _Has(self._source(name.start), *_steps(argument))
        if name.text not in _FUNCTIONS:
            raise self._unknown_function(name)
        (argument,) = self._arguments(name, 1)
        return _Unary(self._source(name.start), name.text, argument)

    def _arguments(self, name: _Token, count: int) -> tuple[_Node, ...]:
        self._expect("(")
        arguments = self._items(")")
        if len(arguments) != count:
            raise self._refusal(name, f"{name.text}() takes {count} here, not {len(arguments)}")
        return arguments

    def _items(self, closing: str) -> tuple[_Node, ...]:
        items: list[_Node] = []
        while not self._took(closing):
            if items:
                self._expect(",")
                if closing == "]" and self._took(closing):
                    break
            items.append(self._expression())
        return tuple(items)

    def _unknown_name(self, name: _Token) -> ConditionError:
        if name.text in _INSTEAD:
            return self._refusal(name, _INSTEAD[name.text])
        if name.text in (*_FUNCTIONS, *_METHODS, "has"):
            return self._refusal(name, f"{name.text} is a function, write it with its parentheses")
        nearest = difflib.get_close_matches(name.text, _VARIABLES, n=1)
        known = "known are data, user and type"
        suggestion = nearest[0] if nearest else f"data.{name.text}"
        return self._refusal(name, f"unknown name {name.text}, did you mean {suggestion}? ({known})")

    def _unknown_function(self, name: _Token) -> ConditionError:
        if name.text in _ABSENT_FUNCTIONS:
            return self._refusal(name, f"conditions have no {name.text}()")
        if name.text in _METHODS:
            return self._refusal(name, f"{name.text}() follows a value, as in user.{name.text}(…)")
        if name.text in ("has", *_FUNCTIONS):
            return self._refusal(name, f"{name.text}() encloses its value, as in {name.text}(data.field)")
        known = ("has", *dict.fromkeys((*_FUNCTIONS, *_METHODS)))
        nearest = difflib.get_close_matches(name.text, known, n=1)
        suggestion = f", did you mean {nearest[0]}()?" if nearest else ";"
        return self._refusal(name, f"unknown function {name.text}(){suggestion} known are {', '.join(known)}")


#: What JSON text gives: None, bool, int, float, str, and lists and dicts of these.
_Value: TypeAlias = Any
#: data, user and type of one event.
_Scope: TypeAlias = tuple[dict[str, _Value], str, str]
_Run: TypeAlias = "Callable[[_Scope], _Value]"
_OfOne: TypeAlias = "Callable[[_Value], _Value]"
_OfTwo: TypeAlias = "Callable[[_Value, _Value], _Value]"


class _Failure(Exception):
    """CEL's runtime error: evaluation ends, unless && or || is decided by its other side."""


def _compiled(node: _Node) -> _Run:
    match node:
        case _Literal(_, value):
            return lambda _: value
        case _Variable(_, name):
            return operator.itemgetter(_VARIABLES.index(name))
        case _Select(source, operand, name):
            return _field(source, _compiled(operand), name)
        case _Has(source, operand, names):
            return _presence(source, _compiled(operand), names)
        case _ListOf(_, items):
            runs = tuple(map(_compiled, items))
            return lambda scope: [run(scope) for run in runs]
        case _Unary(source, name, operand):
            return _unary(source, _UNARY[name], _compiled(operand))
        case _Binary(_, "&&" | "||" as name, left, right):
            return _logic(name, left.source, _compiled(left), right.source, _compiled(right))
        case _Binary(source, name, left, right):
            return _binary(source, _BINARY[name], _compiled(left), _compiled(right))
        case _Conditional(_, test, then, otherwise):
            return _choice(test.source, *map(_compiled, (test, then, otherwise)))
        case _:
            assert_never(node)


def _field(source: str, operand: _Run, name: str) -> _Run:
    def run(scope: _Scope) -> _Value:
        holder = operand(scope)
        if name in _fields(holder, source):
            return holder[name]
        raise _Failure(f"{source} is not there")

    return run


def _presence(source: str, operand: _Run, names: tuple[str, ...]) -> _Run:
    def run(scope: _Scope) -> bool:
        holder = operand(scope)
        for name in names:
            if name not in _fields(holder, source):
                return False
            holder = holder[name]
        return True

    return run


def _fields(holder: _Value, source: str) -> dict[str, _Value]:
    if type(holder) is dict:
        return holder
    raise _Failure(f"{source}: {_kind(holder)} has no fields")


def _unary(source: str, operate: _OfOne, operand: _Run) -> _Run:
    def run(scope: _Scope) -> _Value:
        value = operand(scope)
        try:
            return operate(value)
        except _Failure as failure:
            raise _Failure(f"{source}: {failure}") from None

    return run


def _binary(source: str, operate: _OfTwo, left: _Run, right: _Run) -> _Run:
    def run(scope: _Scope) -> _Value:
        left_value, right_value = left(scope), right(scope)
        try:
            return operate(left_value, right_value)
        except _Failure as failure:
            raise _Failure(f"{source}: {failure}") from None

    return run


def _choice(test_source: str, test: _Run, then: _Run, otherwise: _Run) -> _Run:
    def run(scope: _Scope) -> _Value:
        verdict = test(scope)
        if verdict is True:
            return then(scope)
        if verdict is False:
            return otherwise(scope)
        raise _not_a_bool(test_source, verdict)

    return run


def _logic(name: str, left_source: str, left: _Run, right_source: str, right: _Run) -> _Run:
    """Build || or &&. A side that decides does so even when the other one fails."""
    decisive = name == "||"
    neutral = not decisive

    def run(scope: _Scope) -> _Value:
        try:
            verdict = left(scope)
            if verdict is decisive:
                return decisive
            if verdict is not neutral:
                raise _not_a_bool(left_source, verdict)
        except _Failure:
            if _outcome(right, scope) is decisive:
                return decisive
            raise
        verdict = right(scope)
        if verdict is True or verdict is False:
            return verdict
        raise _not_a_bool(right_source, verdict)

    return run


def _outcome(run: _Run, scope: _Scope) -> _Value | _Failure:
    try:
        return run(scope)
    except _Failure as failure:
        return failure


_KINDS = {type(None): "null", bool: "bool", int: "int", float: "double", str: "string", list: "list", dict: "object"}


def _kind(value: _Value) -> str:
    return _KINDS.get(type(value), type(value).__name__)


def _shown(value: _Value) -> str:
    if type(value) is int and not _INT_MIN <= value <= _INT_MAX:
        return "an int beyond 64 bits"
    if type(value) in (int, float, str):
        return f"{_kind(value)} {_excerpt(repr(value))}"
    return _kind(value)


def _not_a_bool(source: str, value: _Value) -> _Failure:
    return _Failure(f"{source} is {_shown(value)}, not a bool")


def _no_overload(name: str, *values: _Value) -> _Failure:
    kinds = [_kind(value) for value in values]
    hint = "; convert one with int() or double()" if set(kinds) == {"int", "double"} else ""
    return _Failure(f"{name} does not take {' and '.join(kinds)}{hint}")


def _of_one(name: str, overloads: Mapping[type, _OfOne]) -> _OfOne:
    def operate(value: _Value) -> _Value:
        overload = overloads.get(type(value))
        if overload is None:
            raise _no_overload(name, value)
        return overload(value)

    return operate


def _of_two(name: str, overloads: Mapping[type, _OfTwo]) -> _OfTwo:
    """Build an operation on two values of the same type."""

    def operate(left: _Value, right: _Value) -> _Value:
        overload = overloads.get(type(left))
        if overload is None or type(left) is not type(right):
            raise _no_overload(name, left, right)
        return overload(left, right)

    return operate


def _ordering(name: str, compare: _OfTwo) -> _OfTwo:
    def operate(left: _Value, right: _Value) -> bool:
        if type(right) not in _ORDERED_WITH.get(type(left), ()):
            raise _no_overload(name, left, right)
        if compare(left, right):
            return True
        if left != left or right != right:  # noqa: PLR0124 only NaN is not itself
            raise _Failure("NaN has no order")
        return False

    return operate


_ORDERED_WITH = {int: (int, float), float: (int, float), str: (str,), bool: (bool,)}


def _equal(left: _Value, right: _Value) -> bool:
    """Compare by value at any depth. Unlike Python's own ==, true is not 1."""
    kind = type(left)
    if kind is not type(right):
        return kind in (int, float) and type(right) in (int, float) and left == right
    if kind is list:
        return len(left) == len(right) and all(map(_equal, left, right))
    if kind is dict:
        return left.keys() == right.keys() and all(_equal(value, right[name]) for name, value in left.items())
    return bool(left == right)


def _unequal(left: _Value, right: _Value) -> bool:
    return not _equal(left, right)


def _contained(needle: _Value, holder: _Value) -> bool:
    if type(holder) is list:
        # Only text can be left to Python's faster `in`, which takes true for 1 and a NaN for itself.
        return needle in holder if type(needle) is str else any(_equal(needle, item) for item in holder)
    if type(holder) is dict and type(needle) in (str, int, bool):
        return bool(needle in holder)
    raise _no_overload("in", needle, holder)


def _element(holder: _Value, key: _Value) -> _Value:
    if type(holder) is list and type(key) is int:
        if 0 <= key < len(holder):
            return holder[key]
        raise _Failure(f"not there, the list has {len(holder)}")
    if type(holder) is dict and type(key) is str:
        if key in holder:
            return holder[key]
        raise _Failure("not there")
    raise _no_overload("[]", holder, key)


def _int64(value: int) -> int:
    if _INT_MIN <= value <= _INT_MAX:
        return value
    raise _Failure("beyond 64 bits")


def _on_ints(compute: Callable[[int, int], int]) -> Callable[[int, int], int]:
    return lambda left, right: _int64(compute(_int64(left), _int64(right)))


def _quotient(left: int, right: int) -> int:
    """Truncate toward zero, where Python rounds down."""
    if right == 0:
        raise _Failure("division by zero")
    size = abs(left) // abs(right)
    return size if (left < 0) == (right < 0) else -size


def _remainder(left: int, right: int) -> int:
    """Take the sign of the dividend. Where the quotient overflows, so does this, as in CEL."""
    return left - right * _int64(_quotient(left, right))


def _double_quotient(left: float, right: float) -> float:
    if right != 0:
        return left / right
    return math.nan if left == 0 or math.isnan(left) else math.copysign(math.inf, left) * math.copysign(1, right)


def _joined(left: _Value, right: _Value) -> _Value:
    if len(left) + len(right) > JOINED_LENGTH_MAX:
        raise _Failure(f"longer than {JOINED_LENGTH_MAX:,}")
    return left + right


# What int() and double() read. Possessive (`++`), because data is not ours: backtracking would cost its length squared.
_INT_TEXT = re.compile(r"([+-]?)(?=[0-9])0*+([0-9]{0,19})")
_DOUBLE_TEXT = re.compile(
    r"[+-]?(?:(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:e[+-]?[0-9]++)?|(inf|infinity|nan))", re.IGNORECASE | re.ASCII
)


def _int_from_double(value: float) -> int:
    # The lower end is excluded too, as in CEL: it may stand for something smaller.
    if _INT_MIN < value < _INT_MAX:
        return int(value)
    raise _Failure(f"{_shown(value)} is no int of 64 bits")


def _int_from_string(value: str) -> int:
    if match := _INT_TEXT.fullmatch(value):
        return _int64(int(match[1] + (match[2] or "0")))
    raise _Failure(f"{_shown(value)} is no int of 64 bits")


def _double_from_string(value: str) -> float:
    match = _DOUBLE_TEXT.fullmatch(value)
    if match and (match[1] or math.isfinite(float(value))):
        return float(value)
    raise _Failure(f"{_shown(value)} is no double")


def _string_from_double(value: float) -> str:
    if math.isfinite(value):
        return format(Decimal(repr(value)), "f").removesuffix(".0")
    return "NaN" if math.isnan(value) else repr(value)


_UNARY: Mapping[str, _OfOne] = {
    "!": _of_one("!", {bool: operator.not_}),
    "-": _of_one("-", {int: lambda value: _int64(-_int64(value)), float: operator.neg}),
    "size": _of_one("size()", {str: len, list: len, dict: len}),
    "int": _of_one("int()", {int: _int64, float: _int_from_double, str: _int_from_string}),
    "double": _of_one("double()", {float: float, int: lambda value: float(_int64(value)), str: _double_from_string}),
    "string": _of_one("string()", {str: str, int: lambda value: str(_int64(value)), float: _string_from_double}),
}
_BINARY: Mapping[str, _OfTwo] = {
    "==": _equal,
    "!=": _unequal,
    "<": _ordering("<", operator.lt),
    "<=": _ordering("<=", operator.le),
    ">": _ordering(">", operator.gt),
    ">=": _ordering(">=", operator.ge),
    "in": _contained,
    "[]": _element,
    "+": _of_two("+", {int: _on_ints(operator.add), float: operator.add, str: _joined, list: _joined}),
    "-": _of_two("-", {int: _on_ints(operator.sub), float: operator.sub}),
    "*": _of_two("*", {int: _on_ints(operator.mul), float: operator.mul}),
    "/": _of_two("/", {int: _on_ints(_quotient), float: _double_quotient}),
    "%": _of_two("%", {int: _on_ints(_remainder)}),
    "startsWith": _of_two("startsWith()", {str: str.startswith}),
    "endsWith": _of_two("endsWith()", {str: str.endswith}),
    "contains": _of_two("contains()", {str: operator.contains}),
}
