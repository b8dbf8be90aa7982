//! Whether an action was signed by somebody whom the operator trusts: with a static key, as `cosign` signs.
//!
//! A signature of an artifact is over a small document that names the digest of the manifest; that of a file is over the
//! file. Nothing here asks a transparency log or an identity provider: the key is all there is.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey, VerificationAlgorithm};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;

use super::artifact::{Descriptor, Part};
use super::reference::Digest;
use crate::plugins::file;

/// What the document that is signed says it is.
const TYPE: &str = "cosign container image signature";
/// Of the layer that holds it, and the annotation that holds the signature.
pub const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
pub const ANNOTATION: &str = "dev.cosignproject.cosign/signature";

const KEY_LIMIT: u64 = 16 << 10;
pub const PAYLOAD_LIMIT: u64 = 64 << 10;
/// A bundle around it included.
const FILE_LIMIT: u64 = 64 << 10;
/// Signatures of one artifact; each costs a request.
const MOST: usize = 32;

/// What stands before the key itself in a SubjectPublicKeyInfo; DER leaves no other way to write it.
const P256: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const EDWARDS: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Whose signatures count. Without a key nothing has to be signed.
#[derive(Clone, Default)]
pub struct Keys(Vec<Key>);

#[derive(Clone)]
struct Key {
    file: PathBuf,
    algorithm: &'static dyn VerificationAlgorithm,
    /// As ring takes it.
    point: Vec<u8>,
}

/// By the keys themselves: a file may hold another one by now.
impl PartialEq for Keys {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(|(one, other)| one.point == other.point)
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_list().entries(self.0.iter().map(|key| &key.file)).finish()
    }
}

/// A document and what is said to be its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    pub payload: Vec<u8>,
    pub signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: Image,
    r#type: String,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

impl Keys {
    /// # Errors
    /// A file cannot be read, or holds no public key of a kind that is known.
    pub fn read(files: &[PathBuf]) -> Result<Self, String> {
        files.iter().map(|file| Key::read(file)).collect::<Result<_, _>>().map(Self)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether what passed `others` passes these, too.
    pub fn trust(&self, others: &Self) -> bool {
        let known = |key: &Key| self.0.iter().any(|own| own.point == key.point);
        self.is_empty() || (!others.is_empty() && others.0.iter().all(known))
    }

    /// Whether one of the keys has signed exactly this artifact.
    ///
    /// # Errors
    /// None has; with what was there instead.
    pub fn check_artifact(&self, digest: &Digest, signatures: &[Signed]) -> Result<(), String> {
        if self.is_empty() {
            return Ok(());
        }
        if signatures.is_empty() {
            return Err(format!(
                "is not signed, and `plugins.signed_by` asks for it: there is no {}; \
                 sign it with `cosign sign --key …` (docs/registry.md has the options)",
                tag(digest)
            ));
        }
        let mut problems: Vec<String> = Vec::new();
        for signed in signatures {
            // Signed first, and read only then: what a stranger wrote is not worth a parser.
            if !self.verify(&signed.payload, &signed.signature) {
                problems.push("one is not by a key of `plugins.signed_by`".to_owned());
                continue;
            }
            match serde_json::from_slice::<Payload>(&signed.payload) {
                Ok(payload) if payload.critical.r#type != TYPE => {
                    problems.push("one is the signature of something else than an artifact".to_owned());
                }
                Ok(payload) if payload.critical.image.digest == digest.to_string() => return Ok(()),
                Ok(_) => problems.push("one is the signature of another artifact".to_owned()),
                Err(error) => problems.push(format!("one signs a document that cannot be read: {error}")),
            }
        }
        problems.dedup();
        Err(format!("is signed, and no signature counts: {}", problems.join("; ")))
    }

