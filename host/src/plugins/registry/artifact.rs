//! An action as registries keep it: the CNCF's layout of WebAssembly artifacts, a manifest that names one configuration
//! and one component.
//!
//! What is anything else is refused with what it is. Nothing that a manifest says is believed: its own bytes are checked
//! against the digest in the reference, and what it names against the digests and sizes in it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::reference::Digest;
use crate::plugins::described::Described;
use crate::plugins::file::COMPONENT_LIMIT;
use crate::plugins::text::one_line;

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.wasm.config.v0+json";
const LAYER: &str = "application/wasm";
/// Docker's own forms, which hold no WebAssembly.
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// Of a manifest; registries allow 4 MiB, and one with a single layer has less than 2 KiB.
pub const MANIFEST_LIMIT: u64 = 256 << 10;
/// Of the configuration, which lists what the component imports and exports.
pub const CONFIG_LIMIT: u64 = 1 << 20;

/// What a manifest says of something beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    pub media_type: String,
    pub digest: String,
    pub size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Map<String, Value>>,
}

impl Descriptor {
    pub fn of(media_type: &str, content: &[u8]) -> Self {
        let digest = Digest::of(content).to_string();
        Self { media_type: media_type.to_owned(), digest, size: content.len() as u64, annotations: None }
    }

    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(name)?.as_str()
    }
}

/// Where a part is, and how to know it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub digest: Digest,
    pub size: u64,
}

impl Part {
    /// # Errors
    /// The digest is none, or the size more than `limit`.
    pub fn of(descriptor: &Descriptor, what: &str, limit: u64) -> Result<Self, String> {
        let digest = Digest::parse(&descriptor.digest)
            .map_err(|error| format!("the manifest names its {what} by `{}`: {error}", short(&descriptor.digest)))?;
        if descriptor.size > limit {
            return Err(format!("its {what} has {} bytes, and {limit} is the limit for such a thing", descriptor.size));
        }
        Ok(Self { digest, size: descriptor.size })
    }

    /// # Errors
    /// The bytes are others than the manifest means.
    pub fn check(&self, content: &[u8]) -> Result<(), String> {
        let found = Digest::of(content);
        if content.len() as u64 != self.size || found != self.digest {
            let length = content.len();
            return Err(format!(
                "what was sent as {} is not that: it has {length} bytes and the digest {found}, and was to have {} bytes",
                self.digest, self.size
            ));
        }
        Ok(())
    }
}

/// A manifest that names one component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    pub config: Part,
    pub component: Part,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    media_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Value>,
}

impl Artifact {
    /// # Errors
    /// It is the manifest of something else: an index, an image of a container, an artifact of several layers.
    pub fn read(manifest: &[u8]) -> Result<Self, String> {
        let manifest: Manifest =
            serde_json::from_slice(manifest).map_err(|error| format!("its manifest cannot be read: {error}"))?;
        let kind = manifest.media_type.as_deref();
        if manifest.manifests.is_some() || kind == Some(INDEX) || kind == Some(DOCKER_INDEX) {
            return Err("is an index of several artifacts, and an action is the same on every machine: \
                        use the digest of the one manifest that is meant"
                .to_owned());
        }
        if kind == Some(DOCKER_MANIFEST) {
            return Err(format!("is an image of Docker's own form, and an action is one of {CONFIG}"));
        }
        if let Some(kind) = kind.filter(|kind| *kind != MANIFEST) {
            return Err(format!("its manifest is of `{}`, and an action's is of {MANIFEST}", short(kind)));
        }
        let config = manifest.config.ok_or("its manifest names no configuration")?;
        if config.media_type != CONFIG {
            return Err(format!(
                "is no WebAssembly artifact: its configuration is of `{}`, and an action's is of {CONFIG}; \
                 `falco-response-controller plugin push` makes one that is",
                short(&config.media_type)
            ));
        }
        let layers = manifest.layers.unwrap_or_default();
        let [layer] = &layers[..] else {
            return Err(format!("has {} layers, and an action is one of {LAYER}", layers.len()));
        };
        if layer.media_type != LAYER {
            return Err(format!("its layer is of `{}`, and an action is one of {LAYER}", short(&layer.media_type)));
        }
        Ok(Self {
            config: Part::of(&config, "configuration", CONFIG_LIMIT)?,
            component: Part::of(layer, "component", COMPONENT_LIMIT)?,
        })
    }
}

/// Manifest and configuration for a component; the same ones for the same component, whoever makes them and when.
pub struct Made {
    pub manifest: Vec<u8>,
    pub config: Vec<u8>,
}

pub fn make(component: &[u8], described: &Described) -> Made {
    let layer = Descriptor::of(LAYER, component);
    let config = json!({
        // Required by the layout; a time of day would make another digest of the same component.
        "created": "1970-01-01T00:00:00Z",
        "author": null,
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [layer.digest],
        "component": {"exports": described.exports, "imports": described.imports, "target": null},
    });
    let config = config.to_string().into_bytes();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": Descriptor::of(CONFIG, &config),
        "layers": [layer],
        "annotations": {
            "org.opencontainers.image.title": described.manifest.name,
            "org.opencontainers.image.description": described.manifest.summary,
        },
    });
    Made { manifest: manifest.to_string().into_bytes(), config }
}

fn short(text: &str) -> String {
    one_line(text, 100)
}
