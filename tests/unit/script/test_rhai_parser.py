# ruff: noqa: E501 - the long lines are scripts: wrapping would change them
from __future__ import annotations

import pytest

from rbee_scheduler_script import rhai
from rbee_scheduler_script.rhai import _tree as tree


def shape(node):  # noqa: C901, PLR0911 - one return a kind of node
    """The tree as nested tuples of operators and names."""
    if isinstance(node, tree.Script):
        return shape(node.body.statements[0])
    if isinstance(node, tree.ExpressionStatement):
        return shape(node.expression)
    if isinstance(node, tree.Binary):
        return (node.operator, shape(node.left), shape(node.right))
    if isinstance(node, tree.Unary):
        return (node.operator, shape(node.operand))
    if isinstance(node, tree.Literal):
        return node.value
    if isinstance(node, tree.Variable):
        return node.name
    if isinstance(node, tree.Property):
        return ("?." if node.optional else ".", shape(node.target), node.name)
    if isinstance(node, tree.Index):
        return ("?[" if node.optional else "[", shape(node.target), shape(node.index))
    if isinstance(node, tree.MethodCall):
        return (node.name, shape(node.target), *map(shape, node.arguments))
    if isinstance(node, tree.Call):
        return (f"{node.name}{'!' if node.in_scope else ''}()", *map(shape, node.arguments))
    return type(node).__name__


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("1 + 2 * 3", ("+", 1, ("*", 2, 3))),
        ("10 - 4 - 3", ("-", ("-", 10, 4), 3)),
        ("2 ** 3 ** 2", ("**", 2, ("**", 3, 2))),
        ("a << 1 * 2", ("*", ("<<", "a", 1), 2)),
        ("a || b && c", ("||", "a", ("&&", "b", "c"))),
        ("a | b || c", ("||", ("|", "a", "b"), "c")),
        ("a ?? 5 > 3", (">", ("??", "a", 5), 3)),
        ("1 + a ?? 2", ("??", ("+", 1, "a"), 2)),
        ("a in b == c", ("==", ("in", "a", "b"), "c")),
        ("a !in b", ("!in", "a", "b")),
        ("1 + 1..2 + 2", ("..", ("+", 1, 1), ("+", 2, 2))),
        ("(..5)", ("..", 0, 5)),
        ("[1..]", "ArrayLiteral"),
        ("-5.abs()", ("abs", -5)),
        ("- 5", -5),
        ("-a ** 2", ("**", ("-", "a"), 2)),
        ("1 -1", ("-", 1, 1)),
        ("!!a", ("!", ("!", "a"))),
        ("-9223372036854775808", -(2**63)),
        ("a.b[c]?.d?[0].e(1)", ("e", ("?[", ("?.", ("[", (".", "a", "b"), "c"), "d"), 0), 1)),
        ("f(1,)", ("f()", 1)),
        ("f!(1)", ("f!()", 1)),
        ("()", None),
        ("(1)", 1),
    ],
)
def test_precedence(source, expected):
    assert expected == shape(rhai.parse(source))


@pytest.mark.parametrize(
    ("source", "kind", "place"),
    [
        ("let x = ", "UnexpectedEOF", (1, 9)),
        ("1 +", "UnexpectedEOF", (1, 4)),
        ("let 5 = 1", "VariableExpected", (1, 5)),
        ("let if = 1", "VariableExpected", (1, 5)),
        ("let new = 1", "Reserved", (1, 5)),
        ("fn new() {}", "Reserved", (1, 4)),
        ("fn 5() {}", "FnMissingName", (1, 4)),
        ("fn f {}", "FnMissingParams", (1, 6)),
        ("fn f()", "FnMissingBody", (1, 7)),
        ("fn f(a, a) {}", "FnDuplicatedParam", (1, 9)),
        ("fn f() {} fn f() {}", "FnDuplicatedDefinition", (1, 11)),
        ("{ fn f() {} }", "WrongFnDefinition", (1, 3)),
        ("break", "LoopBreak", (1, 1)),
        ("loop { |x| { break; } }", "LoopBreak", (1, 14)),
        ("if 1 { }", "MismatchedType", (1, 4)),
        ("if a = 1 { }", "BadInput", (1, 6)),
        ("while a += 1 { }", "BadInput", (1, 9)),
        ("if { true } { }", "ExprExpected", (1, 4)),
        ("for x in { } { }", "ExprExpected", (1, 10)),
        ("fn f(a", "MissingToken", (1, 7)),
        ("fn f(5) {}", "MissingToken", (1, 6)),
        ("|5| 1", "MissingToken", (1, 2)),
        ('while "a" { }', "MismatchedType", (1, 7)),
        ("1 && true", "MismatchedType", (1, 1)),
        ("for x in 5 { }", "MismatchedType", (1, 10)),
        ("for (x, x) in a { }", "DuplicatedVariable", (1, 9)),
        ("for x { }", "MissingToken", (1, 7)),
        ("const A = 1; A = 2", "AssignmentToConstant", (1, 14)),
        ("1 = 2", "AssignmentToConstant", (1, 1)),
        ("f() = 1", "AssignmentToInvalidLHS", (1, 1)),
        ("a + b = 1", "AssignmentToInvalidLHS", (1, 1)),
        ("a?.b = 1", "AssignmentToInvalidLHS", (1, 1)),
        ("a = b = c", "MissingToken", (1, 7)),
        ("switch 1 { _ => 1, 2 => 3 }", "WrongSwitchDefaultCase", (1, 12)),
        ("switch 1 { _ if true => 1 }", "WrongSwitchCaseCondition", (1, 14)),
        ("switch 1 { a => 1 }", "ExprExpected", (1, 12)),
        ("switch 1 { 1..2 => 1, 2 => 3 }", "WrongSwitchIntegerCase", (1, 23)),
        ("switch 1 { 1 => 2 3 => 4 }", "MissingToken", (1, 19)),
        ("#{a: 1, a: 2}", "DuplicatedProperty", (1, 9)),
        ("#{1: 2}", "MissingToken", (1, 3)),
        ("#{a: 1, 2: 3}", "PropertyExpected", (1, 9)),
        ('[1]["a"]', "MalformedIndexExpr", (1, 5)),
        ("a.if", "PropertyExpected", (1, 3)),
        ("a.default", "Reserved", (1, 3)),
        ("1 ~ 2", "UnknownOperator", (1, 3)),
        ("@", "Reserved", (1, 1)),
        ("1 <> 2", "BadInput", (1, 4)),
        ("this", "BadInput", (1, 1)),
        ("{ export let a = 1; }", "WrongExport", (1, 3)),
        ("try { }", "MissingToken", (1, 8)),
        ("do { }", "MissingToken", (1, 7)),
        ("let a = 1 let b = 2", "MissingToken", (1, 11)),
        ("let a = (1", "MissingToken", (1, 11)),
        ("{ 1", "MissingToken", (1, 4)),
        ("let r = try { 1 } catch { }", "BadInput", (1, 9)),
    ],
)
def test_faults(source, kind, place):
    with pytest.raises(rhai.RhaiError) as caught:
        rhai.parse(source)
    assert (f"ErrorParsing/{kind}", place) == (caught.value.kind, caught.value.where)


