//! What the host writes on a NetworkPolicy that an action makes, and reads off it again: whose it is, for which alert, and
//! until when.
//!
//! An action's word does not count for any of it. Whoever may edit the policy may edit this, too, so nothing that is read
//! here is taken for more than a text.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, TimestampRound, Unit};
use serde_json::{Map, Value};

use super::checks::{Check, Refusal};
use super::clearance;
use super::document::{Path, Touched};
use crate::cluster::names::{ApiResource, Namespace, ObjectName, ObjectRef, Uid};

/// What marks an object as made by us, and the only mark under which an apply may touch one that is there already.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "falco-response-controller");
pub const EVENT_ID: &str = "falco-response/event-id";
pub const RULE: &str = "falco-response/rule";
pub const EXPIRES_AT: &str = "falco-response/expires-at";
const ANNOTATIONS: [&str; 3] = [EVENT_ID, RULE, EXPIRES_AT];

/// What every policy of ours that can be lifted is called by.
pub const PREFIX: &str = "falco-";
/// The domain of the labels by which a policy of ours selects pods, where it does not select all.
pub const DOMAIN: &str = "falco-response/";

/// What our field managers are called, before the action's name.
const MANAGER: &str = "falco-response-controller/";

/// Bytes of a rule's name that an annotation holds. All annotations of an object together may have 256 KiB.
const MOST_RULE: usize = 1024;
/// An expiry is put off only where that gains so much of its span: alerts that come together write it once.
const WORTH_IT: u32 = 10;

/// What an action's NetworkPolicies are marked with, beside the event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks {
    pub rule: String,
    /// How long an isolation lasts; none: until somebody lifts it.
    pub lasts: Option<Duration>,
}

/// What the host made of a document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stamped {
    pub expires_at: Option<Timestamp>,
    /// All of it is there already: there is nothing to send.
    pub unchanged: bool,
    /// That an isolation which was there ends later than it would have, in words.
    pub prolonged: Option<String>,
}

pub fn is_policy(resource: &ApiResource) -> bool {
    resource.is("networking.k8s.io", "networkpolicies")
}

/// The resource that isolations are.
pub fn policies() -> ApiResource {
    ApiResource::parse("networking.k8s.io", "v1", "networkpolicies").expect("its parts are valid names")
}

pub fn is_ours(object: &Value) -> bool {
    text(object, "labels", MANAGED_BY.0) == Some(MANAGED_BY.1)
}

fn text<'a>(object: &'a Value, kind: &str, key: &str) -> Option<&'a str> {
    object.get("metadata")?.get(kind)?.get(key)?.as_str()
}

fn marks() -> impl Iterator<Item = [&'static str; 3]> {
    let annotations = ANNOTATIONS.into_iter().map(|key| ["metadata", "annotations", key]);
    annotations.chain([["metadata", "labels", MANAGED_BY.0]])
}

/// Of a whole document, the host writes its marks itself: what the action wrote there asks for nothing.
pub(super) fn leave_out_marks(resource: &ApiResource, touched: &mut Touched) {
    if is_policy(resource) {
        touched.paths.retain(|path| !marks().any(|mark| path == &mark));
    }
}

/// A patch is sent as the action wrote it, so it keeps away from the marks.
pub(super) fn leaves_marks_alone(resource: &ApiResource, touched: &Touched) -> Result<(), Refusal> {
    let reaches = |path: &Path, mark: [&str; 3]| path.iter().zip(mark).all(|(part, own)| part == own);
    match touched.paths.iter().find(|path| is_policy(resource) && marks().any(|mark| reaches(path, mark))) {
        None => Ok(()),
        Some(path) => {
            let detail = format!("{} of a NetworkPolicy is written by the controller alone", path.join("."));
            Err(Refusal::new(Check::Permission, detail))
        }
    }
}

