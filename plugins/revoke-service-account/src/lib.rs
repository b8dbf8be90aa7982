//! Takes the rights of the alert's pod's ServiceAccount away: deletes the RoleBindings in its namespace that name it.
//!
//! What is deleted is kept whole with the audit entry before anything is deleted, so that it can be brought back.

use falco_response_sdk::prelude::*;

parameters! {
    pub struct Parameters {
        /// Also of the account `default`, which every pod runs as that names none.
        default_account: bool = false,
        /// Also delete bindings that name others beside the account: these lose their rights, too.
        shared: bool = false,
        /// Look for ClusterRoleBindings that name the account, which are not deleted. Needs a grant.
        cluster_wide: bool = false,
    }
}

const ROLE_BINDINGS: Kind = Kind::new("rbac.authorization.k8s.io", "v1", "rolebindings");
const CLUSTER_ROLE_BINDINGS: Kind = Kind::new("rbac.authorization.k8s.io", "v1", "clusterrolebindings");
const DEFAULT: &str = "default";

pub struct RevokeServiceAccount;

impl Action for RevokeServiceAccount {
    type Parameters = Parameters;
    const MANIFEST: Manifest =
        Manifest::new("revoke_service_account", "Deletes the RoleBindings of the alert's pod's ServiceAccount.")
            .target(Target::Pods)
            .permissions(&[
                Permission::new(
                    &["rbac.authorization.k8s.io"],
                    &["rolebindings"],
                    &[Verb::List, Verb::Delete],
                    Scope::Namespace,
                ),
                Permission::new(
                    &["rbac.authorization.k8s.io"],
                    &["clusterrolebindings"],
                    &[Verb::List],
                    Scope::Cluster,
                ),
            ])
            .pages()
            .repeatable();

    fn run(request: &Request, parameters: Parameters, host: &Host) -> Result<Outcome, Failure> {
        let pod = request.target();
        let manifest = request.target_manifest()?;
        let account = Account {
            namespace: pod.namespace.as_deref().unwrap_or_default(),
            name: manifest.at(&["spec", "serviceAccountName"]).as_str().unwrap_or(DEFAULT),
        };
        if account.name == DEFAULT && !parameters.default_account {
            return Ok(Outcome::skipped("the pod runs as the account default, which others may run as too"));
        }
        let bindings = host.cluster().query(ROLE_BINDINGS, &Selection::in_namespace(account.namespace))?;
        let (mut doomed, mut left) = (Vec::new(), Vec::new());
        for binding in bindings.iter().filter(|binding| account.is_among(binding)) {
            if account.is_alone_in(binding) || parameters.shared {
                doomed.push(binding);
            } else {
                left.push(["RoleBinding ", name_of(binding), " (names others as well)"].concat());
            }
        }
        if parameters.cluster_wide {
            let all = host.cluster().query(CLUSTER_ROLE_BINDINGS, &Selection::default())?;
            let bound = all.iter().filter(|binding| account.is_among(binding));
            left.extend(bound.map(|binding| ["ClusterRoleBinding ", name_of(binding)].concat()));
        }
        if !left.is_empty() {
            host.audit().note("left", &left.join(", "));
        }
        let whose = ["ServiceAccount ", account.namespace, "/", account.name].concat();
        let but =
            if left.is_empty() { String::new() } else { [", and ", &left.len().to_string(), " are left"].concat() };
        if doomed.is_empty() {
            return Ok(Outcome::skipped(["no RoleBinding of ", &whose, " to delete", &but].concat()));
        }
        let kept = kept(&doomed).to_string();
        host.audit().attach("rolebindings.json", "application/json", kept.as_bytes()).map_err(|why| Failure {
            message: ["nothing was deleted, since the bindings could not be kept: ", &why].concat(),
            retry: false,
        })?;
        let mut deleted = Vec::new();
        for binding in &doomed {
            let uid = binding.at(&["metadata", "uid"]).as_str().map(ToOwned::to_owned);
            let object = ObjectRef { uid, ..ROLE_BINDINGS.in_namespace(account.namespace, name_of(binding)) };
            match host.cluster().delete(&object, DeleteOptions::default()) {
                Ok(()) => deleted.push(name_of(binding)),
                Err(error) if error.reason == Reason::NotFound => {}
                Err(error) => {
                    host.audit().note("deleted", &deleted.join(", "));
                    return Err(Failure::from(error).context("not all of the bindings were deleted"));
                }
            }
        }
        host.audit().note("deleted", &deleted.join(", "));
        let count = deleted.len().to_string();
        Ok(Outcome::acted(["deleted ", &count, " RoleBindings of ", &whose, &but].concat()))
    }
}

struct Account<'a> {
    namespace: &'a str,
    name: &'a str,
}

impl Account<'_> {
    fn is(&self, subject: &Value) -> bool {
        let text = |key: &str| subject.at(&[key]).as_str().unwrap_or_default();
        text("kind") == "ServiceAccount" && (text("namespace"), text("name")) == (self.namespace, self.name)
    }

    fn is_among(&self, binding: &Value) -> bool {
        binding.at(&["subjects"]).items().iter().any(|subject| self.is(subject))
    }

    fn is_alone_in(&self, binding: &Value) -> bool {
        binding.at(&["subjects"]).items().iter().all(|subject| self.is(subject))
    }
}

fn name_of(binding: &Value) -> &str {
    binding.at(&["metadata", "name"]).as_str().unwrap_or_default()
}

/// As `kubectl apply -f` takes them: without what the API server gives anew.
fn kept(bindings: &[&Value]) -> Value {
    let one = |binding: &&Value| {
        let metadata = ["name", "namespace", "labels", "annotations"]
            .into_iter()
            .map(|key| (key, binding.at(&["metadata", key]).clone()))
            .filter(|(_, value)| !value.is_null());
        object([
            ("apiVersion", Value::from("rbac.authorization.k8s.io/v1")),
            ("kind", Value::from("RoleBinding")),
            ("metadata", object(metadata)),
            ("roleRef", binding.at(&["roleRef"]).clone()),
            ("subjects", binding.at(&["subjects"]).clone()),
        ])
    };
    object([("apiVersion", "v1".into()), ("kind", "List".into()), ("items", array(bindings.iter().map(one)))])
}

export_action!(RevokeServiceAccount);

#[cfg(test)]
mod tests;
