//! GELF over bare sockets, dressed as a client: a request's body is the message, and 202 means that it was handed to the
//! kernel. More cannot be known, for Graylog's TCP and UDP inputs say nothing:
//!
//! - over TCP, what was in flight when a connection broke is lost, and no error says so;
//! - over UDP, any datagram may be lost, and one lost chunk loses the message.
//!
//! Whoever needs more uses HTTP, or has storage confirmed by the search API.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket, lookup_host};
use tokio::sync::Mutex;
use tower::ServiceExt as _;
use tower::util::BoxCloneSyncService;

use super::http::{HttpClient, HttpError, connector};
use crate::ambient::Ambient;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Graylog puts at most so many together.
const MOST_CHUNKS: usize = 128;
/// Of a datagram; fits an Ethernet frame, and most tunnels.
const DATAGRAM: usize = 1420;
const CHUNK_HEAD: usize = 12;
const CHUNK_MAGIC: [u8; 2] = [0x1e, 0x0f];

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

type Connection = Arc<Mutex<Option<Box<dyn Stream>>>>;

pub fn tcp() -> HttpClient {
    let connection = Connection::default();
    BoxCloneSyncService::new(tower::service_fn(move |request: Request<Bytes>| {
        let connection = Arc::clone(&connection);
        bounded(async move {
            let (host, port) = place(&request)?;
            let connect = async move {
                let stream = TcpStream::connect((host, port)).await.map_err(failed)?;
                Ok(Box::new(stream) as Box<dyn Stream>)
            };
            frame(&connection, connect, request.body()).await
        })
    }))
}

/// # Errors
/// When the CA's file cannot be used, or without one, when the machine has no roots.
pub fn tls(ca_file: Option<&Path>) -> Result<HttpClient, HttpError> {
    let connector = connector(ca_file)?;
    let connection = Connection::default();
    Ok(BoxCloneSyncService::new(tower::service_fn(move |request: Request<Bytes>| {
        let (connection, connector) = (Arc::clone(&connection), connector.clone());
        bounded(async move {
            let (host, port) = place(&request)?;
            let uri = format!("https://{host}:{port}").parse().map_err(|error| failed(format!("{error}")))?;
            let connect = async move {
                let stream = connector.oneshot(uri).await.map_err(failed)?;
                Ok(Box::new(TokioIo::new(stream)) as Box<dyn Stream>)
            };
            frame(&connection, connect, request.body()).await
        })
    })))
}

pub fn udp(ambient: &Ambient) -> HttpClient {
    let ambient = ambient.clone();
    BoxCloneSyncService::new(tower::service_fn(move |request: Request<Bytes>| {
        let mut id = [0; 8];
        ambient.fill(&mut id);
        bounded(async move {
            let (host, port) = place(&request)?;
            let to = lookup_host((host.as_str(), port)).await.map_err(failed)?.next();
            let to = to.ok_or_else(|| failed(format!("{host} has no address")))?;
            let any: SocketAddr = if to.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
            let socket = UdpSocket::bind(any).await.map_err(failed)?;
            socket.connect(to).await.map_err(failed)?;
            let Some(datagrams) = datagrams(request.body(), id) else { return answer(StatusCode::PAYLOAD_TOO_LARGE) };
            for datagram in datagrams {
                socket.send(&datagram).await.map_err(failed)?;
            }
            answer(StatusCode::ACCEPTED)
        })
    }))
}

