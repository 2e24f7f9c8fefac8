//! One connection to a broker: requests are pipelined, responses paired in order.

use super::{
    ClientError,
    guard::{self, Spoken},
};
use crate::{demo::limits, net::Net};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::{
    messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse, RequestHeader},
    protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes},
};
use kroxy_core::{
    address::HostPort,
    wire::{Reader, Unread},
};
use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    io,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::timeout,
};
use tracing::debug;

/// Bytes of the length in front of each frame.
const LENGTH_PREFIX: usize = 4;
/// The first ApiVersions in which a client says what software it is (KIP-511): every broker since Kafka 2.4 answers it.
const API_VERSIONS: i16 = 3;

/// What these clients say they are.
const SOFTWARE_NAME: &str = "kroxy-demo";

/// The first and last version of each API that both sides speak.
type Versions = BTreeMap<i16, (i16, i16)>;

/// A connection to one broker, served by a task. All clones speak on the same one; it closes with the last of them.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    calls: mpsc::Sender<Call>,
    versions: Arc<Versions>,
    client_id: StrBytes,
}

#[derive(Debug)]
struct Call {
    /// Without correlation id: whoever writes it puts that in.
    frame: BytesMut,
    answer: oneshot::Sender<Result<Bytes, ClientError>>,
}

impl Connection {
    /// Connects and learns which versions the broker speaks; the connection's task runs in `tasks`.
    pub(super) async fn open<N: Net>(
        net: &N,
        to: &HostPort,
        client_id: StrBytes,
        tasks: &mut JoinSet<()>,
    ) -> Result<Self, ClientError> {
        let failed = |cause| ClientError::Connect { to: to.clone(), cause };
        let stream = timeout(limits::CONNECT, net.connect(to))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(failed)?;
        let (calls, called) = mpsc::channel(limits::CALLS_IN_FLIGHT);
        let address = to.to_string();
        tasks.spawn(async move {
            if let Err(e) = serve::<N>(stream, called).await {
                debug!(broker = address, "connection ended: {e}");
            }
        });
        let mut connection = Self { calls, versions: Arc::default(), client_id };
        connection.versions = Arc::new(connection.ask_versions().await?);
        Ok(connection)
    }

    /// Whether nothing can be asked on it any more.
    pub(super) fn is_closed(&self) -> bool {
        self.calls.is_closed()
    }

    /// The highest version of an API that both sides speak.
    pub(super) fn version(&self, api: ApiKey) -> Result<i16, ClientError> {
        let (min, max) = guard::spoken(api).ok_or(ClientError::Unsupported(api))?.versions;
        let &(theirs_min, theirs_max) = self.versions.get(&(api as i16)).ok_or(ClientError::Unsupported(api))?;
        let version = max.min(theirs_max);
        if version >= min.max(theirs_min) { Ok(version) } else { Err(ClientError::Unsupported(api)) }
    }

    /// Asks and waits for the answer, `waits` longer than usual where the request lets the broker wait.
    ///
    /// The future borrows nothing, so that many may be in flight; dropping it forgets the answer.
    pub(super) fn call<R: Request>(
        &self,
        request: &R,
        waits: Duration,
    ) -> impl Future<Output = Result<R::Response, ClientError>> + Send + use<R> {
        let prepared = self.prepare(request);
        let calls = self.calls.clone();
        async move {
            let (api, version, spoken, frame) = prepared?;
            let body = exchange(&calls, api, frame, waits).await?;
            let unreadable = |why: String| ClientError::Unreadable { api, why };
            let mut body =
                strip_header(body, R::Response::header_version(version)).map_err(|e| unreadable(e.to_string()))?;
            guard::check(&spoken, version, &body).map_err(|e| unreadable(e.to_string()))?;
            R::Response::decode(&mut body, version).map_err(|e| unreadable(e.to_string()))
        }
    }

    fn prepare<R: Request>(&self, request: &R) -> Result<(ApiKey, i16, Spoken, BytesMut), ClientError> {
        let api = ApiKey::try_from(R::KEY).expect("a request's key is an API key");
        let version = self.version(api)?;
        let spoken = guard::spoken(api).ok_or(ClientError::Unsupported(api))?;
        Ok((api, version, spoken, encode(api, version, &self.client_id, request)?))
    }

    async fn ask_versions(&self) -> Result<Versions, ClientError> {
        let api = ApiKey::ApiVersions;
        let spoken = guard::spoken(api).ok_or(ClientError::Unsupported(api))?;
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str(SOFTWARE_NAME))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let frame = encode(api, API_VERSIONS, &self.client_id, &request)?;
        let body = exchange(&self.calls, api, frame, Duration::ZERO).await?;
        let unreadable = |why: String| ClientError::Unreadable { api, why };
        let mut body = strip_header(body, 0).map_err(|e| unreadable(e.to_string()))?;
        if let Some(code @ 1..) = body.first_chunk().map(|code| i16::from_be_bytes(*code)) {
            return Err(ClientError::Broker { api, code }); // what follows need not have the form of this version
        }
        guard::check(&spoken, API_VERSIONS, &body).map_err(|e| unreadable(e.to_string()))?;
        let answer = ApiVersionsResponse::decode(&mut body, API_VERSIONS).map_err(|e| unreadable(e.to_string()))?;
        Ok(answer.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version))).collect())
    }
}

