"""A plugin that misbehaves on demand: the twin of tests/plugins/hostile, as far as the language makes a difference."""

import json
import os
import random
import time

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.action import Failure, Outcome, Outcome_Acted
from wit_world.imports import cluster, log, request
from wit_world.imports.cluster import (
    DeleteOptions,
    PatchDocument_Merge,
    PatchDocument_Operations,
    PatchDocument_Strategic,
    Selection,
)
from wit_world.imports.log import Level
from wit_world.imports.types import ApiResource, ObjectRef

PODS = ApiResource("", "v1", "pods")
NOW = DeleteOptions(None, None)
NOBODY = [{"apiVersion": "v1", "kind": "ConfigMap", "name": "nobody", "uid": "00000000-0000-0000-0000-000000000000"}]
MINER = {"spec": {"containers": [{"name": "app", "image": "miner:latest"}]}}


class Action(exports.Action):
    def validate(self, parameters: str) -> None:
        behaviour = json.loads(parameters).get("behaviour", "")
        # Before an alert comes.
        if behaviour == "reach_in_validate":
            request.target()

    def run(self) -> Outcome:
        parameters = json.loads(request.parameters())
        behaviour = parameters["behaviour"]
        try:
            found = BEHAVIOURS[behaviour](request.target(), parameters)
        except Err as error:
            raise Err(Failure(error.value.message, retry=False)) from error
        return Outcome_Acted(f"{behaviour}: {found}")


def spin(*_: object) -> None:
    while True:
        pass


def memory(*_: object) -> None:
    held = []
    while len(held) < 64:
        held.append(bytes(b"x" * (16 << 20)))


def small_memory(*_: object) -> None:
    """The same in objects of the interpreter's own."""
    held: list[object] = []
    while True:
        held.append([held])


def trap(*_: object) -> None:
    raise RuntimeError("as asked")


def stack_overflow(*_: object) -> None:
    def descend(depth: int) -> int:
        return descend(depth + 1) + depth

    descend(1)


def log_flood(*_: object) -> None:
    while True:
        log.write(Level.INFO, "x" * 4096)


def million_calls(target: ObjectRef, _: dict) -> None:
    for _i in range(1_000_000):
        cluster.get(target)


def late_import(*_: object) -> str:
    import decimal

    return str(decimal.Decimal(1))


def named(parameters: dict, plural: str = "pods", namespace: str | None = None) -> ObjectRef:
    return ObjectRef(ApiResource("", "v1", plural), namespace or parameters["namespace"], parameters["name"], None)


def swallow(_: ObjectRef, parameters: dict) -> None:
    """What it hides the controller has to tell."""
    try:
        cluster.remove(named(parameters), NOW)
    except Err:
        pass


def act_then(what: str):
    def act(target: ObjectRef, parameters: dict) -> None:
        cluster.remove(target, NOW)
        BEHAVIOURS[what](target, parameters)

    return act


def merge(document: dict):
    return lambda target, _: cluster.patch(target, PatchDocument_Merge(json.dumps(document)))


def pod(namespace: str | None) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "hostile", "namespace": namespace}, **MINER})


BEHAVIOURS = {
    "spin": spin,
    "memory": memory,
    "small_memory": small_memory,
    "trap": trap,
    "stack_overflow": stack_overflow,
    "log_flood": log_flood,
    "million_calls": million_calls,
    # What a program outside of a sandbox has.
    "print": lambda *_: print("out"),
    "clock": lambda *_: time.time(),
    "chance": lambda *_: random.random(),
    "files": lambda *_: os.listdir("/"),
    "late_import": late_import,
    "swallow": swallow,
    "act_then_trap": act_then("trap"),
    "act_then_spin": act_then("spin"),
    "delete_other_pod": lambda _, given: cluster.remove(named(given), NOW),
    "delete_kube_system": lambda _, given: cluster.remove(named(given, namespace="kube-system"), NOW),
    "evict_other": lambda _, given: cluster.evict(named(given), None),
    "read_secret": lambda _, given: cluster.get(named(given, "secrets")),
    "list_all": lambda *_: cluster.query(PODS, Selection(None, None, None, None, False)),
    "create_pod": lambda target, _: cluster.create(PODS, target.namespace, pod(target.namespace)),
    "label": merge({"metadata": {"labels": {"falco-response/quarantine": "true"}}}),
    "owner_references": merge({"metadata": {"ownerReferences": NOBODY}}),
    "finalizers": merge({"metadata": {"finalizers": ["hostile.example/never"]}}),
    "patch_spec": merge(MINER),
    "strategic": lambda target, _: cluster.patch(target, PatchDocument_Strategic(json.dumps(MINER))),
    "json_patch_owner": lambda target, _: cluster.patch(
        target,
        PatchDocument_Operations(json.dumps([{"op": "add", "path": "/metadata/ownerReferences", "value": NOBODY}])),
    ),
}