def test_the_first_fault_is_reported_even_when_a_later_one_is_lexical():
    with pytest.raises(rhai.RhaiError) as caught:
        rhai.parse('let = 1; "open')
    assert caught.value.where == (1, 5)


def test_a_snippet_shows_the_place():
    with pytest.raises(rhai.RhaiError) as caught:
        rhai.parse("let a = 1;\nlet b = a +* 2;")
    assert caught.value.snippet == "let b = a +* 2;\n           ^"
    assert str(caught.value) == "ErrorParsing/BadInput: Unexpected '*' (line 2, column 12)"


def test_bindings_know_who_captures_and_assigns_them():
    script = rhai.parse("let a = 1; let b = 2; loop { let c = 3; let f = |x| { a += x; b + c }; }")
    bindings = {n.binding.name: n.binding for n in tree.walk(script) if isinstance(n, tree.Let)}
    assert (
        bindings["a"].captured,
        bindings["a"].assigned,
        bindings["a"].in_loop,
    ) == (True, True, False)
    assert (bindings["b"].captured, bindings["b"].assigned) == (True, False)
    assert (bindings["c"].captured, bindings["c"].in_loop) == (True, True)
    assert not bindings["f"].captured


def test_functions_know_their_parameters_and_types():
    script = rhai.parse('private fn f(a, b) { this } fn int.g() { 1 } fn "map".h() {}')
    assert [(f.name, len(f.parameters), f.this_type, f.private) for f in script.functions] == [
        ("f", 2, None, True),
        ("g", 0, "i64", False),
        ("h", 0, "map", False),
    ]
    assert [f.uses_this for f in script.functions] == [True, False, False]


def test_every_node_has_a_place_inside_the_source():
    source = (
        "fn f(a) { if a.b > 1 { return `x${a}`; } switch a { 1 | 2 => [a], 3..5 => #{k: a}, _ => () } }\n"
        "let x = |y| y?.z[0].m(1) ?? f(2); for (i, j) in 0..3 { x = i; } do { } while false;\n"
        "try { throw 1; } catch (e) { e; }"
    )
    lines = source.split("\n")
    nodes = list(tree.walk(rhai.parse(source)))
    assert len(nodes) > 60
    for node in nodes:
        assert 1 <= node.line <= len(lines)
        assert 1 <= node.column <= len(lines[node.line - 1]) + 1


@pytest.mark.parametrize(
    ("limits", "source", "kind"),
    [
        (rhai.Limits(source_size=10), " " * 11, "ErrorParsing/LiteralTooLarge"),
        (rhai.Limits(source_size=10), "é" * 6, "ErrorParsing/LiteralTooLarge"),
        (rhai.Limits(functions=2), "fn a(){} fn b(){} fn c(){}", "ErrorParsing/TooManyFunctions"),
        (rhai.Limits(functions=2), "|| || || 1", "ErrorParsing/TooManyFunctions"),
        (rhai.Limits(variables=2), "let a; let b; let c;", "ErrorTooManyVariables"),
        (rhai.Limits(string_size=3), '"abcd"', "ErrorDataTooLarge"),
        (rhai.Limits(expression_depth=8), "((((((((1))))))))", "ErrorParsing/ExprTooDeep"),
        (
            rhai.Limits(function_expression_depth=4),
            "fn f() { ((((1)))) }",
            "ErrorParsing/ExprTooDeep",
        ),
    ],
)
def test_limits_on_sources(limits, source, kind):
    with pytest.raises(rhai.RhaiError) as caught:
        rhai.parse(source, limits)
    assert kind == caught.value.kind


def test_the_official_depth_is_reached():
    assert rhai.compile("+".join(["1"] * 60)).eval() == 60
