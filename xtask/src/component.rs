//! From a core module to a component: the type, the manifest at the top level, and nothing else that only takes space.

use wit_component::{ComponentEncoder, DecodedWasm};

const MANIFEST: &str = "falco-response:manifest";
const CONTRACT: &str = "falco-response:plugin/";
/// Where wit-bindgen leaves the component's type for the encoder.
const TYPES: &str = "component-type";

/// Magic number and version, of modules and components alike.
const HEADER: usize = 8;
const CUSTOM: u8 = 0;
/// A component's sections that hold a whole module or component.
const CORE_MODULE: u8 = 1;
const COMPONENT: u8 = 4;

/// # Errors
/// When the module has no manifest or two, does not fit its own type, or imports more than the contract.
pub fn encode(core: &[u8]) -> Result<Vec<u8>, String> {
    let manifest = manifest(core)?;
    let core = strip(core, |name| name.starts_with(TYPES))?;
    let component = ComponentEncoder::default()
        .validate(true)
        .module(&core)
        .and_then(|encoder| encoder.encode())
        .map_err(|error| format!("cannot make a component of the module: {error:#}"))?;
    let mut component = strip(&component, |_| false)?;
    push_section(&mut component, CUSTOM, &custom(MANIFEST, &manifest));
    check_imports(&component)?;
    Ok(component)
}

fn manifest(core: &[u8]) -> Result<Vec<u8>, String> {
    let mut found = Vec::new();
    for section in sections(core)? {
        if section.id == CUSTOM && section.name()? == MANIFEST {
            found.push(section.content()?);
        }
    }
    match found[..] {
        [manifest] => {
            serde_json::from_slice::<serde_json::Value>(manifest)
                .map_err(|error| format!("the section {MANIFEST} is not JSON: {error}"))?;
            Ok(manifest.to_owned())
        }
        [] => Err(format!("no section {MANIFEST}: does the crate call export_action!?")),
        _ => Err(format!("several sections {MANIFEST}: a crate exports one action")),
    }
}

/// An action reaches nothing but the contract: no WASI, no other imports.
fn check_imports(component: &[u8]) -> Result<(), String> {
    let decoded = wit_component::decode(component).map_err(|error| format!("cannot read the component: {error:#}"))?;
    let DecodedWasm::Component(resolve, world) = decoded else {
        return Err("the encoder made no component".to_owned());
    };
    let foreign: Vec<String> = resolve.worlds[world]
        .imports
        .keys()
        .map(|key| resolve.name_world_key(key))
        .filter(|name| !name.starts_with(CONTRACT))
        .collect();
    if foreign.is_empty() { Ok(()) } else { Err(format!("imports more than the contract: {}", foreign.join(", "))) }
}

struct Section<'a> {
    id: u8,
    body: &'a [u8],
}

impl<'a> Section<'a> {
    /// Of a custom section.
    fn name(&self) -> Result<&'a str, String> {
        let (length, rest) = leb128(self.body)?;
        let name = rest.get(..length).ok_or_else(truncated)?;
        core::str::from_utf8(name).map_err(|_| "a custom section's name is not UTF-8".to_owned())
    }

    /// What follows a custom section's name.
    fn content(&self) -> Result<&'a [u8], String> {
        let (length, rest) = leb128(self.body)?;
        rest.get(length..).ok_or_else(truncated)
    }
}

fn sections(binary: &[u8]) -> Result<Vec<Section<'_>>, String> {
    let mut rest = binary.get(HEADER..).ok_or_else(truncated)?;
    let mut sections = Vec::new();
    while let [id, after @ ..] = rest {
        let (length, after) = leb128(after)?;
        let (body, after) = after.split_at_checked(length).ok_or_else(truncated)?;
        sections.push(Section { id: *id, body });
        rest = after;
    }
    Ok(sections)
}

/// Drops custom sections, those of nested modules too, unless `keep` wants them.
fn strip(binary: &[u8], keep: impl Fn(&str) -> bool + Copy) -> Result<Vec<u8>, String> {
    let header = binary.get(..HEADER).ok_or_else(truncated)?;
    // The layer in the version field tells a component, whose ids mean other things, from a module.
    let is_component = header[6] == 1;
    let mut out = header.to_vec();
    for section in sections(binary)? {
        match section.id {
            CUSTOM if !keep(section.name()?) => {}
            CORE_MODULE | COMPONENT if is_component => push_section(&mut out, section.id, &strip(section.body, keep)?),
            id => push_section(&mut out, id, section.body),
        }
    }
    Ok(out)
}

fn push_section(out: &mut Vec<u8>, id: u8, body: &[u8]) {
    out.push(id);
    push_leb128(out, body.len());
    out.extend_from_slice(body);
}

fn custom(name: &str, content: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    push_leb128(&mut body, name.len());
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(content);
    body
}

fn leb128(bytes: &[u8]) -> Result<(usize, &[u8]), String> {
    let mut value = 0;
    for (index, byte) in bytes.iter().enumerate().take(5) {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok((value, &bytes[index + 1..]));
        }
    }
    Err(truncated())
}

fn push_leb128(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn truncated() -> String {
    "the WebAssembly binary is cut short or damaged".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(sections: &[(u8, Vec<u8>)]) -> Vec<u8> {
        let mut module = b"\0asm\x01\0\0\0".to_vec();
        for (id, body) in sections {
            push_section(&mut module, *id, body);
        }
        module
    }

    #[test]
    fn reads_back_a_length_of_any_size() {
        for value in [0, 1, 127, 128, 16_383, 16_384, 60 * 1024, 2_000_000] {
            let mut bytes = Vec::new();
            push_leb128(&mut bytes, value);
            bytes.push(0xff);
            assert_eq!(leb128(&bytes), Ok((value, &[0xff][..])));
        }
    }

    #[test]
    fn takes_the_one_manifest_of_a_module() {
        let manifest_section = (CUSTOM, custom(MANIFEST, b"{}"));
        let other = (CUSTOM, custom("producers", b"rustc"));
        assert_eq!(manifest(&module(&[other.clone(), manifest_section.clone()])), Ok(b"{}".to_vec()));
        assert!(manifest(&module(&[other])).unwrap_err().contains("export_action!"));
        assert!(manifest(&module(&[manifest_section.clone(), manifest_section])).unwrap_err().contains("several"));
    }

    #[test]
    fn refuses_a_manifest_that_is_not_json() {
        assert!(manifest(&module(&[(CUSTOM, custom(MANIFEST, b"{"))])).unwrap_err().contains("not JSON"));
    }

    #[test]
    fn strips_custom_sections_of_nested_modules() {
        let inner = module(&[(CUSTOM, custom("name", b"x")), (1, vec![0])]);
        let mut outer = b"\0asm\x0d\0\x01\0".to_vec();
        push_section(&mut outer, CORE_MODULE, &inner);
        push_section(&mut outer, CUSTOM, &custom("producers", b"x"));
        let mut expected = b"\0asm\x0d\0\x01\0".to_vec();
        push_section(&mut expected, CORE_MODULE, &module(&[(1, vec![0])]));
        assert_eq!(strip(&outer, |_| false), Ok(expected));
    }

    #[test]
    fn says_that_a_binary_is_damaged_instead_of_panicking() {
        let whole = module(&[(1, vec![0; 200]), (CUSTOM, custom(MANIFEST, b"{}"))]);
        for length in 0..whole.len() {
            let _ = manifest(&whole[..length]);
            let _ = strip(&whole[..length], |_| false);
        }
        assert_eq!(strip(&whole[..100], |_| true), Err(truncated()));
    }
}
