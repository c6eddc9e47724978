"""What all resources of one plan share while they are labelled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cached_property
from typing import Protocol

from driftguard.model.configuration_sources import Sources
from driftguard.model.plan_configuration import ConfigurationReferences, without_keys
from driftguard.model.plan_document import Change, PlanDocument, ResourceItem
from driftguard.pipeline.classify.due import moment
from driftguard.pipeline.classify.fingerprints import would_act
from driftguard.pipeline.classify.places import SchemaShape
from driftguard.pipeline.classify.rules import Evidence
from driftguard.pipeline.classify.secrets import secret_texts


class Ignoring(Protocol):
    """One ignore rule of the user that is in force."""

    @property
    def name(self) -> str:
        """The rule as the user wrote it."""
        ...

    def matches(self, address: str, path: str) -> bool:
        """Whether the rule covers an attribute."""
        ...


class Schemas(Protocol):
    """The schemas of the providers that a plan uses."""

    def shape(self, provider: str, type_: str) -> SchemaShape | None:
        """The shape of a resource type's attributes; None where its provider's schema is not known."""
        ...


class Context:
    """One plan with everything that labels rest on."""

    def __init__(
        self,
        document: PlanDocument,
        evidence: Evidence,
        baseline_document: PlanDocument | None,
        ignore: tuple[Ignoring, ...] = (),
        schemas: Schemas | None = None,
        sources: Sources | None = None,
    ) -> None:
        self.document, self.evidence, self.ignore = document, evidence, ignore
        self.schemas, self.sources = schemas, sources
        self.baseline_document = baseline_document
        self.wanted: Mapping[str, ResourceItem] | None = None
        self.wanted_outputs: Mapping[str, Change] | None = None
        if baseline_document is not None:
            self.wanted = {i.address: i for i in baseline_document.resource_changes if i.deposed is None}
            self.wanted_outputs = baseline_document.output_changes

    @cached_property
    def now(self) -> datetime | None:
        """The plan's own timestamp."""
        return moment(self.document.timestamp)

    @cached_property
    def secrets(self) -> frozenset[str]:
        """The texts of sensitive variables, at head."""
        return secret_texts(self.document)

    @cached_property
    def tainted(self) -> frozenset[str]:
        """Addresses of tainted objects. A plan names one reason for a replacement, which may be another one."""
        return self.document.tainted()

    @cached_property
    def references(self) -> ConfigurationReferences:
        """What expressions refer to, at head."""
        return ConfigurationReferences(self.document)

    @cached_property
    def baseline_references(self) -> ConfigurationReferences | None:
        """What expressions referred to at the baseline; None without its plan."""
        return None if self.baseline_document is None else ConfigurationReferences(self.baseline_document)

    @cached_property
    def becoming_known(self) -> frozenset[str]:
        """Addresses without keys of resources with a value that is known only after the apply."""
        return self._addresses(i for i in self._acting() if unknown_in(i.change))

    @cached_property
    def made_anew(self) -> frozenset[str]:
        """Those of them that are created, replaced or read, so that their computed values are unknown."""
        anew = {"create", "read"}
        return self._addresses(i for i in self._acting() if unknown_in(i.change) and anew & set(i.change.actions))

    def baseline_item(self, known: ResourceItem) -> ResourceItem | None:
        """The resource in the baseline's plan, under its address then."""
        wanted = self.wanted or {}
        if known.previous_address is None:
            return wanted.get(self.address_before(known))
        return wanted.get(known.address) or wanted.get(known.previous_address)

    def address_before(self, known: ResourceItem) -> str:
        """The address at the baseline, also where the state was written since with the object at its new address."""
        if known.previous_address is not None:
            return known.previous_address
        if self.wanted is None or self.sources is None or self._is_wanted(known.address):
            return known.address
        return next((a for a in self.sources.moved_from(known.address) if self._is_wanted(a)), known.address)

    def _is_wanted(self, address: str) -> bool:
        item = (self.wanted or {}).get(address)
        return item is not None and bytes(item.change.after) != b"null"

    def _acting(self) -> Iterable[ResourceItem]:
        return (i for i in self.document.resource_changes if would_act(i) or i.change.actions == ("read",))

    @staticmethod
    def _addresses(items: Iterable[ResourceItem]) -> frozenset[str]:
        return frozenset(without_keys(item.address) for item in items)


def unknown_in(change: Change | None) -> bool:
    """Whether any value of a change is known only after the apply."""
    return change is not None and b"true" in bytes(change.after_unknown)
