//! A configuration that became another one while nobody ran. The journal keeps what was last in force, so that the next
//! start puts on record what is different now, and each thing that lets more happen, as a reload would have done.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::force::notices;
use super::plugins;
use crate::config::Config;
use crate::config::diff;
use crate::respond::Notice;

/// What the journal keeps: the configuration's text, and the digests of the plugins.
pub fn in_force(config: &[u8], digests: &BTreeMap<String, String>) -> String {
    json!({"config": String::from_utf8_lossy(config), "plugins": digests}).to_string()
}

/// What has changed since; nothing for a journal that has kept nothing, or the same.
pub fn since(kept: Option<&str>, path: &Path, config: &Config, digests: &BTreeMap<String, String>) -> Vec<Notice> {
    let Some(kept) = kept else { return Vec::new() };
    let Some((old, before)) = read(kept, path) else {
        // Of an older program, whose configurations were others.
        let detail = "the configuration that was last in force cannot be read, so what has changed is not known";
        return vec![Notice::new("start", detail).with("config_sha256", json!(config.sha256))];
    };
    if old.sha256 == config.sha256 && before == *digests {
        return Vec::new();
    }
    let mut changes = diff::changes(&old, config);
    changes.extend(plugins::changes(&before, digests));
    // These count from this start on.
    changes.extend(
        diff::needs_restart(&old, config)
            .into_iter()
            .map(|key| diff::Change { text: format!("{key}: another one"), widens: None }),
    );
    notices("start", &old, config, &changes, &[])
}

fn read(kept: &str, path: &Path) -> Option<(Config, BTreeMap<String, String>)> {
    let kept: Value = serde_json::from_str(kept).ok()?;
    let config = Config::parse(path, kept.get("config")?.as_str()?.as_bytes()).ok()?;
    let plugins = kept.get("plugins")?.as_object()?.iter();
    Some((
        config,
        plugins.map(|(name, digest)| Some((name.clone(), digest.as_str()?.to_owned()))).collect::<Option<_>>()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str =
        "dryrun: true\nallowed_namespaces: [a]\nrules: [{name: r, action: kill_pod, audit_reason: why}]\n";

    fn digests(digest: &str) -> BTreeMap<String, String> {
        BTreeMap::from([("kill_pod".to_owned(), digest.to_owned())])
    }

    /// What was last in force, and what a start with `config` and a plugin of that digest says of it.
    fn said(kept: Option<&str>, config: &str, digest: &str) -> Vec<(&'static str, String)> {
        let path = Path::new("config.yaml");
        let config = Config::parse(path, config.as_bytes()).expect("a configuration");
        let notices = since(kept, path, &config, &digests(digest));
        notices.into_iter().map(|notice| (notice.change, notice.detail)).collect()
    }

    #[test]
    fn a_start_says_what_became_another_one_while_nobody_ran() {
        let kept = in_force(CONFIG.as_bytes(), &digests("1"));
        assert_eq!(said(None, CONFIG, "1"), [], "a new journal");
        assert_eq!(said(Some(&kept), CONFIG, "1"), []);
        let live = CONFIG.replace("dryrun: true", "dryrun: false\nlisten: 127.0.0.1:1");
        let found = said(Some(&kept), &live, "2");
        let changes: Vec<_> = found.iter().map(|(change, _)| *change).collect();
        assert_eq!(changes, ["start", "widening", "widening"], "{found:?}");
        assert_eq!(found[0].1, "dryrun: true -> false; plugin kill_pod: 1 -> 2; listen: another one");
        assert_eq!(said(Some("{}"), CONFIG, "1").len(), 1, "what cannot be read is on record as well");
    }
}
