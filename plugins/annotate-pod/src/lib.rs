//! Writes what the alert says onto the pod that it is about, as annotations.

use falco_response_sdk::prelude::*;

parameters! {
    pub struct Parameters {
        /// Annotations and their texts.
        annotations: BTreeMap<String, String> = BTreeMap::new(),
        /// Annotations, and for each the alert's output field that it is to hold: `proc.cmdline`.
        fields: BTreeMap<String, String> = BTreeMap::new(),
    }
}

/// What an annotation keeps of a field: whoever was attacked wrote it, and is not to fill the object with it.
const LONGEST_FIELD: usize = 1 << 10;
/// Of all annotations of an object together.
const LARGEST: usize = 256 << 10;

pub struct AnnotatePod;

impl Action for AnnotatePod {
    type Parameters = Parameters;
    const MANIFEST: Manifest =
        Manifest::new("annotate_pod", "Writes what the alert says onto its pod, as annotations.")
            .target(Target::Pods)
            .permissions(&[Permission::core(&["pods"], &[Verb::Patch], Scope::Target)])
            .repeatable();

    fn check(parameters: &Parameters) -> Vec<Problem> {
        let both = parameters.fields.keys().filter(|key| parameters.annotations.contains_key(*key));
        let mut problems: Vec<_> = both.map(|key| problem("fields", key, "stands in `annotations` as well")).collect();
        for (place, keys) in [("annotations", &parameters.annotations), ("fields", &parameters.fields)] {
            problems.extend(keys.keys().filter(|key| !is_key(key)).map(|key| problem(place, key, WRONG_KEY)));
        }
        if parameters.annotations.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() > LARGEST {
            problems.push(Problem::new("/annotations", "annotations have 256 KiB at most"));
        }
        problems
    }

    fn run(request: &Request, parameters: Parameters, host: &Host) -> Result<Outcome, Failure> {
        let pod = request.target();
        let manifest = request.target_manifest()?;
        let there = manifest.at(&["metadata", "annotations"]);
        let missing: Vec<_> = wanted(request, parameters)
            .into_iter()
            .filter(|(key, value)| there.at(&[key]).as_str() != Some(value.as_str()))
            .map(|(key, value)| (key, Value::from(value)))
            .collect();
        if missing.is_empty() {
            return Ok(Outcome::skipped(["pod ", &pod.name, " bears them already"].concat()));
        }
        host.cluster().merge(&pod, &object([("metadata", object([("annotations", object(missing))]))]))?;
        Ok(Outcome::acted(["annotated pod ", &pod.name].concat()))
    }
}

/// Without parameters: which alert it was.
fn wanted(request: &Request, parameters: Parameters) -> BTreeMap<String, String> {
    let Parameters { annotations: mut wanted, fields } = parameters;
    if wanted.is_empty() && fields.is_empty() {
        for (key, value) in [("rule", request.rule()), ("time", request.time()), ("event-id", request.id())] {
            wanted.insert(["falco-response/", key].concat(), value);
        }
    }
    for (key, field) in fields {
        // A field that the alert does not have says nothing.
        if let Some(value) = request.field(&field) {
            wanted.insert(key, shortened(value));
        }
    }
    wanted
}

fn shortened(mut text: String) -> String {
    if text.len() > LONGEST_FIELD {
        let mut end = LONGEST_FIELD;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}

const WRONG_KEY: &str = "a key is a name of up to 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends; \
                         before it may stand a domain and `/`";

fn problem(place: &str, key: &str, wrong: &str) -> Problem {
    Problem::new(["/", place, "/", &key.replace('~', "~0").replace('/', "~1")].concat(), wrong)
}

fn is_key(key: &str) -> bool {
    let ends = |text: &str| {
        let letter = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        letter(text.as_bytes().first()) && letter(text.as_bytes().last())
    };
    let small = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let (domain, name) = key.split_once('/').map_or((None, key), |(domain, name)| (Some(domain), name));
    let is_domain =
        |domain: &str| domain.len() <= 253 && domain.split('.').all(|part| ends(part) && part.bytes().all(small));
    let is_name = name.len() <= 63
        && ends(name)
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    is_name && domain.is_none_or(is_domain)
}

export_action!(AnnotatePod);

#[cfg(test)]
mod tests;
