"""Labels the pod that the alert is about.

A small complete action to start from: replace what it does, and keep what you need.
"""

import json
import re

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.action import Failure, Outcome, Outcome_Acted, Outcome_Skipped, Problem
from wit_world.imports import cluster, request
from wit_world.imports.cluster import PatchDocument_Merge, Reason

# The label's key. What begins with `falco-response/` is for actions, and needs no grant.
LABEL = "falco-response/{{crate}}"
# As the API server checks it.
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")

# What a rule may say about this action; manifest.json describes it.
DEFAULTS = {"value": "yes"}


class Action(exports.Action):
    """What the world exports: componentize-py looks for this name."""

    def validate(self, parameters: str) -> None:
        """Called when the configuration is loaded. The controller cannot be reached from here."""
        problems = check(json.loads(parameters))
        if problems:
            raise Err(problems)

    def run(self) -> Outcome:
        """Called once for an alert. The pod is there, is the alert's, and may be acted on: the controller has seen to that."""
        try:
            return label(**{**DEFAULTS, **json.loads(request.parameters())})
        except Exception as error:
            raise Err(failure(error)) from error


def label(value: str) -> Outcome:
    pod = request.target()
    now = json.loads(request.target_manifest())["metadata"].get("labels", {})
    if now.get(LABEL) == value:
        return Outcome_Skipped("has the label already")
    change = {"metadata": {"labels": {LABEL: value}}}
    cluster.patch(pod, PatchDocument_Merge(json.dumps(change)))
    return Outcome_Acted(f"labelled pod {pod.name}")


def failure(error: Exception) -> Failure:
    """What the record says of an error, and whether another attempt may mend it."""
    match error:
        case Err(value=cluster.Error(reason=reason, message=message)):
            # The controller's own word on why the call was refused.
            return Failure(message, retry=reason in (Reason.UNAVAILABLE, Reason.BLOCKED))
        case _:
            # A mistake in here. Left alone it would be a trap, and its text lost: there is no standard error.
            return Failure(f"{type(error).__name__}: {error}", retry=False)


def check(parameters: object) -> list[Problem]:
    """What is wrong with a rule's parameters; each problem with a JSON Pointer to the value."""
    if not isinstance(parameters, dict):
        return [Problem("", "expected an object")]
    problems = [Problem(f"/{key}", "no such parameter; there are value") for key in parameters if key not in DEFAULTS]
    value = parameters.get("value", DEFAULTS["value"])
    if not isinstance(value, str) or not LABEL_VALUE.fullmatch(value):
        problems.append(Problem("/value", "must be a label's value: up to 63 letters, digits, `-`, `_` and `.`"))
    return problems
