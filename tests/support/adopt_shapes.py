"""Source shapes of one resource, what is wanted, what reality is, and what has to stand there afterwards.

`after` is the resource's body with reality in it; `line` and `why` say where and why it is refused instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Shape:
    """One source; `old` and `new` are the attributes that departed, `same` those that did not."""

    name: str
    before: str
    old: dict[str, Any]
    new: dict[str, Any]
    after: str = ""
    why: str = ""
    line: int | None = None
    same: dict[str, Any] = field(default_factory=dict)
    sensitive: frozenset[str] = frozenset()


def shape(name: str, before: str, old: dict[str, Any], new: dict[str, Any], after: str, **same: Any) -> Shape:
    return Shape(name, before, old, new, after, same=same)


def no(name: str, before: str, old: dict[str, Any], new: dict[str, Any], line: int, why: str, **same: Any) -> Shape:
    return Shape(name, before, old, new, why=why, line=line, same=same)


def rule(port: int, *sources: str, text: str = "") -> dict[str, Any]:
    """A security group's rule as a plan has it."""
    return {
        "from_port": port,
        "to_port": port,
        "protocol": "tcp",
        "cidr_blocks": list(sources),
        "description": text,
        "ipv6_cidr_blocks": [],
        "prefix_list_ids": None,
        "self": False,
    }


RULE_80 = """\
  ingress {
    from_port   = 80
    to_port     = 80
    protocol    = "tcp"
    cidr_blocks = ["10.0.0.0/8"]
  }
"""
RULE_443 = RULE_80.replace("80\n", "443\n")
RULE_22 = RULE_80.replace("80\n", "22\n").replace("10.0.0.0/8", "0.0.0.0/0")
HTTP, HTTPS, SSH = rule(80, "10.0.0.0/8"), rule(443, "10.0.0.0/8"), rule(22, "0.0.0.0/0")

