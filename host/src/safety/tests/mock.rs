//! The SDK's mock refuses what the controller would refuse for want of a declaration, and nothing else: an action that
//! passes its author's tests is not surprised by the first alert.

use falco_response_sdk as sdk;
use sdk::mock::{Mock, Operation};
use sdk::prelude::{Action, Failure, Host, Manifest, Outcome, Request, Target, kinds, parameters};

use super::*;
use crate::plugins::manifest;
use crate::safety::permissions::{Call, Reach};

parameters! {
    struct Parameters {
        /// Which function of the host.
        operation: u32 = 0,
        /// Which of [`objects`].
        object: u32 = 0,
    }
}

/// Makes the one call that its parameters name.
struct Probe;

const OPERATIONS: [Operation; 9] = [
    Operation::Get,
    Operation::Query,
    Operation::Create,
    Operation::Apply,
    Operation::Patch,
    Operation::Delete,
    Operation::Evict,
    Operation::Logs,
    Operation::Exec,
];

impl Action for Probe {
    type Parameters = Parameters;
    const MANIFEST: Manifest = Manifest::new("probe", "Makes one call.").target(Target::Pods).permissions(&[
        sdk::Permission::core(&["pods"], &[sdk::Verb::Get, sdk::Verb::Patch, sdk::Verb::Delete], sdk::Scope::Target),
        sdk::Permission::core(&["pods/eviction", "pods/exec"], &[sdk::Verb::Create], sdk::Scope::Target),
        sdk::Permission::core(&["pods/log"], &[sdk::Verb::Get], sdk::Scope::Namespace),
        sdk::Permission::core(&["pods"], &[sdk::Verb::List], sdk::Scope::Namespace),
        sdk::Permission::core(&["nodes"], &[sdk::Verb::Get], sdk::Scope::Node),
        sdk::Permission::new(
            &["apps"],
            &["deployments", "deployments/scale"],
            &[sdk::Verb::Get, sdk::Verb::Patch],
            sdk::Scope::Owners,
        ),
        sdk::Permission::core(&["configmaps"], &[sdk::Verb::Create, sdk::Verb::Patch], sdk::Scope::Namespace)
            .named(&["new"]),
        sdk::Permission::core(&["configmaps"], &[sdk::Verb::Patch], sdk::Scope::Namespace).named(&["there", "absent"]),
        sdk::Permission::core(&["secrets"], &[sdk::Verb::Get], sdk::Scope::Cluster).named(&["there"]),
    ]);

    fn run(_: &Request, parameters: Parameters, host: &Host) -> Result<Outcome, Failure> {
        let object = objects().swap_remove(parameters.object as usize);
        let (cluster, kind) = (host.cluster(), object.resource.clone());
        let document = sdk::json::object([("metadata", sdk::json::object([("name", object.name.as_str().into())]))]);
        match OPERATIONS[parameters.operation as usize] {
            Operation::Get => drop(cluster.get(&object)?),
            Operation::Query => {
                let selection = sdk::Selection { namespace: object.namespace.clone(), ..sdk::Selection::default() };
                drop(cluster.query(kind, &selection)?);
            }
            Operation::Create => drop(cluster.create(kind, object.namespace.as_deref(), &document)?),
            Operation::Apply => drop(cluster.apply(&object, &document)?),
            Operation::Patch => drop(cluster.merge(&object, &document)?),
            Operation::Delete => cluster.delete(&object, sdk::DeleteOptions::default())?,
            Operation::Evict => cluster.evict(&object, None)?,
            Operation::Logs => drop(cluster.logs(&object, &sdk::LogOptions::default())?),
            Operation::Exec => drop(host.exec().run(&object, &sdk::Command::new(&["true"]))?),
        }
        Ok(Outcome::acted("called"))
    }
}

const FIELDS: &[sdk::Field] = <Parameters as sdk::Parameters>::FIELDS;
const LENGTH: usize = sdk::manifest::render::render::<0>(&Probe::MANIFEST, FIELDS).len;
const BYTES: [u8; LENGTH] = sdk::manifest::render::render::<LENGTH>(&Probe::MANIFEST, FIELDS).bytes;

fn objects() -> Vec<sdk::ObjectRef> {
    let scale = sdk::Kind::new("apps", "v1", "deployments/scale");
    let mut objects = Vec::new();
    for (kind, name) in [
        (kinds::PODS, "target"),
        (kinds::PODS, "other"),
        (sdk::Kind::new("", "v9", "pods"), "target"),
        (sdk::Kind::new("metrics.k8s.io", "v1", "pods"), "target"),
        (kinds::DEPLOYMENTS, "web"),
        (kinds::DEPLOYMENTS, "other"),
        (sdk::Kind::new("apps", "v1beta1", "deployments"), "web"),
        (scale, "web"),
        (scale, "other"),
        (kinds::DAEMON_SETS, "web"),
        (kinds::CONFIG_MAPS, "new"),
        (kinds::CONFIG_MAPS, "there"),
        (kinds::CONFIG_MAPS, "absent"),
        (kinds::SECRETS, "there"),
        (kinds::SECRETS, "other"),
        (kinds::NODES, "n1"),
    ] {
        for namespace in ["production", "staging"] {
            objects.push(kind.in_namespace(namespace, name));
        }
        objects.push(kind.cluster_wide(name));
    }
    objects.push(kinds::NODES.cluster_wide("n2"));
    objects
}

