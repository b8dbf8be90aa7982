//! `cargo xtask fuzz`: everything that reads what others wrote, on odd input, for as long as one likes. Compiled with the
//! controller's unit tests, as a slice of it is one of them.

use std::path::Path;

use crate::Outcome;
use crate::ignored::{self, Setting};

const TEST: &str = "fuzz::as_long_as_one_likes";
const SETTINGS: [Setting; 2] = [
    Setting { option: "--seconds", variable: "FUZZ_SECONDS", number: true },
    Setting { option: "--seed", variable: "FUZZ_SEED", number: true },
];

/// # Errors
/// The arguments are none, or cargo cannot be run.
pub fn run(root: &Path, arguments: &[&str]) -> Result<Outcome, String> {
    ignored::run(root, TEST, &SETTINGS, arguments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ignored::variables;

    #[test]
    fn reads_its_options_and_refuses_others() {
        let read = variables(&SETTINGS, &["--seconds", "60", "--seed", "7"]).expect("sound");
        assert_eq!(read, [("FUZZ_SECONDS", "60".to_owned()), ("FUZZ_SEED", "7".to_owned())]);
        for wrong in [&["--seconds"][..], &["--seconds", "long"], &["--cases", "1"]] {
            assert!(variables(&SETTINGS, wrong).is_err(), "{wrong:?}");
        }
    }
}
