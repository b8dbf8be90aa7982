//! Names of fields as grants have them, in Kubernetes' own form: `spec.replicas`, and
//! `metadata.labels['app.kubernetes.io/name']` where a key holds more than a name.

use super::document::Path;

/// The field that stands for the whole of a strategic patch.
pub const STRATEGIC: &str = "strategic";

/// Metadata that kills, or keeps alive, by itself.
pub const LIFE_AND_DEATH: [&str; 4] = [
    "metadata.ownerReferences",
    "metadata.finalizers",
    "metadata.deletionTimestamp",
    "metadata.deletionGracePeriodSeconds",
];

/// The path that a field names; none for a text that names none.
pub fn parse(field: &str) -> Option<Path> {
    let mut path = Path::new();
    let mut rest = field;
    while !rest.is_empty() {
        let (part, after) = if let Some(quoted) = rest.strip_prefix("['") {
            quoted.split_once("']")?
        } else {
            let name = if path.is_empty() { rest } else { rest.strip_prefix('.')? };
            name.split_at(name.find(['.', '[']).unwrap_or(name.len()))
        };
        if part.is_empty() || part.contains(['\'', ']']) {
            return None;
        }
        path.push(part.to_owned());
        rest = after;
    }
    (!path.is_empty()).then_some(path)
}

/// The field that names exactly this path; none where no field can, as for the whole document or a key with a quote.
pub fn name(path: &[String]) -> Option<String> {
    let mut field = String::new();
    for part in path {
        let plain = !part.is_empty() && part.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_');
        if plain {
            if !field.is_empty() {
                field.push('.');
            }
            field.push_str(part);
        } else if part.is_empty() || part.contains(['\'', ']']) || part.chars().any(char::is_control) {
            return None;
        } else {
            field.push_str(&format!("['{part}']"));
        }
    }
    (!field.is_empty()).then_some(field)
}

/// Whether `path` lies at or below `field`.
pub fn lies_in(path: &[String], field: &str) -> bool {
    parse(field).is_some_and(|field| path.starts_with(&field))
}

/// Whether writing `path` writes `field`, something in it, or something around it.
pub fn reaches(path: &[String], field: &str) -> bool {
    parse(field).is_some_and(|field| path.starts_with(&field) || field.starts_with(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_and_writes_what_kubernetes_itself_writes() {
        for (field, parts) in [
            ("spec.replicas", &["spec", "replicas"][..]),
            ("metadata.labels['app.kubernetes.io/name']", &["metadata", "labels", "app.kubernetes.io/name"]),
            ("data['config.yaml']", &["data", "config.yaml"]),
            ("['a.b'].c", &["a.b", "c"]),
            ("spec.containers.0.image", &["spec", "containers", "0", "image"]),
        ] {
            let path: Path = parts.iter().map(|part| (*part).to_owned()).collect();
            assert_eq!((parse(field).as_ref(), name(&path).as_deref()), (Some(&path), Some(field)));
        }
        for wrong in ["", ".", "spec.", ".spec", "a..b", "a[b]", "a['b", "a['']", "a['b']c", "a]", "a['b'c']"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        for parts in [&[][..], &[""], &["a", "it's"], &["a", "b\nc"]] {
            assert_eq!(name(&parts.iter().map(|part| (*part).to_owned()).collect::<Path>()), None, "{parts:?}");
        }
    }

    #[test]
    fn a_key_with_dots_is_no_path_and_a_path_no_key() {
        let key = ["data".to_owned(), "config.yaml".to_owned()];
        assert!(lies_in(&key, "data") && lies_in(&key, "data['config.yaml']"));
        assert!(!lies_in(&key, "data.config") && !lies_in(&key, "data.config.yaml") && !reaches(&key, "data.config"));
    }

    proptest! {
        /// A path reaches a field exactly when one is a prefix of the other.
        #[test]
        fn reaching_is_being_a_prefix_either_way(path in prop::collection::vec("[ab]", 0..4), field in prop::collection::vec("[ab]", 1..4)) {
            let joined = field.join(".");
            let prefix = path.iter().zip(&field).all(|(a, b)| a == b);
            prop_assert_eq!(reaches(&path, &joined), prefix);
            prop_assert_eq!(lies_in(&path, &joined), prefix && path.len() >= field.len());
        }

        #[test]
        fn what_is_named_is_what_is_read(path in prop::collection::vec("[a-c./'\\[\\]$ ]{0,4}", 0..4)) {
            if let Some(field) = name(&path) {
                prop_assert_eq!(parse(&field), Some(path));
            }
        }

        #[test]
        fn no_text_is_too_odd_to_be_read(text in any::<String>()) {
            let _ = parse(&text);
        }
    }
}
