//! Keeps further pods away from the node on which the alert's pod runs; what runs there goes on.

use falco_response_sdk::prelude::*;

parameters! {
    pub struct Parameters {
        /// Let pods be scheduled there again, where this action had cordoned the node.
        uncordon: bool = false,
    }
}

/// Says who cordoned the node, and why; and so what may be undone.
const MARK: &str = "falco-response/cordoned";

pub struct CordonNode;

impl Action for CordonNode {
    type Parameters = Parameters;
    const MANIFEST: Manifest = Manifest::new("cordon_node", "Keeps further pods away from the alert's node.")
        .target(Target::Nodes)
        .permissions(&[Permission::core(&["nodes"], &[Verb::Patch], Scope::Target)])
        .pages()
        .repeatable();

    fn run(request: &Request, parameters: Parameters, host: &Host) -> Result<Outcome, Failure> {
        let node = request.target();
        let manifest = request.target_manifest()?;
        let cordoned = manifest.at(&["spec", "unschedulable"]).as_bool() == Some(true);
        let ours = !manifest.at(&["metadata", "annotations", MARK]).is_null();
        let named = |text: &str| ["node ", &node.name, text].concat();
        let (mark, said) = match (parameters.uncordon, cordoned) {
            (false, true) => return Ok(Outcome::skipped(named(" takes no further pods already"))),
            (false, false) => {
                let why = ["event ", &request.id(), ", rule ", &request.rule()].concat();
                (Value::from(why), named(" takes no further pods"))
            }
            (true, false) => return Ok(Outcome::skipped(named(" takes pods already"))),
            // Whoever else cordoned it knows why.
            (true, true) if !ours => return Ok(Outcome::skipped(named(" was cordoned by somebody else"))),
            (true, true) => (Value::Null, named(" takes pods again")),
        };
        let change = object([
            ("metadata", object([("annotations", object([(MARK, mark)]))])),
            ("spec", object([("unschedulable", Value::from(!parameters.uncordon))])),
        ]);
        host.cluster().merge(&node, &change)?;
        Ok(Outcome::acted(said))
    }
}

export_action!(CordonNode);

#[cfg(test)]
mod tests;
