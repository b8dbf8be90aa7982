//! What `deploy/` ships, as far as no Kubernetes is needed to judge it: the controller itself reads the configuration, its
//! `rbac` prints the same Roles and policies, and what goes to Falco, Falcosidekick and Graylog is of the form they take.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use integration_tests::manifests::{difference, documents};
use integration_tests::{alerts, controller, image, receiver, root};
use serde_json::{Value, json};

use crate::house::Plan;

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join("deploy").join(path)).unwrap_or_else(|error| panic!("deploy/{path}: {error}"))
}

/// The configuration of the Kustomize base, which is the chart's default.
fn config() -> String {
    let map = documents(&read("base/configmap.yaml")).unwrap().remove(0);
    assert_eq!(map["metadata"]["name"], "response-controller-config");
    map["data"]["config.yaml"].as_str().unwrap().to_owned()
}

fn controller(config: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(controller::binary().unwrap());
    command.args(arguments).arg("--config").arg(config).arg("--plugins").arg(root().join("target/plugins"));
    command.output().unwrap()
}

fn written(directory: &tempfile::TempDir, text: &str) -> PathBuf {
    let file = directory.path().join("config.yaml");
    std::fs::write(&file, text).unwrap();
    file
}

#[test]
fn the_configuration_passes_check_and_is_a_dry_run() {
    let directory = tempfile::tempdir().unwrap();
    let output = controller(&written(&directory, &config()), &["check"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("3 rules, dry run; acts in: production, staging"), "{said}");
}

#[test]
fn its_roles_and_policies_are_those_that_the_controller_prints() {
    let directory = tempfile::tempdir().unwrap();
    let file = written(&directory, &config());
    for (template, arguments) in [("rbac", &["rbac"][..]), ("admission", &["rbac", "--admission"])] {
        let output = controller(&file, arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut printed = documents(&String::from_utf8(output.stdout).unwrap()).unwrap();
        // The chart's has labels, and says that no pod gets a token unasked.
        printed.retain(|document| document["kind"] != "ServiceAccount");
        let shipped = documents(&read(&format!("base/{template}.yaml"))).unwrap();
        assert!(shipped.len() >= 4, "{template}: {} documents", shipped.len());
        assert_eq!(difference(&shipped, &printed), None, "{template}");
    }
}

#[test]
fn the_pods_are_the_images_user_and_look_where_the_image_has_things() {
    let deployment = documents(&read("base/deployment.yaml")).unwrap().remove(0);
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsUser"], image::USER);
    assert_eq!(deployment["spec"]["replicas"], 2);
    let containerfile = read("Containerfile");
    assert!(containerfile.contains(&format!("USER {0}:{0}\n", image::USER)));
    assert!(containerfile.contains(&format!("ENTRYPOINT [\"/{}\"]\n", image::BINARY)));
    let mounts = |container: &Value| -> BTreeSet<String> {
        let mounts = container["volumeMounts"].as_array().unwrap().iter();
        mounts.map(|mount| mount["mountPath"].as_str().unwrap().trim_start_matches('/').to_owned()).collect()
    };
    let both = BTreeSet::from([image::SETTINGS.to_owned(), image::DATA.to_owned()]);
    assert_eq!(mounts(&pod["containers"][0]), both);
    assert_eq!(mounts(&pod["initContainers"][0]), BTreeSet::from([image::SETTINGS.to_owned()]));
}

#[test]
fn the_base_has_two_replicas_apart_that_are_probed_bounded_and_hard_to_reach() {
    let one = |file: &str| documents(&read(&format!("base/{file}.yaml"))).unwrap().remove(0);
    let selector = json!({"matchLabels": {"app": "falco-response-controller"}});
    let deployment = one("deployment");
    assert_eq!((&deployment["metadata"]["namespace"], &deployment["spec"]["replicas"]), (&json!("falco"), &json!(2)));
    assert_eq!(deployment["spec"]["selector"], selector);
    let pod = &deployment["spec"]["template"]["spec"];
    let apart = &pod["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"][0];
    assert_eq!(apart["podAffinityTerm"], json!({"topologyKey": "kubernetes.io/hostname", "labelSelector": selector}));
    assert_eq!(pod["terminationGracePeriodSeconds"], 60);
    let (check, serve) = (&pod["initContainers"][0], &pod["containers"][0]);
    assert_eq!((&check["args"][0], &serve["args"][0]), (&json!("check"), &json!("serve")));
    for container in [check, serve] {
        for bound in ["/resources/requests/cpu", "/resources/requests/memory", "/resources/limits/memory"] {
            assert!(container.pointer(bound).is_some_and(Value::is_string), "{bound}: {container}");
        }
        let context = &container["securityContext"];
        assert_eq!(
            (&context["readOnlyRootFilesystem"], &context["allowPrivilegeEscalation"]),
            (&json!(true), &json!(false))
        );
        assert_eq!((&context["runAsNonRoot"], &context["capabilities"]), (&json!(true), &json!({"drop": ["ALL"]})));
    }
    assert_eq!(pod["securityContext"]["seccompProfile"], json!({"type": "RuntimeDefault"}));
    let probed = |probe: &str| serve[probe]["httpGet"]["path"].as_str().unwrap_or_default();
    // Readiness does not bring a restart, and no restart helps against what readiness asks.
    assert_eq!(["startupProbe", "livenessProbe", "readinessProbe"].map(probed), ["/healthz", "/healthz", "/readyz"]);
    let volumes = pod["volumes"].as_array().unwrap();
    assert!(volumes.iter().any(|volume| volume["name"] == "journal" && volume["emptyDir"].is_object()), "{volumes:?}");
    assert_eq!(one("poddisruptionbudget")["spec"], json!({"minAvailable": 1, "selector": selector}));
    let service = one("service");
    assert_eq!(service["spec"]["ports"], json!([{"name": "alerts", "port": 8080, "targetPort": "alerts"}]));
    assert_eq!(serve["ports"][0], json!({"name": "alerts", "containerPort": 8080}));
    let fence = one("networkpolicy")["spec"].clone();
    assert_eq!((&fence["podSelector"], &fence["policyTypes"]), (&selector, &json!(["Ingress"])));
    let namespace = |name: &str| json!({"matchLabels": {"kubernetes.io/metadata.name": name}});
    let sidekick = json!({"matchLabels": {"app.kubernetes.io/name": "falcosidekick"}});
    let alerts = json!([{"namespaceSelector": namespace("falco"), "podSelector": sidekick}]);
    let metrics = json!([{"namespaceSelector": namespace("monitoring")}]);
    let ingress = json!([
        {"from": alerts, "ports": [{"port": "alerts"}]},
        {"from": metrics, "ports": [{"port": "metrics"}]},
    ]);
    assert_eq!(fence["ingress"], ingress);
    let persistent = documents(&read("overlays/statefulset/statefulset.yaml")).unwrap().remove(0);
    assert_eq!(persistent["spec"]["volumeClaimTemplates"][0]["metadata"]["name"], "journal");
    let secrets = std::fs::read_dir(root().join("deploy/base")).unwrap().map(|entry| entry.unwrap().path());
    let has_secret = |file: PathBuf| std::fs::read_to_string(file).unwrap().contains("kind: Secret\n");
    assert!(!secrets.into_iter().any(has_secret), "a token that everybody knows");
}

#[test]
fn falcos_rules_are_those_of_the_configuration_and_name_the_pod() {
    let rules = documents(&read("falco/rules.yaml")).unwrap().remove(0);
    let rules: Vec<&Value> = rules.as_array().unwrap().iter().filter(|item| item.get("rule").is_some()).collect();
    let names: BTreeSet<&str> = rules.iter().map(|rule| rule["rule"].as_str().unwrap()).collect();
    assert_eq!(names, BTreeSet::from([alerts::MINER, alerts::DATABASE_SHELL, alerts::POOL]));
    let config = documents(&config()).unwrap().remove(0);
    let configured: BTreeSet<&str> =
        config["rules"].as_array().unwrap().iter().map(|rule| rule["name"].as_str().unwrap()).collect();
    assert_eq!(names, configured);
    for rule in rules {
        for key in ["desc", "condition", "output", "priority", "tags"] {
            assert!(rule.get(key).is_some(), "{key} is missing in {rule}");
        }
        let output = rule["output"].as_str().unwrap();
        for field in ["%k8s.ns.name ", "%k8s.pod.name ", "%k8s.pod.uid ", "%container.id "] {
            assert!(format!("{output} ").replace('\n', " ").contains(field), "{field} is missing in {output}");
        }
        assert_eq!(rule["priority"], "CRITICAL");
        let tags = rule["tags"].as_array().unwrap();
        assert!(tags.contains(&"autoresponse".into()), "{tags:?}");
        assert!(tags.iter().all(Value::is_string), "Falco takes plain words only: {tags:?}");
    }
}

#[test]
fn falcosidekick_sends_the_header_in_the_form_that_arrives() {
    let values = documents(&read("falcosidekick/values.yaml")).unwrap().remove(0);
    let webhook = &values["config"]["webhook"];
    assert_eq!(webhook["address"], "http://falco-response-controller.falco.svc.cluster.local:8080/alert");
    assert_eq!(webhook["minimumpriority"], "critical");
    // Another key, or another type, and the chart or Falcosidekick drops the header without a word.
    assert!(webhook.get("customheaders").is_none() && webhook.get("maxconcurrentrequests").is_none());
    let environment = values["config"]["extraEnv"].as_array().unwrap();
    let position = |name: &str| environment.iter().position(|one| one["name"] == name).unwrap();
    let (token, header) = (position("FALCO_RESPONSE_TOKEN"), position("WEBHOOK_CUSTOMHEADERS"));
    // Kubernetes fills in only what was defined before.
    assert!(token < header);
    assert_eq!(environment[header]["value"], "X-Falco-Token:$(FALCO_RESPONSE_TOKEN)");
    let secret = documents(&read("base/values.yaml")).unwrap().remove(0)["token"]["existingSecret"].clone();
    assert_eq!(environment[token]["valueFrom"]["secretKeyRef"]["name"], secret);
    assert_eq!(environment[position("WEBHOOK_MAXCONCURRENTREQUESTS")]["value"], "8");
}

/// What the content pack's values are wrapped in.
fn plain<'a>(value: &'a Value, place: &str) -> &'a Value {
    assert!(value["@type"].is_string(), "{place}: {value}");
    &value["@value"]
}