/// Writes the marks on a document that is to be made or applied. `before`: the policy of ours that is there.
///
/// An expiry is put off, never brought forward: an isolation without one stays without, and one that is asked for without
/// takes it away.
pub(super) fn stamp(
    resource: &ApiResource,
    manifest: &mut Value,
    (marks, event_id): (&Marks, &str),
    before: Option<&Value>,
    now: Timestamp,
) -> Stamped {
    if !is_policy(resource) {
        return Stamped::default();
    }
    // Nothing lifts one of another name.
    let liftable = manifest.pointer("/metadata/name").and_then(Value::as_str).is_some_and(|it| it.starts_with(PREFIX));
    let asked = marks.lasts.filter(|_| liftable).map(|lasts| (lasts, end(now, lasts)));
    let was = before.map(Expiry::of);
    let expires_at = match (&was, asked) {
        (_, None) | (Some(Expiry::Never | Expiry::Unreadable(_)), Some(_)) => None,
        (None, Some((_, end))) => Some(end),
        (Some(Expiry::At(was)), Some((lasts, end))) => {
            let gains = end.duration_since(*was);
            Some(if gains > SignedDuration::try_from(lasts / WORTH_IT).unwrap_or_default() { end } else { *was })
        }
    };
    put(manifest, "labels", MANAGED_BY.0, MANAGED_BY.1);
    put(manifest, "annotations", EVENT_ID, event_id);
    put(manifest, "annotations", RULE, cut(&marks.rule));
    take(manifest, EXPIRES_AT);
    if let Some(at) = expires_at {
        put(manifest, "annotations", EXPIRES_AT, &at.to_string());
    }
    let stays = match &was {
        None => false,
        Some(Expiry::At(was)) => expires_at == Some(*was),
        Some(Expiry::Never | Expiry::Unreadable(_)) => true,
    };
    let prolonged = match &was {
        Some(Expiry::At(was)) if !stays => {
            let until = expires_at.map_or_else(|| "until it is lifted".to_owned(), |at| format!("until {at}"));
            Some(format!("it lasts {until} now, and did until {was}"))
        }
        _ => None,
    };
    let unchanged = stays && before.is_some_and(|before| is_there(manifest, before));
    Stamped { expires_at, unchanged, prolonged }
}

/// Whole seconds, and not a part of one too early.
fn end(now: Timestamp, lasts: Duration) -> Timestamp {
    let end =
        now.saturating_add(SignedDuration::try_from(lasts).unwrap_or(SignedDuration::MAX)).unwrap_or(Timestamp::MAX);
    end.round(TimestampRound::new().smallest(Unit::Second).mode(jiff::RoundMode::Ceil)).unwrap_or(end)
}

fn put(manifest: &mut Value, kind: &str, key: &str, value: &str) {
    let Some(metadata) = manifest.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let all = metadata.entry(kind).or_insert_with(|| Value::Object(Map::new()));
    if !all.is_object() {
        *all = Value::Object(Map::new());
    }
    if let Some(all) = all.as_object_mut() {
        all.insert(key.to_owned(), value.into());
    }
}

fn take(manifest: &mut Value, key: &str) {
    if let Some(all) = manifest.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        all.shift_remove(key);
    }
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(MOST_RULE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Whether the document asks for nothing that the policy has not: the same spec, and no further label or annotation. Which
/// alert it was last asked for may differ.
fn is_there(manifest: &Value, before: &Value) -> bool {
    let has_all = |kind: &str| {
        let asked = manifest.get("metadata").and_then(|metadata| metadata.get(kind)).and_then(Value::as_object);
        asked.into_iter().flatten().all(|(key, value)| {
            (kind == "annotations" && ANNOTATIONS.contains(&key.as_str())) || text(before, kind, key) == value.as_str()
        })
    };
    plain(&manifest["spec"]) == plain(&before["spec"]) && has_all("labels") && has_all("annotations")
}

/// Without what is empty, as the API server keeps it; an empty selector in whichever form selects everything.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let members = map.iter().map(|(key, value)| (key.clone(), plain(value)));
            Value::Object(members.filter(|(_, value)| !is_empty(value)).collect())
        }
        other => other.clone(),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// When an isolation ends by itself, as its policy says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expiry {
    Never,
    At(Timestamp),
    /// Somebody wrote something else there. It never ends by itself.
    Unreadable(String),
}