/// A request frame whose correlation id is still open.
fn encode<R: Encodable + HeaderVersion>(
    api: ApiKey,
    version: i16,
    client_id: &StrBytes,
    request: &R,
) -> Result<BytesMut, ClientError> {
    let header = RequestHeader::default()
        .with_request_api_key(api as i16)
        .with_request_api_version(version)
        .with_client_id(Some(client_id.clone()));
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    header
        .encode(&mut frame, R::header_version(version))
        .and_then(|()| request.encode(&mut frame, version))
        .map_err(|e| ClientError::Unsendable { api, why: e.to_string() })?;
    let length = i32::try_from(frame.len() - LENGTH_PREFIX)
        .map_err(|_| ClientError::Unsendable { api, why: "it is longer than a frame can be".to_owned() })?;
    frame[..LENGTH_PREFIX].copy_from_slice(&length.to_be_bytes());
    Ok(frame)
}

/// Sends a frame and waits for the frame that answers it, without its length prefix.
async fn exchange(
    calls: &mpsc::Sender<Call>,
    api: ApiKey,
    frame: BytesMut,
    waits: Duration,
) -> Result<Bytes, ClientError> {
    let (answer, answered) = oneshot::channel();
    let exchanged = async {
        calls.send(Call { frame, answer }).await.map_err(|_| ClientError::Disconnected)?;
        answered.await.map_err(|_| ClientError::Disconnected)?
    };
    timeout(limits::REQUEST + waits, exchanged).await.map_err(|_| ClientError::TimedOut(api))?
}

/// Reads over a response header.
fn strip_header(mut frame: Bytes, header_version: i16) -> Result<Bytes, Unread> {
    let mut reader = Reader::new(&frame);
    reader.i32()?; // the correlation id, which was compared
    if header_version >= 1 {
        reader.skip_tagged_fields()?;
    }
    let at = reader.position();
    frame.advance(at);
    Ok(frame)
}

/// Writes what is asked and pairs what is answered, until either side closes.
async fn serve<N: Net>(stream: N::Stream, mut calls: mpsc::Receiver<Call>) -> Result<(), ClientError> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut waiting: VecDeque<(i32, oneshot::Sender<Result<Bytes, ClientError>>)> = VecDeque::new();
    let (mut inbox, mut outbox) = (BytesMut::new(), BytesMut::new());
    let mut next_correlation = 0_i32;
    loop {
        inbox.reserve(limits::READ_CHUNK);
        tokio::select! {
            biased;
            read = reader.read_buf(&mut inbox) => {
                if read? == 0 {
                    return Err(ClientError::Disconnected);
                }
                while let Some(frame) = next_frame(&mut inbox)? {
                    let got = frame.first_chunk().map(|id| i32::from_be_bytes(*id));
                    let (expected, answer) = waiting.pop_front().ok_or(ClientError::OutOfTurn { expected: None, got })?;
                    if got != Some(expected) {
                        return Err(ClientError::OutOfTurn { expected: Some(expected), got });
                    }
                    let _ = answer.send(Ok(frame)); // whoever asked may not want to know any more
                }
            }
            written = writer.write_buf(&mut outbox), if outbox.has_remaining() => {
                if written? == 0 {
                    return Err(ClientError::Disconnected);
                }
            }
            call = calls.recv(), if outbox.is_empty() && waiting.len() < limits::CALLS_IN_FLIGHT => {
                let Some(Call { mut frame, answer }) = call else {
                    let _ = writer.shutdown().await; // the broker may have closed it before
                    return Ok(());
                };
                // Behind the length, the API key and its version.
                frame[8..12].copy_from_slice(&next_correlation.to_be_bytes());
                waiting.push_back((next_correlation, answer));
                next_correlation = next_correlation.wrapping_add(1);
                outbox = frame;
            }
        }
    }
}

/// Takes a whole frame out of what was read, without its length prefix.
fn next_frame(inbox: &mut BytesMut) -> Result<Option<Bytes>, ClientError> {
    let Some(prefix) = inbox.first_chunk::<LENGTH_PREFIX>() else { return Ok(None) };
    let length = i32::from_be_bytes(*prefix);
    let frame = usize::try_from(length).ok().filter(|length| (4..=limits::RESPONSE).contains(length));
    let frame = frame.ok_or(ClientError::FrameLength(length))?;
    if inbox.len() < LENGTH_PREFIX + frame {
        return Ok(None);
    }
    inbox.advance(LENGTH_PREFIX);
    Ok(Some(inbox.split_to(frame).freeze()))
}
