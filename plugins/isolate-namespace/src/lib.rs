//! Cuts the egress of a namespace with one NetworkPolicy, and says how far that reaches.

mod policy;

use falco_response_sdk::prelude::*;

parameters! {
    pub struct Parameters {}
}

pub struct IsolateNamespace;

/// What the policy of that name is before the action touches it.
enum Found {
    Nothing,
    Ours,
    OursAndComplete,
    SomeoneElses,
}

impl Action for IsolateNamespace {
    type Parameters = Parameters;
    const MANIFEST: Manifest = Manifest::new(
        "isolate_namespace",
        "Forbids every pod of the alert's namespace all egress, by a NetworkPolicy.",
    )
    .target(Target::Namespaces)
    .permissions(&[
        Permission::new(
            &["networking.k8s.io"],
            &["networkpolicies"],
            &[Verb::Get, Verb::Create, Verb::Patch],
            Scope::Namespace,
        )
        .named(&[policy::NAME]),
        Permission::new(&["networking.k8s.io"], &["networkpolicies"], &[Verb::List], Scope::Namespace),
    ])
    .pages()
    .repeatable();

    fn run(request: &Request, _: Parameters, host: &Host) -> Result<Outcome, Failure> {
        let namespace = request.target().name;
        let object = kinds::NETWORK_POLICIES.in_namespace(&namespace, policy::NAME);
        let outcome = match find(host, &object)? {
            Found::SomeoneElses => {
                // The controller refuses this, and so has the conflict on record in its own words.
                isolate(host, &object, &namespace)?;
                return Err(Failure::new(
                    "a NetworkPolicy falco-emergency-isolation is there that the controller did not make; it was not overwritten",
                ));
            }
            Found::OursAndComplete => {
                // Applied all the same: the controller puts off the time at which it ends, where there is one.
                isolate(host, &object, &namespace)?;
                Outcome::skipped(["namespace ", &namespace, " is isolated already"].concat())
            }
            Found::Nothing | Found::Ours => {
                isolate(host, &object, &namespace)?;
                Outcome::acted(["isolated namespace ", &namespace].concat())
            }
        };
        note_reach(host, &namespace);
        Ok(outcome)
    }
}

fn find(host: &Host, object: &ObjectRef) -> Result<Found, Failure> {
    match host.cluster().get(object) {
        Err(error) if error.reason == Reason::NotFound => Ok(Found::Nothing),
        Err(error) => Err(Failure::from(error).context("cannot read the namespace's isolation")),
        Ok(found) if !policy::is_ours(&found) => Ok(Found::SomeoneElses),
        Ok(found) if policy::isolates(&found) => Ok(Found::OursAndComplete),
        Ok(_) => Ok(Found::Ours),
    }
}

/// Never by force: who changed the policy since meant something by it, and the person on call decides.
fn isolate(host: &Host, object: &ObjectRef, namespace: &str) -> Result<(), Failure> {
    let document = policy::document(namespace);
    let applied = host.cluster().apply(object, &document).map_err(|error| match error.reason {
        Reason::Conflict => Failure::from(error)
            .context("someone else changed the isolation policy, and it was not overwritten by force"),
        _ => Failure::from(error).context("cannot apply the isolation policy"),
    })?;
    // An admission webhook may have made something else of it.
    if policy::isolates(&applied) {
        Ok(())
    } else {
        Err(Failure::new("the policy was applied, but the cluster made another of it: egress is not all forbidden"))
    }
}

/// Whether other policies leave egress open. Not knowing does not undo the isolation, so it fails nothing.
fn note_reach(host: &Host, namespace: &str) {
    let policies = match host.cluster().query(kinds::NETWORK_POLICIES, &Selection::in_namespace(namespace)) {
        Ok(policies) => policies,
        Err(error) => {
            host.audit().note("isolation_unverified", &error.message);
            return;
        }
    };
    let others: Vec<&str> = policies
        .iter()
        .filter(|policy| policy::allows_egress(policy))
        .map(|policy| policy.at(&["metadata", "name"]).as_str().unwrap_or("?"))
        .filter(|name| *name != policy::NAME)
        .collect();
    if others.is_empty() {
        host.audit().note("isolation", "full");
    } else {
        host.audit().note("isolation", "partial");
        host.audit().note("isolation_partial_because", &others.join(", "));
    }
}

export_action!(IsolateNamespace);

#[cfg(test)]
mod tests;
