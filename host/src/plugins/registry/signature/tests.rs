use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use serde_json::json;
use tempfile::TempDir;

use super::*;

/// Somebody who signs as `cosign` does.
pub enum Signer {
    P256(EcdsaKeyPair),
    Edwards(Ed25519KeyPair),
}

impl Signer {
    pub fn generate() -> Self {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        Self::P256(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key.as_ref(), &random).unwrap())
    }

    fn edwards() -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Edwards(Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap())
    }

    pub fn pem(&self) -> String {
        let info = match self {
            Self::P256(key) => [P256, key.public_key().as_ref()].concat(),
            Self::Edwards(key) => [EDWARDS, key.public_key().as_ref()].concat(),
        };
        pem("PUBLIC KEY", &info)
    }

    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::P256(key) => key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec(),
            Self::Edwards(key) => key.sign(message).as_ref().to_vec(),
        }
    }

    pub fn artifact(&self, digest: &Digest) -> Signed {
        let payload = payload(TYPE, digest);
        Signed { signature: self.sign(&payload), payload }
    }
}

fn pem(label: &str, content: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64_STANDARD.encode(content))
}

fn payload(kind: &str, digest: &Digest) -> Vec<u8> {
    let image = json!({"docker-manifest-digest": digest.to_string()});
    let critical = json!({"identity": {"docker-reference": "registry.example.com/a"}, "image": image, "type": kind});
    json!({"critical": critical, "optional": null}).to_string().into_bytes()
}

fn keys(dir: &TempDir, signers: &[&Signer]) -> Keys {
    let files = signers.iter().enumerate().map(|(number, signer)| {
        let file = dir.path().join(format!("{number}.pub"));
        std::fs::write(&file, signer.pem()).unwrap();
        file
    });
    Keys::read(&files.collect::<Vec<_>>()).unwrap()
}

#[test]
fn a_signature_of_exactly_this_artifact_by_one_of_the_keys_counts() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (Signer::generate(), Signer::edwards());
    let keys = keys(&dir, &[&one, &other]);
    let digest = Digest::of(b"a manifest");
    let stranger = Signer::generate();
    for signer in [&one, &other] {
        assert_eq!(keys.check_artifact(&digest, &[signer.artifact(&digest)]), Ok(()));
        // What others add beside it takes nothing away.
        assert_eq!(keys.check_artifact(&digest, &[stranger.artifact(&digest), signer.artifact(&digest)]), Ok(()));
    }
}

#[test]
fn what_passed_some_keys_passes_others_only_if_they_are_all_among_them() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (Signer::generate(), Signer::generate());
    let (of_one, of_other, of_both) = (keys(&dir, &[&one]), keys(&dir, &[&other]), keys(&dir, &[&one, &other]));
    assert!(of_both.trust(&of_one) && of_one.trust(&of_one) && Keys::default().trust(&of_one));
    assert!(!of_one.trust(&of_both) && !of_one.trust(&of_other) && !of_one.trust(&Keys::default()));
}

#[test]
fn everything_else_is_refused_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let (signer, stranger) = (Signer::generate(), Signer::generate());
    let keys = keys(&dir, &[&signer]);
    let (digest, another) = (Digest::of(b"a manifest"), Digest::of(b"another"));
    let mut spoiled = signer.artifact(&digest);
    spoiled.signature[10] ^= 1;
    let mut moved = signer.artifact(&another);
    moved.payload = payload(TYPE, &digest);
    let signed = |payload: Vec<u8>| Signed { signature: signer.sign(&payload), payload };
    for (signatures, said) in [
        (vec![], "is not signed"),
        (vec![stranger.artifact(&digest)], "not by a key of `plugins.signed_by`"),
        (vec![spoiled], "not by a key of `plugins.signed_by`"),
        (vec![moved], "not by a key of `plugins.signed_by`"),
        (vec![Signed { payload: payload(TYPE, &digest), signature: Vec::new() }], "not by a key"),
        (vec![signer.artifact(&another)], "of another artifact"),
        (vec![signed(payload("something else", &digest))], "of something else"),
        (vec![signed(b"no JSON".to_vec())], "cannot be read"),
    ] {
        let error = keys.check_artifact(&digest, &signatures).unwrap_err();
        assert!(error.contains(said), "{error}");
    }
    assert_eq!(Keys::default().check_artifact(&digest, &[]), Ok(()), "nobody asks");
}

