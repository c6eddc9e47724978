"""The tags or labels of an object, by which alerts may be routed. Pure."""

from __future__ import annotations

from typing import Final

from driftguard.pipeline.classify.places import any_true
from driftguard.pipeline.classify.views import Views
from driftguard.sealed import Sealed

# With a provider's default tags before without; Google's labels are tags as well.
_NAMES: Final = ("tags_all", "tags", "effective_labels", "labels")
_MAX_TAGS: Final = 50


def tags_of(views: Views) -> Sealed | None:
    """The tags as they are, else as configured; None without any, or where they are sensitive."""
    for name in _NAMES:
        if any(isinstance(mask, dict) and any_true(mask.get(name)) for mask in views.secret):
            return None
        for view in (views.reality, views.desired, views.state):
            found = view.get(name) if isinstance(view, dict) else None
            tags = {k: tag for k, tag in found.items() if isinstance(tag, str)} if isinstance(found, dict) else {}
            if tags:
                return Sealed(dict(sorted(tags.items())[:_MAX_TAGS]))
    return None