SCALARS = [
    shape("a number", "  n = 30\n", {"n": 30}, {"n": 60}, "  n = 60\n"),
    shape("a comment beside it", "  n = 30 # s\n", {"n": 30}, {"n": 60}, "  n = 60 # s\n"),
    shape("a comment with two slashes", "  n = 30 // s\n", {"n": 30}, {"n": 60}, "  n = 60 // s\n"),
    # python-hcl2 does not read this one.
    no("a comment before it", "  n = /* 30 */ 30\n", {"n": 30}, {"n": 60}, 2, "could not be parsed"),
    shape("a comment with the old line", "  # n = 30\n  n = 30\n", {"n": 30}, {"n": 60}, "  # n = 30\n  n = 60\n"),
    shape("a negative number", "  n = -5\n", {"n": -5}, {"n": 7}, "  n = 7\n"),
    shape("to a negative number", "  n = 5\n", {"n": 5}, {"n": -7}, "  n = -7\n"),
    shape("a fraction", "  n = 0.5\n", {"n": 0.5}, {"n": 0.75}, "  n = 0.75\n"),
    shape("an exponent", "  n = 1e3\n", {"n": 1000}, {"n": 2000}, "  n = 2000\n"),
    shape("a number in quotes", '  n = "30"\n', {"n": 30}, {"n": 60}, '  n = "60"\n'),
    shape("a number for a text", "  n = 30\n", {"n": "30"}, {"n": "60"}, "  n = 60\n"),
    shape("a number for a text becomes a word", "  n = 30\n", {"n": "30"}, {"n": "6x"}, '  n = "6x"\n'),
    shape("a truth value", "  b = true\n", {"b": True}, {"b": False}, "  b = false\n"),
    shape("a truth value in quotes", '  b = "true"\n', {"b": True}, {"b": False}, '  b = "false"\n'),
    shape("a text", '  s = "old"\n', {"s": "old"}, {"s": "new"}, '  s = "new"\n'),
    shape("no white space", '  s="old"\n', {"s": "old"}, {"s": "new"}, '  s="new"\n'),
    shape("tabs", '\ts\t=\t"old"\n', {"s": "old"}, {"s": "new"}, '\ts\t=\t"new"\n'),
    shape("an empty text", '  s = "old"\n', {"s": "old"}, {"s": ""}, '  s = ""\n'),
    shape(
        "unicode around it", '  s = "ä"\n  t = "日本" # ü\n', {"s": "ä"}, {"s": "é€"}, '  s = "é€"\n  t = "日本" # ü\n'
    ),
    shape("escapes", '  s = "a\\"b"\n', {"s": 'a"b'}, {"s": 'c"\\\n\td'}, '  s = "c\\"\\\\\\n\\td"\n'),
    shape("a unicode escape", '  s = "\\u00e4"\n', {"s": "ä"}, {"s": "b"}, '  s = "b"\n'),
    shape("a dollar before a brace", '  s = "$${a}"\n', {"s": "${a}"}, {"s": "${b}%{c}"}, '  s = "$${b}%%{c}"\n'),
    shape("a lone dollar", '  s = "$a"\n', {"s": "$a"}, {"s": "$b%"}, '  s = "$b%"\n'),
    no("two dollars before a brace", '  s = "a"\n', {"s": "a"}, {"s": "$${b}"}, 2, "more than one way"),
    shape("same value twice", "  m = 30\n  n = 30\n", {"n": 30}, {"n": 60}, "  m = 30\n  n = 60\n", m=30),
    shape("carriage returns", "  m = 1\r\n  n = 30 # s\r\n", {"n": 30}, {"n": 60}, "  m = 1\r\n  n = 60 # s\r\n"),
    shape("it goes", "  m = 1\n  n = 30 # s\n", {"n": 30}, {"n": None}, "  m = 1\n"),
    shape("it comes", "  m = 1 # s\n", {"n": None}, {"n": 60}, "  m = 1 # s\n  n = 60\n", m=1),
    shape("it comes before blocks", "  m = 1\n\n  b {\n  }\n", {"n": 0}, {"n": 6}, "  m = 1\n  n = 6\n\n  b {\n  }\n"),
    shape("it comes below carriage returns", "  m = 1\r\n", {"n": None}, {"n": 6}, "  m = 1\r\n  n = 6\r\n"),
    shape("it comes behind a heredoc", "  m = <<E\nx\nE\n", {"n": 0}, {"n": 6}, "  m = <<E\nx\nE\n  n = 6\n"),
    shape("it comes behind a calculation", "  m = 1 + 1 # two\n", {"n": 0}, {"n": 6}, "  m = 1 + 1 # two\n  n = 6\n"),
    shape("two come", "  m = 1\n", {"n": 0, "o": ""}, {"n": 6, "o": "x"}, '  m = 1\n  n = 6\n  o = "x"\n'),
    shape("null is written", "  n = null\n", {"n": None}, {"n": 6}, "  n = 6\n"),
    shape("meant alike", '  s = "{\\"a\\": 1}"\n', {"s": '{"a":1}'}, {"s": '{ "a": 1 }'}, '  s = "{\\"a\\": 1}"\n'),
    no("another value is wanted", "  n = 31\n", {"n": 30}, {"n": 60}, 2, "not what Terraform wants"),
    no("it cannot go", "  m = 1\n", {"n": 30}, {"n": None}, 1, "not written here"),
    no("one value for a list", '  l = "a"\n', {"l": "a"}, {"l": ["a"]}, 2, "a list or a map"),
    Shape("sensitive", '  s = "a"\n', {"s": "a"}, {"s": "b"}, "", "sensitive", 1, sensitive=frozenset({"s"})),
    no("named like a secret", '  password = "a"\n', {"password": "a"}, {"password": "b"}, 1, "looks like a secret"),
    no("shaped like a secret", '  s = "a"\n', {"s": "a"}, {"s": "AKIAABCDEFGHIJKLMNOP"}, 1, "looks like a secret"),
]

