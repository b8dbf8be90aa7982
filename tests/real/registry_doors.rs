//! Registries that do not let everybody in: with a password, with tokens, over TLS.

use std::io::BufReader;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use integration_tests::registry::{self, Doors};
use integration_tests::request;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::lane;
use crate::registry::{check, kills, plan, plugin, push, said, start};

const PASSWORD: &str = "hunter2 and more";
/// bcrypt of it.
const LINE: &str = "robot:$2y$05$abcdefghijklmnopqrstuuZ1YWo9PNeOLz14bHD3c/UlHtqMSDsLi\n";

/// As a Secret of the type `kubernetes.io/dockerconfigjson` holds it.
fn secret(dir: &Path, host: &str, password: &str) -> PathBuf {
    let auth = BASE64_STANDARD.encode(format!("robot:{password}"));
    let file = dir.join(format!("{}.json", password.replace(' ', "-")));
    std::fs::write(&file, json!({"auths": {host: {"auth": auth}}}).to_string()).unwrap();
    file
}

/// Lets in whoever has the right secret, says what is missing to the others, and tells nobody what is in it.
fn lets_in_with_a_secret(address: SocketAddr) {
    let dir = tempfile::tempdir().unwrap();
    let good = secret(dir.path(), &address.to_string(), PASSWORD);
    let wrong = secret(dir.path(), &address.to_string(), "wr0ng");
    let reference = push(address, "kill_pod", &["--pull-secret", good.to_str().unwrap()]);
    let refused = |plugins: &str, hint: &str| {
        let output = check(&plan(plugins));
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains(hint), "{}", said(&output));
        for secret in [PASSWORD, "wr0ng", &BASE64_STANDARD.encode(format!("robot:{PASSWORD}"))] {
            assert!(!said(&output).contains(secret), "{}", said(&output));
        }
    };
    let with = |file: &Path| format!("{{oci: [\"{reference}\"], registry: {{pull_secrets: [{}]}}}}", file.display());
    refused(&format!("{{oci: [\"{reference}\"]}}"), "name the file of one in `plugins.registry.pull_secrets`");
    refused(&with(&wrong), "no entry of the pull secrets for");
    refused(&with(&dir.path().join("missing.json")), "missing.json");
    let inspected = plugin(&["inspect", &reference, "--pull-secret", good.to_str().unwrap()]);
    assert!(inspected.status.success(), "{}", said(&inspected));
    let house = start(plan(&with(&good)));
    kills(&house, "debug");
    let log = house.controller.text();
    assert!(!log.contains(PASSWORD) && !log.contains("Bearer") && !log.contains("Basic"), "{log}");
}

#[test]
fn a_registry_with_a_password_lets_in_whoever_has_the_pull_secret() {
    let Some(registry) = registry::start(&Doors::Password(LINE.to_owned())) else { return };
    lets_in_with_a_secret(registry.address);
}

#[test]
fn a_registry_that_wants_tokens_is_shown_one_that_the_pull_secret_got() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys.json");
    let Some(registry) = std::env::var_os(integration_tests::control_plane::WANTED).and_then(|_| {
        let realm = give_out_tokens(&keys);
        registry::start(&Doors::Token { realm, keys: keys.clone() })
    }) else {
        return;
    };
    lets_in_with_a_secret(registry.address);
}

/// A small server of tokens, such as stands beside the large registries; writes its public key to `keys`.
fn give_out_tokens(keys: &Path) -> String {
    let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
    let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).unwrap();
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let point = key.public_key().as_ref();
    let (x, y) = (encode(&point[1..33]), encode(&point[33..]));
    let set =
        json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "tests", "alg": "ES256", "use": "sig", "x": x, "y": y}]});
    std::fs::write(keys, set.to_string()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(&stream);
            while let Some(asked) = request::read(&mut reader) {
                let wanted = format!("Basic {}", BASE64_STANDARD.encode(format!("robot:{PASSWORD}")));
                let (status, body) = match asked.headers.get("authorization") {
                    Some(given) if *given != wanted => (401, json!({"details": "wrong"})),
                    // To strangers a token that opens nothing, as the large registries do.
                    given => (200, json!({"token": token(&key, &asked.path, given.is_some())})),
                };
                if request::answer(&stream, status, &body.to_string()).is_err() {
                    break;
                }
            }
        }
    });
    format!("http://{address}/token")
}

fn token(key: &EcdsaKeyPair, path: &str, known: bool) -> String {
    let scope = path.split(['?', '&']).find_map(|pair| pair.strip_prefix("scope=")).expect("a scope");
    let scope = request::unescape(scope);
    let [kind, name, actions] = scope.split(':').collect::<Vec<_>>()[..] else { panic!("{scope}") };
    let actions: Vec<&str> = actions.split(',').collect();
    let access: Vec<Value> =
        if known { vec![json!({"type": kind, "name": name, "actions": actions})] } else { Vec::new() };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let head = json!({"typ": "JWT", "alg": "ES256", "kid": "tests"});
    let claims = json!({"iss": "tests", "sub": "robot", "aud": "tests", "exp": now + 300, "nbf": now - 60, "iat": now, "jti": "1", "access": access});
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let signed = format!("{}.{}", encode(head.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
    let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    format!("{signed}.{}", encode(signature.as_ref()))
}

#[test]
fn over_tls_only_the_configured_authority_is_trusted() {
    let Some(cluster) = lane::cluster() else { return };
    // The API server's own certificate is for 127.0.0.1.
    let certificates = cluster.directory().join("certificates");
    let doors = Doors::Tls { certificate: certificates.join("apiserver.crt"), key: certificates.join("apiserver.key") };
    let Some(registry) = registry::start(&doors) else { return };
    let ca = certificates.join("apiserver.crt");
    // Loopback is spoken to without TLS, unless the list says otherwise.
    let config = tempfile::tempdir().unwrap();
    let file = config.path().join("config.yaml");
    let registries = format!("{{insecure_hosts: [], ca_file: {}}}", ca.display());
    let text = format!("allowed_namespaces: [production]\nrules: []\nplugins: {{registry: {registries}}}\n");
    std::fs::write(&file, text).unwrap();
    let reference = push(registry.address, "kill_pod", &["--config", file.to_str().unwrap()]);
    let house = start(plan(&format!("{{oci: [\"{reference}\"], registry: {registries}}}")));
    kills(&house, "debug");
    let output = check(&plan(&format!("{{oci: [\"{reference}\"], registry: {{insecure_hosts: []}}}}")));
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("certificate") || said(&output).contains("CA"), "{}", said(&output));
}
