"""What conditions and paths mean, what is refused with the catalog, and that neither can be made to misbehave."""

import json
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laurels.core.conditions import (
    DEPTH_MAX,
    JOINED_LENGTH_MAX,
    MISSING,
    NODES_MAX,
    TEXT_LENGTH_MAX,
    ConditionError,
    compile_condition,
    compile_path,
)

DATA_16A = {"score": 5, "ratio": 0.5, "n": None, "tags": ["a", "b"]}


def check(text, data=None):
    return compile_condition(text).check(data, "ada", "post.created")


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("data.missing > 3", "data.missing is not there"),
        ("data.missing > 3 || true", None),
        ("has(data.n)", None),
        ("has(data.q.x)", "false"),
        ("data.score >= 4.5", None),
        (
            "data.ratio * 2 > 0.5",
            "data.ratio * 2: * does not take double and int; convert one with int() or double()",
        ),
        ("data.score", "result is int 5, not a bool"),
    ],
)
def test_16a_a_condition_is_true_or_says_why_it_is_not(text, detail):
    assert check(text, DATA_16A) == detail


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("-7 / 2 == -3", None),
        ("-7 % 3 == -1", None),
        ("1 == 1.0", None),
        ('1 == "1"', "false"),
        ('"a" < 1', '"a" < 1: < does not take string and int'),
        ("1 / 0 == 1 || true", None),
        ('"a" in data.tags', None),
        ('data.tags[5] == "x"', "data.tags[5]: not there, the list has 2"),
        ('"😀".size() == 1', None),
    ],
)
def test_16b_operators_mean_what_cel_says(text, detail):
    assert check(text, DATA_16A) == detail