EXPRESSIONS = [
    no("an interpolation", '  s = "a-${x.y.z}"\n', {"s": "a-1"}, {"s": "a-2"}, 2, "a text with an interpolation"),
    no("a lone interpolation", '  s = "${x.y.z}"\n', {"s": "a"}, {"s": "b"}, 2, "a text with an interpolation"),
    no("a directive", '  s = "%{if true}a%{endif}"\n', {"s": "a"}, {"s": "b"}, 2, "a text with an interpolation"),
    no("a local", "  n = local.n\n", {"n": 30}, {"n": 60}, 2, "the local local.n"),
    no("a reference", "  n = aws_y.b.n\n", {"n": 30}, {"n": 60}, 2, "the reference aws_y.b.n"),
    no("a data source", "  n = data.aws_y.b.n\n", {"n": 30}, {"n": 60}, 2, "the data source"),
    no("an index", "  n = local.n[0]\n", {"n": 30}, {"n": 60}, 2, "a reference"),
    no("a condition", "  n = true ? 30 : 60\n", {"n": 30}, {"n": 60}, 2, "a condition"),
    no("a calculation", "  n = 15 * 2\n", {"n": 30}, {"n": 60}, 2, "a calculation"),
    no("a function", "  n = max(30, 1)\n", {"n": 30}, {"n": 60}, 2, "the function max"),
    no("parentheses", "  n = (30)\n", {"n": 30}, {"n": 60}, 2, "an expression"),
    no("a for expression", "  l = [for x in [1] : x]\n", {"l": [1]}, {"l": [2]}, 2, "a for expression"),
    no("an expression goes", "  n = local.n\n", {"n": 30}, {"n": None}, 2, "the local local.n"),
    no("count", "  count = 3\n  n = 30\n", {"n": 30}, {"n": 60}, 2, "2 other instances"),
    no("for_each", "  for_each = { a = 1, b = 2 }\n  n = 30\n", {"n": 30}, {"n": 60}, 2, "1 other instance could"),
    no("for_each of something", "  for_each = local.x\n  n = 30\n", {"n": 30}, {"n": 60}, 2, "all other instances"),
    no("dynamic", '  dynamic "b" {\n    for_each = []\n  }\n', {"b": []}, {"b": [{"n": 1}]}, 2, "a dynamic block"),
    no("a splat", "  l = aws_y.b[*].n\n", {"l": [1]}, {"l": [2]}, 2, "a reference"),
]