/// The cluster of [`MANIFESTS`], as far as it matters.
fn mock() -> Mock {
    let node = sdk::json::Value::parse(r#"{"spec":{"nodeName":"n1"}}"#).expect("JSON");
    let target = kinds::PODS.in_namespace("production", "target");
    let mut mock = Mock::on(target.clone())
        .owned_by("Deployment", kinds::DEPLOYMENTS.in_namespace("production", "web"))
        .with_object(&target, node);
    for object in
        objects().iter().filter(|object| object.name != "absent" && object.name != "new" && object.name != "target")
    {
        mock = mock.with_object(object, sdk::json::object::<&str>([]));
    }
    mock
}

fn refused_by_mock(operation: usize, object: usize) -> bool {
    let parameters = format!(r#"{{"operation":{operation},"object":{object}}}"#);
    match mock().with_parameters(&parameters).run::<Probe>() {
        Err(failure) => {
            failure.message.contains("the manifest does not declare")
                || failure.message.contains("only pods are evicted")
                || failure.message.contains("in the target pod alone")
        }
        Ok(_) => false,
    }
}

/// What the controller says to the same call, of an action to which everything is granted.
async fn refused_by_host(run: &Run, operation: Operation, object: &sdk::ObjectRef) -> bool {
    let parsed = ApiResource::parse(&object.resource.group, &object.resource.version, &object.resource.plural);
    let resource = parsed.expect("valid");
    let with = |subresource| ApiResource::pods().with_subresource(subresource);
    let exists = object.name != "absent" && object.name != "new";
    let (resource, verbs): (_, &[Verb]) = match operation {
        Operation::Get => (resource, &[Verb::Get]),
        Operation::Query => (resource, &[Verb::List]),
        Operation::Create => (resource, &[Verb::Create]),
        Operation::Apply if exists => (resource, &[Verb::Patch]),
        Operation::Apply => (resource, &[Verb::Patch, Verb::Create]),
        Operation::Patch => (resource, &[Verb::Patch]),
        Operation::Delete => (resource, &[Verb::Delete]),
        Operation::Evict if resource != ApiResource::pods() => return true,
        Operation::Evict => (with(crate::cluster::names::Subresource::Eviction), &[Verb::Create]),
        Operation::Logs => (with(crate::cluster::names::Subresource::Log), &[Verb::Get]),
        Operation::Exec if resource != ApiResource::pods() => return true,
        Operation::Exec => (with(crate::cluster::names::Subresource::Exec), &[Verb::Create]),
    };
    let namespace = object.namespace.as_deref().map(|name| Namespace::parse(name).expect("valid"));
    let name = (operation != Operation::Query).then(|| ObjectName::parse(&object.name).expect("valid"));
    let reach: Reach = run.reach(&resource, namespace.as_ref(), name.as_ref());
    verbs.iter().any(|verb| {
        let call = Call {
            verb: *verb,
            resource: &resource,
            name: name.as_ref(),
            reach,
            metadata_only: false,
            touched: None,
            manifest: None,
            current: &Value::Null,
            force: false,
        };
        let answer = run.bounds.permissions.permit("probe", &call);
        answer.is_err_and(|refusal| refusal.detail.contains("does not declare"))
    })
}

#[tokio::test]
async fn the_mock_refuses_what_the_controller_refuses() {
    let declared = manifest::parse(&BYTES).expect("a manifest that the controller takes").permissions;
    assert_eq!(declared.len(), Probe::MANIFEST.permissions.len());
    let stage = stage();
    let run = stage.run(Permissions { declared, granted: Vec::new() }, true).await;
    let (mut refused, mut asked) = (0, 0);
    for (operation, called) in OPERATIONS.into_iter().enumerate() {
        for (index, object) in objects().iter().enumerate() {
            let expected = refused_by_host(&run, called, object).await;
            assert_eq!(refused_by_mock(operation, index), expected, "{called:?} {object:?}");
            refused += usize::from(expected);
            asked += 1;
        }
    }
    assert!(refused > 300 && asked - refused > 12, "{refused} of {asked}");
}

/// Verbs, scopes and targets are written down twice, and rendered by one and read by the other.
#[test]
fn the_sdks_words_are_the_controllers() {
    use manifest::Target as Ours;
    for (theirs, ours) in [
        (Target::Pods, Ours::Pods),
        (Target::Namespaces, Ours::Namespaces),
        (Target::Nodes, Ours::Nodes),
        (Target::None, Ours::None),
    ] {
        assert_eq!(format!("{theirs:?}"), format!("{ours:?}"));
    }
    let verbs = [sdk::Verb::Get, sdk::Verb::List, sdk::Verb::Create, sdk::Verb::Patch, sdk::Verb::Delete];
    assert_eq!(verbs.map(|verb| format!("{verb:?}")), EVERY_VERB.map(|verb| format!("{verb:?}")));
    let scopes = [sdk::Scope::Target, sdk::Scope::Owners, sdk::Scope::Namespace, sdk::Scope::Node, sdk::Scope::Cluster];
    let ours = [Scope::Target, Scope::Owners, Scope::Namespace, Scope::Node, Scope::Cluster];
    assert_eq!(scopes.map(|scope| format!("{scope:?}")), ours.map(|scope| format!("{scope:?}")));
}