@pytest.mark.parametrize(
    "text",
    [
        # Precedence and associativity.
        "1 + 2 * 3 == 7",
        "(1 + 2) * 3 == 9",
        "10 - 4 - 3 == 3",
        "100 / 10 / 5 == 2",
        "true || false && false",
        "!false && true",
        "1 < 2 == true",
        "1 in [1] == true",
        "false ? false : true ? true : false",
        "(true ? false : true) ? false : true",
        "-2 * -3 == 6",
        "1 - -1 == 2",
        "--1 == 1",
        "!!true",
        # Numbers.
        "0x1F == 31 && -0x10 == -16",
        "007 == 7",
        ".5 == 0.5 && 1e3 == 1000 && 2.5E-1 == 0.25",
        "-9223372036854775808 < 9223372036854775807",
        "0x7fffffffffffffff == 9223372036854775807",
        "-9223372036854775807 - 1 == -9223372036854775808",
        "7 % -3 == 1 && 7 / -2 == -3",
        "1.0 / 0.0 > 1e308 && -1.0 / 0.0 < -1e308 && 1.0 / -0.0 < 0.0",
        "0.0 / 0.0 != 0.0 / 0.0 && !(0.0 / 0.0 in [0.0 / 0.0])",
        # Comparison is by value, exactly.
        "9007199254740993 != 9007199254740992.0 && 9007199254740993 > 9007199254740992.0",
        "9223372036854775807 < 9223372036854775808.0",
        "2.0 <= 2 && 2 >= 2.0 && 1.5 > 1",
        # true is not 1, at any depth.
        "true != 1 && false != 0 && 1 != true && false != 0.0",
        "[true] != [1] && [[false]] != [[0]] && !(true in [1]) && !(1 in [true])",
        "data.flags != data.bits && data.flags == [true, false]",
        "false < true && true >= true",
        # Lists and objects.
        "[1, 2.0, [3]] == [1.0, 2, [3.0]] && [1, 2] != [1, 2, 3] && [] == []",
        "[1,] + [2] == [1, 2] && [7, 8][1] == 8",
        '1.0 in [1] && null in [null] && !("1" in [1]) && !(1 in [])',
        '"id" in data.author && !("x" in data.author) && !(1 in data.author)',
        'data["author"]["id"] == data.author.id && data.author == data["author"]',
        "data.for == 1 && data [ 'size' ] == 2 && data . size == 2",
        "null == null && null != 0 && null != false",
        # Text.
        '"a" + \'b\' == "ab" && "" + "" == ""',
        '"a" < "b" && "Z" < "a" && "z" < "é" && "\uffff" < "😀"',
        '"abc".startsWith("ab") && "abc".endsWith("bc") && "abc".contains("b") && "abc".contains("")',
        'size("äöü") == 3 && "😀é".size() == 2',
        "size([1, 2]) == 2 && [].size() == 0 && data.author.size() == 1 && size(data.author) == 1",
        r'"\x41\X41\u0041\U00000041\101" == "AAAAA"',
        r""" '\a\b\f\n\r\t\v\\\'\"\`\?'.size() == 12 """,
        r""" r"\n" == "\\n" && R'\x' == '\\x' && r"a\".size() == 2 """,
        '"""a"b\n""" == "a\\"b\\n" && \'\'\'it\'s\'\'\' == "it\'s" && r"""\\d""" == "\\\\d" && """""" == ""',
        # Conversions.
        'int("12") == 12 && int("-007") == -7 && int("+1") == 1 && int("-0") == 0 && int(3) == 3',
        "int(2.9) == 2 && int(-2.9) == -2 && int(9223372036854774784.0) == 9223372036854774784",
        'double(1) == 1.0 && double("1.5e1") == 15.0 && double(".5") == 0.5 && double("5.") == 5.0',
        'double("-inf") < -1e308 && double("Infinity") > 1e308 && double("nan") != double("nan")',
        'string(1) == "1" && string("a") == "a" && string(-9223372036854775808) == "-9223372036854775808"',
        'string(1.0) == "1" && string(1.5) == "1.5" && string(-0.0) == "-0" && string(1e16) == "10000000000000000"',
        'string(1e-7) == "0.0000001" && string(0.0 / 0.0) == "NaN" && string(-1.0 / 0.0) == "-inf"',
        # Names, and what stands between the words.
        'user == "ada" && type == "post.created" && type.startsWith("post.")',
        "true // the rest of the line is a comment, && false",
        "true //\n && //\r\n\ttrue",
        '"//" != "/"',
        "size(data) > 0 && data != null",
    ],
)
def test_true(text):
    data = {"author": {"id": 1}, "for": 1, "size": 2, "flags": [True, False], "bits": [1, 0]}
    assert check(text, data) is None


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        # int is 64-bit.
        ("9223372036854775807 + 1 > 0", "9223372036854775807 + 1: beyond 64 bits"),
        ("-9223372036854775807 - 2 < 0", "-9223372036854775807 - 2: beyond 64 bits"),
        ("4611686018427387904 * 2 > 0", "4611686018427387904 * 2: beyond 64 bits"),
        ("-9223372036854775808 / -1 > 0", "-9223372036854775808 / -1: beyond 64 bits"),
        ("-9223372036854775808 % -1 == 0", "-9223372036854775808 % -1: beyond 64 bits"),
        ("-(-9223372036854775808) > 0", "-(-9223372036854775808): beyond 64 bits"),
        ("1 / 0 == 1", "1 / 0: division by zero"),
        ("1 % 0 == 1", "1 % 0: division by zero"),
        ("0.0 / 0.0 < 1.0", "0.0 / 0.0 < 1.0: NaN has no order"),
        ("1.0 % 2.0 == 1.0", "1.0 % 2.0: % does not take double and double"),
        # A bool is no number, and null is nothing but null.
        ("true < 1", "true < 1: < does not take bool and int"),
        ("true + true == 2", "true + true: + does not take bool and bool"),
        ("-true == false", "-true: - does not take bool"),
        ("[1, 2][true] == 2", "[1, 2][true]: [] does not take list and bool"),
        ("int(true) == 1", "int(true): int() does not take bool"),
        ('string(true) == "true"', "string(true): string() does not take bool"),
        ("data.none < 1", "data.none < 1: < does not take null and int"),
        ("!data.none", "!data.none: ! does not take null"),
        ("[1] < [2]", "[1] < [2]: < does not take list and list"),
        # Fields and elements.
        ("data.author.x == 1", "data.author.x is not there"),
        ('data["x y"] == 1', 'data["x y"]: not there'),
        ("data.id.x == 1", "data.id.x: int has no fields"),
        ("data.none.x == 1", "data.none.x: null has no fields"),
        ("data.tags.x == 1", "data.tags.x: list has no fields"),
        ("user.x == 1", "user.x: string has no fields"),
        ("data.tags[-1] == 1", "data.tags[-1]: not there, the list has 1"),
        ("data.tags[0.0] == 1", "data.tags[0.0]: [] does not take list and double"),
        ('data.tags["0"] == 1', 'data.tags["0"]: [] does not take list and string'),
        ("data.author[0] == 1", "data.author[0]: [] does not take object and int"),
        ('"a" in "abc"', '"a" in "abc": in does not take string and string'),
        ("null in data", "null in data: in does not take null and object"),
        ("1 in [1, data.x]", "data.x is not there"),
        # Functions.
        ("size(1) == 1", "size(1): size() does not take int"),
        ('data.tags.contains("a")', 'data.tags.contains("a"): contains() does not take list and string'),
        ('"a".startsWith(1)', '"a".startsWith(1): startsWith() does not take string and int'),
        ('int(" 1") == 1', "int(\" 1\"): string ' 1' is no int of 64 bits"),
        ('int("1_0") == 10', "int(\"1_0\"): string '1_0' is no int of 64 bits"),
        ('int("٣") == 3', "int(\"٣\"): string '٣' is no int of 64 bits"),
        ('int("9223372036854775808") > 0', 'int("9223372036854775808"): beyond 64 bits'),
        ("int(1e19) > 0", "int(1e19): double 1e+19 is no int of 64 bits"),
        ("int(0.0 / 0.0) == 0", "int(0.0 / 0.0): double nan is no int of 64 bits"),
        ('double("1e999") > 0.0', "double(\"1e999\"): string '1e999' is no double"),
        ('double("1_0") > 0.0', "double(\"1_0\"): string '1_0' is no double"),
        ('double("") > 0.0', "double(\"\"): string '' is no double"),
        # What must be a bool.
        ("1 && true", "1 is int 1, not a bool"),
        ("true && data.id", "data.id is int 7, not a bool"),
        ("false || data.none", "data.none is null, not a bool"),
        ("data.id ? true : true", "data.id is int 7, not a bool"),
        ("user", "result is string 'ada', not a bool"),
        ("data", "result is object, not a bool"),
        ("0.5", "result is double 0.5, not a bool"),
        ("[true]", "result is list, not a bool"),
        ("null", "result is null, not a bool"),
    ],
)
def test_an_error_makes_a_condition_not_true_and_says_where(text, detail):
    assert check(text, {"id": 7, "none": None, "tags": ["x"], "author": {"id": 1}}) == detail


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data.x && false", "false"),
        ("false && data.x", "false"),
        ("1 && false", "false"),
        ("data.x || true", None),
        ("true || data.x", None),
        ("1 || true", None),
        ("data.x || data.y || true", None),
        ("data.x || (data.y || true)", None),
        ("!(data.x && data.y && false)", None),
        ("data.x && true", "data.x is not there"),
        ("true && data.x", "data.x is not there"),
        ("data.x || false", "data.x is not there"),
        ("data.x || data.y", "data.x is not there"),
        ("(data.x || true) && data.y", "data.y is not there"),
    ],
)
def test_and_and_or_absorb_an_error_when_the_other_side_decides(text, expected):
    assert check(text, {}) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true ? true : data.x", None),
        ("false ? data.x : true", None),
        ("true ? data.x : true", "data.x is not there"),
        ("data.x ? true : true", "data.x is not there"),
    ],
)
def test_a_choice_evaluates_one_branch(text, expected):
    assert check(text, {}) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("has(data.none)", None),
        ("has(data.x)", "false"),
        ("!has(data.x)", None),
        ("!has(data.x.y.z)", None),
        ("!has(data['x'].y)", None),
        ("has(data.a.b.c)", None),
        ("has(data.a['b'].c)", None),
        ("has(data.list[0].c)", None),
        ("has(data.a.b.x)", "false"),
        ("has(data.none.x)", "has(data.none.x): null has no fields"),
        ("has(data.text.x)", "has(data.text.x): string has no fields"),
        ("has(data.list.c)", "has(data.list.c): list has no fields"),
        ("has(data.list[1].c)", "data.list[1]: not there, the list has 1"),
        ("has(user.x)", "has(user.x): string has no fields"),
    ],
)
def test_has_asks_for_a_field_whatever_its_value(text, expected):
    assert check(text, {"none": None, "a": {"b": {"c": 1}}, "list": [{"c": 1}], "text": "x"}) == expected


