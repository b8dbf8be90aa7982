"""Puts labels and annotations on the pod that the alert is about: the twin of plugins/label-pod."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.action import Failure, Outcome, Outcome_Acted, Outcome_Skipped
from wit_world.imports import cluster, request
from wit_world.imports.cluster import PatchDocument_Merge, Reason

from grammar import check


class Action(exports.Action):
    """What the world exports: componentize-py looks for this name."""

    def validate(self, parameters: str) -> None:
        problems = check(json.loads(parameters))
        if problems:
            raise Err(problems)

    def run(self) -> Outcome:
        try:
            return label(json.loads(request.parameters()))
        except Exception as error:
            raise Err(failure(error)) from error


def label(parameters: dict[str, dict[str, str]]) -> Outcome:
    # With the UID that was cleared: a pod that took the name since then is left alone.
    pod = request.target()
    there = json.loads(request.target_manifest())["metadata"]
    metadata = {}
    for kind in ("labels", "annotations"):
        # What the pod has already need not be permitted.
        bears = there.get(kind, {})
        missing = {key: value for key, value in parameters.get(kind, {}).items() if bears.get(key) != value}
        if missing:
            metadata[kind] = missing
    if not metadata:
        return Outcome_Skipped(f"pod {pod.name} bears them already")
    cluster.patch(pod, PatchDocument_Merge(json.dumps({"metadata": metadata})))
    return Outcome_Acted(f"labelled pod {pod.name}")


def failure(error: Exception) -> Failure:
    """What the record says of an error, and whether another attempt may mend it."""
    match error:
        case Err(value=cluster.Error(reason=reason, message=message)):
            return Failure(message, retry=reason in (Reason.UNAVAILABLE, Reason.BLOCKED))
        case _:
            # A mistake in here. Left alone it would be a trap, and its text lost: there is no standard error.
            return Failure(f"{type(error).__name__}: {error}", retry=False)
