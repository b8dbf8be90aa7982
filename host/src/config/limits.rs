//! The `limits` section: budgets of live actions, and how many alerts are worked on at once.

use std::time::Duration;

use super::section::{Problems, Section};
use crate::safety::budget::{Limit, Limits};

const MOST_ACTIONS: u64 = 10_000;
/// What was spent is looked up in the journal at start: no further back than this.
const LONGEST: Duration = Duration::from_hours(24);

/// The budgets and `concurrency`.
pub fn read(top: &Section<'_>, problems: &mut Problems) -> (Limits, usize) {
    let mut limits = Limits::default();
    let Some(section) = top.section("limits", &["cluster", "concurrency", "namespace", "owner"], problems) else {
        return (limits, 16);
    };
    for (key, limit) in
        [("owner", &mut limits.owner), ("namespace", &mut limits.namespace), ("cluster", &mut limits.cluster)]
    {
        let Some(section) = section.section(key, &["actions", "per"], problems) else { continue };
        one(&section, limit, problems);
    }
    let concurrency = section.number("concurrency", 1..=1024, problems).unwrap_or(16);
    (limits, usize::try_from(concurrency).unwrap_or(16))
}

fn one(section: &Section<'_>, limit: &mut Limit, problems: &mut Problems) {
    if let Some(actions) = section.number("actions", 1..=MOST_ACTIONS, problems) {
        limit.actions = u32::try_from(actions).unwrap_or(u32::MAX);
    }
    if let Some(per) = section.span("per", problems) {
        if per > LONGEST {
            let location = section.get("per").map_or(section.location, |node| node.location);
            problems.add(location, format!("{} is longer than 24h", section.name("per")));
            return;
        }
        limit.per = per;
    }
}
