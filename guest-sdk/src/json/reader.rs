//! Takes JSON text apart, as strictly as RFC 8259 says.

use alloc::string::String;
use alloc::vec::Vec;

use super::Error;

/// As deep as Kubernetes itself nests with room to spare, and shallow enough for a guest's stack of 64 KiB.
const DEPTH: u8 = 64;

pub(super) struct Reader<'a> {
    rest: &'a [u8],
    depth: u8,
}

/// What a value turns out to be by its first byte.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Start {
    Null,
    True,
    False,
    String,
    Number,
    Object,
    Array,
}

#[cold]
#[inline(never)]
pub(super) fn malformed() -> Error {
    Error::new("not JSON")
}

impl<'a> Reader<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { rest: text.as_bytes(), depth: DEPTH }
    }

    /// Nothing but space may follow a document.
    pub fn end(mut self) -> Result<(), Error> {
        if self.peek().is_none() { Ok(()) } else { Err(Error::new("text follows the JSON document")) }
    }

    pub fn peek(&mut self) -> Option<u8> {
        while let [b' ' | b'\n' | b'\r' | b'\t', rest @ ..] = self.rest {
            self.rest = rest;
        }
        self.rest.first().copied()
    }

    pub fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    pub fn want(&mut self, byte: u8) -> Result<(), Error> {
        if self.eat(byte) { Ok(()) } else { Err(malformed()) }
    }

    /// Which value comes next. Takes `null`, `true` and `false`; leaves the others for their own function.
    pub fn start(&mut self) -> Result<Start, Error> {
        let (word, start): (&[u8], _) = match self.peek() {
            Some(b'n') => (b"null", Start::Null),
            Some(b't') => (b"true", Start::True),
            Some(b'f') => (b"false", Start::False),
            Some(b'"') => return Ok(Start::String),
            Some(b'{') => return Ok(Start::Object),
            Some(b'[') => return Ok(Start::Array),
            Some(b'-' | b'0'..=b'9') => return Ok(Start::Number),
            _ => return Err(malformed()),
        };
        self.rest = self.rest.strip_prefix(word).ok_or_else(malformed)?;
        Ok(start)
    }

    /// Goes into an object or array.
    pub fn open(&mut self, byte: u8) -> Result<(), Error> {
        self.want(byte)?;
        self.depth = self.depth.checked_sub(1).ok_or_else(|| Error::new("nested too deeply"))?;
        Ok(())
    }

    /// Whether a further item comes; if not, leaves the object or array. `first` before the first item.
    pub fn more(&mut self, first: bool, close: u8) -> Result<bool, Error> {
        if self.eat(close) {
            self.depth += 1;
            return Ok(false);
        }
        if !first {
            self.want(b',')?;
        }
        Ok(true)
    }

    /// A number's own text, checked against the grammar: `-? int frac? exp?`.
    pub fn number(&mut self) -> Result<&'a str, Error> {
        self.peek();
        let text = self.rest;
        let mut at = usize::from(text.first() == Some(&b'-'));
        let digits = |from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let whole = digits(at);
        if whole == 0 || (whole > 1 && text[at] == b'0') {
            return Err(malformed());
        }
        at += whole;
        if text.get(at) == Some(&b'.') {
            let fraction = digits(at + 1);
            if fraction == 0 {
                return Err(malformed());
            }
            at += 1 + fraction;
        }
        if let Some(b'e' | b'E') = text.get(at) {
            at += 1 + usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
            let exponent = digits(at);
            if exponent == 0 {
                return Err(malformed());
            }
            at += exponent;
        }
        let (number, rest) = text.split_at(at);
        self.rest = rest;
        core::str::from_utf8(number).map_err(|_| malformed())
    }

    pub fn string(&mut self) -> Result<String, Error> {
        self.want(b'"')?;
        let mut out = Vec::new();
        loop {
            match self.byte()? {
                b'"' => return String::from_utf8(out).map_err(|_| malformed()),
                b'\\' => {
                    let character = self.escape()?;
                    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                0..=0x1f => return Err(Error::new("a control character inside a string")),
                byte => out.push(byte),
            }
        }
    }

    fn byte(&mut self) -> Result<u8, Error> {
        let [byte, rest @ ..] = self.rest else { return Err(malformed()) };
        self.rest = rest;
        Ok(*byte)
    }

    fn escape(&mut self) -> Result<char, Error> {
        Ok(match self.byte()? {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self.hex()?;
                let code = match unit {
                    0xd800..0xdc00 => {
                        self.rest = self.rest.strip_prefix(b"\\u").ok_or_else(lone)?;
                        match self.hex()? {
                            low @ 0xdc00..0xe000 => 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00),
                            _ => return Err(lone()),
                        }
                    }
                    unit => unit,
                };
                char::from_u32(code).ok_or_else(lone)?
            }
            _ => return Err(malformed()),
        })
    }

    fn hex(&mut self) -> Result<u32, Error> {
        let mut value = 0;
        for _ in 0..4 {
            value = value * 16 + char::from(self.byte()?).to_digit(16).ok_or_else(malformed)?;
        }
        Ok(value)
    }
}

#[cold]
fn lone() -> Error {
    Error::new("half a surrogate pair inside a string")
}
