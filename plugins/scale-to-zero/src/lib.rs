//! Scales the workload behind the alert's pod to nothing: its top controller, and so none of its pods is left.

use falco_response_sdk::Owner;
use falco_response_sdk::prelude::*;

parameters! {
    pub struct Parameters {}
}

/// Holds what undoes it, on the object itself.
const MARK: &str = "falco-response/replicas-before";

pub struct ScaleToZero;

impl Action for ScaleToZero {
    type Parameters = Parameters;
    const MANIFEST: Manifest = Manifest::new("scale_to_zero", "Scales the workload behind the alert's pod to nothing.")
        .target(Target::Pods)
        .permissions(&[
            Permission::new(&["apps"], &["deployments", "replicasets", "statefulsets"], BOTH, Scope::Owners),
            Permission::core(&["replicationcontrollers"], BOTH, Scope::Owners),
            Permission::new(&["batch"], &["jobs", "cronjobs"], BOTH, Scope::Owners),
            Permission::new(&["argoproj.io"], &["rollouts"], BOTH, Scope::Owners),
        ])
        .pages()
        .repeatable();

    fn run(request: &Request, _: Parameters, host: &Host) -> Result<Outcome, Failure> {
        let mut owners = request.owners();
        let Some(top) = owners.pop() else {
            return Ok(Outcome::skipped("nothing controls the pod, so there is nothing to scale"));
        };
        let name = [&top.kind, "/", &top.object.name].concat();
        if !is_batch(&top) {
            return scale(host, &top, &name);
        }
        // A CronJob starts no more Jobs; the Job that runs has to be stopped by itself.
        let mut changed = suspend(host, &top)?;
        for job in owners.iter().rev().filter(|owner| is_batch(owner)) {
            changed |= suspend(host, job)?;
        }
        Ok(if changed {
            Outcome::acted([&name, " is suspended"].concat())
        } else {
            Outcome::skipped([&name, " is suspended already"].concat())
        })
    }
}

const BOTH: &[Verb] = &[Verb::Get, Verb::Patch];

fn is_batch(owner: &Owner) -> bool {
    owner.object.resource.group == "batch"
}

fn scale(host: &Host, owner: &Owner, name: &str) -> Result<Outcome, Failure> {
    let found = host.cluster().get(&owner.object)?;
    // What Kubernetes takes for a number that is not given.
    let before = found.at(&["spec", "replicas"]).as_i64().unwrap_or(1);
    if before == 0 {
        return Ok(Outcome::skipped([name, " has no replicas already"].concat()));
    }
    let before = before.to_string();
    host.audit().note("replicas_before", &before);
    let change = object([
        ("metadata", object([("annotations", object([(MARK, Value::from(before.as_str()))]))])),
        ("spec", object([("replicas", Value::from(0_u32))])),
    ]);
    host.cluster().merge(&owner.object, &change)?;
    Ok(Outcome::acted([name, " had ", &before, " replicas and has none now"].concat()))
}

/// Whether it was not so before.
fn suspend(host: &Host, owner: &Owner) -> Result<bool, Failure> {
    let found = host.cluster().get(&owner.object)?;
    if found.at(&["spec", "suspend"]).as_bool() == Some(true) {
        return Ok(false);
    }
    host.cluster().merge(&owner.object, &object([("spec", object([("suspend", Value::from(true))]))]))?;
    Ok(true)
}

export_action!(ScaleToZero);

#[cfg(test)]
mod tests;
