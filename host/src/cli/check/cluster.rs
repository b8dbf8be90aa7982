//! `check --cluster`: what the account may do and may not, and which of the pods that are there each rule can reach.

use crate::access::reach::{self, Reached};
use crate::access::{needs, review};
use crate::ambient::Ambient;
use crate::cli::{Failure, settings};
use crate::cluster::{self, ApiError, ClusterSpec, Reader};
use crate::config::Config;
use crate::plugins::Plugins;
use crate::respond::rules;

pub async fn run(spec: &ClusterSpec, config: &Config, plugins: &Plugins) -> Result<(), Failure> {
    // What could change the cluster is dropped at once.
    let (reader, _) =
        cluster::connect(spec, &Ambient::system()).await.map_err(|error| Failure::Usage(error.to_string()))?;
    println!("cluster {spec}:");
    let unanswered = |error: ApiError| Failure::Runtime(format!("the cluster {spec} does not answer: {error}"));
    let missing = access(config, plugins, &reader).await.map_err(unanswered)?;
    print(&reach::reach(config, plugins, &reader).await.map_err(unanswered)?);
    let missing = match missing {
        0 => return Ok(()),
        1 => "one permission is".to_owned(),
        several => format!("{several} permissions are"),
    };
    Err(Failure::Runtime(format!(
        "{missing} missing in the cluster; `falco-response-controller rbac` prints the Roles to apply"
    )))
}

/// Answers with how many permissions are missing.
async fn access(config: &Config, plugins: &Plugins, reader: &Reader) -> Result<usize, ApiError> {
    // Actions without a plugin were refused before.
    let (needs, _) = needs::needs(config, plugins);
    let policy = rules::policy(config, &mut Vec::new());
    let review = review::review(&needs, &policy, &settings::own_namespace(), &reader.reviewer()).await?;
    for missing in &review.missing {
        println!("missing: the account {missing}");
    }
    for excess in &review.excess {
        println!("warning: the account {excess}");
    }
    if review.missing.is_empty() {
        println!("the account may do everything that the configuration needs ({} permissions)", needs.len());
    }
    Ok(review.missing.len())
}

fn print(reached: &Reached) {
    for (namespace, error) in &reached.unlisted {
        println!(
            "warning: the pods of {namespace} cannot be listed, so what rules reach there is not known; check as somebody \
             who may list them: {error}"
        );
    }
    // Of a rule none of whose namespaces could be looked at, nothing is known.
    let known = reached.rules.iter().filter(|rule| !rule.namespaces.is_empty() || reached.unlisted.is_empty());
    for rule in known {
        println!("{}{rule}", if rule.is_empty() { "warning: " } else { "" });
    }
    for obstacle in reached.obstacles.values() {
        let pods = if obstacle.pods == 1 { "1 pod is".to_owned() } else { format!("{} pods are", obstacle.pods) };
        println!("warning: {pods} out of reach: {}", obstacle.example);
    }
}
