//! The objects, and how one is changed: an operation works out the object's next state on a copy, and only
//! [`Store::commit`] puts it in place. A dry run is everything but that.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::exec::Commands;
use super::kinds::{Kind, Kinds, qualified};
use super::logs::Logs;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub group: String,
    pub plural: String,
    /// Empty for cluster-scoped objects.
    pub namespace: String,
    pub name: String,
}

impl Key {
    pub fn new(kind: &Kind, namespace: &str, name: &str) -> Self {
        Self {
            group: kind.group.clone(),
            plural: kind.plural.clone(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// `pods production/x`, `nodes y`.
    pub fn describe(&self) -> String {
        if self.namespace.is_empty() {
            format!("{} {}", self.plural, self.name)
        } else {
            format!("{} {}/{}", self.plural, self.namespace, self.name)
        }
    }
}

impl Key {
    /// As a call names it, with the resource's group: `networkpolicies.networking.k8s.io production/x`.
    pub fn qualified(&self) -> String {
        let resource = qualified(&self.plural, &self.group);
        Self { plural: resource, ..self.clone() }.describe()
    }
}

/// What is told to people about a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Created,
    Changed,
    Deleted { grace: i64 },
}

/// A worked-out change, not yet made.
#[derive(Debug, Clone)]
pub enum Change {
    Put(Value),
    /// Stays until that time, as a kubelet would let it.
    Leaving(Value, Timestamp),
    Remove,
    Nothing,
}

pub struct Store {
    pub kinds: Kinds,
    pub logs: Logs,
    pub commands: Commands,
    objects: BTreeMap<Key, Value>,
    /// Objects whose deletion was accepted here, and when they go. An object that was loaded with a
    /// `deletionTimestamp` is not among them: no kubelet runs, it stays.
    leaving: BTreeMap<Key, Timestamp>,
    version: u64,
    /// Whether people are told of changes.
    told: bool,
}

impl Store {
    pub fn new(kinds: Kinds) -> Self {
        let (logs, commands) = (Logs::default(), Commands::default());
        Self { kinds, logs, commands, objects: BTreeMap::new(), leaving: BTreeMap::new(), version: 0, told: true }
    }

    /// One whose changes are nobody's business.
    pub fn quiet(kinds: Kinds) -> Self {
        Self { told: false, ..Self::new(kinds) }
    }

    /// Whether anybody is told of changes.
    pub fn told(&self) -> bool {
        self.told
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn get(&self, key: &Key) -> Option<&Value> {
        self.objects.get(key)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Value)> {
        self.objects.iter()
    }

    /// All of a resource, in one namespace or in every one, by namespace and name.
    pub fn list(&self, kind: &Kind, namespace: Option<&str>) -> impl Iterator<Item = (&Key, &Value)> {
        self.objects.iter().filter(move |(key, _)| {
            kind.is(&key.group, &key.plural) && namespace.is_none_or(|namespace| key.namespace == namespace)
        })
    }

    pub fn namespace(&self, name: &str) -> Option<&Value> {
        let key =
            Key { group: String::new(), plural: "namespaces".into(), namespace: String::new(), name: name.into() };
        self.objects.get(&key)
    }

    /// When an accepted deletion takes the object away.
    pub fn leaves_at(&self, key: &Key) -> Option<Timestamp> {
        self.leaving.get(key).copied()
    }

    /// Takes away what has served its grace period.
    pub fn sweep(&mut self, now: Timestamp) {
        let due: Vec<Key> = self.leaving.iter().filter(|&(_, &at)| at <= now).map(|(key, _)| key.clone()).collect();
        for key in due {
            self.leaving.remove(&key);
            self.version += 1;
            match self.objects.get_mut(&key) {
                // The containers are gone, the object waits for its finalizers.
                Some(object) if has_finalizers(object) => {
                    object["metadata"]["deletionGracePeriodSeconds"] = json!(0);
                    object["metadata"]["resourceVersion"] = json!(self.version.to_string());
                }
                Some(_) => drop(self.objects.remove(&key)),
                None => {}
            }
        }
    }

    /// Makes the change and answers the object as it is then, with its new `resourceVersion`.
    pub fn commit(&mut self, key: &Key, change: Change, verb: Verb) -> Option<Value> {
        let after = match change {
            Change::Nothing => return self.objects.get(key).cloned(),
            Change::Remove => {
                self.version += 1;
                self.leaving.remove(key);
                self.objects.remove(key);
                None
            }
            Change::Put(object) => Some(self.put(key, object)),
            Change::Leaving(object, at) => {
                self.leaving.insert(key.clone(), at);
                Some(self.put(key, object))
            }
        };
        if self.told {
            tell(key, verb);
        }
        after
    }

    /// Puts an object without telling anybody: loading.
    pub fn put(&mut self, key: &Key, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert(key.clone(), object.clone());
        object
    }
}

fn tell(key: &Key, verb: Verb) {
    let object = key.describe();
    match verb {
        Verb::Created => tracing::info!("simulated cluster: created {object}"),
        Verb::Changed => tracing::info!("simulated cluster: changed {object}"),
        Verb::Deleted { grace: 0 } => tracing::info!("simulated cluster: deleted {object}"),
        Verb::Deleted { grace } => {
            tracing::info!("simulated cluster: deleted {object} (grace period {grace} s)");
        }
    }
}

pub fn has_finalizers(object: &Value) -> bool {
    object.pointer("/metadata/finalizers").and_then(Value::as_array).is_some_and(|list| !list.is_empty())
}

/// As metav1.Time prints it: whole seconds.
pub fn whole_seconds(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}

/// Later by that many seconds, or as late as can be.
pub fn later(at: Timestamp, seconds: i64) -> Timestamp {
    at.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}
