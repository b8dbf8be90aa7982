// Labels the pod that the alert is about.
//
// A small complete action to start from: replace what it does, and keep what you need.

import { patch } from "falco-response:plugin/cluster@0.1.1";
import { parameters, target, targetManifest } from "falco-response:plugin/request@0.1.1";

// The label's key. What begins with `falco-response/` is for actions, and needs no grant.
const LABEL = "falco-response/{{crate}}";
// As the API server checks it.
const LABEL_VALUE = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;

// What a rule may say about this action; manifest.json describes it.
const DEFAULTS = { value: "yes" };

// What the world exports: an interface is an object of its name, and a `result` is what is returned or thrown.
export const action = {
  // Called when the configuration is loaded. The controller cannot be reached from here.
  validate(text) {
    const problems = check(JSON.parse(text));
    if (problems.length > 0) throw problems;
  },

  // Called once for an alert. The pod is there, is the alert's, and may be acted on: the controller has seen to that.
  run() {
    try {
      return label({ ...DEFAULTS, ...JSON.parse(parameters()) });
    } catch (error) {
      throw failure(error);
    }
  },
};

function label({ value }) {
  const pod = target();
  const now = JSON.parse(targetManifest()).metadata.labels ?? {};
  if (now[LABEL] === value) return { tag: "skipped", val: "has the label already" };
  const change = { metadata: { labels: { [LABEL]: value } } };
  patch(pod, { tag: "merge", val: JSON.stringify(change) });
  return { tag: "acted", val: `labelled pod ${pod.name}` };
}

// What the record says of an error, and whether another attempt may mend it.
function failure(error) {
  // A call's error comes as `payload`: the controller's own word on why the call was refused.
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
    .map((key) => ({ at: `/${key}`, message: "no such parameter; there are value" }));
  const { value } = { ...DEFAULTS, ...given };
  if (typeof value !== "string" || !LABEL_VALUE.test(value)) {
    problems.push({ at: "/value", message: "must be a label's value: up to 63 letters, digits, `-`, `_` and `.`" });
  }
  return problems;
}
