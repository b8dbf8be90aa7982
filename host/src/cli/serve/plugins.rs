//! What became of the plugins: the records, the lines and the pages that say so.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::force::widening;
use crate::config::diff::Change;
use crate::plugins::{Plugin, Plugins, Unusable};
use crate::respond::rules::Rules;
use crate::respond::{Notice, Responder};
use crate::ship::Page;

/// Another version of an action; none where it was not, or is not any more.
#[derive(Clone, Copy)]
struct Swap<'a> {
    name: &'a str,
    before: Option<&'a Arc<Plugin>>,
    after: Option<&'a Arc<Plugin>>,
}

impl Swap<'_> {
    fn notices(self, config_sha256: &str) -> Vec<Notice> {
        let Self { name, before, after } = self;
        let sha256 = |plugin: Option<&Arc<Plugin>>| plugin.map(|plugin| plugin.sha256.clone());
        let (old, new) = (sha256(before), sha256(after));
        let change = change(name, old.as_deref(), new.as_deref());
        let swapped = Notice::new("plugin", change.text.clone())
            .with("plugin", json!(name))
            .with("plugin_sha256", json!(new))
            .with("plugin_sha256_before", json!(old))
            .with("file", json!(after.or(before).map(|plugin| plugin.origin.to_string())))
            .with("config_sha256", json!(config_sha256));
        std::iter::once(swapped).chain(widening(&change, config_sha256)).collect()
    }
}

/// Between two digests of one name that are not the same.
pub fn change(name: &str, before: Option<&str>, after: Option<&str>) -> Change {
    match (before, after) {
        (Some(before), Some(after)) => {
            Change { text: format!("plugin {name}: {before} -> {after}"), widens: Some("plugin_changed") }
        }
        (None, Some(after)) => Change { text: format!("plugins: + {name} {after}"), widens: Some("plugin_added") },
        (_, None) => Change { text: format!("plugins: - {name}"), widens: None },
    }
}

/// Between the digests of two sets of plugins.
pub fn changes(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<Change> {
    let gone = before.keys().filter(|name| !after.contains_key(*name)).map(|name| change(name, None, None));
    let there = after.iter().filter(|(name, digest)| before.get(*name) != Some(digest));
    gone.chain(there.map(|(name, digest)| change(name, before.get(name).map(String::as_str), Some(digest)))).collect()
}

fn swaps<'a>(before: &'a Plugins, after: &'a Plugins) -> Vec<Swap<'a>> {
    let mut names: Vec<_> = before.iter().chain(after.iter()).map(|plugin| plugin.manifest.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let swap = |name| Swap { name, before: before.get(name), after: after.get(name) };
    let differs = |swap: &Swap<'a>| {
        swap.before.map(|plugin| plugin.sha256.as_str()) != swap.after.map(|plugin| plugin.sha256.as_str())
    };
    names.into_iter().map(swap).filter(differs).collect()
}

/// What is different, for the record: another version of an action, a file that cannot be used, one that can again.
pub struct Told {
    pub notices: Vec<Notice>,
    /// Versions that are in force now and were not before.
    pub accepted: usize,
    pub rejected: usize,
}

pub fn told(before: &Plugins, after: &Plugins, config_sha256: &str) -> Told {
    let swaps = swaps(before, after);
    let rejected: Vec<_> = after.unusable.iter().filter(|file| !before.unusable.contains(file)).collect();
    let still = |file: &Unusable| after.unusable.iter().any(|other| other.origin == file.origin);
    let mended = before.unusable.iter().filter(|file| !still(file));
    let mut notices: Vec<_> = swaps.iter().flat_map(|swap| swap.notices(config_sha256)).collect();
    notices.extend(rejected.iter().map(|file| refusal(file, config_sha256)));
    notices.extend(mended.map(|file| {
        let how = if after.iter().any(|plugin| plugin.origin == file.origin) { "can be used" } else { "is gone" };
        let in_force = file.name.as_deref().and_then(|name| after.get(name)).map(|plugin| plugin.sha256.clone());
        let notice = Notice::new("plugin_mended", format!("{} {how}", file.origin));
        about(notice, &Unusable { in_force, ..file.clone() }, config_sha256)
    }));
    let accepted = swaps.iter().filter(|swap| swap.after.is_some()).count();
    Told { notices, accepted, rejected: rejected.len() }
}

/// What there is at a start that cannot be used.
pub fn refusals(plugins: &Plugins, config_sha256: &str) -> Vec<Notice> {
    plugins.unusable.iter().map(|file| refusal(file, config_sha256)).collect()
}

fn refusal(file: &Unusable, config_sha256: &str) -> Notice {
    about(Notice::new("plugin_rejected", sentence(file)), file, config_sha256)
}

fn about(notice: Notice, file: &Unusable, config_sha256: &str) -> Notice {
    notice
        .with("plugin", json!(file.name))
        .with("file", json!(file.origin.to_string()))
        .with("refused_sha256", json!(file.sha256))
        .with("plugin_sha256", json!(file.in_force))
        .with("config_sha256", json!(config_sha256))
}

fn sentence(file: &Unusable) -> String {
    let kept = match &file.in_force {
        Some(sha256) => format!("; the version that was in force stays so: {sha256}"),
        None => String::new(),
    };
    format!("{}: {}{kept}", file.origin, file.reason)
}

/// What is wrong with an action.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Trouble {
    summary: String,
    detail: String,
}

