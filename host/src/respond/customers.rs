//! Actions that customers notice: which they are, and by when a person has to say why they were right.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::outcome::{Derived, Outcome};
use super::record::{About, seconds};
use crate::config::CustomerFacing;
use crate::journal::Write;
use crate::safety::clearance::Cleared;

/// Puts `customer_facing` into an entry where it applies; where something may have changed, also `annotate_by`.
pub(super) fn mark(
    about: &About<'_>,
    cleared: Option<&Cleared>,
    derived: &Derived,
    now: Timestamp,
    entry: &mut Map<String, Value>,
) {
    let Some(facing) = about.rules.customer_facing.as_ref().filter(|facing| concerns(facing, about, cleared)) else {
        return;
    };
    entry.insert("customer_facing".to_owned(), json!(true));
    if !about.dry_run && (derived.changed || derived.outcome == Outcome::Unknown) {
        let within = SignedDuration::try_from(facing.within).unwrap_or(SignedDuration::MAX);
        let by = now.checked_add(within).unwrap_or(Timestamp::MAX);
        entry.insert("annotate_by".to_owned(), json!(seconds(by)));
    }
}

fn concerns(facing: &CustomerFacing, about: &About<'_>, cleared: Option<&Cleared>) -> bool {
    let namespace = cleared.and_then(Cleared::namespace).map_or_else(|| about.namespace(), |name| name.to_string());
    let labelled = |(key, value): &(String, String)| {
        let about = cleared.map(|cleared| cleared.alerts_pod().unwrap_or(cleared));
        let labels = about.and_then(|about| about.manifest.pointer("/metadata/labels"));
        labels.and_then(|labels| labels.get(key)).and_then(Value::as_str) == Some(value)
    };
    facing.namespaces.contains(&namespace) || facing.label.as_ref().is_some_and(labelled)
}

/// What has the journal wait for the annotation of an entry that asks for one.
pub(super) fn due(entry: &Map<String, Value>) -> Option<Write> {
    let text = |key: &str| entry.get(key).and_then(Value::as_str);
    Some(Write::Due { entry_id: text("entry_id")?.to_owned(), by: text("annotate_by")?.parse().ok()? })
}
