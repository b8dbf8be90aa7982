//! What containers have printed. No object of a cluster holds it, so among the manifests it is a document of its own:
//!
//! ```yaml
//! apiVersion: simulated.falco-response/v1
//! kind: PodLog
//! metadata: {name: web-1, namespace: shop}
//! containers: {web: "GET /\n"}
//! ```

use std::collections::BTreeMap;

use serde_json::Value;

use super::http::Query;
use super::status::Failure;

const API_VERSION: &str = "simulated.falco-response/v1";
const KIND: &str = "PodLog";

/// By namespace, pod and container.
#[derive(Default)]
pub struct Logs(BTreeMap<(String, String, String), String>);

/// Whether a document is a log and no object.
pub fn is_log(document: &Value) -> bool {
    document["apiVersion"] == API_VERSION && document["kind"] == KIND
}

impl Logs {
    /// # Errors
    /// What the document lacks.
    pub fn read(&mut self, document: &Value) -> Result<(), String> {
        let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str);
        let pod = text("/metadata/name").ok_or("a PodLog without `metadata.name`")?;
        let namespace = text("/metadata/namespace").unwrap_or("default");
        let containers = document["containers"].as_object().ok_or("a PodLog needs `containers`, a text for each")?;
        for (container, log) in containers {
            let log = log.as_str().ok_or_else(|| format!("the log of `{container}` is no text"))?;
            self.0.insert((namespace.to_owned(), pod.to_owned(), container.clone()), log.to_owned());
        }
        Ok(())
    }

    /// As the API server and the pod's kubelet answer: an empty text where nothing was printed.
    pub fn answer(&self, pod: &Value, query: &Query) -> Result<String, Failure> {
        let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let name = text("/metadata/name");
        let container = container(pod, name, query.get("container"))?;
        let waiting = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"]
            .iter()
            .filter_map(|kind| pod["status"][kind].as_array())
            .flatten()
            .find(|status| status["name"] == container.as_str())
            .and_then(|status| status.pointer("/state/waiting"));
        if let Some(waiting) = waiting {
            let reason = waiting["reason"].as_str().unwrap_or("ContainerCreating");
            let why = format!("container \"{container}\" in pod \"{name}\" is waiting to start: {reason}");
            return Err(Failure::bad_request(why));
        }
        if query.is_true("previous") {
            let why = format!("previous terminated container \"{container}\" in pod \"{name}\" not found");
            return Err(Failure::bad_request(why));
        }
        let log = self.0.get(&(text("/metadata/namespace").to_owned(), name.to_owned(), container));
        let lines: Vec<&str> = log.map(String::as_str).unwrap_or_default().split_inclusive('\n').collect();
        let tail = query.get("tailLines").and_then(|lines| lines.parse().ok()).unwrap_or(usize::MAX);
        Ok(lines[lines.len().saturating_sub(tail)..].concat())
    }
}

/// The container that is meant, where the pod has it.
pub fn container(pod: &Value, name: &str, asked: Option<&str>) -> Result<String, Failure> {
    let of = |kind: &str| -> Vec<&str> {
        let containers = pod["spec"][kind].as_array().map(Vec::as_slice).unwrap_or_default();
        containers.iter().filter_map(|container| container["name"].as_str()).collect()
    };
    let own = of("containers");
    let all = [of("initContainers"), own.clone(), of("ephemeralContainers")].concat();
    match (asked, own.as_slice()) {
        (Some(asked), _) if all.contains(&asked) => Ok(asked.to_owned()),
        (Some(asked), _) => Err(Failure::bad_request(format!("container {asked} is not valid for pod {name}"))),
        (None, [only]) => Ok((*only).to_owned()),
        (None, _) => {
            let choice = all.join(" ");
            let why = format!("a container name must be specified for pod {name}, choose one of: [{choice}]");
            Err(Failure::bad_request(why))
        }
    }
}
