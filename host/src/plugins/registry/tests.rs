//! Against a server of the test's own, which does what no sound registry would.

use std::collections::HashMap;
use std::io::{BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use integration_tests::request::{self, Request};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::artifact::{Descriptor, MANIFEST};
use super::http::{Http, Plain};
use super::layout::Layout;
use super::pull::{Found, Sources, at_hand};
use super::reference::{Digest, Pinned};
use super::secrets::PullSecrets;
use super::session::{Registries, Trouble};
use super::signature::tests::Signer;
use super::signature::{self, Keys, Signed};

const COMPONENT: &[u8] = b"\0asm a component, as far as a registry is concerned";

struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

fn ok(body: impl Into<Vec<u8>>) -> Answer {
    Answer { status: 200, headers: Vec::new(), body: body.into() }
}

fn status(status: u16) -> Answer {
    Answer { status, headers: Vec::new(), body: Vec::new() }
}

fn moved(to: String) -> Answer {
    Answer { headers: vec![("Location", to)], ..status(307) }
}

/// Path and `Authorization`.
type Asked = (String, Option<String>);

/// Answers as it is told, and remembers what it was asked.
struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (inner, answer) = (Arc::clone(&asked), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (inner, answer) = (Arc::clone(&inner), Arc::clone(&answer));
                std::thread::spawn(move || converse(&stream, &inner, answer.as_ref()));
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    fn pinned(&self, digest: &Digest) -> Pinned {
        format!("oci://{}/team/kill-pod@{digest}", self.address).parse().unwrap()
    }
}

fn converse(mut stream: &TcpStream, asked: &Mutex<Vec<Asked>>, answer: &(dyn Fn(&Request) -> Answer + Send + Sync)) {
    let mut reader = BufReader::new(stream);
    while let Some(request) = request::read(&mut reader) {
        asked.lock().unwrap().push((request.path.clone(), request.headers.get("authorization").cloned()));
        let Answer { status, headers, body } = answer(&request);
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
        if stream.write_all(&[head.as_bytes(), &body].concat()).is_err() {
            return;
        }
    }
}

/// What a repository holds: by the end of the path.
#[derive(Clone, Default)]
struct Store(HashMap<String, Vec<u8>>);

impl Store {
    fn with_artifact() -> (Self, Digest) {
        Self::of(|_| {})
    }

    /// An artifact whose manifest was changed by `change` first.
    fn of(change: impl Fn(&mut Value)) -> (Self, Digest) {
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": Descriptor::of("application/vnd.wasm.config.v0+json", b"{}"),
            "layers": [Descriptor::of("application/wasm", COMPONENT)],
        });
        change(&mut manifest);
        let manifest = manifest.to_string().into_bytes();
        let digest = Digest::of(&manifest);
        let mut store = Self::default();
        store.blob(COMPONENT);
        store.blob(b"{}");
        store.0.insert(format!("manifests/{digest}"), manifest);
        (store, digest)
    }

    fn blob(&mut self, content: &[u8]) {
        self.0.insert(format!("blobs/{}", Digest::of(content)), content.to_vec());
    }

    fn sign(&mut self, digest: &Digest, signed: &Signed) {
        let mut layer = Descriptor::of(signature::PAYLOAD, &signed.payload);
        let text = BASE64_STANDARD.encode(&signed.signature);
        layer.annotations = Some(serde_json::Map::from_iter([(signature::ANNOTATION.to_owned(), text.into())]));
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "layers": [layer]});
        self.blob(&signed.payload);
        self.0.insert(format!("manifests/{}", signature::tag(digest)), manifest.to_string().into_bytes());
    }

    fn answer(&self, path: &str) -> Answer {
        let rest = path.strip_prefix("/v2/team/kill-pod/").unwrap_or_default();
        self.0.get(rest).map_or_else(|| status(404), |content| ok(content.clone()))
    }
}

struct House {
    dir: TempDir,
    cache: Layout,
    sources: Sources,
}

