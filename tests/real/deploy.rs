//! `deploy/` against the real API server: Helm's and Kustomize's own code renders it, strict field validation takes it,
//! and its pods are admitted where Pod Security is `restricted`. The namespace falco is this file's.

use std::path::{Path, PathBuf};
use std::process::Command;

use integration_tests::cluster::Cluster;
use integration_tests::manifests::{apply, difference, documents};
use integration_tests::{controller, render, root};
use serde_json::{Value, json};

use crate::lane::{cluster, is_running, pods, workloads};

const DEPLOYMENT: &str = "falco-response-controller";

fn deploy(path: &str) -> PathBuf {
    root().join("deploy").join(path)
}

/// The chart's documents with the base's values and these.
fn rendered(values: &str) -> Result<Vec<Value>, String> {
    let directory = tempfile::tempdir().unwrap();
    documents(&render::template(&[&deploy("base/values.yaml"), &written(&directory, values)])?)
}

fn written(directory: &tempfile::TempDir, values: &str) -> PathBuf {
    let file = directory.path().join("values.yaml");
    std::fs::write(&file, values).unwrap();
    file
}

fn is(document: &Value, kinds: &[&str]) -> bool {
    kinds.iter().any(|kind| document["kind"] == *kind)
}

#[test]
fn what_is_deployed_is_admitted_under_pod_security_restricted() {
    let Some(cluster) = cluster() else { return };
    for namespace in ["falco", "production", "staging"] {
        cluster.namespace(namespace).unwrap();
    }
    // Warnings come with the workload that the pods are made from, and `apply` refuses them.
    let level =
        json!({"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"});
    cluster.merge("/api/v1/namespaces/falco", &json!({"metadata": {"labels": level}})).unwrap();
    let token =
        json!({"metadata": {"name": "falco-response-token"}, "stringData": {"token": "a-token-of-more-than-16-bytes"}});
    cluster.create("/api/v1/namespaces/falco/secrets", &token).unwrap();

    apply(cluster, &render::kustomize(&deploy("")).unwrap(), "").unwrap();
    let path = format!("{}/{DEPLOYMENT}", workloads("falco", "deployments"));
    let deployment = cluster.until(&path, |deployment| deployment["status"]["readyReplicas"] == 2).unwrap();
    let list = cluster.get(&format!("{}?labelSelector=app%3D{DEPLOYMENT}", pods("falco"))).unwrap();
    assert!(list["items"].as_array().unwrap().iter().all(is_running), "{list}");

    // Again, and in the other forms: as the chart's own documents, and with a volume for each replica.
    apply(cluster, &render::template(&[&deploy("base/values.yaml")]).unwrap(), "").unwrap();
    apply(cluster, &render::kustomize(&deploy("overlays/statefulset")).unwrap(), "&dryRun=All").unwrap();

    each_restriction_is_needed(cluster, &deployment);
    let typo = std::fs::read_to_string(deploy("base/poddisruptionbudget.yaml")).unwrap();
    let refused = apply(cluster, &typo.replace("minAvailable", "minAvailabel"), "").unwrap_err();
    assert!(refused.contains("minAvailabel"), "{refused}");
}

/// The pod is admitted as it is, and refused with any of these taken out.
fn each_restriction_is_needed(cluster: &Cluster, deployment: &Value) {
    let template = &deployment["spec"]["template"];
    let pod = |spec: &Value| {
        let pod = json!({"metadata": {"name": "by-hand", "labels": template["metadata"]["labels"]}, "spec": spec});
        cluster.create(&format!("{}?dryRun=All", pods("falco")), &pod)
    };
    let spec = &template["spec"];
    pod(spec).unwrap();
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 5] = [
        ("runAsNonRoot", |spec| {
            for context in ["/securityContext", "/containers/0/securityContext", "/initContainers/0/securityContext"] {
                spec.pointer_mut(context).unwrap()["runAsNonRoot"] = json!(false);
            }
        }),
        ("seccompProfile", |spec| spec["securityContext"]["seccompProfile"] = Value::Null),
        ("allowPrivilegeEscalation", |spec| {
            spec["initContainers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true);
        }),
        ("capabilities", |spec| spec["containers"][0]["securityContext"]["capabilities"] = Value::Null),
        ("hostPath", |spec| {
            spec["volumes"].as_array_mut().unwrap().push(json!({"name": "x", "hostPath": {"path": "/"}}))
        }),
    ];
    for (what, change) in changes {
        let mut spec = spec.clone();
        change(&mut spec);
        let refused = pod(&spec).expect_err(what);
        assert!(
            refused.contains("403") && refused.contains("PodSecurity") && refused.contains(what),
            "{what}: {refused}"
        );
    }
}

