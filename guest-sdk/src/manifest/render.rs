//! Manifest and parameters' schema as JSON, rendered by the compiler.
//!
//! A `const fn` cannot allocate, so every function here writes into a [`Buffer`] that counts past its end: rendered once
//! into none to learn the length, then into one of that length.

use super::{Manifest, Permission, Scope, Target, Verb};
use crate::parameters::{Field, Schema};

#[doc(hidden)]
pub struct Buffer<const N: usize> {
    pub bytes: [u8; N],
    pub len: usize,
}

impl<const N: usize> Buffer<N> {
    const fn new() -> Self {
        Self { bytes: [0; N], len: 0 }
    }

    const fn byte(&mut self, byte: u8) {
        if self.len < N {
            self.bytes[self.len] = byte;
        }
        self.len += 1;
    }

    const fn raw(&mut self, text: &str) {
        let text = text.as_bytes();
        let mut i = 0;
        while i < text.len() {
            self.byte(text[i]);
            i += 1;
        }
    }

    const fn string(&mut self, text: &str) {
        self.byte(b'"');
        let text = text.as_bytes();
        // Doc comments begin with a space.
        let mut i = if !text.is_empty() && text[0] == b' ' { 1 } else { 0 };
        while i < text.len() {
            assert!(text[i] >= b' ', "a control character in a manifest: write its texts on one line");
            if text[i] == b'"' || text[i] == b'\\' {
                self.byte(b'\\');
            }
            self.byte(text[i]);
            i += 1;
        }
        self.byte(b'"');
    }

    const fn strings(&mut self, texts: &[&str]) {
        self.byte(b'[');
        let mut i = 0;
        while i < texts.len() {
            if i > 0 {
                self.byte(b',');
            }
            self.string(texts[i]);
            i += 1;
        }
        self.byte(b']');
    }

    const fn flag(&mut self, key: &str, value: bool) {
        self.raw(key);
        self.raw(if value { "true" } else { "false" });
    }

    const fn permission(&mut self, permission: &Permission) {
        self.raw(r#"{"apiGroups":"#);
        self.strings(permission.api_groups);
        self.raw(r#","resources":"#);
        self.strings(permission.resources);
        self.raw(r#","verbs":["#);
        let mut i = 0;
        while i < permission.verbs.len() {
            if i > 0 {
                self.byte(b',');
            }
            self.string(match permission.verbs[i] {
                Verb::Get => "get",
                Verb::List => "list",
                Verb::Create => "create",
                Verb::Patch => "patch",
                Verb::Delete => "delete",
            });
            i += 1;
        }
        self.byte(b']');
        if !permission.resource_names.is_empty() {
            self.raw(r#","resourceNames":"#);
            self.strings(permission.resource_names);
        }
        self.raw(r#","scope":"#);
        self.string(match permission.scope {
            Scope::Target => "target",
            Scope::Owners => "owners",
            Scope::Namespace => "namespace",
            Scope::Node => "node",
            Scope::Cluster => "cluster",
        });
        self.byte(b'}');
    }

    const fn schema(&mut self, schema: &Schema) {
        match schema {
            Schema::Flag => self.raw(r#""type":"boolean""#),
            Schema::Integer => self.raw(r#""type":"integer""#),
            Schema::Natural => self.raw(r#""type":"integer","minimum":0"#),
            Schema::Number => self.raw(r#""type":"number""#),
            Schema::Text => self.raw(r#""type":"string""#),
            Schema::List(items) => {
                self.raw(r#""type":"array","items":{"#);
                self.schema(items);
                self.byte(b'}');
            }
            Schema::Map(values) => {
                self.raw(r#""type":"object","additionalProperties":{"#);
                self.schema(values);
                self.byte(b'}');
            }
            Schema::Optional(inner) => {
                self.raw(r#""anyOf":[{"type":"null"},{"#);
                self.schema(inner);
                self.raw("}]");
            }
        }
    }

    const fn fields(&mut self, fields: &[Field]) {
        self.raw(r#"{"type":"object","additionalProperties":false,"properties":{"#);
        let mut i = 0;
        while i < fields.len() {
            if i > 0 {
                self.byte(b',');
            }
            self.string(fields[i].name);
            self.raw(":{");
            if !fields[i].description.is_empty() {
                self.raw(r#""description":"#);
                self.string(fields[i].description);
                self.byte(b',');
            }
            self.schema(&fields[i].schema);
            self.byte(b'}');
            i += 1;
        }
        self.raw("}}");
    }
}

/// With `N` = 0 this only counts.
#[doc(hidden)]
pub const fn render<const N: usize>(manifest: &Manifest, fields: &[Field]) -> Buffer<N> {
    let mut out = Buffer::new();
    out.raw(r#"{"contract":"0.1","name":"#);
    out.string(manifest.name);
    out.raw(r#","summary":"#);
    out.string(manifest.summary);
    out.raw(r#","target":"#);
    out.string(match manifest.target {
        Target::Pods => "pods",
        Target::Namespaces => "namespaces",
        Target::Nodes => "nodes",
        Target::None => "none",
    });
    out.flag(r#","pages":"#, manifest.pages);
    out.flag(r#","repeatable":"#, manifest.repeatable);
    out.raw(r#","permissions":["#);
    let mut i = 0;
    while i < manifest.permissions.len() {
        if i > 0 {
            out.byte(b',');
        }
        out.permission(&manifest.permissions[i]);
        i += 1;
    }
    out.byte(b']');
    // A controller from before these were in the contract knows no such key.
    if !manifest.http.is_empty() {
        out.raw(r#","http":["#);
        let mut i = 0;
        while i < manifest.http.len() {
            if i > 0 {
                out.byte(b',');
            }
            out.string(manifest.http[i].as_str());
            i += 1;
        }
        out.byte(b']');
    }
    out.raw(r#","parameters":"#);
    out.fields(fields);
    out.byte(b'}');
    out
}
