"""The language of CODEOWNERS, pattern by pattern."""

from __future__ import annotations

import pytest

from driftguard.model.codeowners import compiled, parse, touched


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("*", ["a", "a.tf", "a/b", "a/b/.c"], []),
        ("**", ["a", "a/b/c"], []),
        ("*.tf", ["main.tf", "a/main.tf", "a/.tf", "x.tf/readme"], ["main.tfvars", "main_tf"]),
        ("main.tf", ["main.tf", "a/b/main.tf"], ["main.tf.json", "amain.tf", "mainxtf"]),
        ("/main.tf", ["main.tf"], ["a/main.tf"]),
        ("/*", ["main.tf", ".x"], ["a/main.tf"]),
        ("/*.tf", ["main.tf"], ["a/main.tf"]),
        ("modules", ["modules", "modules/a/b", "x/modules/a"], ["mymodules/a", "modules.tf"]),
        ("modules/", ["modules/a", "modules/a/b", "x/modules/a"], ["modules", "x/modules"]),
        ("/modules/", ["modules/a", "modules/a/b"], ["modules", "x/modules/a"]),
        ("/modules", ["modules", "modules/a/b"], ["x/modules/a"]),
        ("modules/app", ["modules/app", "modules/app/main.tf"], ["x/modules/app", "modules/apps"]),
        ("modules/app/", ["modules/app/main.tf"], ["modules/app", "x/modules/app/main.tf"]),
        ("docs/*", ["docs/a.md", "docs/.b"], ["docs/a/b.md", "x/docs/a.md", "docs"]),
        ("docs/*.md", ["docs/a.md"], ["docs/a/b.md", "docs/a.txt"]),
        ("docs/*/x", ["docs/a/x", "docs/a/x/y"], ["docs/x", "docs/a/b/x"]),
        ("docs/**", ["docs/a", "docs/a/b"], ["docs", "x/docs/a"]),
        ("docs/**/x", ["docs/x", "docs/a/x", "docs/a/b/x", "docs/a/x/y"], ["docs/ax", "x"]),
        ("**/logs", ["logs", "logs/a", "a/b/logs", "a/logs/b"], ["mylogs/a", "logs2"]),
        ("**/logs/*.txt", ["logs/a.txt", "x/logs/a.txt"], ["logs/a/b.txt"]),
        ("a**b", ["ab", "axxb", "x/a-b"], ["a/b"]),
        ("env?", ["env1", "x/env2/main.tf"], ["env", "env12", "env/"]),
        ("/environments/prod*/", ["environments/prod-eu/main.tf"], ["environments/dev/prod.tf", "environments/prod"]),
        (r"a\ b", ["a b", "x/a b/c"], ["a", "b"]),
        (r"a\*b", ["a*b"], ["axb"]),
        ("a.b+c(d)", ["a.b+c(d)"], ["axb+c(d)", "a.bb"]),
        ("Docs", ["Docs"], ["docs"]),
    ],
)
def test_a_pattern_matches(pattern: str, matching: list[str], others: list[str]) -> None:
    expression = compiled(pattern)
    assert expression is not None
    assert [path for path in matching if not expression.fullmatch(path)] == []
    assert [path for path in others if expression.fullmatch(path)] == []


@pytest.mark.parametrize("pattern", ["!main.tf", "[ab].tf", "a***b", "", "/"])
def test_a_pattern_that_codeowners_does_not_know_is_none(pattern: str) -> None:
    assert compiled(pattern) is None


def test_lines_that_github_does_not_understand_are_left_out() -> None:
    rules = parse(
        "# a comment\n"
        "\n"
        "   \t\n"
        "*   @alice\t@acme/ops   dev@example.com # all of them\n"
        "!secret @mallory\n"
        "[ab].tf @mallory\n"
        "bad.tf alice\n"
        "bad.tf @alice @@bob\n"
        "/free/\n"
        "x.tf #@mallory\r\n"
        "bot.tf @helper[bot] @some_one\n"
    )
    assert [(rule.line, rule.owners) for rule in rules] == [
        (4, ("@alice", "@acme/ops", "dev@example.com")),
        (9, ()),
        (10, ()),
        (11, ("@helper[bot]", "@some_one")),
    ]


def test_of_the_rules_that_match_a_file_the_last_one_counts() -> None:
    rules = parse("* @all\n*.tf @infra\n/modules/ @modules\n/modules/free/\nmain.tf @main\nmain.tf @main2\n")

    def lines(*paths: str) -> list[int]:
        return [rule.line for rule in touched(rules, paths)]

    assert lines("README.md") == [1]
    assert lines("x.tf") == [2]
    assert lines("modules/x.tf") == [3]
    assert lines("modules/free/x.tf") == [4]
    assert lines("modules/free/main.tf") == [6]
    assert lines("modules/x.tf", "README.md", "modules/y.tf", "docs/a.md") == [1, 3]
    assert touched(parse("/a/ @a\n"), ["b/x"]) == ()


def test_a_byte_order_mark_takes_nothing_from_the_first_rule() -> None:
    assert [(rule.line, rule.owners) for rule in parse("\ufeff* @all\n")] == [(1, ("@all",))]
    assert touched(parse("\ufeff/prod/ @ops\n"), ["prod/main.tf"]) != ()


@pytest.mark.parametrize("character", "\u2028\u2029\x0b\x0c\x1c\x1d\x1e\x85\xa0\u3000\u200b\u202e\ufeff\r\x00\ufffd")
@pytest.mark.parametrize("line", ["* @all{}*", "* @all{}/prod/", "/prod/{} @all", "* @all # why{}*"])
def test_a_character_that_some_readers_end_a_line_at_frees_no_file(character: str, line: str) -> None:
    with pytest.raises(ValueError, match=rf"line 2 holds the character U\+{ord(character):04X}"):
        parse(f"* @everybody\n{line.format(character)}\n/x/ @x\n")
