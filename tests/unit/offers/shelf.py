"""Short ways to say what a server offers, for tests of lists and streams."""

import json

from msgspec import Raw
from tests.unit.view import rows

from gatelodge.flows.catalog.offers import OfferMemory
from gatelodge.flows.gateway.listing import ListViewer
from gatelodge.ports.upstream import ObservedOffer


def raw(**members):
    return Raw(json.dumps(members).encode())


def prompts(*names):
    return tuple(raw(name=name, description=f"About {name}.") for name in names)


def resources(*uris):
    return tuple(raw(uri=uri, name=uri[-1:]) for uri in uris)


def templates(*patterns):
    return tuple(raw(uriTemplate=pattern, name="t") for pattern in patterns)


def observed(**said):
    """What a server says of itself: prompts, resources and templates by their names."""
    made = {"prompts": prompts, "resources": resources, "templates": templates}
    given = {name: made[name](*its) if name in made else its for name, its in said.items()}
    return ObservedOffer(tools=(), **given)


def offers(**by_alias):
    """A memory of these offers, by the server's alias (its id is srv_ and the alias)."""
    made = OfferMemory()
    for alias, said in by_alias.items():
        made.keep(made.read(rows.server(f"srv_{alias}", alias), observed(**said)))
    return made


def outlook(view, principal="mem_ann", alias="", at=rows.NOON, slug="home"):
    return ListViewer(view, view.principals[principal], view.workspaces[slug], alias, at)