@pytest.mark.parametrize("data", [None, {}, MappingProxyType({})], ids=["none", "empty", "read-only"])
def test_an_event_without_data_has_no_fields(data):
    assert check("data.x == 1", data) == "data.x is not there"
    assert check("!has(data.x) && size(data) == 0", data) is None


def test_data_may_be_any_mapping():
    assert check("data.a.b == 1 && data == data", MappingProxyType({"a": {"b": 1}})) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data.huge > 9223372036854775807 && data.huge == data.huge && data.huge != 1.5", None),
        ("data.huge - data.huge == 0", "data.huge - data.huge: beyond 64 bits"),
        ("-data.edge == -9223372036854775808", "-data.edge: beyond 64 bits"),
        ("int(data.huge) == 1", "int(data.huge): beyond 64 bits"),
        ("double(data.huge) > 1.0", "double(data.huge): beyond 64 bits"),
        ('string(data.huge) == "1"', "string(data.huge): beyond 64 bits"),
        ("data.list[data.huge] == 1", "data.list[data.huge]: not there, the list has 0"),
        ("data.huge", "result is an int beyond 64 bits, not a bool"),
    ],
)
def test_whole_numbers_beyond_64_bits_compare_but_do_not_compute(text, expected):
    assert check(text, {"huge": 10**5000, "edge": 2**63, "list": []}) == expected


