// Puts labels on the pod that the alert is about.

import { patch } from "falco-response:plugin/cluster@0.1.0";
import { parameters, target, targetManifest } from "falco-response:plugin/request@0.1.0";

const NAME = /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const PREFIX = /^(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

// What the world exports: an interface is an object of its name, and a `result` is what is returned or thrown.
export const action = {
  validate(text) {
    const problems = check(JSON.parse(text));
    if (problems.length > 0) throw problems;
  },

  run() {
    try {
      return label(JSON.parse(parameters()).labels);
    } catch (error) {
      throw failure(error);
    }
  },
};

function label(labels) {
  // With the UID that was cleared: a pod that took the name since then is left alone.
  const pod = target();
  const found = JSON.parse(targetManifest()).metadata.labels ?? {};
  if (Object.entries(labels).every(([key, value]) => Object.hasOwn(found, key) && found[key] === value)) {
    return { tag: "skipped", val: `${pod.name} has these labels already` };
  }
  try {
    patch(pod, { tag: "merge", val: JSON.stringify({ metadata: { labels } }) });
  } catch (error) {
    if (error.payload?.reason === "not-found") return { tag: "skipped", val: "already gone" };
    throw error;
  }
  return { tag: "acted", val: `labelled pod ${pod.name}: ${Object.keys(labels).sort().join(", ")}` };
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

// What is wrong with a rule's parameters.
function check(given) {
  if (!isObject(given)) return [{ at: "", message: "expected an object" }];
  const problems = Object.keys(given)
    .filter((key) => key !== "labels")
    .map((key) => ({ at: pointer(key), message: "unknown parameter" }));
  const { labels } = given;
  if (!isObject(labels) || Object.keys(labels).length === 0) {
    return [...problems, { at: "/labels", message: "expected at least one label: {key: value}" }];
  }
  for (const [key, value] of Object.entries(labels)) {
    const at = pointer("labels", key);
    if (!isKey(key)) {
      problems.push({ at, message: "is no label key: [prefix/]name, of at most 63 letters, digits, - _ ." });
    } else if (!isValue(value)) {
      problems.push({ at, message: "is no label value: a string of at most 63 letters, digits, - _ ." });
    }
  }
  return problems;
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isKey(key) {
  const slash = key.lastIndexOf("/");
  return NAME.test(key.slice(slash + 1)) && (slash < 0 || PREFIX.test(key.slice(0, slash)));
}

function isValue(value) {
  return typeof value === "string" && (value === "" || NAME.test(value));
}

// A JSON Pointer (RFC 6901).
function pointer(...steps) {
  return steps.map((step) => "/" + step.replaceAll("~", "~0").replaceAll("/", "~1")).join("");
}