TAGS = '  tags = {\n    a = "1" # one\n    b = "2"\n  }\n'
A_B = {"tags": {"a": "1", "b": "2"}}
MAPS = [
    shape("an entry", TAGS, A_B, {"tags": {"a": "1", "b": "3"}}, TAGS.replace('"2"', '"3"')),
    shape(
        "an entry comes", TAGS, A_B, {"tags": {"a": "1", "b": "2", "c": "3"}}, TAGS.replace('"2"', '"2"\n    c = "3"')
    ),
    shape("an entry goes", TAGS, A_B, {"tags": {"b": "2"}}, TAGS.replace('    a = "1" # one\n', "")),
    shape(
        "an entry takes another's place", TAGS, A_B, {"tags": {"a": "1", "z": "9"}}, TAGS.replace('b = "2"', 'z = "9"')
    ),
    shape("all entries go", TAGS, A_B, {"tags": {}}, "  tags = {\n  }\n"),
    shape("the map goes", TAGS, A_B, {"tags": None}, ""),
    shape(
        "the map comes", "  n = 1\n", {"tags": None}, {"tags": {"a": "1"}}, '  n = 1\n  tags = {\n    a = "1"\n  }\n'
    ),
    shape("an empty map", "  tags = {}\n", {"tags": {}}, {"tags": {"a": "1"}}, '  tags = {\n    a = "1"\n  }\n'),
    shape("one line", '  tags = { a = "1", b = "2" }\n', A_B, {"tags": {"b": "3"}}, '  tags = { b = "3" }\n'),
    shape(
        "one line, an entry comes",
        '  tags = { a = "1", b = "2" }\n',
        A_B,
        {"tags": {"a": "1", "b": "2", "c": "3"}},
        '  tags = { a = "1", b = "2", c = "3" }\n',
    ),
    shape(
        "one line, the last goes",
        '  tags = { a = "1", b = "2" }\n',
        A_B,
        {"tags": {"a": "1"}},
        '  tags = { a = "1" }\n',
    ),
    shape("colons", '  tags = { a : "1" }\n', {"tags": {"a": "1"}}, {"tags": {"a": "2"}}, '  tags = { a : "2" }\n'),
    shape(
        "an entry comes behind a colon",
        '  tags = { a : "1" }\n',
        {"tags": {"a": "1"}},
        {"tags": {"a": "1", "b": "2"}},
        '  tags = { a : "1", b : "2" }\n',
    ),
    shape(
        "quoted keys",
        '  tags = {\n    "a.b" = "1"\n  }\n',
        {"tags": {"a.b": "1"}},
        {"tags": {"a.b": "2", "c/d": "3", "in": "4"}},
        '  tags = {\n    "a.b" = "2"\n    "c/d" = "3"\n    "in" = "4"\n  }\n',
    ),
    shape(
        "trailing commas",
        '  tags = {\n    a = "1",\n  }\n',
        {"tags": {"a": "1"}},
        {"tags": {"a": "1", "b": "2"}},
        '  tags = {\n    a = "1",\n    b = "2",\n  }\n',
    ),
    shape(
        "a comma between only",
        '  tags = {\n    a = "1",\n    b = "2" # two\n  }\n',
        A_B,
        {"tags": {"a": "1", "b": "2", "c": "3"}},
        '  tags = {\n    a = "1",\n    b = "2", # two\n    c = "3"\n  }\n',
    ),
    shape(
        "nested maps",
        '  m = {\n    a = { x = "1", y = "2" }\n    b = { x = "1" }\n  }\n',
        {"m": {"a": {"x": "1", "y": "2"}, "b": {"x": "1"}}},
        {"m": {"a": {"x": "1", "y": "2"}, "b": {"x": "3"}}},
        '  m = {\n    a = { x = "1", y = "2" }\n    b = { x = "3" }\n  }\n',
    ),
    shape(
        "a reference beside it",
        '  tags = {\n    a = local.a\n    b = "2"\n  }\n',
        A_B,
        {"tags": {"a": "1", "b": "3"}},
        '  tags = {\n    a = local.a\n    b = "3"\n  }\n',
    ),
    shape(
        "tags_all goes along",
        TAGS,
        {**A_B, "tags_all": {}},
        {"tags": {"a": "1", "b": "3"}, "tags_all": {"b": "3"}},
        TAGS.replace('"2"', '"3"'),
    ),
    no("tags_all alone", TAGS, {"tags_all": {}}, {"tags_all": {"b": "3"}}, 1, "it is computed"),
    no(
        "a local in the map",
        "  tags = {\n    a = local.a\n  }\n",
        {"tags": {"a": "1"}},
        {"tags": {"a": "2"}},
        3,
        "the local",
    ),
    no(
        "a merge",
        '  tags = merge({}, { a = "1" })\n',
        {"tags": {"a": "1"}},
        {"tags": {"a": "2"}},
        2,
        "the function merge",
    ),
    no(
        "a key from an expression",
        '  tags = {\n    (local.k) = "1"\n  }\n',
        {"tags": {"a": "1"}},
        {"tags": {"a": "2"}},
        3,
        "by its name",
    ),
    no("a secret entry", "  tags = {}\n", {"tags": {}}, {"tags": {"db_password": "x"}}, 1, "looks like a secret"),
]