def test_what_plus_joins_has_a_limit():
    half = JOINED_LENGTH_MAX // 2
    data = {"text": "x" * half, "list": [0] * half}
    assert check("size(data.text + data.text) == 65536 && size(data.list + data.list) == 65536", data) is None
    assert check('data.text + data.text + "y" != ""', data) == 'data.text + data.text + "y": longer than 65,536'
    assert check("data.list + data.list + [1] != []", data) == "data.list + data.list + [1]: longer than 65,536"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "column 1: unexpected end"),
        ("1 +", "column 4: unexpected end"),
        ("(1 == 1", "column 8: unexpected end, expected )"),
        ("1 == 1)", "column 7: unexpected )"),
        ("[1, 2", "column 6: unexpected end, expected ,"),
        ("1, 2", "column 2: unexpected ,"),
        ("true ? 1", "column 9: unexpected end, expected :"),
        ("true ? true ? 1 : 2 : 3", "column 13: unexpected ?, expected :"),
        ("true &&\n  && true", "line 2, column 3: unexpected &&"),
        ("-!true", "column 2: unexpected !"),
        ("1 = 1", "column 3: write == to compare"),
        ("true & true", "column 6: write && for and"),
        ("true and true", "column 6: write && for and"),
        ("not true", "column 1: write ! for not"),
        ("True", "column 1: write true"),
        ("data.x == None", "column 11: write null"),
        ("1 == 1 # no", "column 8: unexpected '#'"),
        ("1\u00a0== 1", "column 2: unexpected '\\xa0'"),
        ("data.é", "column 6: unexpected 'é'"),
        ('"abc', "column 1: the text has no closing quote"),
        ('"a\nb" == ""', "line 1, column 1: the text has no closing quote"),
        (r'"a\q"', r"column 3: \q is no escape; a backslash is written \\"),
        (r'"\ud800"', r"column 2: \ud800 is no escape; a backslash is written \\"),
        (r'"\U00110000"', r"column 2: \U00110000 is no escape; a backslash is written \\"),
        ("data.", "column 6: unexpected end, expected a name"),
        ("data.in", 'column 6: in is a reserved word, write ["in"] instead of .in'),
        ("data.1", "column 5: unexpected .1"),
        (".data.x", "column 1: unexpected ."),
        ("data?.x", "column 6: unexpected ."),
        ("data[]", "column 6: unexpected ]"),
        ("data.`x y`", "column 6: unexpected '`'"),
        ("has(data)", "column 1: has() asks for a field, as in has(data.author)"),
        ('has(data["x"])', "column 1: has() asks for a field, as in has(data.author)"),
        ("has(data.x, 1)", "column 1: has() takes 1 here, not 2"),
        ("for == 1", "column 1: for is a reserved word"),
        ("while(1)", "column 1: while is a reserved word"),
        ("9223372036854775808 > 0", "column 1: 9223372036854775808 does not fit into 64 bits"),
        ("1 > -9223372036854775809", "column 5: -9223372036854775809 does not fit into 64 bits"),
        ("0x8000000000000000 > 0", "column 1: 0x8000000000000000 does not fit into 64 bits"),
        ("1e400 > 0.0", "column 1: 1e400 does not fit into 64 bits"),
    ],
)
def test_bad_syntax_is_refused_at_its_column(text, message):
    with pytest.raises(ConditionError) as refused:
        compile_condition(text)
    assert str(refused.value) == message


