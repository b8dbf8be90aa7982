//! Is it the alert's pod? Names are reused: a StatefulSet's pod of the same name has been seen back 61 ms after its
//! deletion, so a name alone proves little.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::checks::{Check, Refusal};
use crate::alert::Alert;
use crate::cluster::names::{Namespace, ObjectName};
use crate::cluster::uid_str;

/// What showed that the pod is the alert's; part of the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    PodUid,
    ContainerId,
    NameAndTime,
}

impl Proof {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PodUid => "pod_uid",
            Self::ContainerId => "container_id",
            Self::NameAndTime => "name_and_time",
        }
    }
}

/// What an alert says about where it happened, before anything of it is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    pub namespace: Option<String>,
    pub pod: Option<String>,
    pub pod_uid: Option<String>,
    pub container_id: Option<String>,
    pub time: Timestamp,
}

impl Subject {
    pub fn of(alert: &Alert) -> Self {
        Self {
            namespace: alert.text("k8s.ns.name"),
            pod: alert.text("k8s.pod.name"),
            pod_uid: alert.text("k8s.pod.uid"),
            container_id: alert.text("container.id"),
            time: alert.time,
        }
    }

    /// Whether the alert itself tells its pod from others of the same name.
    pub fn is_certain(&self) -> bool {
        self.pod_uid.is_some() || self.container_id.as_deref().is_some_and(usable_container_id)
    }

    /// # Errors
    /// The alert names none, or one that cannot be a namespace.
    pub fn namespace(&self) -> Result<Namespace, Refusal> {
        let text = self
            .namespace
            .as_deref()
            .ok_or_else(|| Refusal::new(Check::NoTarget, "the alert names no namespace (k8s.ns.name)"))?;
        Namespace::parse(text).map_err(|error| Refusal::new(Check::InvalidName, error.to_string()))
    }

    /// # Errors
    /// The alert names none, or one that cannot be a pod.
    pub fn pod(&self) -> Result<ObjectName, Refusal> {
        let text = self
            .pod
            .as_deref()
            .ok_or_else(|| Refusal::new(Check::NoTarget, "the alert names no pod (k8s.pod.name)"))?;
        ObjectName::parse(text).map_err(|error| Refusal::new(Check::InvalidName, error.to_string()))
    }
}

/// The answer for one reading of the pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identified {
    Yes(Proof),
    No(Refusal),
    /// The alert names a container, and the pod reports no container ids yet: read it again.
    NotYet,
}

/// Falco cuts container ids to 12 digits; fewer, or anything but hex, identifies nothing.
fn usable_container_id(id: &str) -> bool {
    id.len() >= 12 && id.len() <= 64 && id.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
}

/// Whether `pod`, as the API server returned it, is the pod that the alert is about.
pub fn identify(pod: &Value, subject: &Subject, strict: bool) -> Identified {
    let no = |check, detail: String| Identified::No(Refusal::new(check, detail));
    if let Some(expected) = &subject.pod_uid {
        return match uid_str(pod) {
            Some(uid) if uid == expected => Identified::Yes(Proof::PodUid),
            _ => no(Check::NotTheAlertsPod, "the pod of that name has another UID than the alert's".to_owned()),
        };
    }
    match subject.container_id.as_deref() {
        Some("host") => {
            return no(Check::NotTheAlertsPod, "the alert is about the host, not about a container".to_owned());
        }
        Some(id) if usable_container_id(id) => {
            let known = container_ids(pod);
            return if known.is_empty() {
                Identified::NotYet
            } else if known.iter().any(|known| known.starts_with(id)) {
                Identified::Yes(Proof::ContainerId)
            } else {
                no(
                    Check::NotTheAlertsPod,
                    format!("no container of the pod, now or before its last restart, has the id {id}"),
                )
            };
        }
        _ => {}
    }
    if strict {
        let detail = "identity is strict, and the alert carries neither k8s.pod.uid nor a usable container.id: add %k8s.pod.uid %container.id to the Falco rule's output";
        return no(Check::IdentityUnproven, detail.to_owned());
    }
    by_name_and_time(pod, subject.time)
}

fn by_name_and_time(pod: &Value, alert_time: Timestamp) -> Identified {
    let no = |check, detail: String| Identified::No(Refusal::new(check, detail));
    let created = pod.pointer("/metadata/creationTimestamp").and_then(Value::as_str);
    let Some(created) = created.and_then(|text| text.parse::<Timestamp>().ok()) else {
        return no(
            Check::IdentityUnproven,
            "the pod has no creationTimestamp to compare with the alert's time".to_owned(),
        );
    };
    // Creation times are cut to whole seconds: a pod stamped :21 may have been created until just before :22.
    if created.saturating_add(SignedDuration::from_secs(1)).is_ok_and(|latest| latest > alert_time) {
        return no(
            Check::NotTheAlertsPod,
            format!("the pod of that name was created at {created}, not provably before the alert"),
        );
    }
    let phase = pod.pointer("/status/phase").and_then(Value::as_str).unwrap_or("unknown");
    if phase != "Running" {
        return no(
            Check::IdentityUnproven,
            format!("the pod is {phase:?}, not Running, and only its name speaks for it"),
        );
    }
    Identified::Yes(Proof::NameAndTime)
}

