//! Puts labels and annotations on the pod that the alert is about.

mod grammar;

use falco_response_sdk::prelude::*;

parameters! {
    pub struct Parameters {
        /// Labels to put on the pod.
        labels: BTreeMap<String, String> = BTreeMap::new(),
        /// Annotations to put on the pod.
        annotations: BTreeMap<String, String> = BTreeMap::new(),
    }
}

pub struct LabelPod;

impl Action for LabelPod {
    type Parameters = Parameters;
    const MANIFEST: Manifest = Manifest::new("label_pod", "Puts labels and annotations on the alert's pod.")
        .target(Target::Pods)
        .permissions(&[Permission::core(&["pods"], &[Verb::Patch], Scope::Target)])
        .repeatable();

    fn check(parameters: &Parameters) -> Vec<Problem> {
        if parameters.labels.is_empty() && parameters.annotations.is_empty() {
            return vec![Problem::new("", "nothing to do: give labels or annotations")];
        }
        let labels = parameters.labels.iter().filter_map(|(key, value)| grammar::label(key, value));
        let annotations = parameters.annotations.iter().filter_map(|(key, value)| grammar::annotation(key, value));
        labels.chain(annotations).collect()
    }

    fn run(request: &Request, parameters: Parameters, host: &Host) -> Result<Outcome, Failure> {
        let pod = request.target();
        let manifest = request.target_manifest()?;
        let mut metadata = Vec::new();
        for (kind, wanted) in [("labels", parameters.labels), ("annotations", parameters.annotations)] {
            let there = manifest.at(&["metadata", kind]);
            // What the pod has already need not be permitted.
            let missing: Vec<_> =
                wanted.into_iter().filter(|(key, value)| there.at(&[key]).as_str() != Some(value.as_str())).collect();
            if !missing.is_empty() {
                metadata.push((kind, object(missing.into_iter().map(|(key, value)| (key, Value::from(value))))));
            }
        }
        if metadata.is_empty() {
            return Ok(Outcome::skipped(["pod ", &pod.name, " bears them already"].concat()));
        }
        host.cluster().merge(&pod, &object([("metadata", object(metadata))]))?;
        Ok(Outcome::acted(["labelled pod ", &pod.name].concat()))
    }
}

export_action!(LabelPod);

#[cfg(test)]
mod tests;