impl House {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cache = Layout::open_or_create(&dir.path().join("cache"), true).unwrap();
        let registries =
            Registries { http: Http::new(None).unwrap(), secrets: PullSecrets::default(), plain: Plain::Loopback };
        let sources = Sources { mirror: None, registries: Some(registries), keys: Keys::default() };
        Self { dir, cache, sources }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let file = self.dir.path().join(name);
        std::fs::write(&file, text).unwrap();
        file
    }

    fn secret(mut self, host: SocketAddr, pair: &str) -> Self {
        let auth = BASE64_STANDARD.encode(pair);
        let file = self.file("secret.json", &json!({"auths": {host.to_string(): {"auth": auth}}}).to_string());
        self.sources.registries.as_mut().unwrap().secrets = PullSecrets(vec![file]);
        self
    }

    fn signed_by(mut self, signer: &Signer) -> Self {
        self.sources.keys = Keys::read(&[self.file("cosign.pub", &signer.pem())]).unwrap();
        self
    }

    async fn fetch(&self, pinned: &Pinned) -> Result<Found, Trouble> {
        self.sources.fetch(pinned, &self.cache).await
    }

    /// Why it is not fetched; and nothing of it is kept.
    async fn refusal(&self, pinned: &Pinned) -> String {
        let trouble = self.fetch(pinned).await.expect_err("refused");
        assert_eq!(at_hand(&self.cache, pinned, &Keys::default()).unwrap(), None);
        trouble.to_string()
    }
}

fn basic(pair: &str) -> Option<String> {
    Some(format!("Basic {}", BASE64_STANDARD.encode(pair)))
}

#[tokio::test]
async fn what_was_fetched_once_needs_no_network_any_more() {
    let (store, digest) = Store::with_artifact();
    let server = Server::start(move |request| store.answer(&request.path));
    let (house, pinned) = (House::new(), server.pinned(&digest));
    let found = house.fetch(&pinned).await.unwrap();
    assert_eq!(std::fs::read(&found.file).unwrap(), COMPONENT);
    assert_eq!(found.sha256, Digest::of(COMPONENT).hex());
    let asked = server.asked().len();
    assert_eq!(house.fetch(&pinned).await.unwrap(), found);
    assert_eq!(server.asked().len(), asked, "{:?}", server.asked());
    // What a disk has spoiled is fetched again.
    std::fs::write(&found.file, b"spoiled").unwrap();
    assert_eq!(house.fetch(&pinned).await.unwrap(), found);
    assert_eq!(std::fs::read(&found.file).unwrap(), COMPONENT);
}

#[tokio::test]
async fn what_is_no_action_is_refused_with_what_it_is() {
    let index = "application/vnd.oci.image.index.v1+json";
    type Change = Box<dyn Fn(&mut Value)>;
    let cases: [(Change, &str); 9] = [
        (
            Box::new(|manifest| manifest["config"]["mediaType"] = "application/vnd.oci.image.config.v1+json".into()),
            "no WebAssembly artifact",
        ),
        (
            Box::new(|manifest| manifest["layers"][0]["mediaType"] = "application/vnd.oci.image.layer.v1.tar".into()),
            "its layer is of",
        ),
        (
            Box::new(|manifest| manifest["layers"] = json!([manifest["layers"][0], manifest["layers"][0]])),
            "has 2 layers",
        ),
        (Box::new(|manifest| manifest["layers"] = json!([])), "has 0 layers"),
        (Box::new(move |manifest| *manifest = json!({"mediaType": index, "manifests": []})), "an index of several"),
        (Box::new(|manifest| *manifest = json!({"schemaVersion": 2, "manifests": []})), "an index of several"),
        (
            Box::new(|manifest| manifest["mediaType"] = "application/vnd.docker.distribution.manifest.v2+json".into()),
            "Docker's own form",
        ),
        (Box::new(|manifest| manifest["layers"][0]["size"] = (1_u64 << 40).into()), "is the limit"),
        (Box::new(|manifest| manifest["layers"][0]["digest"] = "sha256:../../etc".into()), "64 lower-case hex digits"),
    ];
    for (change, said) in cases {
        let (store, digest) = Store::of(change);
        let server = Server::start(move |request| store.answer(&request.path));
        let refusal = House::new().refusal(&server.pinned(&digest)).await;
        assert!(refusal.contains(said), "{refusal}");
    }
}

