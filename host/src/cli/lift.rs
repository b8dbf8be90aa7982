//! `lift`: a person takes an isolation back. It is recorded like any action, and touches nothing that is not ours.
//!
//! It runs beside the controller, on its journal: without a journal nothing is lifted. What keeps the controller from acting
//! (a dry run, the file `stop`, a namespace that is not its business) keeps this from it, too, and says what else there is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Failure, delivery, settings};
use crate::ambient::Ambient;
use crate::cluster::names::{ApiResource, Namespace, ObjectName, ObjectRef, Uid};
use crate::cluster::owners::OwnerKinds;
use crate::cluster::{self, Reader, uid_str};
use crate::config::Config;
use crate::journal::Store;
use crate::respond::lift::{Ledger, Lifted, Lifter, Subject, Why};
use crate::respond::{Destinations, outcome::Outcome, rules};
use crate::safety::checks;
use crate::safety::gate::Gate;
use crate::safety::isolation::{Expiry, Isolation};
use crate::safety::policy::{Policy, RuleScope};

/// Where the image's configuration is mounted.
const DEPLOYED: &str = "/etc/falco-response/config.yaml";
const LONGEST_REASON: usize = 4096;
const LONGEST_NAME: usize = 256;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The namespace whose isolation is lifted.
    #[arg(long, value_name = "NAME", value_parser = Namespace::parse)]
    namespace: Namespace,
    /// Only of this pod: the labels come off by which policies of ours select it. The policies stay.
    #[arg(long, value_name = "POD", value_parser = ObjectName::parse, conflicts_with = "policy")]
    pod: Option<ObjectName>,
    /// Only this policy [default: every one of ours in the namespace].
    #[arg(long, value_name = "NAME", value_parser = ObjectName::parse)]
    policy: Option<ObjectName>,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT", default_value = "isolation lifted by hand")]
    reason: String,
    /// Who says so [default: $USER]. Not proven by anything.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// The journal; beats the configuration's.
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// The configuration [default: the image's, where it is].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// simulated:DIR, kubeconfig[:FILE] or in-cluster.
    #[arg(long, value_name = "SPEC")]
    cluster: Option<String>,
    /// Say what would be lifted. Nothing is changed or recorded.
    #[arg(long)]
    dry_run: bool,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let deployed = || Some(PathBuf::from(DEPLOYED)).filter(|path| arguments.journal.is_none() && path.exists());
    let config_path = arguments.config.clone().or_else(deployed);
    let config = config_path.as_deref().map(settings::load).transpose()?;
    let why = why(&arguments)?;
    let namespace = &arguments.namespace;
    let policy = policy(config.as_ref(), namespace)?;
    checks::namespace(namespace, &policy, &RuleScope::default())
        .map_err(|refusal| not_here(&format!("{}: the controller lifts nothing there", refusal.detail), namespace))?;
    let ambient = Ambient::system();
    let ledger = if arguments.dry_run { None } else { Some(open(&arguments, config.as_ref(), &ambient)?) };
    let spec = settings::cluster(arguments.cluster.as_deref())?;
    let (reader, writer) =
        cluster::connect(&spec, &ambient).await.map_err(|error| Failure::Usage(error.to_string()))?;
    let cluster_name = match &config {
        _ if reader.is_simulated() => "simulated".to_owned(),
        Some(config) => config.cluster_name.clone(),
        None => String::new(),
    };
    let gate = Gate::new(reader.clone(), writer, ambient.clone(), config_path.as_deref().map(settings::stop_file));
    if let Some(why) = braked(config.as_ref(), &gate).filter(|_| !arguments.dry_run) {
        return Err(not_here(&why, namespace));
    }
    let Some((ledger, journal)) = ledger else {
        let subjects = subjects(&arguments, &reader).await?;
        subjects.iter().for_each(|subject| println!("would lift {}", described(subject)));
        return Ok(());
    };
    let lifter = Lifter {
        gate,
        ledger,
        ambient: ambient.clone(),
        destinations: destinations(config.as_ref(), &cluster_name, &ambient)?,
        policy: Arc::new(policy),
        cluster_name,
        config_sha256: config.as_ref().map(|config| config.sha256.clone()),
        rules: config.iter().flat_map(|config| &config.rules).map(|rule| rule.name.clone()).collect(),
    };
    let mut not_lifted = Vec::new();
    for subject in subjects(&arguments, &reader).await? {
        let name = described(&subject);
        let lifted = lifter.lift(&subject, &why, false).await;
        match lifted.map_err(|error| Failure::Runtime(format!("{name}: what was done cannot be recorded: {error}")))? {
            Lifted::Recorded { outcome: Outcome::Done | Outcome::AlreadyGone | Outcome::Skipped, detail, entry } => {
                let entry = entry.get("entry_id").and_then(serde_json::Value::as_str).unwrap_or("-");
                println!("lifted {name}: {detail}; recorded as {entry} in {}", journal.display());
            }
            Lifted::Recorded { detail, .. } | Lifted::AnotherWasFirst(detail) | Lifted::NotNow(detail) => {
                not_lifted.push(format!("{name} was not lifted: {detail}"));
            }
        }
    }
    if not_lifted.is_empty() { Ok(()) } else { Err(Failure::Runtime(not_lifted.join("\n"))) }
}

