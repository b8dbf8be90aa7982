//! Actions out of a real registry; the cluster is the simulation.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use integration_tests::alerts::{self, MINER};
use integration_tests::controller::{Controller, Setup, binary};
use integration_tests::registry::{self, Doors, Registry};
use integration_tests::{http, root};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::house::{House, Plan};

const WITHIN: Duration = Duration::from_secs(30);

pub fn component(name: &str) -> PathBuf {
    root().join("target/plugins").join(format!("{name}.wasm"))
}

pub fn plugin(arguments: &[&str]) -> Output {
    Command::new(binary().unwrap()).arg("plugin").args(arguments).output().unwrap()
}

pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Pushes an action, and answers with the line for the configuration.
pub fn push(address: SocketAddr, name: &str, more: &[&str]) -> String {
    let (file, to) = (component(name), format!("oci://{address}/team/{name}:v1"));
    let output = plugin(&[&["push", file.to_str().unwrap(), &to][..], more].concat());
    assert!(output.status.success(), "{}", said(&output));
    let reference = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    assert!(reference.starts_with(&format!("oci://{address}/team/{name}@sha256:")), "{reference}");
    reference
}

/// The demo's controller, with kill_pod from elsewhere.
pub fn plan(plugins: &str) -> Plan {
    Plan::new().and(&format!("plugins: {plugins}"))
}

pub fn setup(plan: &Plan) -> Setup {
    let setup = plan.setup();
    std::fs::remove_file(setup.plugins.join("kill_pod.wasm")).unwrap();
    setup
}

pub fn start(plan: Plan) -> House {
    House { controller: Controller::start(&setup(&plan)).unwrap(), plan }
}

/// The same one again, after it ended.
fn again(house: House) -> House {
    let House { controller, plan } = house;
    drop(controller);
    start(plan)
}

pub fn check(plan: &Plan) -> Output {
    let setup = setup(plan);
    let mut command = Command::new(binary().unwrap());
    command.arg("check").arg("--config").arg(setup.config).arg("--plugins").arg(setup.plugins).output().unwrap()
}

pub fn kills(house: &House, pod: &str) {
    let record = house.record_of(&alerts::about(MINER, "production", pod));
    assert_eq!(record["outcome"], "done", "{record}\n{}", house.controller.text());
}

fn wait_for_line(house: &House, hint: &str) -> Value {
    let has = |line: &Value| line["message"].as_str().is_some_and(|message| message.contains(hint));
    let found = house.controller.wait_for(0, WITHIN, has);
    found.unwrap_or_else(|| panic!("no line with {hint:?}; the log:\n{}", house.controller.text()))
}

/// Until the plugin is loaded, and the rules are joined with it.
fn wait_for_rules(house: &House) {
    let deadline = Instant::now() + WITHIN;
    loop {
        let ready = http::get(house.controller.address, "/readyz").unwrap();
        if ready.body.contains("\"rules_without_plugin\":[]") {
            return;
        }
        assert!(Instant::now() < deadline, "{}\n{}", ready.body, house.controller.text());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The file in which the registry keeps a blob of this content.
fn blob(registry: &Registry, content: &[u8]) -> PathBuf {
    let hex: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    let file = registry.data().join("docker/registry/v2/blobs/sha256").join(&hex[..2]).join(&hex).join("data");
    assert!(file.is_file(), "{}", file.display());
    file
}

#[test]
fn an_action_out_of_a_registry_acts_and_needs_the_registry_only_once() {
    let Some(mut registry) = registry::start(&Doors::Open) else { return };
    let reference = push(registry.address, "kill_pod", &[]);
    assert_eq!(push(registry.address, "kill_pod", &[]), reference, "the same file is the same artifact");
    let house = start(plan(&format!("{{oci: [\"{reference}\"]}}")));
    let loaded = wait_for_line(&house, "plugin loaded");
    let of_it = |line: &Value| line["message"] == "plugin loaded" && line["file"] == reference.as_str();
    assert!(house.controller.wait_for(0, WITHIN, of_it).is_some(), "{loaded}");
    kills(&house, "debug");
    registry.kill();
    let house = again(house);
    kills(&house, "debug");
}

#[test]
fn a_tag_is_resolved_for_people_and_not_taken_from_a_configuration() {
    let Some(registry) = registry::start(&Doors::Open) else { return };
    let reference = push(registry.address, "kill_pod", &[]);
    let tagged = format!("oci://{}/team/kill_pod:v1", registry.address);
    let inspected = plugin(&["inspect", &tagged]);
    assert!(said(&inspected).starts_with(&reference) && said(&inspected).contains("kill_pod"), "{}", said(&inspected));
    let output = check(&plan(&format!("{{oci: [\"{tagged}\"]}}")));
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains(&format!("plugin inspect {tagged}")), "{}", said(&output));
    let output = check(&plan(&format!("{{oci: [\"{reference}\"]}}")));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains(&format!("plugin kill_pod from {reference}")), "{}", said(&output));
}

