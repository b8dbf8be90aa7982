//! Where a request outside of the cluster goes: a URL that means the same to everybody who reads it.
//!
//! A URL is compared with the one that the operator granted, and read again by the client, by proxies and by the server.
//! What these are known to read differently is refused here, and what may be written in two ways is brought into one.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sha2::{Digest as _, Sha256};

use crate::hex::hex;

const LONGEST: usize = 2048;

/// Scheme, host, port and path in their one form. Never with user or fragment.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Url {
    tls: bool,
    host: Host,
    port: u16,
    /// Begins with `/`; without dots that lead elsewhere.
    path: String,
    query: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// In lower case.
    Name(String),
    Address(IpAddr),
}

/// Why a text is no URL that is sent to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no URL that can be used: {0}")]
pub struct UrlError(&'static str);

impl Url {
    /// # Errors
    /// Says which part is wrong, and what to write instead.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let refuse = |why| Err(UrlError(why));
        if text.len() > LONGEST {
            return refuse("it is longer than 2048 bytes");
        }
        if !text.bytes().all(|c| c.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&c)) {
            return refuse(
                "it has spaces, control characters, or letters beyond ASCII: write hosts in their xn-- form, and the \
                 rest percent-encoded",
            );
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return refuse("it has to begin with https:// or http://");
        };
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return refuse("it has to begin with https:// or http://"),
        };
        if rest.contains('#') {
            return refuse("a fragment (#) is never sent: leave it out");
        }
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return refuse("it has a user (@): credentials are the operator's, `headers_from` of a grant");
        }
        let (host, port) = split_port(authority)?;
        let host = Host::parse(host)?;
        let default = if tls { 443 } else { 80 };
        let port = match port {
            None => default,
            Some(digits) => match digits.parse() {
                Ok(port) if port != 0 && digits.bytes().all(|c| c.is_ascii_digit()) && !digits.starts_with('0') => port,
                _ => return refuse("the port has to be a number from 1 to 65535"),
            },
        };
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(normal(query)?)),
            None => (rest, None),
        };
        let path = if path.is_empty() { "/".to_owned() } else { normal(path)? };
        check_path(&path)?;
        Ok(Self { tls, host, port, path, query })
    }

    pub fn is_tls(&self) -> bool {
        self.tls
    }

    pub fn host(&self) -> &Host {
        &self.host
    }

    pub fn has_query(&self) -> bool {
        self.query.is_some()
    }

    /// Whether a grant for this URL is one for `other`: the same in everything, or, where this one's path ends with `/`
    /// and it has no query, anything below it.
    pub fn covers(&self, other: &Self) -> bool {
        let place = (self.tls, &self.host, self.port) == (other.tls, &other.host, other.port);
        let below = self.path.ends_with('/') && self.query.is_none() && other.path.starts_with(&self.path);
        place && (below || (&self.path, &self.query) == (&other.path, &other.query))
    }

    /// Whether it is of the same server.
    pub fn is_beside(&self, other: &Self) -> bool {
        (self.tls, &self.host, self.port) == (other.tls, &other.host, other.port)
    }

    /// For records of a URL whose path is a secret.
    pub fn without_path(&self) -> String {
        let server = Self { path: "/".to_owned(), query: None, ..self.clone() };
        if *self == server { server.to_string() } else { format!("{server}…") }
    }

    /// For records of a configuration: with a digest of what is hidden, so that a change of it shows.
    pub fn told(&self, secret_path: bool) -> String {
        let shown = if secret_path { self.without_path() } else { self.without_query() };
        if shown == self.to_string() {
            return shown;
        }
        format!("{shown} (sha256:{})", &hex(&Sha256::digest(self.to_string()))[..8])
    }

    /// For records: what stands in a query is often a secret.
    pub fn without_query(&self) -> String {
        let hidden = if self.query.is_some() { "?…" } else { "" };
        format!("{}{hidden}", Self { query: None, ..self.clone() })
    }
}

/// What is hidden in records is hidden here, too.
impl fmt::Debug for Url {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.told(false))
    }
}

