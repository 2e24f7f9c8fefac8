//! The connections of a client that speaks for itself: kept as long as they work, requests pipelined.

use super::{Client, kafka};
use crate::{limits, net::SimStream};
use kafka_protocol::{
    messages::{FindCoordinatorRequest, MetadataRequest},
    protocol::{Request, StrBytes},
};
use kroxy_core::address::HostPort;
use runtime::net::Net;
use std::{collections::BTreeMap, future::poll_fn, io, pin::Pin, task::Poll};
use tokio::{
    io::{AsyncRead, AsyncWriteExt, ReadBuf},
    time::timeout,
};

/// What a coordinator coordinates.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Coordinates {
    Group = 0,
    Transaction = 1,
}

/// Connections by address.
pub(super) struct Lines {
    me: Client,
    correlation: i32,
    streams: BTreeMap<HostPort, SimStream>,
    opened: u32,
}

impl Lines {
    pub(super) const fn new(me: Client) -> Self {
        Self { me, correlation: 0, streams: BTreeMap::new(), opened: 0 }
    }

    /// Makes sure that there is a connection. One that the other end has closed is closed here as well, as clients do.
    pub(super) async fn open(&mut self, to: &HostPort) -> io::Result<()> {
        if let Some(mut stream) = self.streams.remove(to) {
            if has_ended(&mut stream).await {
                let _ = stream.shutdown().await; // it may be gone altogether
            } else {
                self.streams.insert(to.clone(), stream);
            }
        }
        if !self.streams.contains_key(to) {
            let stream = timeout(limits::OPERATION, self.me.net.connect(to)).await??;
            self.streams.insert(to.clone(), stream);
            self.opened += 1;
        }
        Ok(())
    }

    /// Whether there is a connection on which nothing has failed.
    pub(super) fn has(&self, to: &HostPort) -> bool {
        self.streams.contains_key(to)
    }

    /// How many connections there were.
    pub(super) const fn opened(&self) -> u32 {
        self.opened
    }

    /// Asks and waits for the answer. A connection that fails is not used again.
    pub(super) async fn ask<R: Request>(
        &mut self,
        to: &HostPort,
        version: i16,
        request: &R,
    ) -> io::Result<R::Response> {
        let answered = match self.open(to).await {
            Ok(()) => self.pipeline(to, version, std::slice::from_ref(request), true).await.pop(),
            Err(e) => {
                self.me.turn_elsewhere();
                return Err(e);
            }
        };
        answered.ok_or_else(|| {
            self.me.turn_elsewhere();
            io::ErrorKind::TimedOut.into()
        })
    }

    /// Sends requests one behind the other on an open connection and takes their answers, as far as they come.
    pub(super) async fn pipeline<R: Request>(
        &mut self,
        to: &HostPort,
        version: i16,
        requests: &[R],
        answered: bool,
    ) -> Vec<R::Response> {
        let Some(mut stream) = self.streams.remove(to) else { return Vec::new() };
        let mut answers = Vec::new();
        let exchange = async {
            for request in requests {
                self.correlation = self.correlation.wrapping_add(1);
                let frame = kafka::frame(&self.me.name, version, self.correlation, request)?;
                kafka::send(&mut stream, &frame).await?;
            }
            while answered && answers.len() < requests.len() {
                answers.push(kafka::answer::<R>(&mut stream, version).await?);
            }
            io::Result::Ok(())
        };
        if let Ok(Ok(())) = timeout(limits::OPERATION, exchange).await {
            self.streams.insert(to.clone(), stream);
        }
        answers
    }

    /// Where the leader of each partition of a topic is.
    pub(super) async fn leaders(&mut self, topic: &'static str) -> io::Result<BTreeMap<i32, HostPort>> {
        let request = kafka::metadata(topic);
        let answer = self.ask::<MetadataRequest>(&self.me.bootstrap(), kafka::METADATA, &request).await?;
        let place = |node: i32| {
            let broker = answer.brokers.iter().find(|broker| broker.node_id.0 == node)?;
            Some(HostPort::new(broker.host.as_str(), u16::try_from(broker.port).ok()?))
        };
        let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        Ok(partitions.filter_map(|p| Some((p.partition_index, place(p.leader_id.0)?))).collect())
    }

    /// Where the coordinator is.
    pub(super) async fn coordinator(&mut self, of: Coordinates, key: &str) -> io::Result<HostPort> {
        let request = FindCoordinatorRequest::default()
            .with_key_type(of as i8)
            .with_coordinator_keys(vec![StrBytes::from_string(key.to_owned())]);
        let answer = self.ask(&self.me.bootstrap(), kafka::FIND_COORDINATOR, &request).await?;
        let found = answer.coordinators.first().filter(|found| found.error_code == 0);
        let place = found.and_then(|found| Some(HostPort::new(found.host.as_str(), u16::try_from(found.port).ok()?)));
        place.ok_or_else(|| io::Error::other("no coordinator"))
    }

    /// Sends no more on any connection, and hears each to its end: what was sent and is never answered must not be destroyed by
    /// the reset that answers what a closed socket receives, such as the tickets of TLS.
    pub(super) async fn close(&mut self) {
        for stream in self.streams.values_mut() {
            let end = async {
                stream.shutdown().await?;
                tokio::io::copy(stream, &mut tokio::io::sink()).await
            };
            let _ = timeout(limits::OPERATION, end).await; // the proxy may have closed it before
        }
    }
}

/// Whether the other end has closed a connection on which nothing is awaited.
async fn has_ended(stream: &mut SimStream) -> bool {
    let mut nothing = [0; 1];
    poll_fn(|cx| {
        let read = Pin::new(&mut *stream).poll_read(cx, &mut ReadBuf::new(&mut nothing));
        Poll::Ready(read.is_ready())
    })
    .await
}