#[test]
fn a_registry_that_is_away_keeps_nobody_from_starting_and_is_asked_until_it_answers() {
    let Some(mut registry) = registry::start(&Doors::Open) else { return };
    let reference = push(registry.address, "kill_pod", &[]);
    registry.kill();
    let house = start(plan(&format!("{{oci: [\"{reference}\"]}}")));
    let ready = http::get(house.controller.address, "/readyz").unwrap();
    assert_eq!(ready.status, 200);
    assert!(ready.body.contains(MINER) && ready.body.contains("is not at hand"), "{}", ready.body);
    let record = house.record_of(&alerts::about(MINER, "production", "debug"));
    assert_eq!(record["decision"], "plugin_unavailable", "{record}");
    registry.restart().unwrap();
    wait_for_rules(&house);
    kills(&house, "debug");
    let warnings = house.controller.text().matches("an action cannot be fetched").count();
    assert!(warnings < 3, "not with every try: {}", house.controller.text());
}

/// Passes on what it gets, until it is told to break off in the middle of something larger.
struct Between {
    address: SocketAddr,
    breaks: Arc<AtomicBool>,
}

impl Between {
    fn start(to: SocketAddr, broken: impl Fn() + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (breaks, broken) = (Arc::new(AtomicBool::new(true)), Arc::new(broken));
        let told = Arc::clone(&breaks);
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(to) else { continue };
                let (told, broken) = (Arc::clone(&told), Arc::clone(&broken));
                let (mut from, mut into) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                std::thread::spawn(move || drop(std::io::copy(&mut from, &mut into)));
                std::thread::spawn(move || answers(far, near, &told, broken.as_ref()));
            }
        });
        Self { address, breaks }
    }
}

fn answers(mut far: TcpStream, mut near: TcpStream, breaks: &AtomicBool, broken: &dyn Fn()) {
    let (mut passed, mut piece) = (0, [0; 1024]);
    while let Ok(length) = far.read(&mut piece)
        && length > 0
    {
        passed += length;
        if passed > 10_000 && breaks.load(Ordering::SeqCst) {
            broken();
            break;
        }
        if near.write_all(&piece[..length]).is_err() {
            break;
        }
    }
    // Either may be closed already.
    let _ = near.shutdown(std::net::Shutdown::Both);
    let _ = far.shutdown(std::net::Shutdown::Both);
}

#[test]
fn a_registry_that_is_killed_while_it_answers_leaves_nothing_half_done() {
    let Some(registry) = registry::start(&Doors::Open) else { return };
    let address = registry.address;
    let reference = push(address, "kill_pod", &[]);
    let registry = Arc::new(Mutex::new(registry));
    let killed = Arc::clone(&registry);
    let between = Between::start(address, move || killed.lock().unwrap().kill());
    let reference = reference.replace(&address.to_string(), &between.address.to_string());
    let house = start(plan(&format!("{{oci: [\"{reference}\"]}}")));
    let line = wait_for_line(&house, "an action cannot be fetched");
    assert!(line["message"].as_str().unwrap().contains("the answer broke off"), "{line}");
    let kept = house.plan.path().join("plugin-cache/oci/blobs/sha256");
    assert_eq!(std::fs::read_dir(kept).unwrap().count(), 0);
    between.breaks.store(false, Ordering::SeqCst);
    registry.lock().unwrap().restart().unwrap();
    wait_for_rules(&house);
    kills(&house, "debug");
}