impl fmt::Display for Url {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tls, host, port, path, query } = self;
        let (scheme, default) = if *tls { ("https", 443) } else { ("http", 80) };
        write!(formatter, "{scheme}://{host}")?;
        if *port != default {
            write!(formatter, ":{port}")?;
        }
        formatter.write_str(path)?;
        query.as_ref().map_or(Ok(()), |query| write!(formatter, "?{query}"))
    }
}

impl Host {
    fn parse(text: &str) -> Result<Self, UrlError> {
        let host = Self::of_text(text)?;
        match &host {
            Self::Address(address) if is_link_local(*address) => Err(LINK_LOCAL),
            Self::Address(address) if address.is_unspecified() => Err(UrlError("it is the address of no machine")),
            Self::Name(name) if is_api_server(name) => {
                Err(UrlError("it is the cluster's own API server, which is reached by `cluster` and its checks alone"))
            }
            _ => Ok(host),
        }
    }

    fn of_text(text: &str) -> Result<Self, UrlError> {
        if let Some(inner) = text.strip_prefix('[') {
            let address = inner.strip_suffix(']').and_then(|inner| inner.parse::<Ipv6Addr>().ok());
            return match address {
                // The same host under another name.
                Some(address) if address.to_ipv4_mapped().is_some() => {
                    Err(UrlError("an IPv4 address within an IPv6 one: write it as 192.0.2.1"))
                }
                Some(address) => Ok(Self::Address(address.into())),
                None => Err(UrlError("what stands in brackets is no IPv6 address")),
            };
        }
        let name = text.to_ascii_lowercase();
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if name.len() > 253 || !name.split('.').all(label) {
            return Err(UrlError("the host is no name: letters, digits and `-`, with single dots between"));
        }
        // 0x7f.1, 2130706433 and 010.0.0.1 are addresses to some and names to others.
        let last = name.rsplit('.').next().unwrap_or_default();
        if last.bytes().all(|c| c.is_ascii_digit()) || last.starts_with("0x") {
            return match name.parse::<Ipv4Addr>() {
                Ok(address) => Ok(Self::Address(address.into())),
                Err(_) => Err(UrlError("the host looks like an address: write four decimal numbers, as in 192.0.2.1")),
            };
        }
        Ok(Self::Name(name))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => formatter.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(formatter, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(formatter, "[{address}]"),
        }
    }
}

const LINK_LOCAL: UrlError =
    UrlError("it is a link-local address, where clouds keep the node's credentials; no grant opens it");

/// Where nodes and clouds offer what is meant for the machine itself.
pub(super) fn is_link_local(address: IpAddr) -> bool {
    /// Of Azure's host, and of Alibaba's metadata.
    const CLOUDS: [Ipv4Addr; 2] = [Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(100, 100, 100, 200)];
    /// Of AWS and Google, for machines that have IPv6 alone.
    const CLOUDS_V6: [Ipv6Addr; 2] =
        [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];
    let v4 = |address: Ipv4Addr| address.is_link_local() || CLOUDS.contains(&address);
    match address {
        IpAddr::V4(address) => v4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, e, f, high, low] = address.segments();
            let [high, low] = [high.to_be_bytes(), low.to_be_bytes()];
            let inner = Ipv4Addr::new(high[0], high[1], low[0], low[1]);
            // An IPv4 address by way of a translator (RFC 6052).
            let translated = [a, b, c, d, e, f] == [0x64, 0xff9b, 0, 0, 0, 0];
            address.is_unicast_link_local()
                || CLOUDS_V6.contains(&address)
                || (translated && v4(inner))
                || address.to_ipv4_mapped().is_some_and(v4)
        }
    }
}

/// As pods know it.
fn is_api_server(name: &str) -> bool {
    ["kubernetes", "kubernetes.default", "kubernetes.default.svc"].contains(&name)
        || name.starts_with("kubernetes.default.svc.")
}

