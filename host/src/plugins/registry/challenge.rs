//! What a registry asks for before it answers (`WWW-Authenticate`), and the token that it wants.

use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderValue};
use serde::Deserialize;

/// Of the answer with the token.
pub const TOKEN_LIMIT: u64 = 64 << 10;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// Name and password with each request.
    Basic,
    /// A token, which `realm` gives out.
    Bearer { realm: String, service: Option<String> },
}

impl Challenge {
    /// What is asked for; none where it is nothing that we know. Tokens come first: a password is told to fewer then.
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let mut found: Vec<Self> = values.filter_map(parse).collect();
        let tokens = found.iter().position(|challenge| matches!(challenge, Self::Bearer { .. }));
        match tokens {
            Some(at) => Some(found.swap_remove(at)),
            None => found.pop(),
        }
    }
}

/// One challenge in a header's value, which is how registries write it.
fn parse(value: &str) -> Option<Challenge> {
    let (scheme, rest) = value.trim().split_once(' ').unwrap_or((value.trim(), ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (mut realm, mut service) = (None, None);
    for (name, value) in parameters(rest) {
        match name.to_ascii_lowercase().as_str() {
            "realm" => realm = Some(value),
            "service" => service = Some(value),
            _ => {}
        }
    }
    Some(Challenge::Bearer { realm: realm?, service })
}

/// `realm="https://…",service="…"`
fn parameters(mut rest: &str) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([' ', ',']);
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => {
                let mut value = String::new();
                let mut characters = quoted.char_indices();
                let mut end = quoted.len();
                while let Some((at, character)) = characters.next() {
                    match character {
                        '"' => {
                            end = at + 1;
                            break;
                        }
                        '\\' => value.extend(characters.next().map(|(_, character)| character)),
                        _ => value.push(character),
                    }
                }
                (value, quoted.get(end..).unwrap_or(""))
            }
            None => match after.split_once(',') {
                Some((value, after)) => (value.trim().to_owned(), after),
                None => (after.trim().to_owned(), ""),
            },
        };
        found.push((name, value));
        rest = after;
    }
    found
}

/// `Authorization` with the token in an answer; none where there is none that could be used.
pub fn bearer(answer: &[u8]) -> Option<HeaderValue> {
    #[derive(Deserialize)]
    struct Answer {
        token: Option<String>,
        access_token: Option<String>,
    }
    let answer: Answer = serde_json::from_slice(answer).ok()?;
    let token = answer.token.or(answer.access_token).filter(|token| !token.is_empty())?;
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Where to ask for a token.
pub fn token_url(realm: &str, service: Option<&str>, scope: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    if let Some(service) = service {
        query.append_pair("service", service);
    }
    query.append_pair("scope", scope);
    let separator = if realm.contains('?') { '&' } else { '?' };
    format!("{realm}{separator}{}", query.finish())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(values: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_str(value).unwrap());
        }
        Challenge::read(&headers)
    }

    #[test]
    fn reads_what_registries_write() {
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) })
        };
        assert_eq!(
            read(&[
                r#"Bearer realm="https://auth.example.com/token",service="r.example.com",scope="repository:a:pull,push""#
            ]),
            bearer("https://auth.example.com/token", Some("r.example.com"))
        );
        assert_eq!(read(&[r#"bearer  service=a, realm="https://a/\"b\"""#]), bearer("https://a/\"b\"", Some("a")));
        assert_eq!(read(&["Basic realm=\"r\""]), Some(Challenge::Basic));
        assert_eq!(read(&["Basic"]), Some(Challenge::Basic));
        assert_eq!(read(&["Basic realm=\"r\"", "Bearer realm=\"x\""]), bearer("x", None));
        for odd in ["Negotiate", "Bearer", "Bearer realm", "Bearer service=\"a", ""] {
            assert_eq!(read(&[odd]), None, "{odd}");
        }
    }

    #[test]
    fn a_token_is_asked_for_by_service_and_scope_and_is_never_shown() {
        let url = token_url("https://a/token", Some("the service"), "repository:a/b:pull");
        assert_eq!(url, "https://a/token?service=the+service&scope=repository%3Aa%2Fb%3Apull");
        assert_eq!(token_url("https://a/token?x=1", None, "s"), "https://a/token?x=1&scope=s");
        for answer in [r#"{"token":"abc"}"#, r#"{"access_token":"abc"}"#, r#"{"token":"abc","access_token":"no"}"#] {
            let header = bearer(answer.as_bytes()).unwrap();
            assert_eq!(header.to_str().unwrap(), "Bearer abc");
            assert!(!format!("{header:?}").contains("abc"));
        }
        for answer in ["{}", "", r#"{"token":""}"#, r#"{"token":"a\nb"}"#] {
            assert_eq!(bearer(answer.as_bytes()), None, "{answer}");
        }
    }

    proptest! {
        /// Whatever a registry says, it is read or not.
        #[test]
        fn no_challenge_breaks_it(text in "(Bearer|basic| )*[a-z=\",\\\\é ]{0,40}") {
            let _ = parse(&text);
        }
    }
}
