//! The sections of a WebAssembly binary, read and written without looking into them.

/// Magic number and version, of modules and components alike.
const HEADER: usize = 8;
pub const CUSTOM: u8 = 0;
/// A component's sections that hold a whole module or component.
const CORE_MODULE: u8 = 1;
const COMPONENT: u8 = 4;

pub struct Section<'a> {
    pub id: u8,
    body: &'a [u8],
}

impl<'a> Section<'a> {
    /// Of a custom section.
    pub fn name(&self) -> Result<&'a str, String> {
        let (length, rest) = leb128(self.body)?;
        let name = rest.get(..length).ok_or_else(truncated)?;
        core::str::from_utf8(name).map_err(|_| "a custom section's name is not UTF-8".to_owned())
    }

    /// What follows a custom section's name.
    pub fn content(&self) -> Result<&'a [u8], String> {
        let (length, rest) = leb128(self.body)?;
        rest.get(length..).ok_or_else(truncated)
    }
}

/// Of the top level.
pub fn sections(binary: &[u8]) -> Result<Vec<Section<'_>>, String> {
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

/// Whether it is a component; its ids mean other things than a module's.
pub fn is_component(binary: &[u8]) -> bool {
    // The layer in the version field.
    binary.starts_with(b"\0asm") && binary.get(6) == Some(&1)
}

/// Drops custom sections, those of nested modules too, unless `keep` wants them.
pub fn strip(binary: &[u8], keep: impl Fn(&str) -> bool + Copy) -> Result<Vec<u8>, String> {
    strip_to_depth(binary, keep, NESTING)
}

/// Components within components: what tools make has two or three.
const NESTING: usize = 32;

fn strip_to_depth(binary: &[u8], keep: impl Fn(&str) -> bool + Copy, depth: usize) -> Result<Vec<u8>, String> {
    let Some(deeper) = depth.checked_sub(1) else {
        return Err(format!("the component nests others more than {NESTING} deep"));
    };
    let header = binary.get(..HEADER).ok_or_else(truncated)?;
    let is_component = is_component(binary);
    let mut out = header.to_vec();
    for section in sections(binary)? {
        match section.id {
            CUSTOM if !keep(section.name()?) => {}
            CORE_MODULE | COMPONENT if is_component => {
                push_section(&mut out, section.id, &strip_to_depth(section.body, keep, deeper)?);
            }
            id => push_section(&mut out, id, section.body),
        }
    }
    Ok(out)
}

pub fn push_section(out: &mut Vec<u8>, id: u8, body: &[u8]) {
    out.push(id);
    push_leb128(out, body.len());
    out.extend_from_slice(body);
}

/// The body of a custom section.
pub fn custom(name: &str, content: &[u8]) -> Vec<u8> {
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

pub fn truncated() -> String {
    "the WebAssembly binary is cut short or damaged".to_owned()
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn module(sections: &[(u8, Vec<u8>)]) -> Vec<u8> {
        let mut module = b"\0asm\x01\0\0\0".to_vec();
        for (id, body) in sections {
            push_section(&mut module, *id, body);
        }
        module
    }

    pub fn component(sections: &[(u8, Vec<u8>)]) -> Vec<u8> {
        let mut component = b"\0asm\x0d\0\x01\0".to_vec();
        for (id, body) in sections {
            push_section(&mut component, *id, body);
        }
        component
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
    fn strips_custom_sections_of_nested_modules() {
        let inner = module(&[(CUSTOM, custom("name", b"x")), (1, vec![0])]);
        let outer = component(&[(CORE_MODULE, inner), (CUSTOM, custom("producers", b"x"))]);
        let expected = component(&[(CORE_MODULE, module(&[(1, vec![0])]))]);
        assert_eq!(strip(&outer, |_| false), Ok(expected));
    }

    #[test]
    fn refuses_to_follow_components_without_end() {
        let mut nested = component(&[]);
        for _ in 0..NESTING {
            nested = component(&[(COMPONENT, nested)]);
        }
        assert!(strip(&nested, |_| false).unwrap_err().contains("deep"));
    }

    #[test]
    fn says_that_a_binary_is_damaged_instead_of_panicking() {
        let whole = module(&[(1, vec![0; 200]), (CUSTOM, custom("name", b"{}"))]);
        for length in 0..whole.len() {
            let _ = strip(&whole[..length], |_| false);
        }
        assert_eq!(strip(&whole[..100], |_| true), Err(truncated()));
    }
}