#[test]
fn graylogs_content_pack_is_whole() {
    let pack: Value = serde_json::from_str(&read("graylog/content-pack.json")).unwrap();
    assert_eq!((pack["v"].as_str(), pack["rev"].as_u64()), (Some("1"), Some(1)));
    let entities = pack["entities"].as_array().unwrap();
    let ids: BTreeSet<&str> = entities.iter().chain([&pack]).map(|entity| entity["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), entities.len() + 1, "ids are unique");
    let of_kind = |kind: &str| -> Vec<&Value> {
        entities.iter().filter(|one| one["type"]["name"] == kind).map(|one| &one["data"]).collect()
    };
    assert_eq!(of_kind("input").len() + of_kind("stream").len(), entities.len());
    let [input] = of_kind("input")[..] else { panic!("one input") };
    assert_eq!(plain(&input["type"], "type"), "org.graylog2.inputs.gelf.http.GELFHttpInput");
    let parameters = pack["parameters"].as_array().unwrap();
    let port = &input["configuration"]["port"];
    assert_eq!(port["@type"], "parameter");
    assert!(parameters.iter().any(|parameter| parameter["name"] == port["@value"]), "{port}");
    for stream in of_kind("stream") {
        for key in ["title", "description", "disabled", "matching_type", "default_stream", "remove_matches"] {
            plain(&stream[key], key);
        }
        assert_eq!(plain(&stream["matching_type"], "matching_type"), "AND");
    }
}

/// Each record that the controller ships is in the one stream that is for it.
#[test]
fn every_shipped_record_matches_one_stream() {
    let pack: Value = serde_json::from_str(&read("graylog/content-pack.json")).unwrap();
    let entities = pack["entities"].as_array().unwrap();
    let streams: Vec<&Value> =
        entities.iter().filter(|one| one["type"]["name"] == "stream").map(|one| &one["data"]).collect();
    let graylog = receiver::Receiver::start(202).unwrap();
    let house = Plan::new().and(&format!("audit: {{graylog: {{url: \"http://{}/gelf\"}}}}\n", graylog.address)).start();
    let killed = alerts::about(alerts::MINER, "production", "checkout-7d9f4b-xkp2m");
    let entry = house.record_of(&killed);
    house.wait_for_followup(&entry);
    house.record_of(&alerts::about(alerts::MINER, "production", "no-such-pod"));
    // Stopping ships what is left.
    assert_eq!(house.controller.terminate().unwrap(), Some(0));
    let mut found = BTreeSet::new();
    for message in graylog.taken().into_iter().map(|one| one.body) {
        // Graylog stores `_x` as `x`.
        let holds = |rule: &Value| {
            assert_eq!(plain(&rule["type"], "type"), "EXACT");
            let field = format!("_{}", plain(&rule["field"], "field").as_str().unwrap());
            let sent = message.get(&field).unwrap_or_else(|| panic!("{field} is in no message: {message}"));
            sent == plain(&rule["value"], "value")
        };
        let into = streams.iter().filter(|stream| stream["stream_rules"].as_array().unwrap().iter().all(holds));
        let titles: Vec<&str> = into.map(|stream| plain(&stream["title"], "title").as_str().unwrap()).collect();
        assert_eq!(titles, [message["_log_type"].as_str().unwrap()]);
        found.extend(titles.into_iter().map(str::to_owned));
    }
    let all = streams.iter().map(|stream| plain(&stream["title"], "title").as_str().unwrap().to_owned()).collect();
    assert_eq!(found, all, "a stream that nothing goes to");
}