#[test]
fn the_chart_mounts_what_actions_out_of_a_registry_need_and_nothing_of_it_without_them() {
    let Some(_) = cluster() else { return };
    let reference = format!("oci://registry.example.com/team/kill-pod@sha256:{}", "0".repeat(64));
    let plugins = format!(
        "plugins: {{pullSecret: registry, signersConfigMap: signers}}\nconfig: {{plugins: {{oci: [\"{reference}\"]}}}}"
    );
    let volumes = |values: &str| {
        let documents = rendered(values).unwrap();
        let workload = documents.iter().find(|document| is(document, &["Deployment"])).unwrap();
        workload["spec"]["template"]["spec"].clone()
    };
    let (with, without) = (volumes(&plugins), volumes(""));
    let sources = with["volumes"][0]["projected"]["sources"].as_array().unwrap();
    let secret = json!({"name": "registry", "items": [{"key": ".dockerconfigjson", "path": "pull-secret.json"}]});
    let signers = json!({"name": "signers", "items": [{"key": "cosign.pub", "path": "cosign.pub"}]});
    assert!(sources.iter().any(|source| source["secret"] == secret), "{sources:?}");
    assert!(sources.iter().any(|source| source["configMap"] == signers), "{sources:?}");
    // The root file system is read-only, and `check` leaves nothing in the cache.
    let mounts = with["initContainers"][0]["volumeMounts"].as_array().unwrap();
    assert!(mounts.iter().any(|mount| mount["mountPath"] == "/tmp"), "{mounts:?}");
    let nothing = without.to_string();
    assert!(!nothing.contains("/tmp") && !nothing.contains("pull-secret") && !nothing.contains("cosign"), "{nothing}");
}

#[test]
fn kustomize_makes_what_helm_does_and_the_namespace() {
    let Some(_) = cluster() else { return };
    for (directory, values) in [("", ""), ("overlays/statefulset", "journal: {persistent: true}")] {
        let mut ours = documents(&render::kustomize(&deploy(directory)).unwrap()).unwrap();
        ours.retain(|document| document["kind"] != "Namespace");
        assert_eq!(difference(&ours, &rendered(values).unwrap()), None, "{directory}");
        let workloads = ours.iter().filter(|document| is(document, &["Deployment", "StatefulSet"]));
        assert_eq!(workloads.count(), 1, "{directory}");
    }
}

