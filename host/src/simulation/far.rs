//! Graylog and the pager: away, slow and rude at times; both keep what they took.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use flate2::read::GzDecoder;
use http::{Request, Response, header};
use hyper::body::Bytes;
use serde_json::Value;
use tower::util::BoxCloneSyncService;

use super::world::World;
use crate::ship::http::{HttpClient, HttpError};

pub const GRAYLOG: &str = "http://graylog/gelf";
pub const PAGER: &str = "http://pager";

pub fn client(world: &Arc<World>) -> HttpClient {
    let world = Arc::clone(world);
    BoxCloneSyncService::new(tower::service_fn(move |request| deliver(Arc::clone(&world), request)))
}

async fn deliver(world: Arc<World>, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let graylog = request.uri().host() == Some("graylog");
    let name = if graylog { "graylog" } else { "pager" };
    world.step(|| format!("{name} <")).await;
    tokio::time::sleep(world.dice.millis(1, 20)).await;
    let fault = if world.is_rough() && world.dice.chance(world.scenario.weather.far_faults) {
        1 + world.dice.below(6)
    } else {
        0
    };
    match fault {
        1 => return Err(HttpError::Failed("connection refused".to_owned())),
        2 => {
            tokio::time::sleep(Duration::from_secs(10)).await;
            return Err(HttpError::Timeout);
        }
        3 => return Ok(says(503, None)),
        4 => return Ok(says(429, Some("3"))),
        5 if !graylog => {
            world.state().notes.turned_down += 1;
            return Ok(says(400, None));
        }
        _ => {}
    }
    let body = decoded(&request);
    world.note(|| format!("{name} takes {}", body["_seq"]));
    {
        let mut state = world.state();
        if graylog { state.notes.delivered.push(body) } else { state.notes.paged.push(body) }
    }
    world.step(|| format!("{name} >")).await;
    if fault == 6 { Err(HttpError::Failed("the answer broke off".to_owned())) } else { Ok(says(202, None)) }
}

fn says(status: u16, retry_after: Option<&str>) -> Response<Bytes> {
    let mut response = Response::builder().status(status);
    if let Some(seconds) = retry_after {
        response = response.header(header::RETRY_AFTER, seconds);
    }
    response.body(Bytes::new()).expect("a response")
}

fn decoded(request: &Request<Bytes>) -> Value {
    let packed = request.headers().get(header::CONTENT_ENCODING).is_some();
    let mut text = String::new();
    if packed {
        GzDecoder::new(request.body().as_ref()).read_to_string(&mut text).expect("gzip");
    } else {
        text = String::from_utf8_lossy(request.body()).into_owned();
    }
    serde_json::from_str(&text).expect("JSON")
}
