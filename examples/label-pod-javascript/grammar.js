// What Kubernetes takes for a label and an annotation, so that a mistake is found when the configuration is loaded.

const NAME = /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const DOMAIN = /^(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
// Of all annotations of an object together.
const LARGEST_ANNOTATIONS = 256 << 10;

const WRONG_KEY =
  "a key is a name of up to 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends; " +
  "before it may stand a domain and `/`";
const WRONG_VALUE =
  "a label's value is up to 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends";

const VALUES = {
  labels: (_, value) => (value === "" || NAME.test(value) ? null : WRONG_VALUE),
  annotations: (key, value) =>
    bytes(key) + bytes(value) > LARGEST_ANNOTATIONS ? "annotations have 256 KiB at most" : null,
};

// What is wrong with a rule's parameters.
export function check(parameters) {
  if (!isObject(parameters)) return [{ at: "", message: "expected an object" }];
  const problems = Object.keys(parameters)
    .filter((key) => !Object.hasOwn(VALUES, key))
    .map((key) => ({ at: pointer(key), message: "no such parameter; there are labels, annotations" }));
  let given = 0;
  for (const [kind, wrongValue] of Object.entries(VALUES)) {
    const entries = parameters[kind] === undefined ? {} : parameters[kind];
    if (!isObject(entries)) {
      problems.push({ at: pointer(kind), message: "expected an object" });
      continue;
    }
    for (const [key, value] of Object.entries(entries)) {
      given += 1;
      const message = wrongEntry(key, value, wrongValue);
      if (message !== null) problems.push({ at: pointer(kind, key), message });
    }
  }
  if (problems.length === 0 && given === 0) {
    problems.push({ at: "", message: "nothing to do: give labels or annotations" });
  }
  return problems;
}

function wrongEntry(key, value, wrongValue) {
  if (typeof value !== "string") return "expected a string";
  const slash = key.lastIndexOf("/");
  const isKey = NAME.test(key.slice(slash + 1)) && (slash < 0 || DOMAIN.test(key.slice(0, slash)));
  return isKey ? wrongValue(key, value) : WRONG_KEY;
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

// Of UTF-8. QuickJS has no TextEncoder; a lone surrogate, which is no text at all, counts as much as its replacement.
function bytes(text) {
  let count = 0;
  for (const character of text) {
    const code = character.codePointAt(0);
    count += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  }
  return count;
}

// A JSON Pointer (RFC 6901).
function pointer(...steps) {
  return steps.map((step) => "/" + step.replaceAll("~", "~0").replaceAll("/", "~1")).join("");
}