LISTS = [
    shape("an element", '  l = ["a", "b"]\n', {"l": ["a", "b"]}, {"l": ["a", "c"]}, '  l = ["a", "c"]\n'),
    shape(
        "an element comes", '  l = ["a", "b"]\n', {"l": ["a", "b"]}, {"l": ["a", "b", "c"]}, '  l = ["a", "b", "c"]\n'
    ),
    shape("an element comes first", '  l = ["b"]\n', {"l": ["b"]}, {"l": ["a", "b"]}, '  l = ["a", "b"]\n'),
    shape(
        "an element goes", '  l = ["a", "b", "c"]\n', {"l": ["a", "b", "c"]}, {"l": ["a", "c"]}, '  l = ["a", "c"]\n'
    ),
    shape("the last element goes", '  l = ["a", "b"]\n', {"l": ["a", "b"]}, {"l": ["a"]}, '  l = ["a"]\n'),
    shape("all elements go", '  l = ["a", "b"]\n', {"l": ["a", "b"]}, {"l": []}, "  l = []\n"),
    shape("an empty list", "  l = []\n", {"l": []}, {"l": ["a", "b"]}, '  l = ["a", "b"]\n'),
    shape("a comma at the end", '  l = ["a",]\n', {"l": ["a"]}, {"l": ["a", "b"]}, '  l = ["a", "b",]\n'),
    shape("the order of a set", '  l = ["b", "a"]\n', {"l": ["a", "b"]}, {"l": ["a", "c"]}, '  l = ["c", "a"]\n'),
    shape("numbers", "  l = [1, 2]\n", {"l": [1, 2]}, {"l": [1, 3]}, "  l = [1, 3]\n"),
    shape(
        "comments inside",
        '  l = [\n    "a", # first\n    # second\n    "b"\n  ]\n',
        {"l": ["a", "b"]},
        {"l": ["a", "b", "c"]},
        '  l = [\n    "a", # first\n    # second\n    "b",\n    "c"\n  ]\n',
    ),
    shape(
        "an element goes with its line",
        '  l = [\n    "a", # first\n    "b",\n  ]\n',
        {"l": ["a", "b"]},
        {"l": ["b"]},
        '  l = [\n    "b",\n  ]\n',
    ),
    shape(
        "an element comes in the middle",
        '  l = [\n    "a",\n    # last\n    "c",\n  ]\n',
        {"l": ["a", "c"]},
        {"l": ["a", "b", "c"]},
        '  l = [\n    "a",\n    "b",\n    # last\n    "c",\n  ]\n',
    ),
    shape(
        "a reference beside",
        '  l = [aws_y.b.id, "a"]\n',
        {"l": ["x", "a"]},
        {"l": ["x", "b"]},
        '  l = [aws_y.b.id, "b"]\n',
    ),
    no("a reference goes", '  l = [aws_y.b.id, "a"]\n', {"l": ["x", "a"]}, {"l": ["a"]}, 2, "the reference aws_y.b.id"),
    no(
        "which reference",
        "  l = [aws_y.b.id, aws_y.c.id]\n",
        {"l": ["x", "y"]},
        {"l": ["x"]},
        2,
        "several elements could be the one",
    ),
    no("fewer are written", '  l = ["a"]\n', {"l": ["a", "b"]}, {"l": ["a"]}, 2, "not as many elements"),
]

TEXTS = [
    shape("a heredoc", "  s = <<EOT\na\nEOT\n", {"s": "a\n"}, {"s": "b\nc\n"}, "  s = <<EOT\nb\nc\nEOT\n"),
    shape(
        "an indented heredoc",
        "  s = <<-EOT\n    a\n      b\n  EOT\n",
        {"s": "a\n  b\n"},
        {"s": "a\n    c\n"},
        "  s = <<-EOT\n    a\n        c\n  EOT\n",
    ),
    shape(
        "a blank line in a heredoc",
        "  s = <<-EOT\n    a\n\n    b\n    EOT\n",
        {"s": "a\n\nb\n"},
        {"s": "a\n\nc\n"},
        "  s = <<-EOT\n    a\n\n    c\n    EOT\n",
    ),
    shape("no heredoc any more", "  s = <<EOT\na\nEOT\n", {"s": "a\n"}, {"s": "b"}, '  s = "b"\n'),
    shape("the marker inside", "  s = <<E\na\nE\n", {"s": "a\n"}, {"s": "E\n"}, '  s = "E\\n"\n'),
    shape(
        "a heredoc with a dollar", "  s = <<E\n$${a}\nE\n", {"s": "${a}\n"}, {"s": "${b}\n"}, "  s = <<E\n$${b}\nE\n"
    ),
    shape("a backslash in a heredoc", "  s = <<E\na\\n\nE\n", {"s": "a\\n\n"}, {"s": "b\\n\n"}, "  s = <<E\nb\\n\nE\n"),
    shape(
        "a heredoc with carriage returns",
        "  s = <<E\r\na\r\nE\r\n",
        {"s": "a\r\n"},
        {"s": "b\r\n"},
        "  s = <<E\r\nb\r\nE\r\n",
    ),
    no(
        "a heredoc with a template",
        "  s = <<E\n${local.a}\nE\n",
        {"s": "a\n"},
        {"s": "b\n"},
        2,
        "with an interpolation",
    ),
]