/// Roles and policies of the chart are templates, those of `rbac` come of plugins' manifests: they must not part.
#[test]
fn the_charts_roles_and_policies_are_those_that_the_controller_prints() {
    let Some(_) = cluster() else { return };
    let one_action = "config: {rules: [{name: a, audit_reason: b, action: kill_pod}]}";
    let the_other = "config: {rules: [{name: a, audit_reason: b, action: isolate_namespace}]}";
    let nowhere = "config: {allowed_namespaces: []}";
    let narrowed = "config:
  dryrun: false
  allowed_namespaces: [shop, bank, kube-system, closed]
  denied_namespaces: [closed]
  protected_owners: [Rollout, Job]
  owner_kinds:
    - {apiVersion: argoproj.io/v1alpha1, kind: Rollout, plural: rollouts}
    - {apiVersion: example.com/v1, kind: Thing, plural: things, top_level: true}
    - {apiVersion: example.com/v1, kind: Other, plural: others}
  rules:
    - {name: a, audit_reason: b, action: kill_pod, namespaces: [bank]}
    - {name: c, audit_reason: d, namespaces: [shop, closed], actions: [{action: isolate_namespace}]}";
    for values in ["", one_action, the_other, nowhere, narrowed] {
        let chart = rendered(values).unwrap();
        let map = chart.iter().find(|document| document["kind"] == "ConfigMap").unwrap();
        let directory = tempfile::tempdir().unwrap();
        let config = written(&directory, map["data"]["config.yaml"].as_str().unwrap());
        let mut printed = printed(&config, &[]);
        printed.extend(self::printed(&config, &["--admission"]));
        let kinds = ["Role", "RoleBinding", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"];
        printed.retain(|document| document["kind"] != "ServiceAccount");
        let chart: Vec<Value> = chart.into_iter().filter(|document| is(document, &kinds)).collect();
        assert_eq!(difference(&chart, &printed), None, "{values}");
    }
}

fn printed(config: &Path, more: &[&str]) -> Vec<Value> {
    let mut command = Command::new(controller::binary().unwrap());
    command.arg("rbac").arg("--config").arg(config).arg("--plugins").arg(root().join("target/plugins")).args(more);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    documents(&String::from_utf8(output.stdout).unwrap()).unwrap()
}

#[test]
fn the_chart_refuses_what_it_cannot_mean() {
    let Some(_) = cluster() else { return };
    for (values, said) in [
        ("token: {existingSecret: ''}", "there is no default"),
        ("token: {existingSecret: '', value: short}", "shorter than 16 bytes"),
        ("token: {value: a-token-of-more-than-16-bytes}", "not both"),
        ("replica: 3", "'replica' not allowed"),
        ("journal: {presistent: true}", "'presistent' not allowed"),
        ("image: {digest: latest}", "/image/digest"),
        ("config: {rules: [{name: a, audit_reason: b, action: label_pod}]}", "what label_pod needs of the cluster"),
        (
            "{rbac: {create: false}, config: {rules: [{name: a, audit_reason: b, action: label_pod}]}}",
            "what label_pod may change",
        ),
        ("{rbac: {create: false}, config: {plugins: {grants: {kill_pod: [{}]}}}}", "what plugins.grants may change"),
    ] {
        let refused = rendered(values).expect_err(values);
        assert!(refused.contains(said), "{values}: {refused}");
    }
    let own = "{rbac: {create: false}, admissionPolicy: {create: false}, config: {rules: [{name: a, audit_reason: b, action: label_pod}]}}";
    assert!(!rendered(own).unwrap().iter().any(|document| is(document, &["Role", "ValidatingAdmissionPolicy"])));
}

#[test]
fn every_value_reaches_its_place_and_the_notes_say_what_is_missing() {
    let Some(cluster) = cluster() else { return };
    let values = "
token: {existingSecret: '', value: a-token-of-more-than-16-bytes}
journal: {persistent: true, storageClassName: fast, size: 5Gi}
podAntiAffinity: required
priorityClassName: system-cluster-critical
nodeSelector: {kind: quiet}
tolerations: [{key: quiet, operator: Exists}]
topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}]
podAnnotations: {note: here}
image: {repository: registry.example/x, digest: 'sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', pullSecrets: [{name: pull}]}
networkPolicy: {egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}
extraVolumes: [{name: keys, secret: {secretName: keys}}]
extraVolumeMounts: [{name: keys, mountPath: /secrets, readOnly: true}]
extraEnv: [{name: RUST_BACKTRACE, value: '1'}]
serviceAccount: {annotations: {note: here}}
rbac: {extraRules: [{apiGroups: [''], resources: [pods/log], verbs: [get]}]}
config: {dryrun: false, listen: '0.0.0.0:8081'}
";
    let directory = tempfile::tempdir().unwrap();
    let file = written(&directory, values);
    let files = [deploy("base/values.yaml"), file];
    let files = files.each_ref().map(PathBuf::as_path);
    let text = render::template(&files).unwrap();
    // Namespaces of its own: nothing of this is to be in the way of the others.
    let elsewhere = text.replace("namespace: falco\n", "namespace: values-falco\n");
    let elsewhere = elsewhere.replace("namespace: production\n", "namespace: values-falco\n");
    let elsewhere = elsewhere.replace("namespace: staging\n", "namespace: values-falco\n");
    cluster.namespace("values-falco").unwrap();
    apply(cluster, &elsewhere, "&dryRun=All&force=true").unwrap();
    let all = documents(&text).unwrap();
    let find = |kind: &str| all.iter().find(|document| document["kind"] == kind).unwrap();
    let pod = &find("StatefulSet")["spec"]["template"]["spec"];
    let controller = &pod["containers"][0];
    assert_eq!(controller["ports"][0]["containerPort"], 8081);
    assert!(controller["image"].as_str().unwrap().starts_with("registry.example/x@sha256:aaaa"));
    assert!(controller["env"].as_array().unwrap().contains(&json!({"name": "RUST_BACKTRACE", "value": "1"})));
    assert_eq!(pod["priorityClassName"], "system-cluster-critical");
    assert!(pod["affinity"]["podAntiAffinity"].get("requiredDuringSchedulingIgnoredDuringExecution").is_some());
    assert_eq!(pod["topologySpreadConstraints"][0]["labelSelector"], json!({"matchLabels": {"app": DEPLOYMENT}}));
    let claim = &find("StatefulSet")["spec"]["volumeClaimTemplates"][0]["spec"];
    assert_eq!(
        (claim["storageClassName"].as_str(), claim["resources"]["requests"]["storage"].as_str()),
        (Some("fast"), Some("5Gi"))
    );
    assert_eq!(find("Secret")["stringData"]["token"], "a-token-of-more-than-16-bytes");
    assert_eq!(find("NetworkPolicy")["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    let notes = render::notes(&files).unwrap();
    for said in ["LIVE: the controller acts in production, staging.", "config.audit names no Graylog", "names nobody"] {
        assert!(notes.contains(said), "{notes}");
    }
    assert!(render::notes(&[&deploy("base/values.yaml")]).unwrap().starts_with("Dry run:"));
}