KNOWN = "known are has, size, int, double, string, startsWith, endsWith, contains"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dat.x == 1", "column 1: unknown name dat, did you mean data? (known are data, user and type)"),
        ("users == 1", "column 1: unknown name users, did you mean user? (known are data, user and type)"),
        ("published", "column 1: unknown name published, did you mean data.published? (known are data, user and type)"),
        ("size > 1", "column 1: size is a function, write it with its parentheses"),
        ("1 == int", "column 6: int is a function, write it with its parentheses"),
        (
            'user.startswith("a")',
            f"column 6: unknown function startswith(), did you mean startsWith()? {KNOWN}",
        ),
        ("lower(user)", f"column 1: unknown function lower(); {KNOWN}"),
        ("type(1) == 1", f"column 1: unknown function type(); {KNOWN}"),
        ('contains(user, "a")', "column 1: contains() follows a value, as in user.contains(…)"),
        ('"12".int() == 12', "column 6: int() encloses its value, as in int(data.field)"),
        ("data.has(1)", "column 6: has() encloses its value, as in has(data.field)"),
        ("size() == 1", "column 1: size() takes 1 here, not 0"),
        ('"a".contains("a", "b")', "column 5: contains() takes 1 here, not 2"),
        ("user.size(1)", "column 6: size() takes 0 here, not 1"),
    ],
)
def test_an_unknown_name_is_refused_with_what_was_probably_meant(text, message):
    with pytest.raises(ConditionError) as refused:
        compile_condition(text)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data.tags.all(t, t > 1)", "column 11: conditions have no all()"),
        ("data.tags.exists(t, t > 1)", "column 11: conditions have no exists()"),
        ("data.tags.exists_one(t, t > 1)", "column 11: conditions have no exists_one()"),
        ("data.tags.map(t, t)", "column 11: conditions have no map()"),
        ("data.tags.filter(t, t)", "column 11: conditions have no filter()"),
        ('user.matches("(a+)+$")', "column 6: conditions have no matches()"),
        ('matches(user, "a")', "column 1: conditions have no matches()"),
        ("1u == 1", "column 1: conditions have no uint, write the number without u"),
        ("0x1U == 1", "column 1: conditions have no uint, write the number without u"),
        ('b"a" == "a"', "column 1: conditions have no bytes"),
        ("BR'a' == 'a'", "column 1: conditions have no bytes"),
        ('{"a": 1} == data', "column 1: conditions have no maps"),
        ("data{}", "column 5: conditions have no maps"),
    ],
)
def test_what_conditions_leave_out_of_cel_is_refused(text, message):
    with pytest.raises(ConditionError) as refused:
        compile_condition(text)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("allowed", "one_more", "message"),
    [
        pytest.param(
            "true".ljust(TEXT_LENGTH_MAX),
            "true".ljust(TEXT_LENGTH_MAX + 1),
            "column 1001: too long, 1,001 characters where 1,000 are allowed",
            id="characters",
        ),
        pytest.param(
            "1 in [" + "1," * (NODES_MAX - 3) + "]",
            "1 in [" + "1," * (NODES_MAX - 2) + "]",
            "column 1: too big, more than 200 names, values and operators",
            id="nodes",
        ),
        pytest.param(
            "(" * DEPTH_MAX + "true" + ")" * DEPTH_MAX,
            "(" * (DEPTH_MAX + 1) + "true" + ")" * (DEPTH_MAX + 1),
            "column 22: nested too deep, more than 20 levels",
            id="parentheses",
        ),
        pytest.param(
            "!" * DEPTH_MAX + "true",
            "!" * (DEPTH_MAX + 2) + "true",
            "column 23: nested too deep, more than 20 levels",
            id="signs",
        ),
        pytest.param(
            "true ? true : " * DEPTH_MAX + "true",
            "true ? true : " * (DEPTH_MAX + 1) + "true",
            "column 295: nested too deep, more than 20 levels",
            id="choices",
        ),
    ],
)
def test_a_condition_has_limits(allowed, one_more, message):
    assert check(allowed) is None
    with pytest.raises(ConditionError) as refused:
        compile_condition(one_more)
    assert str(refused.value) == message