POLICY = """\
  policy = <<EOT
{
  "Version": "2012-10-17",
  "Statement": [
    {"Effect": "Allow", "Action": ["s3:Get*"], "Resource": "arn:aws:s3:::$${aws:username}/*"}
  ]
}
EOT
"""
SAID = (
    '{"Statement":[{"Action":["s3:Get*"],"Effect":"Allow","Resource":"arn:aws:s3:::${aws:username}/*"}],'
    '"Version":"2012-10-17"}'
)
ENCODED = """\
  policy = jsonencode({
    Statement = [{
      Action   = "s3:Get*" # reading
      Resource = "*"
    }]
  })
"""
DOCUMENTS = [
    shape(
        "a policy's action",
        POLICY,
        {"policy": SAID},
        {"policy": SAID.replace("Get", "Put")},
        POLICY.replace("Get", "Put"),
    ),
    shape(
        "a policy's one action as a text",
        POLICY,
        {"policy": SAID},
        {"policy": SAID.replace('["s3:Get*"]', '"s3:Get*"').replace("Allow", "Deny")},
        POLICY.replace("Allow", "Deny"),
    ),
    shape(
        "a policy's action comes",
        POLICY,
        {"policy": SAID},
        {"policy": SAID.replace('["s3', '["s3:Aa","s3')},
        POLICY.replace('*"]', '*", "s3:Aa"]'),
    ),
    shape(
        "a policy in jsonencode",
        ENCODED,
        {"policy": '{"Statement":[{"Action":"s3:Get*","Resource":"*"}]}'},
        {"policy": '{"Statement":[{"Action":["s3:Get*","s3:Put*"],"Resource":"*"}]}'},
        ENCODED.replace('"s3:Get*"', '["s3:Get*", "s3:Put*"]'),
    ),
    shape(
        "a statement comes in jsonencode",
        '  p = jsonencode({ Statement = [{ Action = "a" }] })\n',
        {"p": '{"Statement":[{"Action":"a"}]}'},
        {"p": '{"Statement":[{"Action":"a"},{"Action":"b"}]}'},
        '  p = jsonencode({ Statement = [{ Action = "a" }, { Action = "b" }] })\n',
    ),
    shape(
        "types in jsonencode",
        "  p = jsonencode({ n = 1 })\n",
        {"p": '{"n":1}'},
        {"p": '{"n":"1"}'},
        '  p = jsonencode({ n = "1" })\n',
    ),
    shape("JSON in quotes", '  p = "{\\"a\\": 1}"\n', {"p": '{"a":1}'}, {"p": '{"a":2}'}, '  p = "{\\"a\\": 2}"\n'),
    no(
        "a reference in jsonencode",
        "  p = jsonencode({ n = local.n })\n",
        {"p": '{"n":1}'},
        {"p": '{"n":2}'},
        2,
        "the local local.n",
    ),
    no(
        "a policy document",
        "  p = data.aws_iam_policy_document.d.json\n",
        {"p": '{"n":1}'},
        {"p": '{"n":2}'},
        2,
        "the data source",
    ),
]