impl Expiry {
    fn of(policy: &Value) -> Self {
        match policy.pointer("/metadata/annotations").and_then(|all| all.get(EXPIRES_AT)) {
            None | Some(Value::Null) => Self::Never,
            Some(written) => match written.as_str().map(|text| (text, text.parse())) {
                Some((_, Ok(at))) => Self::At(at),
                Some((text, Err(_))) => Self::Unreadable(cut(text).to_owned()),
                None => Self::Unreadable("(not a text)".to_owned()),
            },
        }
    }

    /// Since when it is over, if it is.
    pub fn over_since(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::At(at) if *at <= now => Some(*at),
            Self::At(_) | Self::Never | Self::Unreadable(_) => None,
        }
    }
}

/// A policy of ours, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Isolation {
    /// With its UID.
    pub policy: ObjectRef,
    pub namespace: Namespace,
    pub resource_version: String,
    /// Of the alert that it was last made or put off for; only what can be one of ours.
    pub event_id: Option<String>,
    /// At most [`MOST_RULE`] bytes of whatever stands there.
    pub rule: Option<String>,
    pub expiry: Expiry,
    /// The labels of our domain that it selects pods by; of one for the whole namespace none.
    pub selects: Vec<(String, String)>,
    /// The action that applied it, by its field manager; only what can be an action's name.
    pub action: Option<String>,
    /// Whether somebody else has had a hand in what it forbids: its end is no longer ours to bring.
    pub edited: bool,
}

impl Isolation {
    /// # Errors
    /// Why it is not one that the controller may take away, in words that follow the policy's name.
    pub fn read(policy: &Value) -> Result<Self, String> {
        let place = |pointer: &str| policy.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let name = ObjectName::parse(place("/metadata/name")).map_err(|error| error.to_string())?;
        let namespace = Namespace::parse(place("/metadata/namespace")).map_err(|error| error.to_string())?;
        if !is_ours(policy) {
            return Err(format!("is not ours: it has no label {}={}", MANAGED_BY.0, MANAGED_BY.1));
        }
        if !name.as_str().starts_with(PREFIX) {
            return Err(format!("is not ours: its name does not begin with {PREFIX}"));
        }
        let uid = clearance::uid_of(policy).map_err(|refusal| refusal.detail)?;
        let resource_version = place("/metadata/resourceVersion").to_owned();
        if resource_version.is_empty() {
            return Err("has no resourceVersion to pin its deletion to".to_owned());
        }
        let policy_ref = ObjectRef { resource: policies(), namespace: Some(namespace.clone()), name, uid: Some(uid) };
        let event_id = text(policy, "annotations", EVENT_ID).and_then(|text| uuid::Uuid::try_parse(text).ok());
        let event_id = event_id.filter(|id| id.get_version_num() == 7);
        Ok(Self {
            policy: policy_ref,
            namespace,
            resource_version,
            event_id: event_id.map(|id| id.to_string()),
            rule: text(policy, "annotations", RULE).map(|rule| cut(rule).to_owned()),
            expiry: Expiry::of(policy),
            selects: selected(policy),
            action: applied_by(policy),
            edited: managers(policy).any(|(name, fields)| !name.starts_with(MANAGER) && fields.get("f:spec").is_some()),
        })
    }

    pub fn uid(&self) -> Option<&Uid> {
        self.policy.uid.as_ref()
    }
}

fn selected(policy: &Value) -> Vec<(String, String)> {
    let labels = policy.pointer("/spec/podSelector/matchLabels").and_then(Value::as_object);
    let own = labels.into_iter().flatten().filter(|(label, _)| label.starts_with(DOMAIN));
    own.filter_map(|(label, value)| Some((label.clone(), value.as_str()?.to_owned()))).collect()
}

/// Who wrote which of its fields.
fn managers(policy: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let managers = policy.pointer("/metadata/managedFields").and_then(Value::as_array);
    managers.into_iter().flatten().filter_map(|entry| Some((entry.get("manager")?.as_str()?, entry.get("fieldsV1")?)))
}

fn applied_by(policy: &Value) -> Option<String> {
    let name = managers(policy).find_map(|(name, _)| name.strip_prefix(MANAGER))?;
    let sound = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    (sound && !name.is_empty() && name.len() <= 63).then(|| name.to_owned())
}

#[cfg(test)]
mod tests;
