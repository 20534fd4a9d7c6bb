"""Grammars, JSON schemas and lazy triggers that cost stack, memory or time without end."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from recipes.conformance.hostile.attack import CHAT, COMPLETION, Attack, Kind, chat, completion, request

if TYPE_CHECKING:
    from collections.abc import Iterator


def exploding(depth: int, width: int = 2) -> str:
    """Return rules that each name the next one several times: width to the power of depth."""
    rules = [f"r{n} ::= {' '.join([f'r{n + 1}'] * width)}" for n in range(depth)]
    return "\n".join(["root ::= r0", *rules, f'r{depth} ::= "a" | ""'])


def chain(length: int) -> str:
    """Return rules that each name the next one."""
    return "\n".join(["root ::= r0", *(f"r{n} ::= r{n + 1}" for n in range(length)), f'r{length} ::= "a"'])


GRAMMARS: dict[str, Any] = {
    "repetitions in repetitions": 'root ::= ("a"*)* ("b"*)*',
    "repetitions three deep": 'root ::= ((("a"*)*)*)+',
    "a repeated option": 'root ::= ("a"?)*',
    "a repeated nothing": 'root ::= (""*)+ "a"',
    "an empty loop of rules": 'root ::= x*\nx ::= y*\ny ::= ""',
    "left recursion": 'root ::= root "a" | "a"',
    "left recursion by another rule": 'root ::= x "a"\nx ::= y\ny ::= root | ""',
    "left recursion behind nothing": 'root ::= e root "a"\ne ::= ""',
    "a rule that is itself": "root ::= root",
    "two rules that are each other": "root ::= x\nx ::= root",
    "{1,999999}": 'root ::= "a"{1,999999}',
    "{0,4294967295}": 'root ::= "a"{0,4294967295}',
    "{99999999999999999999}": 'root ::= "a"{99999999999999999999}',
    "{9,1}": 'root ::= "a"{9,1}',
    "repetitions multiplied": 'root ::= ((("a"{1,900}){1,900}){1,900})',
    "repetitions of a long text": lambda: f'root ::= ("{"a" * 20_000}"){{500}}',
    "exploding rules": exploding(40),
    "exploding rules, wide": exploding(12, 20),
    "an ambiguous sum": 'root ::= e\ne ::= "a" | e2 e2\ne2 ::= "a" e2 | "a" | e3\ne3 ::= "a"* "a"* "a"* "a"* "a"*',
    "many optional parts": lambda: "root ::= " + '"a"? ' * 20_000,
    "a chain of 100,000 rules": lambda: chain(100_000),
    "100,000 rules that nobody names": lambda: (
        'root ::= "a"\n' + "\n".join(f'u{n} ::= "b"' for n in range(100_000))
    ),
    "100,000 alternatives": lambda: "root ::= " + " | ".join(f'"{n}"' for n in range(100_000)),
    "100,000 parentheses": lambda: "root ::= " + "(" * 100_000 + '"a"' + ")" * 100_000,
    "3,000 parentheses": lambda: "root ::= " + "(" * 3000 + '"a"' + ")" * 3000,
    "100,000 open parentheses": lambda: "root ::= " + "(" * 100_000,
    "a text of 5 MB": lambda: f'root ::= "{"a" * 5_000_000}"',
    "a class of 200,000 letters": lambda: (
        "root ::= [" + "".join(chr(0x4E00 + n % 20_000) for n in range(200_000)) + "]"
    ),
    "a class that never ends": "root ::= [a-",
    "a class backwards": "root ::= [z-a]+",
    "a class of half letters": "root ::= [\ud800-\udfff]",
    "an empty class": "root ::= []",
    "a negated everything": "root ::= [^\\x00-\\U0010FFFF]",
    "a text that never ends": 'root ::= "abc',
    "broken escapes": 'root ::= "\\x" "\\u12" "\\U1234"',
    "letters beyond Unicode": 'root ::= "\\UFFFFFFFF" [\\UFFFFFFFE-\\UFFFFFFFF]',
    "a rule that is not there": "root ::= nothing",
    "no root": 'a ::= "b"',
    "an empty root": "root ::=",
    "root twice": 'root ::= "a"\nroot ::= root "b" | ""',
    "a name of 1 MB": lambda: "root ::= " + "n" * 1_000_000,
    "only comments": lambda: "# a\n" * 200_000,
    "a zero in it": 'root ::= "a"\0"b"',
    "no grammar": "::= ::= | * + ? {",
    "a star of nothing": "root ::= * +",
    "%llguidance": "%llguidance {}",
    "%llguidance with a start": "%llguidance {}\nstart: /(a*)*/",
    "tokens that are not there": "root ::= <[999999999]> <nothing> !<[5]> <[-1]>",
    "any letter for ever": "root ::= .* .* .* .*",
}
# what no grammar means, or must not be run
REFUSED = {"%llguidance", "%llguidance with a start", "no grammar", "left recursion", "a rule that is itself"}
QUICK_GRAMMARS = {
    *("repetitions in repetitions", "%llguidance", "left recursion", "{1,999999}", "repetitions multiplied"),
    *("exploding rules", "100,000 parentheses", "an empty loop of rules", "an ambiguous sum"),
}


def deep_schema(depth: int, kind: str) -> Any:  # noqa: ANN401 - any JSON
    """Return a schema nested so deep, by one of its words."""
    schema: Any = {"type": "string"}
    for _ in range(depth):
        match kind:
            case "properties":
                schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
            case "items":
                schema = {"type": "array", "items": schema, "minItems": 2}
            case "prefixItems":
                schema = {"type": "array", "prefixItems": [schema, schema]}
            case "additionalProperties":
                schema = {"type": "object", "additionalProperties": schema}
            case _:
                schema = {kind: [schema, schema]}
    return schema


def deep_text(depth: int, opening: str, closing: str) -> bytes:
    """Return a request whose schema is deeper than Python writes."""
    schema = opening * depth + '{"type":"string"}' + closing * depth
    return b'{"prompt":"a","n_predict":2,"json_schema":' + schema.encode() + b"}"


SCHEMAS: dict[str, Any] = {
    "$ref to itself": {"$ref": "#"},
    "$ref loop": {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
    "$ref to itself by way of allOf": {
        "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}},
        "$ref": "#/$defs/a",
    },
    "$ref to nothing": {"$ref": "#/$defs/nothing"},
    "$ref into a number": {"$defs": {"a": 7}, "$ref": "#/$defs/a/b/c"},
    "$ref into an array": {"$defs": {"a": [1]}, "$ref": "#/$defs/a/99999999999999999999"},
    "$ref elsewhere": {"$ref": "https://127.0.0.1:1/schema.json"},
    "$ref to a file": {"$ref": "file:///etc/passwd"},
    "a chain of 5,000 $ref": lambda: {
        "$ref": "#/$defs/r0",
        "$defs": {f"r{n}": {"$ref": f"#/$defs/r{n + 1}"} for n in range(5000)} | {"r5000": {}},
    },
    "anyOf of anyOf, 2 to the 14th": lambda: deep_schema(14, "anyOf"),
    "allOf of allOf, 2 to the 14th": lambda: deep_schema(14, "allOf"),
    "oneOf, 300 deep, one each": lambda: {"oneOf": [deep_schema(300, "items")]},
    "prefixItems doubled 14 times": lambda: deep_schema(14, "prefixItems"),
    "items doubled 30 times": deep_schema(30, "items"),
    "additionalProperties 200 deep": lambda: deep_schema(200, "additionalProperties"),
    "properties 200 deep": lambda: deep_schema(200, "properties"),
    "100,000 properties": lambda: {
        "type": "object",
        "properties": {f"p{n}": {"type": "string"} for n in range(100_000)},
    },
    "3,000 required among optional": lambda: {
        "type": "object",
        "properties": {f"p{n}": {} for n in range(3000)},
    },
    "enum of 100,000": lambda: {"enum": [f"v{n}" for n in range(100_000)]},
    "enum of everything": {"enum": [None, 1, [], {}, "a", 1e308, [[[[]]]]]},
    "const of 1 MB": lambda: {"const": "a" * 1_000_000},
    "minItems 1e9": {"type": "array", "items": {"type": "string"}, "minItems": 10**9},
    "maxItems 1e9": {"type": "array", "items": {"type": "string"}, "maxItems": 10**9},
    "minItems below 0": {"type": "array", "items": {}, "minItems": -5, "maxItems": -9},
    "minLength 1e9": {"type": "string", "minLength": 10**9},
    "maxLength of 2 to the 64th": {"type": "string", "maxLength": (1 << 64) - 1},
    "minimum at the ends of int64": {"type": "integer", "minimum": -(1 << 63), "maximum": (1 << 63) - 1},
    "minimum above the maximum": {"type": "integer", "minimum": 9, "maximum": -9},
    "minimum no number": {"type": "integer", "minimum": "x", "maximum": []},
    "pattern, repetition in repetition": {"type": "string", "pattern": "^((a*)*)*$"},
    "pattern {1,999999}": {"type": "string", "pattern": "^a{1,999999}$"},
    "pattern multiplied": {"type": "string", "pattern": "^(((a{900}){900}){900})$"},
    "pattern of 50,000 parentheses": lambda: {
        "type": "string",
        "pattern": f"^{'(' * 50_000}a{')' * 50_000}$",
    },
    "pattern never closed": {"type": "string", "pattern": "^((([a-"},
    "pattern of nothing but signs": {"type": "string", "pattern": "^*+?{}|)$"},
    "pattern with broken counts": {"type": "string", "pattern": "^a{,}b{x}c{99999999999999}d{-1}$"},
    "type is a number": {"type": 7},
    "type is 10,000 types": lambda: {"type": ["string", "null"] * 5000},
    "properties is a list": {"type": "object", "properties": ["a"]},
    "required is a number": {"type": "object", "properties": {"a": {}}, "required": 7},
    "items is a text": {"type": "array", "items": "x"},
    "anyOf of nothing": {"anyOf": []},
    "anyOf of numbers": {"anyOf": [1, None, "x"]},
    "format nobody knows": {"type": "string", "format": "\0" * 1000},
    "a title of 1 MB": lambda: {
        "title": "t" * 1_000_000,
        "type": "object",
        "properties": {"a" * 100_000: {}},
    },
    "names that are grammar": {"type": "object", "properties": {'"\n::= root | "': {"const": '"\\"\n'}}},
}
QUICK_SCHEMAS = {
    "$ref loop",
    "minItems 1e9",
    "pattern, repetition in repetition",
    "pattern multiplied",
    "anyOf of anyOf, 2 to the 14th",
}

REGEXES = {
    "never closed": "(((",
    "a class never closed": "[a-",
    "only signs": "*+?",
    "exponential": "(a*)*(a*)*(a*)*b",
    "exponential alternatives": "(a|a|aa|aaa)+$",
    "over everything": "((.|\\n)*)*x",
    "20,000 parentheses": "(" * 20_000 + "a" + ")" * 20_000,
    "{1,99999999}": "(a{1,9999}){1,9999}",
    "backwards": "(?=(a+))a*b\\1\\1\\99",
    "zeros": "a\0b",
    "broken letters": "\ud800",
    "1 MB": "a" * 1_000_000,
    "backslash at the end": "a\\",
}
QUICK_REGEXES = {"never closed", "exponential", "20,000 parentheses"}
WORD, TOKEN, PATTERN, PATTERN_FULL = range(4)


# of wrong types, or out of range
BAD_GRAMMARS: tuple[Any, ...] = (7, None, [], {}, ["root"], {"a": 1}, True)
BAD_SCHEMAS: tuple[Any, ...] = (7, None, [], "x", True, [[]], {"type": None})
BAD_FORMATS: tuple[Any, ...] = (
    *(7, "x", [], {"type": 7}, {"type": "json_schema"}, {"type": "json_schema", "json_schema": 7}),
    {"type": "nothing"},
)
BAD_TYPES: tuple[Any, ...] = (-1, 4, 5, 1 << 31, 1 << 40, "x", None, [], 1.5, True)
BAD_IDS: tuple[Any, ...] = (-1, 1 << 31, 10**9, "x", None)
BAD_TRIGGERS: tuple[Any, ...] = (
    *({}, [], [7], [None], ["a"], [{}], [{"type": 0}], [{"value": "a"}], "x", 7, [[{}]]),
)
BAD_TOKENS: tuple[Any, ...] = (7, [7], {}, [None], [[]], "x")


def attacks() -> Iterator[Attack]:
    """Return the attacks on what constrains an answer."""
    post = partial(request, Kind.GRAMMARS)
    for name, text in GRAMMARS.items():
        yield post(
            name,
            COMPLETION,
            partial(with_grammar, text),
            must_refuse=name in REFUSED,
            is_quick=name in QUICK_GRAMMARS,
        )
    for name in sorted(QUICK_GRAMMARS):
        yield post(f"{name}, in a chat", CHAT, partial(chat_with_grammar, GRAMMARS[name]))
        yield post(f"{name}, lazy", COMPLETION, partial(lazy, GRAMMARS[name]))
    for value in BAD_GRAMMARS:
        yield post(f"grammar is {value!r}", COMPLETION, completion(grammar=value))
    yield from schemas()
    yield from triggers()


def with_grammar(text: Any) -> dict[str, Any]:  # noqa: ANN401 - a text, or what makes it
    """Return a completion under a grammar."""
    return completion(prompt="Repeat: aaaaaaaaaaaa", n_predict=24, grammar=text() if callable(text) else text)


def chat_with_grammar(text: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    """Return a chat completion under a grammar."""
    return chat("Repeat: aaaaaaaaaaaa", grammar=text() if callable(text) else text, max_tokens=24)


def lazy(text: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    """Return a completion under a grammar that begins with a word."""
    return with_grammar(text) | {"grammar_lazy": True, "grammar_triggers": [{"type": WORD, "value": "a"}]}


def schemas() -> Iterator[Attack]:
    """Return the attacks by JSON schemas: alone, as a response format, and as a tool's parameters."""
    post = partial(request, Kind.SCHEMAS)
    for name, schema in SCHEMAS.items():
        yield post(name, COMPLETION, partial(with_schema, schema), is_quick=name in QUICK_SCHEMAS)
    for name in sorted(QUICK_SCHEMAS):
        yield post(f"{name}, as a response format", CHAT, partial(as_format, SCHEMAS[name]))
        yield post(f"{name}, as a tool's parameters", CHAT, partial(as_tool, SCHEMAS[name]))
    for depth in (100, 3000, 30_000):
        for what, opening, closing in (
            ("properties", '{"type":"object","properties":{"a":', "}}"),
            ("items", '{"type":"array","items":', "}"),
            ("anyOf", '{"anyOf":[', "]}"),
            ("not", '{"not":', "}"),
        ):
            quick = depth == 30_000 and what == "items"  # noqa: PLR2004 - stated above
            yield post(
                f"{what} {depth:,} deep",
                COMPLETION,
                partial(deep_text, depth, opening, closing),
                is_quick=quick,
            )
    for value in BAD_SCHEMAS:
        yield post(f"schema is {value!r}", COMPLETION, completion(json_schema=value))
    for value in BAD_FORMATS:
        yield post(f"response_format is {value!r}", CHAT, chat(response_format=value))


