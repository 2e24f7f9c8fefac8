//! One client of an embedded broker: frames in, answers out, both bounded.

use super::Event;
use crate::{demo::limits, net::Net};
use bytes::{Buf, Bytes, BytesMut};
use fixture_broker::{ConnId, limits::MAX_FRAME_BYTES};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::{
        mpsc::{self, error::TrySendError},
        oneshot,
    },
    time::timeout,
};
use tracing::debug;

/// Bytes of the length in front of each frame.
const LENGTH_PREFIX: usize = 4;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error("the client has closed it")]
    Closed,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("a frame of {0} bytes is none")]
    FrameLength(i32),
    #[error("the host has stopped")]
    HostGone,
}

/// Why an answer cannot wait for its client.
#[derive(Debug, thiserror::Error)]
#[error("{bytes} bytes of answers wait for it already")]
pub(super) struct Full {
    bytes: usize,
}

/// Answers on their way to one client. Dropping it hangs up, behind the last answer.
#[derive(Debug)]
pub(super) struct Queue {
    frames: mpsc::Sender<Bytes>,
    /// Bytes that are queued or half written.
    waiting: Arc<AtomicUsize>,
    _hung_up: oneshot::Sender<()>,
}

/// The other end of a [`Queue`].
#[derive(Debug)]
pub(super) struct Queued {
    frames: mpsc::Receiver<Bytes>,
    waiting: Arc<AtomicUsize>,
    hung_up: oneshot::Receiver<()>,
}

pub(super) fn queue() -> (Queue, Queued) {
    let (sender, receiver) = mpsc::channel(limits::ANSWERS_WAITING);
    let (hang_up, hung_up) = oneshot::channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let queue = Queue { frames: sender, waiting: waiting.clone(), _hung_up: hang_up };
    (queue, Queued { frames: receiver, waiting, hung_up })
}

impl Queue {
    /// Queues an answer unless too much waits already.
    pub(super) fn push(&self, frame: Bytes) -> Result<(), Full> {
        let length = frame.len();
        let before = self.waiting.fetch_add(length, Relaxed);
        if before > limits::ANSWER_BYTES_WAITING {
            return Err(Full { bytes: before });
        }
        match self.frames.try_send(frame) {
            // Of a task that has ended the end is on its way to the cluster.
            Ok(()) | Err(TrySendError::Closed(_)) => Ok(()),
            Err(TrySendError::Full(_)) => Err(Full { bytes: before }),
        }
    }
}

#[cfg(test)]
impl Queued {
    /// The next answer.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        self.frames.recv().await
    }
}

/// Serves one connection until either side ends it, and tells the host so.
pub(super) async fn serve<N: Net>(stream: N::Stream, queued: Queued, conn: ConnId, events: mpsc::Sender<Event<N>>) {
    let (reader, mut writer) = tokio::io::split(stream);
    let Queued { mut frames, waiting, hung_up } = queued;
    {
        let mut writing = std::pin::pin!(write(&mut writer, &mut frames, &waiting));
        tokio::select! {
            biased;
            written = &mut writing => note(written),
            // The queue is gone: what is in it may still be taken, for a while.
            _ = hung_up => {
                if let Ok(written) = timeout(limits::LINGER, writing).await {
                    note(written);
                }
            }
            end = read(reader, conn, &events) => note(end),
        }
    }
    let _ = events.send(Event::Closed { conn }).await; // an error means that the host is gone
    let _ = timeout(limits::LINGER, writer.shutdown()).await; // the client may have closed it before
}

fn note(ended: Result<(), impl std::fmt::Display>) {
    if let Err(e) = ended {
        debug!("embedded broker: connection ended: {e}");
    }
}

async fn write(
    writer: &mut (impl AsyncWrite + Unpin),
    frames: &mut mpsc::Receiver<Bytes>,
    waiting: &AtomicUsize,
) -> io::Result<()> {
    while let Some(frame) = frames.recv().await {
        writer.write_all(&frame).await?;
        waiting.fetch_sub(frame.len(), Relaxed);
    }
    writer.flush().await
}

/// Returns only with an error: the client closes, or sends what is no frame.
async fn read<N: Net>(
    mut reader: impl AsyncRead + Unpin,
    conn: ConnId,
    events: &mpsc::Sender<Event<N>>,
) -> Result<(), End> {
    let mut buffer = BytesMut::new();
    loop {
        while let Some(length) = frame_length(&buffer)? {
            if buffer.len() < LENGTH_PREFIX + length {
                break;
            }
            buffer.advance(LENGTH_PREFIX);
            let frame = buffer.split_to(length).freeze();
            events.send(Event::Frame { conn, frame }).await.map_err(|_| End::HostGone)?;
        }
        buffer.reserve(limits::READ_CHUNK);
        if reader.read_buf(&mut buffer).await? == 0 {
            return Err(End::Closed);
        }
    }
}

/// What the length prefix says, if it is there: checked before anything is reserved for the frame.
fn frame_length(buffer: &[u8]) -> Result<Option<usize>, End> {
    let Some(prefix) = buffer.first_chunk::<LENGTH_PREFIX>() else { return Ok(None) };
    let length = i32::from_be_bytes(*prefix);
    match usize::try_from(length) {
        Ok(length @ 1..=MAX_FRAME_BYTES) => Ok(Some(length)),
        Ok(_) | Err(_) => Err(End::FrameLength(length)),
    }
}
