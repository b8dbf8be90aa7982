//! What Kubernetes takes for a label and an annotation, so that a mistake is found when the configuration is loaded and
//! not when an alert comes.

use falco_response_sdk::prelude::*;

const LONGEST_PREFIX: usize = 253;
const LONGEST_NAME: usize = 63;
/// Of all annotations of an object together.
const LARGEST_ANNOTATIONS: usize = 256 << 10;

pub fn label(key: &str, value: &str) -> Option<Problem> {
    let wrong = if !is_key(key) {
        WRONG_KEY
    } else if value.is_empty() || is_name(value) {
        return None;
    } else {
        "a label's value is up to 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends"
    };
    Some(problem("labels", key, wrong))
}

pub fn annotation(key: &str, value: &str) -> Option<Problem> {
    let wrong = if !is_key(key) {
        WRONG_KEY
    } else if value.len() <= LARGEST_ANNOTATIONS - key.len() {
        return None;
    } else {
        "annotations have 256 KiB at most"
    };
    Some(problem("annotations", key, wrong))
}

const WRONG_KEY: &str = "a key is a name of up to 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends; \
                         before it may stand a domain and `/`";

fn problem(kind: &str, key: &str, wrong: &str) -> Problem {
    Problem::new(["/", kind, "/", &key.replace('~', "~0").replace('/', "~1")].concat(), wrong)
}

fn is_key(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => prefix.len() <= LONGEST_PREFIX && prefix.split('.').all(is_part) && is_name(name),
        None => is_name(key),
    }
}

/// `[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?`, 63 at most.
fn is_name(text: &str) -> bool {
    text.len() <= LONGEST_NAME
        && has_ends(text, |byte| byte.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Of a domain: `[a-z0-9]([-a-z0-9]*[a-z0-9])?`.
fn is_part(text: &str) -> bool {
    let small = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    has_ends(text, small) && text.bytes().all(|byte| small(byte) || byte == b'-')
}

fn has_ends(text: &str, end: impl Fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    matches!((bytes.first(), bytes.last()), (Some(first), Some(last)) if end(*first) && end(*last))
}