fn why(arguments: &Arguments) -> Result<Why, Failure> {
    let reason = arguments.reason.trim();
    if reason.is_empty() || reason.len() > LONGEST_REASON {
        return Err(Failure::Usage(format!("a reason has 1 to {LONGEST_REASON} bytes, not {}", reason.len())));
    }
    let by = arguments.by.clone().or_else(|| std::env::var("USER").ok()).unwrap_or_default();
    match by.trim() {
        "" => Err(Failure::Usage("nobody is named: give --by NAME".to_owned())),
        by if by.len() > LONGEST_NAME => Err(Failure::Usage(format!("a name has {LONGEST_NAME} bytes at most"))),
        by => Ok(Why::Asked { by: by.to_owned(), reason: reason.to_owned() }),
    }
}

/// Without a configuration it is the caller's own credentials that say where.
fn policy(config: Option<&Config>, namespace: &Namespace) -> Result<Policy, Failure> {
    let Some(config) = config else {
        return Ok(Policy {
            allowed_namespaces: BTreeSet::from([namespace.clone()]),
            denied_namespaces: BTreeSet::new(),
            protected_owners: BTreeSet::new(),
            owner_kinds: OwnerKinds::default(),
            strict_identity: false,
            max_alert_age: std::time::Duration::ZERO,
            max_clock_skew: std::time::Duration::ZERO,
        });
    };
    let mut problems = Vec::new();
    let policy = rules::policy(config, &mut problems);
    match problems.first() {
        None => Ok(policy),
        Some(problem) => Err(Failure::Usage(format!("{}: {}", config.path.display(), problem.message))),
    }
}

/// What stands in the way, and the way that is left.
fn not_here(why: &str, namespace: &Namespace) -> Failure {
    Failure::Runtime(format!(
        "{why}; what is ours there, whoever may delete it lifts without a record of ours: \
         kubectl delete networkpolicy -n {namespace} -l app.kubernetes.io/managed-by=falco-response-controller"
    ))
}

fn braked(config: Option<&Config>, gate: &Gate) -> Option<String> {
    let dry =
        config.filter(|config| config.dryrun).map(|_| "the configuration does not say `dryrun: false`".to_owned());
    dry.or_else(|| gate.braked())
}

/// No record, no change: the journal is there before anything else is asked.
fn open(arguments: &Arguments, config: Option<&Config>, ambient: &Ambient) -> Result<(Ledger, PathBuf), Failure> {
    let path = arguments.journal.clone().or_else(|| config.map(|config| config.journal.clone()));
    let path = path.ok_or_else(|| {
        Failure::Usage("nothing is lifted unrecorded: give --journal FILE or --config FILE".to_owned())
    })?;
    // One that only the configuration names is the controller's own, and not here where the controller is not.
    if arguments.journal.is_none() && !path.exists() {
        return Err(Failure::Runtime(no_journal(&path)));
    }
    let store = Store::open(&path, ambient)
        .map_err(|error| Failure::Runtime(format!("nothing is lifted unrecorded: {error}")))?;
    Ok((Ledger::store(store), path))
}

fn no_journal(path: &Path) -> String {
    format!(
        "nothing is lifted unrecorded, and there is no journal at {}: run it where the controller runs (kubectl exec -n \
         falco deploy/falco-response-controller -- falco-response-controller lift …), or name a file with --journal",
        path.display()
    )
}

fn destinations(config: Option<&Config>, cluster_name: &str, ambient: &Ambient) -> Result<Destinations, Failure> {
    let Some(config) = config else { return Ok(Destinations::default()) };
    let channels = delivery::channels(config, cluster_name, ambient);
    let (_, destinations) = channels.map_err(|error| Failure::Usage(format!("{}: {error}", config.path.display())))?;
    Ok(destinations)
}