/// The actions that somebody was paged about, and with which words.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Paged(BTreeMap<String, Trouble>);

impl Paged {
    /// The pages that are due when these are in force; and what is paged once they are queued.
    pub fn next(&self, responder: &Responder, rules: &Rules) -> (Vec<Page>, Self) {
        let (due, paged) = self.due(&troubles(rules), rules.dryrun);
        let page = |(action, trouble, resolved): (String, Trouble, bool)| {
            responder.about_ourselves(&kind(&action), trouble.summary, &trouble.detail, resolved)
        };
        (due.into_iter().map(page).collect(), paged)
    }

    /// Of which action what is to be said, and whether it is over. While everything is a dry run nobody is told of new
    /// trouble; of its end, yes.
    fn due(&self, troubles: &BTreeMap<String, Trouble>, dryrun: bool) -> (Vec<(String, Trouble, bool)>, Self) {
        let mut due = Vec::new();
        let mut paged = BTreeMap::new();
        for (action, Trouble { summary, .. }) in self.0.iter().filter(|(action, _)| !troubles.contains_key(*action)) {
            let over = Trouble { summary: format!("no more: {summary}"), detail: String::new() };
            due.push((action.clone(), over, true));
        }
        for (action, trouble) in troubles {
            let known = self.0.get(action);
            if known != Some(trouble) && !dryrun {
                due.push((action.clone(), trouble.clone(), false));
                paged.insert(action.clone(), trouble.clone());
            } else if let Some(known) = known {
                paged.insert(action.clone(), known.clone());
            }
        }
        (due, Self(paged))
    }
}

/// One incident an action.
fn kind(action: &str) -> String {
    format!("plugin/{action}")
}

/// What is wrong with the actions that rules want.
fn troubles(rules: &Rules) -> BTreeMap<String, Trouble> {
    let mut without = BTreeMap::<&str, Vec<String>>::new();
    for (rule, step) in rules.steps() {
        let why = without.entry(step.action.as_str()).or_default();
        why.extend(step.plugin.as_ref().err().map(|reason| format!("{rule}: {reason}")));
    }
    let trouble = |(action, why): (&str, Vec<String>)| {
        let spoiled =
            rules.unusable.iter().filter(|file| file.in_force.is_some() && file.name.as_deref() == Some(action));
        let spoiled: Vec<_> = spoiled.map(sentence).collect();
        let (summary, detail) = if !why.is_empty() {
            (format!("{} rules have no plugin and will not act: {action}", why.len()), why)
        } else if !spoiled.is_empty() {
            (format!("a file of {action} cannot be used; the version that was in force stays so"), spoiled)
        } else {
            return None;
        };
        Some((action.to_owned(), Trouble { summary, detail: detail.join("; ") }))
    };
    without.into_iter().filter_map(trouble).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(detail: &str) -> BTreeMap<String, Trouble> {
        let trouble = Trouble { summary: "a is bad".to_owned(), detail: detail.to_owned() };
        BTreeMap::from([("a".to_owned(), trouble)])
    }

    fn words(due: &[(String, Trouble, bool)]) -> Vec<(&str, bool)> {
        due.iter().map(|(_, trouble, resolved)| (trouble.summary.as_str(), *resolved)).collect()
    }

    #[test]
    fn trouble_is_paged_once_again_when_it_is_another_and_over_when_it_is_gone() {
        let (due, paged) = Paged::default().due(&trouble("spoiled"), false);
        assert_eq!(words(&due), [("a is bad", false)]);
        let (due, paged) = paged.due(&trouble("spoiled"), false);
        assert_eq!(words(&due), []);
        let (due, paged) = paged.due(&trouble("not the pinned one"), false);
        assert_eq!(words(&due), [("a is bad", false)]);
        let (due, paged) = paged.due(&BTreeMap::new(), false);
        assert_eq!(words(&due), [("no more: a is bad", true)]);
        assert_eq!(paged, Paged::default());
    }

    #[test]
    fn a_dry_run_pages_nobody_and_ends_what_was_paged_before() {
        let (due, paged) = Paged::default().due(&trouble("spoiled"), true);
        assert_eq!(words(&due), []);
        let (due, paged) = paged.due(&trouble("spoiled"), false);
        assert_eq!(words(&due), [("a is bad", false)], "it is live now, and somebody is told");
        let (due, paged) = paged.due(&trouble("spoiled"), true);
        assert_eq!(words(&due), []);
        let (due, _) = paged.due(&BTreeMap::new(), true);
        assert_eq!(words(&due), [("no more: a is bad", true)]);
    }

    #[test]
    fn a_swap_says_both_digests_and_only_what_is_new_or_another_widens() {
        let digests = |list: &[(&str, &str)]| {
            list.iter().map(|(name, digest)| ((*name).to_owned(), (*digest).to_owned())).collect::<BTreeMap<_, _>>()
        };
        let found =
            changes(&digests(&[("a", "1"), ("b", "1"), ("c", "1")]), &digests(&[("b", "2"), ("c", "1"), ("d", "1")]));
        let found: Vec<_> = found.iter().map(|change| (change.text.as_str(), change.widens)).collect();
        let expected = [
            ("plugins: - a", None),
            ("plugin b: 1 -> 2", Some("plugin_changed")),
            ("plugins: + d 1", Some("plugin_added")),
        ];
        assert_eq!(found, expected);
    }
}
