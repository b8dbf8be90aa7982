//! Where the cluster is, and how it is reached.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};

use super::ClusterSpec;
use super::client::{Reader, Writer, halves};
use super::outermost::OutermostLayer;
use super::recorded::{Playback, Recorder};
use super::simulated::Simulation;
use crate::ambient::Ambient;
use tower::Layer as _;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A connection on which nothing is read for this long is given up.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown cluster {0:?}: write simulated:DIR, kubeconfig, kubeconfig:FILE or in-cluster")]
pub struct SpecError(String);

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("cannot simulate a cluster from {}: {message}", dir.display())]
    Simulated { dir: PathBuf, message: String },
    #[error("cannot use the kubeconfig: {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    #[error("cannot use the in-cluster configuration: {0}")]
    InCluster(#[from] kube::config::InClusterError),
    #[error("cannot set up the Kubernetes client: {0}")]
    Client(#[from] kube::Error),
}

impl ClusterSpec {
    /// # Errors
    /// The text is none of the three forms.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        match text.split_once(':') {
            Some(("simulated", dir)) if !dir.is_empty() => Ok(Self::Simulated(dir.into())),
            Some(("kubeconfig", file)) if !file.is_empty() => Ok(Self::Kubeconfig(Some(file.into()))),
            None if text == "kubeconfig" => Ok(Self::Kubeconfig(None)),
            None if text == "in-cluster" => Ok(Self::InCluster),
            _ => Err(SpecError(text.to_owned())),
        }
    }

    /// In-cluster where its files exist, else the kubeconfig.
    pub fn detect() -> Self {
        if Path::new(SERVICE_ACCOUNT).exists() { Self::InCluster } else { Self::Kubeconfig(None) }
    }
}

impl fmt::Display for ClusterSpec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simulated(dir) => write!(formatter, "simulated:{}", dir.display()),
            Self::Kubeconfig(Some(file)) => write!(formatter, "kubeconfig:{}", file.display()),
            Self::Kubeconfig(None) => formatter.write_str("kubeconfig"),
            Self::InCluster => formatter.write_str("in-cluster"),
        }
    }
}

/// Sets up the client. An API server that does not answer now is no error: alerts wait for it.
///
/// # Errors
/// What describes the cluster cannot be read.
pub async fn connect(spec: &ClusterSpec, ambient: &Ambient) -> Result<(Reader, Writer), ConnectError> {
    match client_of(spec).await? {
        Way::Simulated(dir) => Ok(connect_simulated(simulation(dir, ambient)?)),
        Way::Over(builder) => Ok(halves(builder.with_layer(&OutermostLayer).build(), false)),
    }
}

/// As [`connect`], and whatever is exchanged is recorded.
///
/// # Errors
/// As [`connect`].
pub async fn connect_recorded(
    spec: &ClusterSpec,
    ambient: &Ambient,
    recorder: &Recorder,
) -> Result<(Reader, Writer), ConnectError> {
    match client_of(spec).await? {
        Way::Simulated(dir) => Ok(connect_simulated_recorded(simulation(dir, ambient)?, recorder)),
        Way::Over(builder) => Ok(halves(builder.with_layer(recorder).with_layer(&OutermostLayer).build(), false)),
    }
}

/// The same client, around what was recorded.
pub fn connect_playback(playback: Playback) -> (Reader, Writer) {
    halves(kube::Client::new(OutermostLayer.layer(playback), "default"), false)
}

/// What a client is built around.
enum Way<'a> {
    Simulated(&'a Path),
    Over(ClientBuilder<GenericService>),
}

/// What kube puts around a connection: credentials, base URL, timeouts.
type GenericService = tower::util::BoxService<
    http::Request<kube::client::Body>,
    http::Response<Box<kube::client::DynBody>>,
    tower::BoxError,
>;

fn simulation(dir: &Path, ambient: &Ambient) -> Result<Simulation, ConnectError> {
    Simulation::load(dir, ambient)
        .map_err(|error| ConnectError::Simulated { dir: dir.to_owned(), message: error.to_string() })
}

async fn client_of(spec: &ClusterSpec) -> Result<Way<'_>, ConnectError> {
    let mut config = match spec {
        ClusterSpec::Simulated(dir) => return Ok(Way::Simulated(dir)),
        ClusterSpec::InCluster => kube::Config::incluster()?,
        ClusterSpec::Kubeconfig(None) => kube::Config::from_kubeconfig(&KubeConfigOptions::default()).await?,
        ClusterSpec::Kubeconfig(Some(file)) => {
            kube::Config::from_custom_kubeconfig(Kubeconfig::read_from(file)?, &KubeConfigOptions::default()).await?
        }
    };
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(READ_TIMEOUT);
    Ok(Way::Over(ClientBuilder::try_from(config)?))
}

/// The same client, around a simulation.
pub fn connect_simulated(simulation: Simulation) -> (Reader, Writer) {
    halves(kube::Client::new(OutermostLayer.layer(simulation), "default"), true)
}

/// As [`connect_simulated`], and whatever is exchanged is recorded.
pub fn connect_simulated_recorded(simulation: Simulation, recorder: &Recorder) -> (Reader, Writer) {
    halves(kube::Client::new(OutermostLayer.layer(recorder.layer(simulation)), "default"), true)
}

/// The same client, around whatever stands for the connection.
#[cfg(test)]
pub fn connect_through<S>(service: S) -> (Reader, Writer)
where
    S: tower::Service<http::Request<kube::client::Body>, Response = http::Response<kube::client::Body>>
        + Send
        + 'static,
    S::Error: Into<tower::BoxError>,
    S::Future: Send + 'static,
{
    halves(kube::Client::new(OutermostLayer.layer(service), "default"), true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_three_forms_and_no_other() {
        for (text, spec) in [
            ("simulated:deploy/demo", ClusterSpec::Simulated("deploy/demo".into())),
            ("kubeconfig", ClusterSpec::Kubeconfig(None)),
            ("kubeconfig:/tmp/a:b", ClusterSpec::Kubeconfig(Some("/tmp/a:b".into()))),
            ("in-cluster", ClusterSpec::InCluster),
        ] {
            assert_eq!(ClusterSpec::parse(text), Ok(spec.clone()));
            assert_eq!(spec.to_string(), text);
        }
        for text in ["", "simulated", "simulated:", "kubeconfig:", "incluster", "in-cluster:x"] {
            assert!(ClusterSpec::parse(text).is_err(), "{text:?}");
        }
    }
}