@pytest.mark.parametrize("operator", [" || ", " && "])
def test_a_long_chain_is_not_deep(operator):
    assert check(operator.join(["true"] * (NODES_MAX // 2))) is None


@pytest.mark.parametrize(
    "bomb",
    [
        pytest.param("!" * 999 + "1", id="not"),
        pytest.param("-" * 999 + "1", id="minus"),
        pytest.param("- " * 499 + "1", id="spaced-minus"),
        pytest.param("(" * 1000, id="parentheses"),
        pytest.param("(" * 39 + ")" * 39, id="empty-parentheses"),
        pytest.param("[" * 1000, id="lists"),
        pytest.param("data[" * 200, id="nested-index"),
        pytest.param("data" + "[0]" * 332, id="long-index"),
        pytest.param("data" + ".a" * 498, id="long-path"),
        pytest.param("has(data" + ".a" * 490 + ")", id="long-has"),
        pytest.param("size(" * 200, id="calls"),
        pytest.param("!(-(" * 250, id="mixed"),
        pytest.param("true?true:" * 100, id="choices"),
        pytest.param("1+" * 499 + "1", id="sum"),
        pytest.param("1<" * 499 + "1", id="relations"),
        pytest.param('"' * 999, id="quotes"),
        pytest.param("'''" + "\\" * 997, id="backslashes"),
        pytest.param("(" * 10**7, id="ten-megabytes"),
    ],
)
def test_a_bomb_is_refused(bomb):
    with pytest.raises(ConditionError):
        compile_condition(bomb)


@pytest.mark.parametrize(
    "text",
    [
        'int(data.x) == 1 || double(data.x) == 1.0 || data.x.contains(data.x + "!")',
        'data.x in [data.x] && data.x == data.x && data.x < data.x + "a" && size(string(data.x)) < 0',
        "data.x",
    ],
)
@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param("1" * 1_000_000, id="digits"),
        pytest.param("1" * 1_000_000 + "x", id="nearly-digits"),
        pytest.param("0" * 1_000_000 + "x", id="zeros"),
        pytest.param("0" * 1_000_000, id="only-zeros"),
        pytest.param("." + "1" * 1_000_000 + "x", id="fraction"),
        pytest.param("1e" + "9" * 1_000_000, id="exponent"),
        pytest.param("1.1e" + "0" * 1_000_000 + "x", id="nearly-exponent"),
        pytest.param("\ud800", id="lone-surrogate"),
        pytest.param("\0\n\x1b[31m", id="control"),
        pytest.param("__class__", id="python"),
    ],
)
def test_hostile_text_gets_a_short_printable_answer(text, hostile):
    detail = check(text, {"x": hostile})
    assert detail is None or (len(detail) < 300 and detail.isprintable() and detail.encode())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(max_size=3), values, max_size=4),
    max_leaves=20,
)


