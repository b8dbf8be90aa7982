use falco_response_sdk::prelude::*;
use k8s_openapi::api::core::v1::Pod;

parameters! { pub struct Parameters { grace_period_seconds: u32 = 1 } }
pub struct Typed;
impl Action for Typed {
    type Parameters = Parameters;
    const MANIFEST: Manifest = Manifest::new("typed", "Deletes the pod that the alert is about.")
        .target(Target::Pods)
        .permissions(&[Permission::core(&["pods"], &[Verb::Delete], Scope::Target)])
        .repeatable();
    fn run(request: &Request, parameters: Parameters, host: &Host) -> Result<Outcome, Failure> {
        let pod: Pod = serde_json::from_str(&request.target_manifest()?.to_string()).map_err(|error| Failure::new(error.to_string()))?;
        let node = pod.spec.and_then(|spec| spec.node_name).unwrap_or_default();
        host.audit().note("node", &node);
        let options = DeleteOptions { grace_period_seconds: Some(parameters.grace_period_seconds), propagation: None };
        host.cluster().delete(&request.target(), options)?;
        Ok(Outcome::acted("deleted"))
    }
}
export_action!(Typed);