fn split_port(authority: &str) -> Result<(&str, Option<&str>), UrlError> {
    let after_host = match authority.rfind(']') {
        Some(end) => end + 1,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    match authority.split_at(after_host) {
        ("", _) => Err(UrlError("it has no host")),
        (host, "") => Ok((host, None)),
        (host, port) => match port.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None => Err(UrlError("the port has to be a number from 1 to 65535")),
        },
    }
}

/// Percent-encoding in its one form: upper-case digits, and none of what needs none.
fn normal(text: &str) -> Result<String, UrlError> {
    let mut bytes = text.bytes();
    let mut found = String::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            found.push(char::from(byte));
            continue;
        }
        let mut digit = || bytes.next().and_then(|digit| char::from(digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(UrlError("a % is not followed by two hex digits"));
        };
        let code = u8::try_from(high * 16 + low).unwrap_or_default();
        if code.is_ascii_control() {
            return Err(UrlError("it has encoded control characters"));
        }
        match char::from(code) {
            plain @ ('a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '.' | '_' | '~') => found.push(plain),
            _ => found.push_str(&format!("%{code:02X}")),
        }
    }
    Ok(found)
}

/// Of a path in its one form.
fn check_path(path: &str) -> Result<(), UrlError> {
    if path.contains("%2F") || path.contains("%5C") {
        return Err(UrlError("an encoded slash is a slash to some and none to others"));
    }
    // Decoded once more by a proxy, it would be what was refused.
    if path.contains("%25") {
        return Err(UrlError("an encoded % is decoded once by some and twice by others"));
    }
    let segments = path.split('/').skip(1);
    let last = segments.clone().count() - 1;
    for (at, segment) in segments.enumerate() {
        // Some servers cut parameters off before they look for dots.
        let name = segment.split(';').next().and_then(|name| name.split("%3B").next()).unwrap_or_default();
        if name == "." || name == ".." {
            return Err(UrlError("a path with `.` or `..` leads elsewhere than it says"));
        }
        if name.is_empty() && at != last {
            return Err(UrlError("two slashes in a row are one to some and two to others"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn brings_what_may_be_written_in_two_ways_into_one() {
        for (text, expected) in [
            ("HTTPS://Hooks.Example.COM:443", "https://hooks.example.com/"),
            ("http://hooks.example.com:80/a", "http://hooks.example.com/a"),
            ("https://hooks.example.com:8443/falc%6F?a=%3d%c3", "https://hooks.example.com:8443/falco?a=%3D%C3"),
            ("http://127.0.0.1:9000/x/", "http://127.0.0.1:9000/x/"),
            ("https://[2001:DB8::0:1]/", "https://[2001:db8::1]/"),
            ("https://hooks.example.com?x", "https://hooks.example.com/?x"),
        ] {
            assert_eq!(url(text).to_string(), expected, "{text}");
        }
    }

    #[test]
    fn refuses_what_two_readers_take_for_two_things() {
        for text in [
            "",
            "hooks.example.com",
            "ftp://hooks.example.com/",
            "https:///a",
            "https://",
            "https:/x",
            "//x/",
            "https://user@hooks.example.com/",
            "https://user:x@hooks.example.com/",
            "https://a.example#b",
            "https://a/#",
            "https://höoks.example.com/",
            "https://a example/",
            "https://a/\r\nHost: b",
            "https://a\\b/",
            "https://a/\tb",
            "https://a:0/",
            "https://a:65536/",
            "https://a:/",
            "https://a:+1/",
            "https://a:080/",
            "https://a:1:2/",
            "https://a./",
            "https://a..b/",
            "https://-a/",
            "https://a%2eb/",
            "https://*.example.com/",
            "http://2130706433/",
            "http://0x7f.0.0.1/",
            "http://0x7f000001/",
            "http://010.0.0.1/",
            "http://127.1/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::1/",
            "http://::1/",
            "http://[x]/",
            "https://a/../b",
            "https://a/.",
            "https://a/%2e%2E/b",
            "https://a/b/.%2e",
            "https://a/..;x/b",
            "https://a//b",
            "https://a/b%2fc",
            "https://a/%252e%252e/b",
            "https://a/..%3bx/b",
            "https://a/b%5cc",
            "https://a/%",
            "https://a/%4",
            "https://a/%zz",
            "https://a/%00",
            "https://a/?%0d%0a",
        ] {
            assert!(Url::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn no_url_leads_to_a_nodes_own_services_or_around_the_gate() {
        for text in [
            "http://169.254.169.254/latest/meta-data/",
            "http://169.254.0.1/",
            "http://[fe80::1]/",
            "http://[fd00:ec2::254]/",
            "http://168.63.129.16/",
            "http://100.100.100.200/",
            "http://[fd20:ce::254]/",
            "http://[64:ff9b::a9fe:a9fe]/",
            "http://0.0.0.0/",
            "http://[::]/",
            "https://kubernetes/",
            "https://kubernetes.default.svc/api/v1",
            "https://KUBERNETES.default.svc.cluster.local/api",
        ] {
            assert!(Url::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_granted_url_covers_itself_and_with_a_slash_at_its_end_what_is_below() {
        for (grant, asked, covers) in [
            ("https://a.example/falco", "https://A.example:443/falco", true),
            ("https://a.example/falco", "https://a.example/falco/", false),
            ("https://a.example/falco", "https://a.example/falco?x=1", false),
            ("https://a.example/falco", "https://a.example/falco2", false),
            ("https://a.example/falco", "http://a.example/falco", false),
            ("https://a.example/falco", "https://a.example:8443/falco", false),
            ("https://a.example/falco", "https://b.a.example/falco", false),
            ("https://a.example/hooks/", "https://a.example/hooks/", true),
            ("https://a.example/hooks/", "https://a.example/hooks/x/y?z", true),
            ("https://a.example/hooks/", "https://a.example/hooks", false),
            ("https://a.example/f?k=1", "https://a.example/f?k=1", true),
            ("https://a.example/f?k=1", "https://a.example/f?k=2", false),
            ("https://a.example", "https://a.example/anything", true),
        ] {
            assert_eq!(url(grant).covers(&url(asked)), covers, "{grant} {asked}");
        }
    }

    #[test]
    fn a_query_stays_out_of_records() {
        assert_eq!(url("https://a.example/f?key=secret").without_query(), "https://a.example/f?…");
        assert_eq!(url("https://a.example/f").without_query(), "https://a.example/f");
    }

    proptest! {
        /// What is sent is what was compared: read again, by us or by the client, it is the same.
        #[test]
        fn whatever_is_taken_reads_the_same_a_second_time(
            text in "(http|https|HTTPS)://[a-zA-Z0-9.%@:\\[\\]-]{0,12}[/?#]?[a-z0-9/.%;?&=\\\\-]{0,16}"
        ) {
            if let Ok(url) = Url::parse(&text) {
                let written = url.to_string();
                prop_assert_eq!(&Url::parse(&written), &Ok(url.clone()));
                let uri: http::Uri = written.parse().expect("hyper reads it, too");
                prop_assert_eq!(uri.path(), &url.path);
                prop_assert_eq!(uri.query(), url.query.as_deref());
                let host = url.host.to_string();
                prop_assert_eq!(uri.host(), Some(host.as_str()));
                prop_assert_eq!(uri.port_u16().unwrap_or(if url.tls { 443 } else { 80 }), url.port);
                prop_assert!(!url.path.split('/').any(|part| part == ".." || part == "."));
            }
        }

        /// A grant with a slash at its end never covers what is elsewhere, however it is written.
        #[test]
        fn nothing_is_below_that_is_elsewhere(rest in "[a-z./%0-9;]{0,14}") {
            let grant = url("https://a.example/hooks/");
            if let Ok(asked) = Url::parse(&format!("https://a.example/hooks/{rest}")) {
                prop_assert!(grant.covers(&asked));
                prop_assert!(asked.path.starts_with("/hooks/"), "{}", asked);
                let climbs = |part: &str| part == ".." || part.starts_with("..;");
                prop_assert!(!asked.path.split('/').any(climbs), "{}", asked);
            }
        }
    }
}
