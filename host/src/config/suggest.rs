//! What somebody probably meant.

/// The known word nearest to `given`, when it is near enough to be a slip and not another word.
pub fn nearest<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
    // No word of ours is near a longer one, and the distance costs the product of the lengths.
    if given.len() > 64 {
        return None;
    }
    // `allowedNamespaces` and `allowed-namespaces` are slips, too.
    let plain = |text: &str| text.replace(['-', '_', ' '], "").to_lowercase();
    let given = plain(given);
    known
        .iter()
        .map(|&word| (strsim::damerau_levenshtein(&given, &plain(word)), word))
        .filter(|&(distance, word)| distance <= (word.len() / 3).clamp(1, 3) && distance < given.len().max(1))
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, word)| word)
}

/// `, did you mean `x`?`, or the choice when nothing is near.
pub fn phrase(given: &str, known: &[&str]) -> String {
    match nearest(given, known) {
        Some(word) => format!(", did you mean `{word}`?"),
        None => format!(" (known: {})", known.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["dryrun", "allowed_namespaces", "denied_namespaces", "rules", "url"];

    #[test]
    fn finds_the_word_behind_a_slip() {
        for (given, meant) in [
            ("alowed_namespaces", "allowed_namespaces"),
            ("allowedNamespaces", "allowed_namespaces"),
            ("dry-run", "dryrun"),
            ("dry_run", "dryrun"),
            ("rule", "rules"),
            ("urls", "url"),
        ] {
            assert_eq!(nearest(given, KNOWN), Some(meant), "{given}");
        }
    }

    #[test]
    fn proposes_nothing_for_another_word() {
        for given in ["confirm", "x", "", "namespace", "oci", "owner"] {
            assert_eq!(nearest(given, KNOWN), None, "{given}");
        }
    }
}