@given(
    data=st.fixed_dictionaries({}, optional={"a": JSON, "b": JSON}),
    text=st.sampled_from(
        [
            "data.a + data.b == data.b || data.a < data.b || data.a in data.b || data.a[data.b] == 1",
            "!(data.a.b == data.b.a) && size(data.a) > 1 && -data.b < data.a && data.a ? data.b : has(data.a.b)",
            "string(data.a) == data.b || int(data.a) % int(data.b) == 1 || double(data.b) / data.a > 1.0",
            "data.a.contains(data.b) || data.a.startsWith(data.b) || data.b.endsWith(data.a) || data.a * data.b != 0",
        ]
    ),
)
def test_odd_data_never_raises(data, text):
    detail = check(text, data)
    assert detail is None or detail.isprintable()


@given(st.text(alphabet="data.user x0129e\"'\\!-+*/%<>=&|?:()[]{}r,\n", max_size=60) | st.text(max_size=30))
def test_any_text_compiles_or_is_refused(text):
    try:
        condition = compile_condition(text)
    except ConditionError:
        return
    condition.check({"x": 1}, "ada", "post.created")


def test_conditions_with_the_same_text_are_equal():
    assert compile_condition("data.x == 1") == compile_condition("data.x == 1")
    assert compile_condition("data.x == 1") != compile_condition("data.x == 2")
    assert len({compile_condition("true"), compile_condition("true")}) == 1


PATH_DATA = json.loads('{"a": {"b": {"c": 1}, "none": null}, "list": [{"b": 1}], "text": "b", "in": 2, "_x9": 3}')


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data.text", "b"),
        ("data.a.b.c", 1),
        ("data.a.b", {"c": 1}),
        ("data.a.none", None),
        ("data.in", 2),
        ("data._x9", 3),
        ("data.x", MISSING),
        ("data.a.x.y", MISSING),
        ("data.a.none.x", MISSING),
        ("data.text.b", MISSING),
        ("data.list.b", MISSING),
        ("data.a.b.c.d", MISSING),
    ],
)
def test_a_path_finds_a_field_or_says_it_is_missing(text, expected):
    path = compile_path(text)
    assert path.text == text
    assert path.get(PATH_DATA) == expected
    assert path.get(MappingProxyType(PATH_DATA)) == expected


def test_a_path_finds_nothing_in_an_event_without_data():
    assert compile_path("data.x").get(None) is MISSING
    assert compile_path("data.x").get({}) is MISSING


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "column 1: '' is not a path; a path looks like data.author.id"),
        ("data", "column 1: 'data' is not a path; a path looks like data.author.id"),
        ("user", "column 1: 'user' is not a path; a path looks like data.author.id"),
        ("author.id", "column 1: 'author.id' is not a path; a path looks like data.author.id"),
        ("data.a.", "column 7: 'data.a.' is not a path; a path looks like data.author.id"),
        ("data.a + 1", "column 7: 'data.a + 1' is not a path; a path looks like data.author.id"),
        ("data.a[0]", "column 7: 'data.a[0]' is not a path; a path looks like data.author.id"),
        ("data.a\n", "line 1, column 7: 'data.a\\n' is not a path; a path looks like data.author.id"),
        ("data.é", "column 1: 'data.é' is not a path; a path looks like data.author.id"),
        ("data." + "a" * 1000, "column 1001: too long, 1,005 characters where 1,000 are allowed"),
    ],
)
def test_what_is_no_path_is_refused(text, message):
    with pytest.raises(ConditionError) as refused:
        compile_path(text)
    assert str(refused.value) == message