def with_schema(schema: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON, or what makes it
    """Return a completion under a schema."""
    return completion(json_schema=schema() if callable(schema) else schema, n_predict=16)


def as_format(schema: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    """Return a chat completion whose answer has a schema."""
    made = schema() if callable(schema) else schema
    return chat(
        response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": made}}, max_tokens=16
    )


def as_tool(schema: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    """Return a chat completion with a tool of a schema."""
    made = schema() if callable(schema) else schema
    tool = {"type": "function", "function": {"name": "a", "description": "", "parameters": made}}
    return chat(tools=[tool], tool_choice="required", max_tokens=16)


def triggers() -> Iterator[Attack]:
    """Return the attacks by what starts a grammar: each type, bad expressions, expressions without end."""
    post = partial(request, Kind.TRIGGERS, path=COMPLETION)
    base = partial(
        completion, prompt="Repeat: " + "a" * 40, n_predict=48, grammar='root ::= "b"', grammar_lazy=True
    )
    for name, pattern in REGEXES.items():
        for kind in (PATTERN, PATTERN_FULL):
            body = base(grammar_triggers=[{"type": kind, "value": pattern}])
            quick = kind == PATTERN and name in QUICK_REGEXES
            yield post(f"{name}, type {kind}", body=body, is_quick=quick)
    for unknown in BAD_TYPES:
        body = base(grammar_triggers=[{"type": unknown, "value": "a"}])
        yield post(f"a trigger of type {unknown!r}", body=body, is_quick=unknown == BAD_TYPES[1])
    for token in BAD_IDS:
        body = base(grammar_triggers=[{"type": TOKEN, "value": "a", "token": token}])
        yield post(f"a trigger of the token {token!r}", body=body, is_quick=token == BAD_IDS[2])
    for value in BAD_TRIGGERS:
        yield post(f"triggers are {value!r}", body=base(grammar_triggers=value))
    yield post("no triggers", body=base())
    yield post(
        "20,000 triggers",
        body=lambda: base(grammar_triggers=[{"type": 0, "value": f"w{n}"} for n in range(20_000)]),
    )
    yield post(
        "20,000 preserved tokens", body=lambda: base(preserved_tokens=[f"w{n}" for n in range(20_000)])
    )
    for value in BAD_TOKENS:
        yield post(f"preserved tokens are {value!r}", body=base(preserved_tokens=value, grammar_triggers=[]))
    for text in (
        "",
        "x",
        "{}",
        "[]",
        "{" * 50_000,
        '{"type":"x"}',
        "\0",
        '{"parsers":[{"type":"ref","rule":0}],"root":99}',
        "a" * 1_000_000,
    ):
        yield post(f"chat_parser is {text[:24]!r}", body=completion(chat_parser=text), is_quick=text == "x")
    for number in (-1, 99, 1 << 31, -(1 << 31)):
        yield post(f"chat_format is {number}", body=completion(chat_format=number))
