// Puts labels and annotations on the pod that the alert is about: the twin of plugins/label-pod.

import { patch } from "falco-response:plugin/cluster@0.1.1";
import { parameters, target, targetManifest } from "falco-response:plugin/request@0.1.1";
import { check } from "./grammar.js";

// What the world exports: an interface is an object of its name, and a `result` is what is returned or thrown.
export const action = {
  validate(text) {
    const problems = check(JSON.parse(text));
    if (problems.length > 0) throw problems;
  },

  run() {
    try {
      return label(JSON.parse(parameters()));
    } catch (error) {
      throw failure(error);
    }
  },
};

function label(wanted) {
  // With the UID that was cleared: a pod that took the name since then is left alone.
  const pod = target();
  const there = JSON.parse(targetManifest()).metadata;
  const metadata = {};
  for (const kind of ["labels", "annotations"]) {
    // What the pod has already need not be permitted.
    const missing = Object.entries(wanted[kind] ?? {}).filter(([key, value]) => there[kind]?.[key] !== value);
    if (missing.length > 0) metadata[kind] = Object.fromEntries(missing);
  }
  if (Object.keys(metadata).length === 0) {
    return { tag: "skipped", val: `pod ${pod.name} bears them already` };
  }
  patch(pod, { tag: "merge", val: JSON.stringify({ metadata }) });
  return { tag: "acted", val: `labelled pod ${pod.name}` };
}

// What the record says of an error, and whether another attempt may mend it.
function failure(error) {
  // The contract's errors come as `payload`.
  if (error?.payload) {
    const { reason, message } = error.payload;
    return { message, retry: reason === "unavailable" || reason === "blocked" };
  }
  // A mistake in here. Left alone it would be a trap, and its text lost: there is no standard error.
  return { message: String(error), retry: false };
}