/// Every container id that the pod reports: current and last run; init and ephemeral containers as well.
fn container_ids(pod: &Value) -> Vec<&str> {
    let lists = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"];
    let statuses = lists.iter().filter_map(|list| pod.get("status")?.get(list)?.as_array()).flatten();
    let pointers = ["/containerID", "/state/terminated/containerID", "/lastState/terminated/containerID"];
    statuses
        .flat_map(|status| pointers.iter().filter_map(|pointer| status.pointer(pointer)?.as_str()))
        .map(|id| id.split_once("://").map_or(id, |(_runtime, id)| id))
        .filter(|id| !id.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ID: &str = "ee97d9c4186fb1f1ba2f1d0c8a2c8c5e0e1ae6a37b64d0b5b1f3cc7e7c0f1a2b";

    fn pod(created: &str) -> Value {
        json!({
            "metadata": {"uid": "u-1", "creationTimestamp": created},
            "status": {"phase": "Running", "containerStatuses": [{"containerID": format!("containerd://{ID}"),
                "lastState": {"terminated": {"containerID": "containerd://aaaaaaaaaaaaaaaa"}}}],
                "initContainerStatuses": [{"containerID": "containerd://bbbbbbbbbbbbbbbb"}]},
        })
    }

    fn subject(uid: Option<&str>, container: Option<&str>) -> Subject {
        Subject {
            namespace: None,
            pod: None,
            pod_uid: uid.map(str::to_owned),
            container_id: container.map(str::to_owned),
            time: "2026-11-24T12:00:00.5Z".parse().expect("valid"),
        }
    }

    fn answer(pod: &Value, subject: &Subject, strict: bool) -> &'static str {
        match identify(pod, subject, strict) {
            Identified::Yes(proof) => proof.as_str(),
            Identified::No(refusal) => refusal.check.id(),
            Identified::NotYet => "not yet",
        }
    }

    #[test]
    fn takes_the_best_proof_there_is() {
        let old = pod("2026-11-24T11:00:00Z");
        for (uid, container, expected) in [
            (Some("u-1"), Some("ffffffffffff"), "pod_uid"),
            (Some("u-2"), Some("ee97d9c4186f"), "not_the_alerts_pod"),
            (None, Some("ee97d9c4186f"), "container_id"),
            (None, Some(ID), "container_id"),
            (None, Some("aaaaaaaaaaaa"), "container_id"),
            (None, Some("bbbbbbbbbbbb"), "container_id"),
            (None, Some("cccccccccccc"), "not_the_alerts_pod"),
            (None, Some("host"), "not_the_alerts_pod"),
            (None, Some("ee97"), "name_and_time"),
            (None, None, "name_and_time"),
        ] {
            assert_eq!(answer(&old, &subject(uid, container), false), expected, "{uid:?} {container:?}");
        }
    }

    #[test]
    fn strict_wants_more_than_a_name() {
        let old = pod("2026-11-24T11:00:00Z");
        assert_eq!(answer(&old, &subject(None, None), true), "identity_unproven");
        assert_eq!(answer(&old, &subject(None, Some("ee97d9c4186f")), true), "container_id");
    }

    #[test]
    fn refuses_a_pod_that_may_be_younger_than_its_alert() {
        for (created, expected) in [
            ("2026-11-24T11:59:59Z", "name_and_time"),
            ("2026-11-24T12:00:00Z", "not_the_alerts_pod"),
            ("2026-11-24T12:00:01Z", "not_the_alerts_pod"),
            ("yesterday", "identity_unproven"),
        ] {
            assert_eq!(answer(&pod(created), &subject(None, None), false), expected, "{created}");
        }
    }

    #[test]
    fn waits_for_a_pod_that_reports_no_containers_yet() {
        let mut fresh = pod("2026-11-24T11:00:00Z");
        fresh["status"] = json!({"phase": "Pending", "containerStatuses": [{"containerID": ""}]});
        assert_eq!(answer(&fresh, &subject(None, Some("ee97d9c4186f")), false), "not yet");
        assert_eq!(answer(&fresh, &subject(None, None), false), "identity_unproven");
    }

    #[test]
    fn says_which_name_an_alert_lacks() {
        let mut nothing = subject(None, None);
        assert_eq!(nothing.namespace().expect_err("none").check, Check::NoTarget);
        nothing.namespace = Some("x#".to_owned());
        nothing.pod = Some("../y".to_owned());
        assert_eq!(nothing.namespace().expect_err("invalid").check, Check::InvalidName);
        assert_eq!(nothing.pod().expect_err("invalid").check, Check::InvalidName);
    }
}
