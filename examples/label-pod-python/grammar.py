"""What Kubernetes takes for a label and an annotation, so that a mistake is found when the configuration is loaded."""

import re
from collections.abc import Callable

from wit_world.exports.action import Problem

NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
DOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
# Of all annotations of an object together.
LARGEST_ANNOTATIONS = 256 << 10

WRONG_KEY = (
    "a key is a name of up to 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends; "
    "before it may stand a domain and `/`"
)
WRONG_VALUE = "a label's value is up to 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends"

Check = Callable[[str, str], str | None]


def check(parameters: object) -> list[Problem]:
    """What is wrong with a rule's parameters."""
    if not isinstance(parameters, dict):
        return [Problem("", "expected an object")]
    unknown = parameters.keys() - VALUES.keys()
    problems = [Problem(pointer(key), "no such parameter; there are labels, annotations") for key in sorted(unknown)]
    given = False
    for kind, wrong_value in VALUES.items():
        entries = parameters.get(kind, {})
        if not isinstance(entries, dict):
            problems.append(Problem(pointer(kind), "expected an object"))
            continue
        for key, value in entries.items():
            given = True
            wrong = wrong_entry(key, value, wrong_value)
            if wrong:
                problems.append(Problem(pointer(kind, key), wrong))
    if not problems and not given:
        problems.append(Problem("", "nothing to do: give labels or annotations"))
    return problems


def wrong_entry(key: str, value: object, wrong_value: Check) -> str | None:
    prefix, slash, name = key.rpartition("/")
    if not isinstance(value, str):
        return "expected a string"
    if not NAME.fullmatch(name) or (slash and not DOMAIN.fullmatch(prefix)):
        return WRONG_KEY
    return wrong_value(key, value)


def wrong_label(_: str, value: str) -> str | None:
    return None if value == "" or NAME.fullmatch(value) else WRONG_VALUE


def wrong_annotation(key: str, value: str) -> str | None:
    size = len(key.encode()) + len(value.encode())
    return "annotations have 256 KiB at most" if size > LARGEST_ANNOTATIONS else None


VALUES: dict[str, Check] = {"labels": wrong_label, "annotations": wrong_annotation}


def pointer(*steps: str) -> str:
    """A JSON Pointer (RFC 6901)."""
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)
