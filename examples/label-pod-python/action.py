"""Puts labels on the pod that the alert is about."""

import json
import re

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.action import Failure, Outcome, Outcome_Acted, Outcome_Skipped, Problem
from wit_world.imports import cluster, request
from wit_world.imports.cluster import PatchDocument_Merge, Reason

NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
PREFIX = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


class Action(exports.Action):
    """What the world exports: componentize-py looks for this name."""

    def validate(self, parameters: str) -> None:
        problems = check(json.loads(parameters))
        if problems:
            raise Err(problems)

    def run(self) -> Outcome:
        try:
            return label(json.loads(request.parameters())["labels"])
        except Exception as error:
            raise Err(failure(error)) from error


def label(labels: dict[str, str]) -> Outcome:
    # With the UID that was cleared: a pod that took the name since then is left alone.
    pod = request.target()
    found = json.loads(request.target_manifest())["metadata"].get("labels", {})
    if labels.items() <= found.items():
        return Outcome_Skipped(f"{pod.name} has these labels already")
    patch = {"metadata": {"labels": labels}}
    try:
        cluster.patch(pod, PatchDocument_Merge(json.dumps(patch)))
    except Err as error:
        if error.value.reason is Reason.NOT_FOUND:
            return Outcome_Skipped("already gone")
        raise
    return Outcome_Acted(f"labelled pod {pod.name}: {', '.join(sorted(labels))}")


def failure(error: Exception) -> Failure:
    """What the record says of an error, and whether another attempt may mend it."""
    match error:
        case Err(value=cluster.Error(reason=reason, message=message)):
            return Failure(message, retry=reason in (Reason.UNAVAILABLE, Reason.BLOCKED))
        case _:
            # A mistake in here. Left alone it would be a trap, and its text lost: there is no standard error.
            return Failure(f"{type(error).__name__}: {error}", retry=False)


def check(parameters: object) -> list[Problem]:
    """What is wrong with a rule's parameters."""
    if not isinstance(parameters, dict):
        return [Problem("", "expected an object")]
    problems = [Problem(pointer(key), "unknown parameter") for key in parameters if key != "labels"]
    labels = parameters.get("labels")
    if not isinstance(labels, dict) or not labels:
        return [*problems, Problem("/labels", "expected at least one label: {key: value}")]
    for key, value in labels.items():
        at = pointer("labels", key)
        if not is_key(key):
            problems.append(Problem(at, "is no label key: [prefix/]name, of at most 63 letters, digits, - _ ."))
        elif not is_value(value):
            problems.append(Problem(at, "is no label value: a string of at most 63 letters, digits, - _ ."))
    return problems


def is_key(key: str) -> bool:
    prefix, slash, name = key.rpartition("/")
    return bool(NAME.fullmatch(name)) and (not slash or bool(PREFIX.fullmatch(prefix)))


def is_value(value: object) -> bool:
    return isinstance(value, str) and (value == "" or bool(NAME.fullmatch(value)))


def pointer(*steps: str) -> str:
    """A JSON Pointer (RFC 6901)."""
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)
