//! The scenes: real Falco alerts with the runbook's rules, namespaces and pods put in, and what must come of each.

use integration_tests::alerts::{self, DATABASE_SHELL, MINER, POOL};
use serde_json::{Value, json};

#[derive(Debug, Clone, Copy)]
pub enum Expected {
    /// The action ran and changed this many objects; `page`: somebody is paged.
    Done { changes: usize, page: bool },
    /// The action ran and found nothing to do.
    Skipped,
    /// The action ran, changed nothing, and kept these.
    Kept(&'static [&'static str]),
    /// The gate refused, by this check.
    Refused(&'static [&'static str]),
    /// A dry run.
    Dry,
    /// 204, and no record.
    Unwanted,
    /// Not taken, with this status.
    Status(u16),
}

impl Expected {
    pub fn is_silent(self) -> bool {
        matches!(self, Self::Unwanted | Self::Status(_))
    }

    pub fn is_met(self, status: u16, record: Option<&Value>, changed: &[String]) -> bool {
        let text = |key: &str| record.and_then(|record| record.get(key)).and_then(Value::as_str).unwrap_or("");
        match self {
            Self::Done { changes, .. } => status == 204 && text("outcome") == "done" && changed.len() >= changes,
            Self::Skipped => status == 204 && text("outcome") == "skipped" && changed.is_empty(),
            Self::Kept(names) => {
                let kept = record.and_then(|record| record.get("attachments")).and_then(Value::as_array);
                let kept = kept.into_iter().flatten().filter_map(|one| one["name"].as_str());
                status == 204 && changed.is_empty() && kept.eq(names.iter().copied())
            }
            Self::Refused(checks) => {
                status == 204 && text("decision") == "refused" && checks.contains(&text("check")) && changed.is_empty()
            }
            Self::Dry => {
                let dry = record.and_then(|record| record.get("dry_run")) == Some(&Value::Bool(true));
                status == 204 && text("outcome") == "done" && dry && changed.is_empty()
            }
            Self::Unwanted => status == 204 && record.is_none() && changed.is_empty(),
            Self::Status(expected) => status == expected,
        }
    }
}

pub struct Scene {
    pub title: &'static str,
    rule: Option<&'static str>,
    place: Option<(&'static str, &'static str)>,
    priority: Option<&'static str>,
    /// Seconds before now.
    age: i64,
    /// The body is cut in the middle.
    broken: bool,
    pub token: Option<&'static str>,
    pub expected: Expected,
}

impl Scene {
    fn new(title: &'static str, rule: &'static str, place: (&'static str, &'static str), expected: Expected) -> Self {
        Self {
            title,
            rule: Some(rule),
            place: Some(place),
            priority: None,
            age: 0,
            broken: false,
            token: None,
            expected,
        }
    }

    pub fn expecting(self, expected: Expected) -> Self {
        Self { expected, ..self }
    }

    /// The alert's JSON as Falcosidekick would post it now. An empty `uuid` leaves the key out.
    ///
    /// # Errors
    /// When a fixture is no JSON.
    pub fn body(&self, uuid: &str) -> Result<String, String> {
        let mut alert = match (self.rule, self.place) {
            (Some(rule), Some((namespace, pod))) => alerts::about(rule, namespace, pod),
            _ => {
                serde_json::from_str(alerts::NOTICE).map_err(|error| format!("the demo's alert is no JSON: {error}"))?
            }
        };
        if uuid.is_empty() {
            alert.as_object_mut().map(|map| map.remove("uuid"));
        } else {
            alert["uuid"] = json!(uuid);
        }
        if let Some(priority) = self.priority {
            alert["priority"] = json!(priority);
        }
        if self.age > 0 {
            alert["time"] = json!(alerts::seconds_ago(self.age));
        }
        let text = alert.to_string();
        Ok(if self.broken { text[..text.len() / 2].to_owned() } else { text })
    }

    pub fn describe(&self) -> String {
        let place = self
            .place
            .map_or_else(|| "as it came from Falco".to_owned(), |(namespace, pod)| format!("{namespace}/{pod}"));
        format!("{:?} {place}", self.rule.unwrap_or("Terminal shell in container"))
    }

    /// What the page for this scene contains.
    pub fn page_hint(&self) -> &'static str {
        self.place.map_or("", |(namespace, _)| namespace)
    }
}