/// One message, and the zero byte that ends it, on the connection there is or on a new one.
async fn frame(
    connection: &Connection,
    connect: impl Future<Output = Result<Box<dyn Stream>, HttpError>>,
    message: &[u8],
) -> Result<Response<Bytes>, HttpError> {
    let mut kept = connection.lock().await;
    // Taken out: whoever gives up in the middle leaves half a frame, and nobody may write after it.
    let mut stream = match kept.take() {
        Some(mut stream) => {
            if is_open(&mut stream).await {
                stream
            } else {
                connect.await?
            }
        }
        None => connect.await?,
    };
    let mut framed = Vec::with_capacity(message.len() + 1);
    framed.extend_from_slice(message);
    framed.push(0);
    stream.write_all(&framed).await.map_err(failed)?;
    stream.flush().await.map_err(failed)?;
    // A refusal that is known by now need not cost the message.
    if !is_open(&mut stream).await {
        return Err(failed("the connection was closed by Graylog"));
    }
    *kept = Some(stream);
    answer(StatusCode::ACCEPTED)
}

/// Graylog never says anything: all there is to read is the end.
async fn is_open(stream: &mut Box<dyn Stream>) -> bool {
    let mut byte = [0];
    match tokio::time::timeout(Duration::ZERO, stream.read(&mut byte)).await {
        Err(_nothing_to_read) => true,
        Ok(read) => read.is_ok_and(|length| length > 0),
    }
}

/// The message as it is when it fits one datagram, else in chunks; none when it takes too many.
fn datagrams(message: &[u8], id: [u8; 8]) -> Option<Vec<Vec<u8>>> {
    if message.len() <= DATAGRAM {
        return Some(vec![message.to_vec()]);
    }
    let chunks = message.chunks(DATAGRAM - CHUNK_HEAD);
    let count = u8::try_from(chunks.len()).ok().filter(|count| usize::from(*count) <= MOST_CHUNKS)?;
    let chunk = |(number, part): (u8, &[u8])| {
        let mut datagram = Vec::with_capacity(CHUNK_HEAD + part.len());
        datagram.extend_from_slice(&CHUNK_MAGIC);
        datagram.extend_from_slice(&id);
        datagram.extend_from_slice(&[number, count]);
        datagram.extend_from_slice(part);
        datagram
    };
    Some((0..count).zip(chunks).map(chunk).collect())
}

fn place(request: &Request<Bytes>) -> Result<(String, u16), HttpError> {
    let uri = request.uri();
    let host = uri.host().map(|host| host.trim_start_matches('[').trim_end_matches(']').to_owned());
    host.zip(uri.port_u16()).ok_or_else(|| failed(format!("{uri} names no host and port")))
}

async fn bounded(
    exchange: impl Future<Output = Result<Response<Bytes>, HttpError>>,
) -> Result<Response<Bytes>, HttpError> {
    tokio::time::timeout(TIMEOUT, exchange).await.unwrap_or(Err(HttpError::Timeout))
}

fn answer(status: StatusCode) -> Result<Response<Bytes>, HttpError> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    Ok(response)
}

fn failed(error: impl ToString) -> HttpError {
    HttpError::Failed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_into_chunks_that_make_it_whole_again() {
        let message: Vec<u8> = (0..5000_u32).map(|number| number.to_le_bytes()[0]).collect();
        let datagrams = datagrams(&message, *b"abcdefgh").unwrap();
        assert_eq!(datagrams.len(), 4);
        let mut whole = Vec::new();
        for (number, datagram) in datagrams.iter().enumerate() {
            assert!(datagram.len() <= DATAGRAM);
            assert_eq!(&datagram[..10], b"\x1e\x0fabcdefgh");
            assert_eq!((usize::from(datagram[10]), datagram[11]), (number, 4));
            whole.extend_from_slice(&datagram[12..]);
        }
        assert_eq!(whole, message);
    }

    #[test]
    fn what_fits_goes_in_one_and_what_is_too_long_for_chunks_not_at_all() {
        assert_eq!(datagrams(&[7; DATAGRAM], [0; 8]), Some(vec![vec![7; DATAGRAM]]));
        let most = MOST_CHUNKS * (DATAGRAM - CHUNK_HEAD);
        assert_eq!(datagrams(&vec![7; most], [0; 8]).map(|all| all.len()), Some(MOST_CHUNKS));
        assert_eq!(datagrams(&vec![7; most + 1], [0; 8]), None);
    }
}
