//! The name of a new action, in the forms in which it appears.

/// What an action may be called: lower-case words, joined by `_` or by `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionName {
    words: Vec<String>,
}

/// As long as a manifest's name may be.
const LIMIT: usize = 63;

impl ActionName {
    /// # Errors
    /// Says which names there may be, and proposes one.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(name) = Self::sound(text) else {
            return Err(format!(
                "a name is lower-case words of letters and digits, joined by `_` or by `-`, the first beginning with a \
                 letter, of at most {LIMIT} bytes: try {}",
                proposal(text)
            ));
        };
        if is_among(&name.snake(), RESERVED) {
            return Err(format!("`{text}` is taken, so that no crate can be called so: try {}_pod", name.snake()));
        }
        Ok(name)
    }

    fn sound(text: &str) -> Option<Self> {
        let words: Vec<String> = text.split(if text.contains('-') { '-' } else { '_' }).map(str::to_owned).collect();
        let is_word =
            |word: &String| !word.is_empty() && word.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        let begins = text.starts_with(|first: char| first.is_ascii_lowercase());
        (begins && text.len() <= LIMIT && words.iter().all(is_word)).then_some(Self { words })
    }

    /// As the manifest and rules have it: `quarantine_pod`.
    pub fn snake(&self) -> String {
        self.words.join("_")
    }

    /// As packages have it: `quarantine-pod`.
    pub fn kebab(&self) -> String {
        self.words.join("-")
    }

    /// As a type: `QuarantinePod`.
    pub fn type_name(&self) -> String {
        let capital = |word: &String| word[..1].to_ascii_uppercase() + &word[1..];
        let name: String = self.words.iter().map(capital).collect();
        if is_among(&name, TAKEN) { name + "Action" } else { name }
    }
}

fn is_among(word: &str, words: &str) -> bool {
    words.split_whitespace().any(|own| own == word)
}

/// Types that the template or the SDK's prelude has already.
const TAKEN: &str = "\
    Action ClusterError DeleteOptions Failure Host Kind Level Manifest Mock ObjectRef Operation Outcome \
    Parameters Permission Problem Reason Request Scope Selection String Target Value Vec Verb";

/// Words that no crate can be called.
const RESERVED: &str = "\
    abstract alloc as async await become box break const continue core crate do dyn else enum extern \
    falco_response_sdk false final fn for gen if impl in let loop macro match mod move mut override priv pub ref \
    return self static std struct super test trait true try type unsafe use where";

/// A name like the text.
fn proposal(text: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut begins = true;
    // No longer than a name: whoever typed more wants to see the beginning of it.
    for c in text.chars().take(LIMIT) {
        if !c.is_ascii_alphanumeric() {
            begins = true;
            continue;
        }
        begins |= c.is_ascii_uppercase()
            && words.last().is_some_and(|word| word.ends_with(|last: char| !last.is_ascii_uppercase()));
        match words.last_mut() {
            Some(word) if !begins => word.push(c),
            _ => words.push(c.to_string()),
        }
        begins = false;
    }
    let name = words.join("_").to_ascii_lowercase();
    let name = name.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    ActionName::sound(name).map_or_else(|| "quarantine_pod".to_owned(), |name| name.snake())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_forms_that_manifest_package_and_type_want() {
        for text in ["quarantine-pod", "quarantine_pod"] {
            let name = ActionName::parse(text).unwrap();
            assert_eq!((name.snake(), name.kebab()), ("quarantine_pod".into(), "quarantine-pod".into()));
            assert_eq!(name.type_name(), "QuarantinePod");
        }
        assert_eq!(ActionName::parse("kill").unwrap().type_name(), "Kill");
        assert_eq!(ActionName::parse("action").unwrap().type_name(), "ActionAction");
    }

    #[test]
    fn refuses_what_would_be_no_name_of_an_action_or_a_crate_and_proposes_one() {
        for (text, proposed) in [
            ("QuarantinePod", "try quarantine_pod"),
            ("quarantine pod", "try quarantine_pod"),
            ("-v", "try v"),
            ("1st_try", "try st_try"),
            ("a--b", "try a_b"),
            ("a_b-c", "try a_b_c"),
            ("_a", "try a"),
            ("", "try quarantine_pod"),
            ("../x", "try x"),
            ("kïll", "try k_ll"),
            ("fn", "fn_pod"),
            ("test", "test_pod"),
        ] {
            let error = ActionName::parse(text).unwrap_err();
            assert!(error.contains(proposed), "{text}: {error}");
        }
        assert!(ActionName::parse(&"a".repeat(63)).is_ok());
        assert!(ActionName::parse(&"a".repeat(64)).is_err());
    }

    #[test]
    fn every_name_is_one_that_the_manifest_may_have() {
        for text in ["a", "a1", "kill_pod", "x-1"] {
            let name = ActionName::parse(text).unwrap().snake();
            let manifest = serde_json::json!({"contract": "0.1", "name": name, "summary": "Tries.", "target": "pods"});
            assert!(crate::plugins::manifest::parse(manifest.to_string().as_bytes()).is_ok(), "{text}");
        }
    }
}