#[test]
fn what_the_registry_has_spoiled_or_does_not_have_is_not_loaded() {
    let Some(registry) = registry::start(&Doors::Open) else { return };
    let reference = push(registry.address, "kill_pod", &[]);
    let (name, _) = reference.split_once('@').unwrap();
    let other = format!("{name}@sha256:{}", "0".repeat(64));
    let output = check(&plan(&format!("{{oci: [\"{other}\"]}}")));
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("answers 404 (MANIFEST_UNKNOWN)"), "{}", said(&output));
    let content = std::fs::read(component("kill_pod")).unwrap();
    let file = blob(&registry, &content);
    let mut spoiled = content.clone();
    spoiled[1000] ^= 1;
    std::fs::write(&file, spoiled).unwrap();
    let output = check(&plan(&format!("{{oci: [\"{reference}\"]}}")));
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("is not that"), "{}", said(&output));
}

#[test]
fn another_configuration_brings_another_action_and_waits_for_a_registry_that_is_away() {
    let Some(mut registry) = registry::start(&Doors::Open) else { return };
    let (kill, label) = (push(registry.address, "kill_pod", &[]), push(registry.address, "label_pod", &[]));
    let house = start(plan(&format!("{{oci: [\"{kill}\"]}}")));
    kills(&house, "debug");
    registry.kill();
    let config = house.plan.path().join("config.yaml");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replace(&format!("\"{kill}\""), &format!("\"{kill}\", \"{label}\"")).replacen(
        "action: kill_pod",
        "action: label_pod\n    parameters: {labels: {falco-response/seen: \"yes\"}}",
        1,
    );
    std::fs::write(&config, text).unwrap();
    let wait = |change: &str| {
        let found = house.controller.wait_for(0, WITHIN, |line| line["change"] == change);
        found.unwrap_or_else(|| panic!("no {change}; the log:\n{}", house.controller.text()))
    };
    // It would take the plugin away from a rule that has one.
    let rejected = wait("rejected");
    assert!(rejected.to_string().contains("is not at hand"), "{rejected}");
    kills(&house, "checkout-7d9f4b-q8r5t");
    registry.restart().unwrap();
    wait("reload");
    let record = house.record_of(&alerts::about(MINER, "production", "checkout-7d9f4b-xkp2m"));
    assert_eq!((&record["action"], &record["outcome"]), (&"label_pod".into(), &"done".into()), "{record}");
}

/// Signs as `cosign` does.
struct Signer(EcdsaKeyPair);

impl Signer {
    fn new() -> Self {
        let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_ASN1_SIGNING);
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self(EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).unwrap())
    }

    fn public_key(&self, dir: &Path) -> PathBuf {
        let head = BASE64_STANDARD.decode("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE").unwrap();
        // The head in base64 ends with the first byte of the key.
        let info = [&head[..26], self.0.public_key().as_ref()].concat();
        let file = dir.join("cosign.pub");
        let text = BASE64_STANDARD.encode(info);
        std::fs::write(&file, format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")).unwrap();
        file
    }

    fn sign(&self, message: &[u8]) -> String {
        BASE64_STANDARD.encode(self.0.sign(&SystemRandom::new(), message).unwrap())
    }

    /// Puts a signature where `cosign` would.
    fn attach(&self, address: SocketAddr, reference: &str) {
        let (name, digest) = reference.split_once('@').unwrap();
        let name = name.strip_prefix(&format!("oci://{address}/")).unwrap();
        let image = json!({"docker-manifest-digest": digest});
        let identity = json!({"docker-reference": name});
        let kind = "cosign container image signature";
        let payload = json!({"critical": {"identity": identity, "image": image, "type": kind}, "optional": null});
        let payload = payload.to_string();
        let kind = "application/vnd.dev.cosign.simplesigning.v1+json";
        let mut layer = upload(address, name, kind, payload.as_bytes());
        layer["annotations"] = json!({"dev.cosignproject.cosign/signature": self.sign(payload.as_bytes())});
        let config = upload(address, name, "application/vnd.oci.image.config.v1+json", b"{}");
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer]}).to_string();
        let path = format!("/v2/{name}/manifests/{}.sig", digest.replace(':', "-"));
        let answer = http::send(address, "PUT", &path, &format!("Content-Type: {kind}\r\n"), manifest.as_bytes());
        assert_eq!(answer.unwrap().status, 201);
    }
}