/// A miner in a Deployment's pod.
pub fn first() -> Scene {
    Scene::new(
        "a miner in a Deployment's pod: the pod is killed",
        MINER,
        ("production", "checkout-7d9f4b-xkp2m"),
        Expected::Done { changes: 1, page: false },
    )
}

pub fn all() -> Vec<Scene> {
    let gone: &[&str] = &["already_deleting", "pod_absent"];
    vec![
        first(),
        Scene::new(
            "the same pod once more: it is on its way out already",
            MINER,
            ("production", "checkout-7d9f4b-xkp2m"),
            Expected::Refused(gone),
        ),
        Scene::new(
            "a shell in the database: a StatefulSet's pod is protected",
            DATABASE_SHELL,
            ("production", "database-0"),
            Expected::Refused(&["protected_owner"]),
        ),
        Scene::new(
            "a DaemonSet's pod: out of reach, whatever the configuration says",
            MINER,
            ("production", "node-agent-5xk2p"),
            Expected::Refused(&["daemonset"]),
        ),
        Scene::new(
            "kube-system: out of reach as well",
            MINER,
            ("kube-system", "coredns-6f6b679f8f-x2vjq"),
            Expected::Refused(&["kube_system"]),
        ),
        Scene::new(
            "a denied namespace",
            MINER,
            ("monitoring", "prometheus-0"),
            Expected::Refused(&["namespace_denied"]),
        ),
        Scene::new(
            "a namespace that nobody allowed",
            MINER,
            ("default", "kubecon"),
            Expected::Refused(&["namespace_not_allowed"]),
        ),
        Scene::new(
            "a name that would end up in another URL",
            MINER,
            ("production", "x/../../kube-system/pods/coredns#"),
            Expected::Refused(&["invalid_name"]),
        ),
        Scene {
            age: 3600,
            ..Scene::new(
                "an alert that is an hour old",
                MINER,
                ("production", "checkout-7d9f4b-q8r5t"),
                Expected::Refused(&["stale"]),
            )
        },
        Scene::new(
            "a pod of that name, but younger than the alert",
            MINER,
            ("production", "reborn-0"),
            Expected::Refused(&["not_the_alerts_pod"]),
        ),
        Scene::new(
            "a bare pod: killed, and nothing brings it back",
            MINER,
            ("production", "debug"),
            Expected::Done { changes: 1, page: false },
        ),
        Scene::new(
            "a connection to a mining pool: the namespace's egress is cut, and somebody is paged",
            POOL,
            ("staging", "web-5c6d8-2lkjh"),
            Expected::Done { changes: 1, page: true },
        ),
        Scene::new(
            "the same again: the policy is there, nobody is paged",
            POOL,
            ("staging", "web-5c6d8-2lkjh"),
            Expected::Skipped,
        ),
        Scene::new(
            "a sensitive file is read: the pod is labelled, and runs on",
            "Read sensitive file untrusted",
            ("production", "checkout-7d9f4b-q8r5t"),
            Expected::Done { changes: 1, page: false },
        ),
        Scene::new(
            "a connection to a command-and-control server: this pod alone is cut off, and somebody is paged",
            "Outbound connection to C2 servers",
            ("production", "checkout-7d9f4b-q8r5t"),
            Expected::Done { changes: 2, page: true },
        ),
        Scene::new(
            "a new binary is executed: the pod's manifest, events and log are kept with the record",
            "Drop and execute new binary in container",
            ("production", "checkout-7d9f4b-q8r5t"),
            Expected::Kept(&["manifest.json", "events.json", "log-checkout.txt"]),
        ),
        Scene {
            rule: None,
            place: None,
            ..Scene::new("a real alert of a rule that is not configured", MINER, ("", ""), Expected::Unwanted)
        },
        Scene {
            priority: Some("Warning"),
            ..Scene::new(
                "a configured rule below minimum_priority",
                MINER,
                ("production", "checkout-7d9f4b-q8r5t"),
                Expected::Unwanted,
            )
        },
        Scene {
            token: Some("not-the-token-of-this-controller"),
            ..Scene::new("a wrong token", MINER, ("production", "checkout-7d9f4b-q8r5t"), Expected::Status(401))
        },
        Scene {
            broken: true,
            ..Scene::new("half an alert", MINER, ("production", "checkout-7d9f4b-q8r5t"), Expected::Status(400))
        },
    ]
}
