"""Draws schemas and configurations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from lab.configuration import OF_THE_CHECKOUT, Configuration, Data, Each, Impure, Ref, Resource, Text, Var
from lab.schema import BLOCKS, CERTIFICATE, FILE, KINDS, LISTS, ROTATING, SETS, STUBBORN, Attribute, Type
from lab.values import Dice, element, value

VARIABLES: Final = ("v_file", "v_given")
DATA: Final = ("d_one",)
IMPURE: Final = (Impure("timestamp()"), Impure("uuid()"), Impure("plantimestamp()"), *OF_THE_CHECKOUT)
_NAMES: Final = ("alpha", "beta", "gamma", "delta")
_FORMS: Final[Mapping[str, str]] = {"string": "lower", "list": "order", "json": "json"}
_MODES: Final = ("optional", "both", "required")


def draw_types(dice: Dice) -> dict[str, Type]:
    """One or two resource types of one to four attributes."""
    types = {}
    for number in range(dice.number(1, 2)):
        own = [_attribute(dice, f"x{index}") for index in range(dice.number(1, 3))]
        # What few changes need, so that each kind of change meets each other one often enough.
        own += [Attribute("tags", "map")] if dice.flag() else []
        own += [Attribute("ports", dice.choice(("list", "blocks", "nested_list")))] if not dice.flag(3) else []
        own += [_defaulted(dice)] if dice.flag() else []
        own += [Attribute("code", form=STUBBORN)] if dice.flag() else []
        types[f"lab_t{number}"] = Type(f"lab_t{number}", tuple(own))
    if not dice.flag(3):
        foreign = dice.choice((FILE, ROTATING, CERTIFICATE))
        types[foreign.name] = Type(foreign.name, (*foreign.own, Attribute("x0")))
    return types


def _defaulted(dice: Dice) -> Attribute:
    attribute = Attribute("size", dice.choice(("string", "number", "set")), mode="both")
    return replace(attribute, default=value(dice, attribute))


def _attribute(dice: Dice, name: str) -> Attribute:
    kind = "string" if dice.flag(3) else dice.choice(KINDS)
    attribute = Attribute(name, kind)
    if kind in BLOCKS:
        return attribute
    if dice.flag(3):
        attribute = replace(attribute, mode=dice.choice(_MODES))
    if kind in _FORMS and attribute.mode != "both" and dice.flag(5):
        attribute = replace(attribute, form=_FORMS[kind])
    if dice.flag(8) and not kind.startswith("nested"):
        attribute = replace(attribute, sensitive=True)
    elif dice.flag(10) and attribute.mode == "optional" and not kind.startswith("nested"):
        return replace(attribute, write_only=True)
    if dice.flag(6):
        attribute = replace(attribute, replaces=True)
    if attribute.mode == "both" and dice.flag(3):
        attribute = replace(attribute, default=value(dice, attribute))
    return attribute


def draw_configuration(dice: Dice, types: Mapping[str, Type], *, actions: bool = False) -> Configuration:
    """One to four resources, with what they refer to."""
    resources: list[Resource] = []
    for name in _NAMES[: dice.choice((1, 2, 3, 3, 4, 4))]:
        resource = draw_resource(dice, types, name, resources)
        resources.append(replace(resource, notifies=actions and dice.flag()))
    return Configuration(
        resources=tuple(resources),
        variables={"v_file": None, "v_given": None},
        values={"v_file": "filed"},
        outputs=dict(_outputs(dice, resources)),
        checks=("d_check",) if dice.flag(8) else (),
    )


def _outputs(dice: Dice, resources: Sequence[Resource]) -> Any:
    for resource in resources:
        if not resource.module and resource.keys is None and dice.flag(6):
            yield f"o_{resource.name}", Ref(resource.name, dice.choice(("id", "etag")))
    if dice.flag(4):
        yield "o_plain", dice.choice((Var("v_file"), Var("v_given"), Data("d_one"), *IMPURE))


def draw_resource(dice: Dice, types: Mapping[str, Type], name: str, earlier: Sequence[Resource]) -> Resource:
    """A resource that refers only to earlier ones."""
    foreign = [kind for kind in sorted(types) if types[kind].is_foreign] if name == _NAMES[0] else []
    kind = types[dice.choice(foreign or sorted(types))]
    module = dice.choice(((), (), (), (), ("inner",), ("inner", "deep")))
    keys = dice.choice((None, None, None, None, 2, ("eu", "us")))
    near = [r for r in earlier if r.module == module and r.keys is None]
    arguments: dict[str, Any] = {"name": name if keys is None else Text(f"{name}-", Each())}
    if near and dice.flag():
        arguments["parent"] = Ref(dice.choice(near).name, "id")
    for attribute in kind.own:
        if attribute.mode == "required" or (attribute.configurable and not dice.flag(4)):
            arguments[attribute.name] = draw_tree(dice, attribute, near, types)
    return Resource(
        name,
        kind.name,
        arguments,
        module=module,
        keys=keys,
        ignore=_ignored(dice, kind),
        create_first=dice.flag(8),
        replaced_by=dice.choice(near).name if near and dice.flag(8) else "",
    )


def _ignored(dice: Dice, kind: Type) -> tuple[str, ...]:
    plain = [a.name for a in kind.own if a.configurable and not a.replaces and not a.write_only]
    plain = [name for name in plain if kind.attribute(name).kind not in BLOCKS]
    return (dice.choice(plain),) if plain and dice.flag(6) else ()


def draw_tree(dice: Dice, attribute: Attribute, near: Sequence[Resource], types: Mapping[str, Type]) -> Any:
    """A value for an attribute, or an expression that gives one."""
    if attribute.options:
        return value(dice, attribute)
    if attribute.kind == "string" and not attribute.form and dice.flag(40 if attribute.replaces else 10):
        return dice.choice(IMPURE)
    if attribute.kind == "string" and not attribute.form and dice.flag():
        return draw_expression(dice, near, types)
    if attribute.kind in ("list", "set") and near and not attribute.form and dice.flag(5):
        return [element(dice, "list") or "z", Ref(dice.choice(near).name, "id")]
    return value(dice, attribute)


def draw_expression(dice: Dice, near: Sequence[Resource], types: Mapping[str, Type]) -> Any:
    """An expression that gives a text."""
    options: list[Any] = [Var("v_file"), Var("v_given"), Text("pre-", Var("v_file"))]
    options += [Data(key) for key in DATA]
    options += [Ref(resource.name, name) for resource in near for name in ("id", "etag", "name")]
    return dice.choice(options)


__all__ = ["DATA", "LISTS", "SETS", "VARIABLES", "draw_configuration", "draw_resource", "draw_tree", "draw_types"]