/// A blob, and its descriptor.
fn upload(address: SocketAddr, name: &str, kind: &str, content: &[u8]) -> Value {
    let hex: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    let start = http::send(address, "POST", &format!("/v2/{name}/blobs/uploads/"), "", b"").unwrap();
    let location = start.head.lines().find_map(|line| line.strip_prefix("Location: ")).expect("a place").trim();
    let path = location.strip_prefix(&format!("http://{address}")).unwrap_or(location);
    let separator = if path.contains('?') { '&' } else { '?' };
    let path = format!("{path}{separator}digest=sha256:{hex}");
    assert_eq!(http::send(address, "PUT", &path, "", content).unwrap().status, 201);
    json!({"mediaType": kind, "digest": format!("sha256:{hex}"), "size": content.len()})
}

#[test]
fn what_has_to_be_signed_is_taken_only_signed_from_the_registry_and_from_a_mirror_without_a_network() {
    let Some(mut registry) = registry::start(&Doors::Open) else { return };
    let reference = push(registry.address, "kill_pod", &[]);
    let (signer, stranger) = (Signer::new(), Signer::new());
    let dir = tempfile::tempdir().unwrap();
    let (key, mirror) = (signer.public_key(dir.path()), dir.path().join("mirror"));
    let isolate = root().join("target/plugins/isolate_namespace.wasm");
    let signature = signer.sign(&std::fs::read(&isolate).unwrap());
    let mut plugins = format!("{{oci: [\"{reference}\"], signed_by: [{}]}}", key.display());
    let checked = |plugins: &str, signature: Option<&str>| {
        let plan = plan(plugins);
        let beside = setup(&plan).plugins.join("isolate_namespace.wasm.sig");
        if let Some(signature) = signature {
            std::fs::write(beside, signature).unwrap();
        }
        let output = check(&plan);
        (output.status.code(), said(&output))
    };
    let (code, text) = checked(&plugins, None);
    assert_eq!(code, Some(2));
    assert!(
        text.contains("is not at hand: is not signed") && text.contains("isolate_namespace.wasm: is not signed"),
        "{text}"
    );
    stranger.attach(registry.address, &reference);
    let (code, text) = checked(&plugins, Some(&stranger.sign(b"x")));
    assert_eq!(code, Some(2));
    assert!(text.contains("is not by a key of") && text.contains("is no signature of this file"), "{text}");
    signer.attach(registry.address, &reference);
    let (code, text) = checked(&plugins, Some(&signature));
    assert_eq!(code, Some(0), "{text}");
    // And the same for those without a network.
    let plan = plan(&plugins);
    let config = setup(&plan).config;
    let pulled = plugin(&["pull", "--config", config.to_str().unwrap(), "--to", mirror.to_str().unwrap()]);
    assert_eq!(String::from_utf8_lossy(&pulled.stdout).trim(), reference, "{}", said(&pulled));
    registry.kill();
    plugins.insert_str(1, &format!("registry: {{mirror: {}, mirror_only: true}}, ", mirror.display()));
    let (code, text) = checked(&plugins, Some(&signature));
    assert_eq!(code, Some(0), "{text}");
    let plan = self::plan(&plugins);
    let prepared = setup(&plan);
    std::fs::write(prepared.plugins.join("isolate_namespace.wasm.sig"), &signature).unwrap();
    let house = House { controller: Controller::start(&prepared).unwrap(), plan };
    kills(&house, "debug");
    let other = stranger.public_key(dir.path());
    assert_eq!(other, key, "another key in the same file");
    let (code, text) = checked(&plugins, Some(&signature));
    assert_eq!(code, Some(2));
    assert!(text.contains("the mirror") && text.contains("is not by a key of"), "{text}");
}