BLOCKS = [
    shape("a rule comes", RULE_80, {"ingress": [HTTP]}, {"ingress": [SSH, HTTP]}, RULE_80 + "\n" + RULE_22),
    shape("a rule goes", RULE_80 + "\n" + RULE_443, {"ingress": [HTTP, HTTPS]}, {"ingress": [HTTPS]}, RULE_443),
    shape(
        "the last rule goes",
        RULE_80 + "\n  # secure\n" + RULE_443 + "\n  n = 1\n",
        {"ingress": [HTTPS, HTTP]},
        {"ingress": [HTTP]},
        RULE_80 + "\n  n = 1\n",
    ),
    shape(
        "a rule changes",
        RULE_80 + "\n" + RULE_443,
        {"ingress": [HTTP, HTTPS]},
        {"ingress": [HTTP, rule(443, "10.0.0.0/8", "10.9.0.0/16")]},
        RULE_80 + "\n" + RULE_443.replace('8"]', '8", "10.9.0.0/16"]'),
    ),
    shape(
        "a set in another order",
        RULE_80 + "\n" + RULE_443,
        {"ingress": [HTTPS, HTTP]},
        {"ingress": [HTTPS, rule(80, "10.1.0.0/16")]},
        RULE_80.replace("10.0.0.0/8", "10.1.0.0/16") + "\n" + RULE_443,
    ),
    shape(
        "a rule's text comes",
        RULE_80,
        {"ingress": [HTTP]},
        {"ingress": [rule(80, "10.0.0.0/8", text="by hand")]},
        RULE_80.replace("  }", '    description = "by hand"\n  }'),
    ),
    shape(
        "the first rule",
        '  name = "x"\n',
        {"ingress": []},
        {"ingress": [{**rule(0, "0.0.0.0/0"), "protocol": "-1"}]},
        '  name = "x"\n\n  ingress {\n    from_port   = 0\n    to_port     = 0\n    protocol    = "-1"\n'
        '    cidr_blocks = ["0.0.0.0/0"]\n  }\n',
    ),
    shape("all rules go", RULE_80, {"ingress": [HTTP]}, {"ingress": []}, ""),
    shape(
        "blocks in one line",
        '  attribute { name = "a" }\n  attribute { name = "b" }\n',
        {"attribute": [{"name": "a"}, {"name": "b"}]},
        {"attribute": [{"name": "a"}, {"name": "c"}]},
        '  attribute { name = "a" }\n  attribute { name = "c" }\n',
    ),
    shape(
        "an attribute comes in a block of one line",
        '  attribute { name = "a" }\n',
        {"attribute": [{"name": "a", "type": None}]},
        {"attribute": [{"name": "a", "type": "S"}]},
        '  attribute {\n    name = "a"\n    type = "S"\n  }\n',
    ),
    shape(
        "a block in a block",
        '  rule {\n    id = "r"\n    expiration {\n      days = 30\n    }\n  }\n',
        {"rule": [{"id": "r", "expiration": [{"days": 30, "marker": False}]}]},
        {"rule": [{"id": "r", "expiration": [{"days": 60, "marker": False}]}]},
        '  rule {\n    id = "r"\n    expiration {\n      days = 60\n    }\n  }\n',
    ),
    shape(
        "a block that is one",
        '  timeouts {\n    create = "1m"\n  }\n',
        {"timeouts": {"create": "1m"}},
        {"timeouts": {"create": "2m"}},
        '  timeouts {\n    create = "2m"\n  }\n',
    ),
    shape(
        "rules written as a list",
        "  ingress = [\n    { port = 80 },\n  ]\n",
        {"ingress": [{"port": 80}]},
        {"ingress": [{"port": 22}, {"port": 80}]},
        "  ingress = [\n    { port = 22 },\n    { port = 80 },\n  ]\n",
    ),
    no(
        "blocks that cannot be told apart",
        RULE_80.replace('["10.0.0.0/8"]', "local.a") + RULE_80.replace('["10.0.0.0/8"]', "local.b"),
        {"ingress": [HTTP, rule(80, "x")]},
        {"ingress": [HTTP]},
        2,
        "several elements could be the one",
    ),
    no("fewer blocks are written", RULE_80, {"ingress": [HTTP, HTTPS]}, {"ingress": [HTTP]}, 2, "not as many blocks"),
    no(
        "a block with a reference goes",
        RULE_80.replace('["10.0.0.0/8"]', "local.a"),
        {"ingress": [HTTP]},
        {"ingress": []},
        6,
        "the local",
    ),
    no(
        "a reference in a block",
        RULE_80.replace('["10.0.0.0/8"]', "local.a"),
        {"ingress": [HTTP]},
        {"ingress": [rule(80, "x")]},
        6,
        "the local",
    ),
]

SHAPES = [*SCALARS, *EXPRESSIONS, *MAPS, *LISTS, *TEXTS, *DOCUMENTS, *BLOCKS]
