// A plugin that misbehaves on demand: the twin of tests/plugins/hostile, as far as the language makes a difference.

import * as cluster from "falco-response:plugin/cluster@0.1.1";
import { write } from "falco-response:plugin/log@0.1.1";
import * as request from "falco-response:plugin/request@0.1.1";

const PODS = { group: "", version: "v1", plural: "pods" };
const NOW = { gracePeriodSeconds: null, propagation: null };
const NOBODY = [
  { apiVersion: "v1", kind: "ConfigMap", name: "nobody", uid: "00000000-0000-0000-0000-000000000000" },
];
const MINER = { spec: { containers: [{ name: "app", image: "miner:latest" }] } };

export const action = {
  validate(text) {
    const { behaviour } = JSON.parse(text);
    // Before an alert comes.
    if (behaviour === "reach_in_validate") request.target();
  },

  run() {
    const parameters = JSON.parse(request.parameters());
    let found;
    try {
      found = BEHAVIOURS[parameters.behaviour](request.target(), parameters);
    } catch (error) {
      if (!error?.payload) throw error;
      throw { message: error.payload.message, retry: false };
    }
    return { tag: "acted", val: `${parameters.behaviour}: ${found}` };
  },
};

function spin() {
  for (;;);
}

function memory() {
  const held = [];
  while (held.length < 64) held.push(new Uint8Array(16 << 20).fill(1));
}

// The same in objects of the interpreter's own.
function smallMemory() {
  const held = [];
  for (;;) held.push([held]);
}

function trap() {
  throw new Error("as asked");
}

function stackOverflow(depth = 1) {
  return stackOverflow(depth + 1) + depth;
}

function logFlood() {
  for (;;) write("info", "x".repeat(4096));
}

function millionCalls(target) {
  for (let call = 0; call < 1_000_000; call++) cluster.get(target);
}

function named({ namespace, name }, plural = "pods") {
  return { resource: { group: "", version: "v1", plural }, namespace, name, uid: null };
}

// What it hides the controller has to tell.
function swallow(_, given) {
  try {
    cluster.remove(named(given), NOW);
  } catch {}
}

function merge(document) {
  return (target) => cluster.patch(target, { tag: "merge", val: JSON.stringify(document) });
}

function createPod({ namespace }) {
  const pod = { apiVersion: "v1", kind: "Pod", metadata: { name: "hostile", namespace }, ...MINER };
  cluster.create(PODS, namespace, JSON.stringify(pod));
}

const BEHAVIOURS = {
  spin,
  memory,
  small_memory: smallMemory,
  trap,
  stack_overflow: () => stackOverflow(),
  log_flood: logFlood,
  million_calls: millionCalls,
  // What a program outside of a sandbox has.
  print: () => console.log("out"),
  clock: () => Date.now(),
  chance: () => Math.random(),
  text_encoder: () => new TextEncoder().encode("x").length,
  swallow,
  act_then_trap: (target) => (cluster.remove(target, NOW), trap()),
  act_then_spin: (target) => (cluster.remove(target, NOW), spin()),
  delete_other_pod: (_, given) => cluster.remove(named(given), NOW),
  delete_kube_system: (_, given) => cluster.remove(named({ ...given, namespace: "kube-system" }), NOW),
  evict_other: (_, given) => cluster.evict(named(given), null),
  read_secret: (_, given) => cluster.get(named(given, "secrets")),
  list_all: () =>
    cluster.query(PODS, { namespace: null, labels: null, fields: null, limit: null, metadataOnly: false }),
  create_pod: createPod,
  label: merge({ metadata: { labels: { "falco-response/quarantine": "true" } } }),
  owner_references: merge({ metadata: { ownerReferences: NOBODY } }),
  finalizers: merge({ metadata: { finalizers: ["hostile.example/never"] } }),
  patch_spec: merge(MINER),
  strategic: (target) => cluster.patch(target, { tag: "strategic", val: JSON.stringify(MINER) }),
  json_patch_owner: (target) =>
    cluster.patch(target, {
      tag: "operations",
      val: JSON.stringify([{ op: "add", path: "/metadata/ownerReferences", value: NOBODY }]),
    }),
};