/// What is to be lifted; there is something.
async fn subjects(arguments: &Arguments, reader: &Reader) -> Result<Vec<Subject>, Failure> {
    let namespace = &arguments.namespace;
    if let Some(name) = &arguments.policy {
        return Ok(vec![one_policy(namespace, name, reader).await?]);
    }
    let found = crate::respond::lift::find(reader, namespace)
        .await
        .map_err(|error| Failure::Runtime(format!("the policies in {namespace} cannot be listed: {error}")))?;
    let (ours, others): (Vec<_>, Vec<_>) = found.into_iter().partition(|(_, found)| found.is_ok());
    let ours: Vec<_> = ours.into_iter().filter_map(|(_, found)| found.ok()).collect();
    for (name, why) in others.iter().filter_map(|(name, found)| Some((name, found.as_ref().err()?))) {
        eprintln!("{name} {why}; it was left as it is");
    }
    if let Some(pod) = &arguments.pod {
        return Ok(vec![one_pod(namespace, pod, ours, reader).await?]);
    }
    if ours.is_empty() {
        return Err(Failure::Runtime(format!("there is no isolation of ours in {namespace}")));
    }
    Ok(ours.into_iter().map(Subject::Policy).collect())
}

async fn one_policy(namespace: &Namespace, name: &ObjectName, reader: &Reader) -> Result<Subject, Failure> {
    let resource = crate::safety::isolation::policies();
    let object = ObjectRef { resource, namespace: Some(namespace.clone()), name: name.clone(), uid: None };
    let found = reader.get(&object).await.map_err(|error| {
        Failure::Runtime(match error.is_not_found() {
            true => format!("there is no policy {name} in {namespace}"),
            false => format!("the policy {name} in {namespace} cannot be read: {error}"),
        })
    })?;
    let isolation = Isolation::read(&found)
        .map_err(|why| Failure::Runtime(format!("{namespace}/{name} {why}; it was left as it is")))?;
    Ok(Subject::Policy(isolation))
}

async fn one_pod(
    namespace: &Namespace,
    name: &ObjectName,
    ours: Vec<Isolation>,
    reader: &Reader,
) -> Result<Subject, Failure> {
    let object =
        ObjectRef { resource: ApiResource::pods(), namespace: Some(namespace.clone()), name: name.clone(), uid: None };
    let pod = reader
        .get(&object)
        .await
        .map_err(|error| Failure::Runtime(format!("the pod {namespace}/{name} cannot be read: {error}")))?;
    let uid = uid_str(&pod).and_then(|uid| Uid::parse(uid).ok());
    let bears = |label: &str, value: &str| {
        pod.pointer("/metadata/labels").and_then(|labels| labels.get(label)).and_then(|found| found.as_str())
            == Some(value)
    };
    let selects = ours.iter().flat_map(|isolation| &isolation.selects);
    let labels: BTreeSet<_> =
        selects.filter(|(label, value)| bears(label, value)).map(|(label, _)| label.clone()).collect();
    let holds = |isolation: &Isolation| isolation.selects.iter().any(|(label, _)| labels.contains(label));
    match ours.into_iter().find(holds) {
        Some(isolation) => {
            let labels = labels.into_iter().collect();
            Ok(Subject::Pod { pod: ObjectRef { uid, ..object }, labels, isolation })
        }
        None => Err(Failure::Runtime(format!(
            "no policy of ours selects the pod {namespace}/{name} by a label; where its namespace is isolated, leave out --pod"
        ))),
    }
}

/// In the host's words, and the rule's name as it stands there.
fn described(subject: &Subject) -> String {
    let isolation = subject.isolation();
    let rule = isolation.rule.as_ref().map(|rule| format!(", rule {rule:?}")).unwrap_or_default();
    let ends = match &isolation.expiry {
        Expiry::At(at) => format!("lasts until {at}"),
        Expiry::Never => "lasts until it is lifted".to_owned(),
        Expiry::Unreadable(_) => "lasts until it is lifted, since its expiry is no time".to_owned(),
    };
    match subject {
        Subject::Policy(isolation) | Subject::Rest(isolation) => {
            format!("{}/{} ({ends}{rule})", isolation.namespace, isolation.policy.name)
        }
        Subject::Pod { pod, labels, .. } => {
            format!("pod {}/{} ({}{rule})", isolation.namespace, pod.name, labels.join(", "))
        }
    }
}
