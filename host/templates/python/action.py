"""Labels the pod that the alert is about."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.action import Failure, Outcome, Outcome_Acted, Outcome_Skipped, Problem
from wit_world.imports import cluster, request
from wit_world.imports.cluster import PatchDocument_Merge, Reason

LABEL = "quarantine"
DEFAULTS = {"value": "true"}


class Action(exports.Action):
    """What the world exports: componentize-py looks for this name."""

    def validate(self, parameters: str) -> None:
        """Called when the configuration is loaded. The controller cannot be reached from here."""
        problems = check(json.loads(parameters))
        if problems:
            raise Err(problems)

    def run(self) -> Outcome:
        """Called once for an alert."""
        try:
            return act(**{**DEFAULTS, **json.loads(request.parameters())})
        except Exception as error:
            raise Err(failure(error)) from error


def act(value: str) -> Outcome:
    # The target carries its UID: a call reaches this pod, and not one that took its name since.
    pod = request.target()
    patch = {"metadata": {"labels": {LABEL: value}}}
    try:
        cluster.patch(pod, PatchDocument_Merge(json.dumps(patch)))
    except Err as error:
        if error.value.reason is Reason.NOT_FOUND:
            return Outcome_Skipped("already gone")
        raise
    return Outcome_Acted(f"labelled pod {pod.name}: {LABEL}={value}")


def failure(error: Exception) -> Failure:
    """What the record says of an error, and whether another attempt may mend it."""
    match error:
        case Err(value=cluster.Error(reason=reason, message=message)):
            return Failure(message, retry=reason in (Reason.UNAVAILABLE, Reason.BLOCKED))
        case _:
            # A mistake in here. Left alone it would be a trap, and its text lost: there is no standard error.
            return Failure(f"{type(error).__name__}: {error}", retry=False)


def check(parameters: object) -> list[Problem]:
    """What is wrong with a rule's parameters; each problem with a JSON Pointer to the value."""
    if not isinstance(parameters, dict):
        return [Problem("", "expected an object")]
    problems = [Problem(f"/{key}", "unknown parameter") for key in parameters if key not in DEFAULTS]
    if not isinstance(parameters.get("value", DEFAULTS["value"]), str):
        problems.append(Problem("/value", "expected a string"))
    return problems