#[test]
fn a_file_needs_its_signature_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let (signer, stranger) = (Signer::generate(), Signer::generate());
    let keys = keys(&dir, &[&signer]);
    let file = dir.path().join("kill_pod.wasm");
    let beside = dir.path().join("kill_pod.wasm.sig");
    let refused = |content: &[u8]| keys.check_file(&file, content).unwrap_err();
    assert!(refused(b"a component").contains("is not signed"), "{}", refused(b"a component"));
    let write = |text: String| std::fs::write(&beside, text).unwrap();
    write(format!("{}\n", BASE64_STANDARD.encode(signer.sign(b"a component"))));
    assert_eq!(keys.check_file(&file, b"a component"), Ok(()));
    assert!(refused(b"b component").contains("no signature of this file"));
    let bundle = json!({"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "messageSignature": {"signature": BASE64_STANDARD.encode(signer.sign(b"a component"))}});
    write(bundle.to_string());
    assert_eq!(keys.check_file(&file, b"a component"), Ok(()));
    write(BASE64_STANDARD.encode(stranger.sign(b"a component")));
    assert!(refused(b"a component").contains("no signature of this file"));
    for odd in ["", "not base64!", "{}"] {
        write(odd.to_owned());
        assert!(keys.check_file(&file, b"a component").is_err(), "{odd}");
    }
    assert_eq!(Keys::default().check_file(&file, b"anything"), Ok(()), "nobody asks");
}

#[test]
fn a_file_that_is_no_public_key_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cosign.pub");
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, &SystemRandom::new()).unwrap();
    let good = Signer::generate().pem();
    let cut = pem("PUBLIC KEY", &[P256, &[4; 64]].concat());
    for (text, said) in [
        (String::new(), "no PEM block"),
        ("a key".to_owned(), "no PEM block"),
        (pem("CERTIFICATE", b"x"), "no PEM block"),
        (pem("ENCRYPTED SIGSTORE PRIVATE KEY", key.as_ref()), "a private key"),
        (pem("PUBLIC KEY", key.as_ref()), "neither of ECDSA"),
        (cut, "neither of ECDSA"),
    ] {
        std::fs::write(&file, text).unwrap();
        let error = Keys::read(std::slice::from_ref(&file)).unwrap_err();
        assert!(error.contains("cosign.pub") && error.contains(said), "{error}");
    }
    std::fs::write(&file, good).unwrap();
    assert!(!Keys::read(std::slice::from_ref(&file)).unwrap().is_empty());
    let error = Keys::read(&[dir.path().join("missing.pub")]).unwrap_err();
    assert!(error.contains("missing.pub") && error.contains("cannot be read"), "{error}");
}

/// What `tests/fixtures/registry` says of itself.
#[test]
fn what_cosign_itself_has_signed_counts() {
    use crate::plugins::registry::layout::Layout;
    use crate::plugins::registry::pull::at_hand;
    let fixtures = integration_tests::root().join("tests/fixtures/registry");
    let keys = Keys::read(&[fixtures.join("cosign.pub")]).unwrap();
    let mirror = Layout::open(&fixtures.join("mirror")).unwrap();
    let pinned =
        "registry.example.com/team/kill-pod@sha256:fa5f8e9509a84f7e753e092d73eb4ee8fa2d4b28a8b056c1cc364d0fb27cf800";
    assert!(at_hand(&mirror, &pinned.parse().unwrap(), &keys).unwrap().is_some());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("kill_pod.wasm");
    let content = std::fs::read(fixtures.join("kill_pod.wasm")).unwrap();
    for form in ["sig", "bundle"] {
        let written = fixtures.join("kill_pod.wasm").with_added_extension(form);
        std::fs::copy(written, signature_file(&file)).unwrap();
        assert_eq!(keys.check_file(&file, &content), Ok(()), "{form}");
        assert!(keys.check_file(&file, b"another").is_err(), "{form}");
    }
    let stranger = self::keys(&dir, &[&Signer::generate()]);
    assert!(at_hand(&mirror, &pinned.parse().unwrap(), &stranger).is_err());
}