    /// Whether `NAME.wasm.sig` beside the file is its signature by one of the keys.
    ///
    /// # Errors
    /// It is not.
    pub fn check_file(&self, file: &Path, content: &[u8]) -> Result<(), String> {
        if self.is_empty() {
            return Ok(());
        }
        let beside = signature_file(file);
        let shown = beside.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = file::content(&beside, FILE_LIMIT).map_err(|problem| {
            format!(
                "is not signed, and `plugins.signed_by` asks for it: {shown} {problem}; \
                 `cosign sign-blob --key …` writes it (docs/registry.md has the options)"
            )
        })?;
        let signature = detached(&text).ok_or_else(|| format!("{shown} holds no signature in base64"))?;
        if self.verify(content, &signature) {
            Ok(())
        } else {
            Err(format!("{shown} is no signature of this file by a key of `plugins.signed_by`"))
        }
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0.iter().any(|key| UnparsedPublicKey::new(key.algorithm, &key.point).verify(message, signature).is_ok())
    }
}

impl Key {
    fn read(path: &Path) -> Result<Self, String> {
        let unusable = |problem: &str| format!("cannot use the public key in {}: it {problem}", path.display());
        let text = file::content(path, KEY_LIMIT).map_err(|problem| unusable(&problem))?;
        if text.windows(11).any(|window| window == b"PRIVATE KEY") {
            return Err(unusable("holds a private key, which has no business here; give the public one"));
        }
        let info = SubjectPublicKeyInfoDer::from_pem_slice(&text).map_err(|_| {
            unusable("holds no PEM block `PUBLIC KEY`, as `cosign generate-key-pair` writes to cosign.pub")
        })?;
        let (algorithm, point): (&'static dyn VerificationAlgorithm, _) =
            match (info.strip_prefix(P256), info.strip_prefix(EDWARDS)) {
                (Some(point), _) if point.len() == 65 => (&ECDSA_P256_SHA256_ASN1, point),
                (_, Some(point)) if point.len() == 32 => (&ED25519, point),
                _ => return Err(unusable("is neither of ECDSA with the curve P-256 nor of Ed25519")),
            };
        Ok(Self { file: path.to_owned(), algorithm, point: point.to_vec() })
    }
}

/// The tag under which `cosign` keeps the signatures of an artifact.
pub fn tag(digest: &Digest) -> String {
    format!("sha256-{}.sig", digest.hex())
}

/// `kill_pod.wasm.sig`
pub fn signature_file(file: &Path) -> PathBuf {
    file.with_added_extension("sig")
}

/// The layers of a manifest of signatures: where each document is, and its signature.
///
/// # Errors
/// It is no such manifest.
pub fn listed(manifest: &[u8]) -> Result<Vec<(Part, Vec<u8>)>, String> {
    #[derive(Deserialize)]
    struct Manifest {
        layers: Vec<Descriptor>,
    }
    let manifest: Manifest = serde_json::from_slice(manifest)
        .map_err(|error| format!("the manifest of its signatures cannot be read: {error}"))?;
    let mut found = Vec::new();
    for layer in manifest.layers.iter().filter(|layer| layer.media_type == PAYLOAD).take(MOST) {
        let part = Part::of(layer, "signed document", PAYLOAD_LIMIT)?;
        let signature = layer.annotation(ANNOTATION).and_then(|text| BASE64_STANDARD.decode(text.trim()).ok());
        found.push((part, signature.unwrap_or_default()));
    }
    Ok(found)
}

/// What `cosign sign-blob` writes: base64, or with `--bundle` a document that holds it.
fn detached(text: &[u8]) -> Option<Vec<u8>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Bundle {
        message_signature: Message,
    }
    #[derive(Deserialize)]
    struct Message {
        signature: String,
    }
    let text = std::str::from_utf8(text).ok()?.trim();
    if text.starts_with('{') {
        let bundle: Bundle = serde_json::from_str(text).ok()?;
        return BASE64_STANDARD.decode(bundle.message_signature.signature).ok();
    }
    BASE64_STANDARD.decode(text).ok()
}

#[cfg(test)]
pub mod tests;
