//! A conversation with a registry about one repository: who we are, as far as it wants to know, and the way to what it
//! keeps elsewhere.
//!
//! A name and a password go to the registry that they are for, and to the place that it names for tokens; never to where
//! a blob is redirected to. Nothing that a registry says of its troubles is repeated but their code.

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION, USER_AGENT};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use hyper::body::Bytes;
use serde::Deserialize;

use super::artifact::{INDEX, MANIFEST, MANIFEST_LIMIT, Part};
use super::challenge::{Challenge, TOKEN_LIMIT, bearer, token_url};
use super::http::{Http, NoAnswer, Plain};
use super::reference::{Digest, Repository};
use super::secrets::{Credential, PullSecrets};

const AGENT: &str = concat!("falco-response-controller/", env!("CARGO_PKG_VERSION"));
/// Of answers that are not looked at, but for an error's code.
const SMALL: u64 = 64 << 10;
const REDIRECTS: usize = 5;
/// What Docker's registry calls itself, and where it is.
const DOCKER: &[&str] = &["docker.io", "index.docker.io"];
const DOCKER_HOST: &str = "registry-1.docker.io";

/// Why there is no artifact.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Another time, perhaps.
    #[error("{0}")]
    NoAnswer(String),
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Missing(String),
    /// It is there, and is not what it has to be.
    #[error("{0}")]
    Unsound(String),
}

/// How registries are talked to.
#[derive(Clone)]
pub struct Registries {
    pub http: Http,
    pub secrets: PullSecrets,
    pub plain: Plain,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Pull,
    Push,
}

pub struct Session<'a> {
    registries: &'a Registries,
    repository: &'a Repository,
    purpose: Purpose,
    /// Those that were not tried yet, the best last.
    credentials: Vec<Credential>,
    had_credentials: bool,
    anonymous_tried: bool,
    challenge: Option<Challenge>,
    authorization: Option<HeaderValue>,
}

impl Registries {
    /// # Errors
    /// A pull secret cannot be read.
    pub fn session<'a>(&'a self, repository: &'a Repository, purpose: Purpose) -> Result<Session<'a>, Trouble> {
        let mut credentials = self.secrets.of(repository).map_err(Trouble::Refused)?;
        credentials.reverse();
        Ok(Session {
            registries: self,
            repository,
            purpose,
            had_credentials: !credentials.is_empty(),
            credentials,
            anonymous_tried: false,
            challenge: None,
            authorization: None,
        })
    }

    /// Whether a URL may be asked at all: https, or one of the hosts for which that is not needed.
    fn allows(&self, uri: &Uri) -> bool {
        let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        // A name and a password in a URL are nobody's here.
        let plain = uri.scheme_str() == Some("http") && self.plain.covers(authority);
        !authority.is_empty() && !authority.contains('@') && (uri.scheme_str() == Some("https") || plain)
    }
}