#[tokio::test]
async fn bytes_that_are_others_than_their_digest_says_are_refused() {
    for place in ["manifests/", "blobs/"] {
        for spoil in [|content: &mut Vec<u8>| content[5] ^= 1, |content: &mut Vec<u8>| content.push(b' ')] {
            let (mut store, digest) = Store::with_artifact();
            store.0.iter_mut().filter(|(path, _)| path.starts_with(place)).for_each(|(_, content)| {
                content.resize(content.len().max(6), b' ');
                spoil(content);
            });
            let server = Server::start(move |request| store.answer(&request.path));
            let refusal = House::new().refusal(&server.pinned(&digest)).await;
            assert!(refusal.contains("is not that"), "{place}: {refusal}");
        }
    }
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let (store, digest) = Store::with_artifact();
    let server = Server::start(move |request| {
        if request.path.contains("/manifests/") { ok(vec![b' '; 300 << 10]) } else { store.answer(&request.path) }
    });
    let refusal = House::new().refusal(&server.pinned(&digest)).await;
    assert!(refusal.contains("longer than"), "{refusal}");
}

/// Wants the token that it gives to whoever brings `robot:hunter2`, or to anybody.
fn with_tokens(store: Store, anonymous: bool) -> Server {
    let itself = Arc::new(Mutex::new(None::<SocketAddr>));
    let inner = Arc::clone(&itself);
    let server = Server::start(move |request| {
        let authorization = request.headers.get("authorization").cloned();
        if request.path.starts_with("/token?") {
            assert!(request.path.contains("scope=repository%3Ateam%2Fkill-pod%3Apull"), "{}", request.path);
            let known = if anonymous { authorization.is_none() } else { authorization == basic("robot:hunter2") };
            return if known { ok(r#"{"token":"s3cret"}"#) } else { status(401) };
        }
        if authorization.as_deref() == Some("Bearer s3cret") {
            return store.answer(&request.path);
        }
        let address = inner.lock().unwrap().expect("set before it is asked");
        let challenge = format!("Bearer realm=\"http://{address}/token\",service=\"registry\"");
        let body = br#"{"errors":[{"code":"UNAUTHORIZED","message":"hunter2 is wrong"}]}"#.to_vec();
        Answer { headers: vec![("WWW-Authenticate", challenge)], body, ..status(401) }
    });
    *itself.lock().unwrap() = Some(server.address);
    server
}

#[tokio::test]
async fn a_token_is_had_with_a_pull_secret_or_without_and_asked_for_once() {
    for anonymous in [false, true] {
        let (store, digest) = Store::with_artifact();
        let server = with_tokens(store, anonymous);
        let house = House::new();
        let house = if anonymous { house } else { house.secret(server.address, "robot:hunter2") };
        house.fetch(&server.pinned(&digest)).await.unwrap();
        let tokens = server.asked().iter().filter(|(path, _)| path.starts_with("/token")).count();
        assert_eq!(tokens, 1, "{:?}", server.asked());
    }
}

#[tokio::test]
async fn without_the_right_secret_the_refusal_says_what_to_do_and_nothing_of_the_secret() {
    let (store, digest) = Store::with_artifact();
    let server = with_tokens(store, false);
    let pinned = server.pinned(&digest);
    let refusal = House::new().refusal(&pinned).await;
    assert!(refusal.contains("no pull secret has an entry for") && refusal.contains("(UNAUTHORIZED)"), "{refusal}");
    let refusal = House::new().secret(server.address, "robot:wr0ng").refusal(&pinned).await;
    assert!(refusal.contains("no entry of the pull secrets") && refusal.contains("is let in"), "{refusal}");
    for secret in ["wr0ng", "hunter2", "s3cret", "robot"] {
        assert!(!refusal.contains(secret), "{refusal}");
    }
    // A secret for another registry is told to nobody.
    let house = House::new().secret("127.0.0.1:1".parse().unwrap(), "robot:hunter2");
    house.refusal(&pinned).await;
    let told = server.asked().into_iter().filter_map(|(_, authorization)| authorization);
    assert_eq!(told.collect::<Vec<_>>(), [basic("robot:wr0ng").unwrap()]);
}

#[tokio::test]
async fn a_redirect_is_followed_without_who_we_are() {
    let (store, digest) = Store::with_artifact();
    let elsewhere = {
        let store = store.clone();
        Server::start(move |request| store.answer(&request.path))
    };
    let to = elsewhere.address;
    let server = Server::start(move |request| {
        if request.headers.get("authorization").cloned() != basic("robot:hunter2") {
            let headers = vec![("WWW-Authenticate", "Basic realm=\"r\"".to_owned())];
            return Answer { headers, ..status(401) };
        }
        if request.path.contains("/blobs/") {
            moved(format!("http://{to}{}", request.path))
        } else {
            store.answer(&request.path)
        }
    });
    let house = House::new().secret(server.address, "robot:hunter2");
    house.fetch(&server.pinned(&digest)).await.unwrap();
    assert!(!elsewhere.asked().is_empty());
    assert!(elsewhere.asked().iter().all(|(_, authorization)| authorization.is_none()), "{:?}", elsewhere.asked());
}

#[tokio::test]
async fn a_redirect_or_a_realm_to_where_nobody_may_follow_leads_nowhere() {
    for to in ["http://registry.example.com/x", "ftp://127.0.0.1/x", "//127.0.0.1/x", "http://a@127.0.0.1:1/x", "x", ""]
    {
        let (_, digest) = Store::with_artifact();
        let server = Server::start(move |_| moved(to.to_owned()));
        let refusal = House::new().refusal(&server.pinned(&digest)).await;
        assert!(refusal.contains("nobody may follow"), "{to}: {refusal}");
    }
    let (_, digest) = Store::with_artifact();
    let server = Server::start(move |request| moved(request.path.clone()));
    assert!(House::new().refusal(&server.pinned(&digest)).await.contains("more than 5 times"));
    let server = Server::start(move |_| {
        let headers = vec![("WWW-Authenticate", "Bearer realm=\"http://auth.example.com/token\"".to_owned())];
        Answer { headers, ..status(401) }
    });
    let house = House::new().secret(server.address, "robot:hunter2");
    assert!(house.refusal(&server.pinned(&digest)).await.contains("which is not https"));
}

#[tokio::test]
async fn a_registry_that_is_away_or_busy_is_no_answer_and_one_that_lacks_it_says_so() {
    let (_, digest) = Store::with_artifact();
    for (code, missing) in [(500, false), (503, false), (429, false), (404, true)] {
        let server = Server::start(move |_| status(code));
        let trouble = House::new().fetch(&server.pinned(&digest)).await.unwrap_err();
        assert_eq!(matches!(trouble, Trouble::Missing(_)), missing, "{trouble:?}");
        assert_eq!(matches!(trouble, Trouble::NoAnswer(_)), !missing, "{trouble:?}");
        assert!(trouble.to_string().contains(&format!("answers {code}")), "{trouble}");
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let pinned: Pinned = format!("oci://{port}/a@{digest}").parse().unwrap();
    assert!(matches!(House::new().fetch(&pinned).await, Err(Trouble::NoAnswer(_))));
}

#[tokio::test]
async fn what_must_be_signed_is_fetched_only_with_a_signature_that_counts() {
    let (signer, stranger) = (Signer::generate(), Signer::generate());
    let (store, digest) = Store::with_artifact();
    let serve = |store: Store| Server::start(move |request| store.answer(&request.path));
    let unsigned = serve(store.clone());
    let house = House::new().signed_by(&signer);
    let refusal = house.refusal(&unsigned.pinned(&digest)).await;
    assert!(refusal.contains("is not signed") && refusal.contains(&signature::tag(&digest)), "{refusal}");
    let component = format!("/v2/team/kill-pod/blobs/{}", Digest::of(COMPONENT));
    assert!(unsigned.asked().iter().all(|(path, _)| *path != component), "it is not even fetched");
    let mut by_a_stranger = store.clone();
    by_a_stranger.sign(&digest, &stranger.artifact(&digest));
    let refusal = house.refusal(&serve(by_a_stranger).pinned(&digest)).await;
    assert!(refusal.contains("not by a key of"), "{refusal}");
    let mut of_another = store.clone();
    of_another.sign(&digest, &signer.artifact(&Digest::of(b"another")));
    let refusal = house.refusal(&serve(of_another).pinned(&digest)).await;
    assert!(refusal.contains("of another artifact"), "{refusal}");
    let mut signed = store.clone();
    signed.sign(&digest, &signer.artifact(&digest));
    let server = serve(signed);
    house.fetch(&server.pinned(&digest)).await.unwrap();
    // The cache has the signature as well, and is asked for it each time.
    let pinned = server.pinned(&digest);
    assert!(at_hand(&house.cache, &pinned, &house.sources.keys).unwrap().is_some());
    let other = House::new().signed_by(&stranger);
    assert!(at_hand(&house.cache, &pinned, &other.sources.keys).is_err());
}

#[tokio::test]
async fn what_was_fetched_unsigned_is_not_served_once_signatures_are_asked_for() {
    let signer = Signer::generate();
    let (mut store, digest) = Store::with_artifact();
    let unsigned = {
        let store = store.clone();
        Server::start(move |request| store.answer(&request.path))
    };
    let house = House::new();
    house.fetch(&unsigned.pinned(&digest)).await.unwrap();
    let house = house.signed_by(&signer);
    assert!(house.fetch(&unsigned.pinned(&digest)).await.unwrap_err().to_string().contains("is not signed"));
    // And is, once it was signed in the registry.
    store.sign(&digest, &signer.artifact(&digest));
    let signed = Server::start(move |request| store.answer(&request.path));
    house.fetch(&signed.pinned(&digest)).await.unwrap();
}

async fn filled(dir: &Path, store: Store, digest: &Digest) -> Pinned {
    let server = Server::start(move |request| store.answer(&request.path));
    let mirror = Layout::open_or_create(dir, false).unwrap();
    House::new().sources.mirror(&server.pinned(digest), &mirror).await.unwrap();
    server.pinned(digest)
}

#[tokio::test]
async fn a_mirror_serves_without_a_network_signatures_included() {
    let signer = Signer::generate();
    let (mut store, digest) = Store::with_artifact();
    store.sign(&digest, &signer.artifact(&digest));
    let mut house = House::new().signed_by(&signer);
    let mirror = house.dir.path().join("mirror");
    let pinned = filled(&mirror, store, &digest).await;
    house.sources.mirror = Some(mirror.clone());
    house.sources.registries = None;
    house.fetch(&pinned).await.unwrap();
    let unknown = Pinned { digest: Digest::of(b"unknown"), ..pinned.clone() };
    let refusal = house.refusal(&unknown).await;
    assert!(refusal.contains("the mirror") && refusal.contains("is not in it"), "{refusal}");
    // One that was tampered with.
    let mut other = House::new().signed_by(&signer);
    other.sources.mirror = Some(mirror.clone());
    other.sources.registries = None;
    std::fs::write(mirror.join("blobs/sha256").join(Digest::of(COMPONENT).hex()), b"another").unwrap();
    let refusal = other.refusal(&pinned).await;
    assert!(refusal.contains("the mirror") && refusal.contains("is not that"), "{refusal}");
}

#[tokio::test]
async fn what_a_mirror_lacks_or_has_spoiled_the_registry_gives() {
    let (store, digest) = Store::with_artifact();
    let mut house = House::new();
    let mirror = house.dir.path().join("mirror");
    filled(&mirror, store.clone(), &digest).await;
    let server = Server::start(move |request| store.answer(&request.path));
    house.sources.mirror = Some(mirror.clone());
    house.fetch(&server.pinned(&digest)).await.unwrap();
    assert_eq!(server.asked(), [], "the mirror comes first");
    let mut other = House::new();
    other.sources.mirror = Some(mirror.clone());
    std::fs::remove_file(mirror.join("blobs/sha256").join(Digest::of(COMPONENT).hex())).unwrap();
    other.fetch(&server.pinned(&digest)).await.unwrap();
    assert!(!server.asked().is_empty());
}
