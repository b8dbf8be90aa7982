// Labels the pod that the alert is about.

import { patch } from "falco-response:plugin/cluster@0.1.0";
import { parameters, target } from "falco-response:plugin/request@0.1.0";

const LABEL = "quarantine";
const DEFAULTS = { value: "true" };

// What the world exports: an interface is an object of its name, and a `result` is what is returned or thrown.
export const action = {
  // Called when the configuration is loaded. The controller cannot be reached from here.
  validate(text) {
    const problems = check(JSON.parse(text));
    if (problems.length > 0) throw problems;
  },

  // Called once for an alert.
  run() {
    try {
      return act({ ...DEFAULTS, ...JSON.parse(parameters()) });
    } catch (error) {
      throw failure(error);
    }
  },
};

function act({ value }) {
  // The target carries its UID: a call reaches this pod, and not one that took its name since.
  const pod = target();
  try {
    patch(pod, { tag: "merge", val: JSON.stringify({ metadata: { labels: { [LABEL]: value } } }) });
  } catch (error) {
    if (error.payload?.reason === "not-found") return { tag: "skipped", val: "already gone" };
    throw error;
  }
  return { tag: "acted", val: `labelled pod ${pod.name}: ${LABEL}=${value}` };
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

// What is wrong with a rule's parameters; each problem with a JSON Pointer to the value.
function check(given) {
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    return [{ at: "", message: "expected an object" }];
  }
  const problems = Object.keys(given)
    .filter((key) => !Object.hasOwn(DEFAULTS, key))
    .map((key) => ({ at: `/${key}`, message: "unknown parameter" }));
  if (Object.hasOwn(given, "value") && typeof given.value !== "string") {
    problems.push({ at: "/value", message: "expected a string" });
  }
  return problems;
}