impl Session<'_> {
    /// The manifest of a tag or a digest, unchecked.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn manifest(&mut self, reference: &str) -> Result<Bytes, Trouble> {
        let uri = self.uri(&format!("manifests/{reference}"))?;
        let accept = format!("{MANIFEST}, {INDEX}");
        let answer = self.get(uri, Some(&accept), MANIFEST_LIMIT).await?;
        self.expect(answer, StatusCode::OK, &format!("the manifest {reference}"))
    }

    /// What a manifest names, checked.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn blob(&mut self, part: &Part) -> Result<Bytes, Trouble> {
        let uri = self.uri(&format!("blobs/{}", part.digest))?;
        let answer = self.get(uri, None, part.size.max(SMALL)).await?;
        let content = self.expect(answer, StatusCode::OK, &format!("the blob {}", part.digest))?;
        part.check(&content).map_err(Trouble::Unsound)?;
        Ok(content)
    }

    /// # Errors
    /// See [`Trouble`].
    pub async fn push_blob(&mut self, content: &[u8]) -> Result<(), Trouble> {
        let digest = Digest::of(content);
        let there = self.ask(&Method::HEAD, &self.uri(&format!("blobs/{digest}"))?, &[], Bytes::new(), SMALL).await?;
        if there.status() == StatusCode::OK {
            return Ok(());
        }
        let start = self.ask(&Method::POST, &self.uri("blobs/uploads/")?, &[], Bytes::new(), SMALL).await?;
        let location = start.headers().get(LOCATION).cloned();
        self.expect(start, StatusCode::ACCEPTED, "a place for a blob")?;
        let base = self.uri("blobs/uploads/")?;
        let target = self.redirected(&base, location.as_ref())?.to_string();
        let separator = if target.contains('?') { '&' } else { '?' };
        let target = parse(&format!("{target}{separator}digest={digest}"))?;
        let kind = [(CONTENT_TYPE, "application/octet-stream")];
        let answer = self.ask(&Method::PUT, &target, &kind, Bytes::copy_from_slice(content), SMALL).await?;
        self.expect(answer, StatusCode::CREATED, "a place for a blob").map(drop)
    }

    /// # Errors
    /// See [`Trouble`].
    pub async fn push_manifest(&mut self, reference: &str, manifest: &[u8]) -> Result<(), Trouble> {
        let uri = self.uri(&format!("manifests/{reference}"))?;
        let kind = [(CONTENT_TYPE, MANIFEST)];
        let answer = self.ask(&Method::PUT, &uri, &kind, Bytes::copy_from_slice(manifest), SMALL).await?;
        self.expect(answer, StatusCode::CREATED, "a place for a manifest").map(drop)
    }

    fn uri(&self, rest: &str) -> Result<Uri, Trouble> {
        let Repository { host, name } = self.repository;
        let scheme = if self.registries.plain.covers(host) { "http" } else { "https" };
        let host = if DOCKER.contains(&host.as_str()) { DOCKER_HOST } else { host };
        parse(&format!("{scheme}://{host}/v2/{name}/{rest}"))
    }

    /// Follows where it is led.
    async fn get(&mut self, uri: Uri, accept: Option<&str>, limit: u64) -> Result<Response<Bytes>, Trouble> {
        let headers: Vec<_> = accept.into_iter().map(|accept| (ACCEPT, accept)).collect();
        let mut at = uri;
        for _ in 0..=REDIRECTS {
            let answer = self.ask(&Method::GET, &at, &headers, Bytes::new(), limit).await?;
            if !answer.status().is_redirection() {
                return Ok(answer);
            }
            at = self.redirected(&at, answer.headers().get(LOCATION))?;
        }
        Err(Trouble::NoAnswer(format!("{} redirects more than {REDIRECTS} times", self.repository.host)))
    }

    /// Never from https to http, but where http is allowed anyway.
    fn redirected(&self, from: &Uri, location: Option<&HeaderValue>) -> Result<Uri, Trouble> {
        let nowhere = || Trouble::NoAnswer(format!("{} redirects to where nobody may follow", self.repository.host));
        let to = location.and_then(|location| location.to_str().ok()).ok_or_else(nowhere)?;
        let to = if to.starts_with('/') && !to.starts_with("//") {
            let (scheme, authority) = from.scheme_str().zip(from.authority()).ok_or_else(nowhere)?;
            format!("{scheme}://{authority}{to}")
        } else {
            to.to_owned()
        };
        let to: Uri = to.parse().map_err(|_| nowhere())?;
        if self.registries.allows(&to) { Ok(to) } else { Err(nowhere()) }
    }

    /// One request, as whom it takes; each of our credentials is tried once.
    async fn ask(
        &mut self,
        method: &Method,
        uri: &Uri,
        headers: &[(http::HeaderName, &str)],
        body: Bytes,
        limit: u64,
    ) -> Result<Response<Bytes>, Trouble> {
        let home = self.uri("")?;
        let at_home = uri.scheme() == home.scheme() && uri.authority() == home.authority();
        loop {
            let mut request = Request::builder().method(method).uri(uri).header(USER_AGENT, AGENT);
            for (name, value) in headers {
                request = request.header(name, *value);
            }
            if let Some(authorization) = self.authorization.as_ref().filter(|_| at_home) {
                request = request.header(AUTHORIZATION, authorization);
            }
            let request =
                request.body(body.clone()).map_err(|error| Trouble::NoAnswer(format!("cannot ask: {error}")))?;
            let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
            let answer = self.registries.http.send(request, limit).await;
            let answer = answer.map_err(|error| no_answer(&authority, error))?;
            let asked = answer.status() == StatusCode::UNAUTHORIZED || answer.status() == StatusCode::FORBIDDEN;
            if !asked || !at_home {
                return Ok(answer);
            }
            if let Some(challenge) = Challenge::read(answer.headers()) {
                self.challenge = Some(challenge);
            }
            if !self.authorize().await? {
                return Err(self.refused(answer));
            }
        }
    }

    /// Takes the next of our credentials; false: there is none left.
    async fn authorize(&mut self) -> Result<bool, Trouble> {
        let Some(challenge) = self.challenge.clone() else { return Ok(false) };
        loop {
            let credential = self.credentials.pop();
            if credential.is_none() && (self.had_credentials || self.anonymous_tried) {
                return Ok(false);
            }
            self.anonymous_tried = true;
            match &challenge {
                Challenge::Basic => {
                    let Some(credential) = credential else { return Ok(false) };
                    self.authorization = Some(credential.basic());
                    return Ok(true);
                }
                Challenge::Bearer { realm, service } => {
                    if let Some(token) = self.token(realm, service.as_deref(), credential.as_ref()).await? {
                        self.authorization = Some(token);
                        return Ok(true);
                    }
                }
            }
        }
    }

    /// A token; none where the name and the password are refused.
    async fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        credential: Option<&Credential>,
    ) -> Result<Option<HeaderValue>, Trouble> {
        let host = &self.repository.host;
        let actions = if self.purpose == Purpose::Push { "pull,push" } else { "pull" };
        let scope = format!("repository:{}:{actions}", self.repository.name);
        let uri = token_url(realm, service, &scope).parse::<Uri>().ok().filter(|uri| self.registries.allows(uri));
        let uri = uri.ok_or_else(|| {
            Trouble::Refused(format!(
                "{host} wants a token from where none can be asked for safely, which is not https"
            ))
        })?;
        let mut request = Request::get(&uri).header(USER_AGENT, AGENT);
        if let Some(credential) = credential {
            request = request.header(AUTHORIZATION, credential.basic());
        }
        let request = request.body(Bytes::new()).map_err(|error| Trouble::NoAnswer(format!("cannot ask: {error}")))?;
        let at = uri.authority().map(ToString::to_string).unwrap_or_default();
        let answer = self.registries.http.send(request, TOKEN_LIMIT).await;
        let answer = answer.map_err(|error| no_answer(&format!("{at}, which gives out tokens"), error))?;
        match answer.status() {
            StatusCode::OK => match bearer(answer.body()) {
                Some(token) => Ok(Some(token)),
                None => Err(Trouble::NoAnswer(format!("{at} gives out no token, though it says so"))),
            },
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Ok(None),
            status => Err(Trouble::NoAnswer(format!("{at}, which gives out tokens, answers {}", status.as_u16()))),
        }
    }

    fn refused(&self, answer: Response<Bytes>) -> Trouble {
        let Repository { host, .. } = self.repository;
        let status = answer.status().as_u16();
        let code = code(answer.body());
        let repository = self.repository;
        Trouble::Refused(if self.had_credentials {
            format!("{host} answers {status}{code}: no entry of the pull secrets for {repository} is let in")
        } else {
            format!(
                "{host} answers {status}{code}, and no pull secret has an entry for {repository}: \
                 name the file of one in `plugins.registry.pull_secrets`"
            )
        })
    }

    fn expect(&self, answer: Response<Bytes>, wanted: StatusCode, what: &str) -> Result<Bytes, Trouble> {
        let status = answer.status();
        if status == wanted {
            return Ok(answer.into_body());
        }
        let Repository { host, name } = self.repository;
        let said = format!("{host} answers {}{}", status.as_u16(), code(answer.body()));
        Err(match status {
            StatusCode::NOT_FOUND => Trouble::Missing(format!("{said}: {what} is not in {name}")),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Trouble::Refused(said),
            _ => Trouble::NoAnswer(said),
        })
    }
}

fn no_answer(whose: &str, error: NoAnswer) -> Trouble {
    match error {
        NoAnswer::Untrusted(error) => Trouble::Refused(format!("{whose}: {error}")),
        NoAnswer::Failed(error) => Trouble::NoAnswer(format!("{whose}: {error}")),
    }
}

fn parse(uri: &str) -> Result<Uri, Trouble> {
    uri.parse().map_err(|error| Trouble::NoAnswer(format!("cannot make a URL of it: {error}")))
}

/// ` (MANIFEST_UNKNOWN)`: the first code in an error's body. What else it says could be anything, a secret included.
fn code(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<One>,
    }
    #[derive(Deserialize)]
    struct One {
        code: String,
    }
    let code = serde_json::from_slice::<Errors>(body).ok().and_then(|errors| errors.errors.into_iter().next());
    let plain = |code: &String| code.len() <= 40 && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    code.map(|one| one.code).filter(plain).map(|code| format!(" ({code})")).unwrap_or_default()
}
