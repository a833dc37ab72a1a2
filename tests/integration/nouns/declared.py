"""Runs the verbs of declared nouns as the admin API does: rows are named, by id or as people do."""

import sys
from types import SimpleNamespace

from gatelodge.flows.nouns.noun import Noun


def declared(change):
    """The noun and the declaration of a verb; None for a function that is none."""
    for noun in vars(sys.modules[change.__module__]).values():
        if isinstance(noun, Noun):
            for verb in noun.verbs:
                if verb.run is change:
                    return noun, verb
    return None


def run(act, change, *given, **named):
    """What a change comes to; of a declared verb the row and what it is given are found first."""
    found = declared(change)
    if found is None:
        return change(act, *given, **named)
    noun, verb = found
    workspace, *given = given
    if verb.makes:
        row = workspace
    elif verb.above:
        row = noun.below.find(act.tx, workspace, given.pop(0))
    else:
        # What stands below another row is given behind it.
        name = [given.pop(0)] + ([given.pop(0)] if noun.below else [])
        row = noun.find(act.tx, workspace, "/".join(name))
    told = {each.name: None if each.needed else each.default for each in verb.inputs}
    told |= dict(zip(told, given, strict=False)) | named
    return verb.run(act, row, **verb.words(act.tx, workspace, SimpleNamespace(**told)))
