"""What a commit changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from lab.configuration import Configuration, Ref, Resource, expressions
from lab.drawing import draw_resource, draw_tree
from lab.history import Change, History
from lab.schema import BLOCKS, canonical
from lab.wire import UNKNOWN


def any_resource(history: History) -> Resource | None:
    """One of the resource blocks."""
    return history.dice.choice(history.config.resources) if history.config.resources else None


def _with(history: History, old: Resource, new: Resource | None) -> Configuration:
    resources = tuple(new if r is old else r for r in history.config.resources)
    return replace(history.config, resources=tuple(r for r in resources if r is not None))


def _near(history: History, resource: Resource) -> list[Resource]:
    before = history.config.resources[: history.config.resources.index(resource)]
    return [r for r in before if r.module == resource.module and r.keys is None]


def value_edited(history: History) -> str:
    """Another value for an attribute, often for one that was touched before."""
    resource, name = any_resource(history), ""
    if history.touched and history.dice.flag():
        touched, name = history.dice.choice(history.touched)
        resource = next((r for r in history.config.resources if r.name == touched), None)
    if resource is None:
        return ""
    kind = history.site.types[resource.type]
    attribute = kind.attribute(name) if name else history.dice.choice([a for a in kind.own if a.configurable])
    tree = draw_tree(history.dice, attribute, _near(history, resource), history.site.types)
    return _argued(history, resource, {**resource.arguments, attribute.name: tree}, attribute.name)


def unsettled(history: History) -> str:
    """A value that the provider stores otherwise, and plans again after each apply."""
    options = [r for r in history.config.resources if history.site.types[r.type].is_stubborn]
    if not options:
        return ""
    resource = history.dice.choice(options)
    arguments = {**resource.arguments, "code": history.dice.choice(("One", "TWO"))}
    return _argued(history, resource, arguments, "code")


def argument_removed(history: History) -> str:
    resource = any_resource(history)
    if resource is None:
        return ""
    kind = history.site.types[resource.type]
    options = [a.name for a in kind.own if a.mode != "required" and a.name in resource.arguments]
    if not options:
        return ""
    name = history.dice.choice(options)
    return _argued(history, resource, {k: v for k, v in resource.arguments.items() if k != name}, name)


def _argued(history: History, resource: Resource, arguments: dict[str, Any], name: str) -> str:
    old, new = resource.arguments.get(name), arguments.get(name)
    if repr(old) == repr(new):
        return ""
    history.touched.append((resource.name, name))
    history.commit(_with(history, resource, replace(resource, arguments=arguments)), f"{resource.name}.{name}")
    return f"{resource.address}.{name}: {old!r} becomes {new!r}"


def resource_added(history: History) -> str:
    if any(r.name == "omega" for r in history.config.resources):
        return ""
    new = draw_resource(history.dice, history.site.types, "omega", history.config.resources)
    if new.module:
        new = replace(
            new, module=(), arguments={k: v for k, v in new.arguments.items() if not _refers(v)}, replaced_by=""
        )
    lacks = any(a.mode == "required" and a.name not in new.arguments for a in history.site.types[new.type].own)
    if lacks or new.address in history.config.removed:  # Terraform refuses a block for what is declared as removed
        return ""
    history.commit(replace(history.config, resources=(*history.config.resources, new)), "add omega")
    return f"{new.address}: {dict(new.arguments)!r}"


def _refers(tree: Any) -> bool:
    return any(isinstance(e, Ref) for e in expressions(tree))


def _free(history: History) -> Resource | None:
    """A resource that nothing else refers to."""
    used = {e.resource for r in history.config.resources for e in expressions(dict(r.arguments)) if isinstance(e, Ref)}
    used |= {r.replaced_by for r in history.config.resources}
    used |= {e.resource for tree in history.config.outputs.values() for e in expressions(tree) if isinstance(e, Ref)}
    options = [r for r in history.config.resources if r.name not in used]
    return history.dice.choice(options) if options else None


def resource_removed(history: History) -> str:
    resource = _free(history)
    if resource is None:
        return ""
    history.commit(_with(history, resource, None), f"remove {resource.name}")
    return str(resource.address)


def resource_forgotten(history: History) -> str:
    resource = _free(history)
    if resource is None:
        return ""
    config = _with(history, resource, None)
    gone = (*config.removed, resource.address)
    history.commit(replace(config, removed=gone), f"forget {resource.name}")
    return str(resource.address)


def resource_renamed(history: History) -> str:
    return _renamed(history, moved=False)


def resource_moved(history: History) -> str:
    return _renamed(history, moved=True)


def _renamed(history: History, *, moved: bool) -> str:
    resource = _free(history)
    if resource is None or resource.name.endswith("_new"):
        return ""
    new = replace(resource, name=f"{resource.name}_new")
    config = _with(history, resource, new)
    if moved:
        config = replace(config, moved=(*config.moved, (resource.address, new.address)))
    history.commit(config, f"rename {resource.name}")
    return f"{resource.address} becomes {new.address}"


def ignored(history: History) -> str:
    resource = any_resource(history)
    if resource is None or resource.ignore:
        return ""
    own = history.site.types[resource.type].own
    plain = [a.name for a in own if not a.replaces and a.configurable and a.kind not in BLOCKS]
    plain = [name for name in plain if not history.site.types[resource.type].attribute(name).write_only]
    if not plain:
        return ""
    name = history.dice.choice(plain)
    history.commit(_with(history, resource, replace(resource, ignore=(name,))), f"ignore {name}")
    return f"{resource.address}: {name}"


def keys_changed(history: History) -> str:
    options = [r for r in history.config.resources if r.keys is not None]
    if not options:
        return ""
    resource = history.dice.choice(options)
    counts, names = (1, 3, 2), (("eu",), ("eu", "us", "ap"), ("us",))
    keys = history.dice.choice(counts if isinstance(resource.keys, int) else names)
    if keys == resource.keys:
        return ""
    history.commit(_with(history, resource, replace(resource, keys=keys)), f"keys of {resource.name}")
    return f"{resource.address}: {resource.keys} becomes {keys}"


def sensitive_added(history: History) -> str:
    options = sorted(history.config.variables.keys() - history.config.sensitive)
    if not options:
        return ""
    name = history.dice.choice(options)
    history.commit(replace(history.config, sensitive=history.config.sensitive | {name}), f"{name} is sensitive")
    return str(name)


def imported(history: History) -> str:
    if history.config.imports:
        return ""
    new = draw_resource(history.dice, history.site.types, "found", ())
    kind = history.site.types[new.type]
    plain = {n: tree for n, tree in new.arguments.items() if n != "name" and not any(expressions(tree))}
    if kind.is_foreign or new.module or any(a.mode == "required" and a.name not in plain for a in kind.own):
        return ""
    new = replace(new, keys=None, arguments={"name": "found", **plain}, ignore=())
    values = {a.name: canonical(a.kind, new.arguments.get(a.name, a.empty)) for a in kind.attributes}
    values = {
        a.name: UNKNOWN if values[a.name] is None and a.mode != "optional" else values[a.name] for a in kind.attributes
    }
    values.update({a.name: None for a in kind.own if a.write_only})
    made = history.site.cloud.create(kind.name, values)
    config = replace(history.config, resources=(*history.config.resources, new), imports={new.address: made["id"]})
    history.commit(config, "import found")
    return f"{new.address}: {plain!r}"


def file_outside(history: History) -> str:
    history.commit(history.config, "readme", {"README.md": f"{len(history.log)} changes\n"})
    return "README.md"


def variable_changed(history: History) -> str:
    new = history.dice.choice(("filed again", "filed", ""))
    if history.config.values["v_file"] == new:
        return ""
    history.commit(replace(history.config, values={"v_file": new}), "variable")
    return f"v_file becomes {new!r}"


COMMITS: Final[dict[str, Change]] = {
    "value edited": value_edited,
    "value never settled": unsettled,
    "argument removed": argument_removed,
    "resource added": resource_added,
    "resource removed": resource_removed,
    "resource forgotten": resource_forgotten,
    "resource renamed": resource_renamed,
    "resource moved": resource_moved,
    "ignore_changes added": ignored,
    "keys changed": keys_changed,
    "sensitive added": sensitive_added,
    "resource imported": imported,
    "file outside edited": file_outside,
    "variable changed": variable_changed,
}
