//! Drives one relay: a client's stream, an upstream stream, and time.
//!
//! Both directions live in one task. Nothing here decides: bytes and events go into the relay, and what its plan says is
//! carried out. Waiting for a write never stops the reading of the other leg's answers: what a peer does not take is kept,
//! up to a mark, and polled like everything else.

mod actions;
mod finish;
mod leg;
mod low_water;
mod meeting;
mod pass;
mod pauses;
mod scratch;

use self::{
    actions::Pending,
    finish::Closing,
    leg::LegIo,
    meeting::{drained_before_it_speaks, meet},
    pauses::{Room, Throttle},
    scratch::Scratch,
};
use crate::{
    budget::Grant,
    clock::Clock,
    cluster::{ClusterShared, Seen},
    limits,
    listen::{Arrival, Stage, reaches},
    net::Net,
    tls::{Acceptor, Stream},
    turns::{self, Newcomer},
};
use kroxy_core::{
    address::NodeId,
    admission::Limit,
    gateway::Route,
    relay::{Cause, Event, Leg, Plan, Relay, Segment, Spec},
    time::{Instant, earliest},
};
use std::{
    future::poll_fn,
    mem,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::sync::watch;

/// What one connection needs of its surroundings.
pub(crate) struct Surroundings<N: Net> {
    pub(crate) net: N,
    pub(crate) clock: Clock,
    pub(crate) cluster: Arc<ClusterShared>,
    pub(crate) spec: Arc<Spec>,
    /// What the client meets, unless it speaks plain Kafka.
    pub(crate) tls: Option<Arc<Acceptor>>,
    pub(crate) route: Route,
    pub(crate) seen: Arc<Seen>,
}

/// Relays one client connection until it is over, and says why it is.
///
/// When the stage is no longer [`Stage::Serving`], it ends as soon as nothing is in flight on it and the client has closed.
pub(crate) async fn relay<N: Net>(
    around: Surroundings<N>,
    client: Arrival<N::Stream>,
    mut stage: watch::Receiver<Stage>,
) -> Cause {
    let accepting = around.cluster.accepting.clone();
    let mut newcomer = accepting.newcomer();
    // Boxed: a handshake holds much that a connection has no use for later.
    let met = tokio::select! {
        biased;
        met = newcomer.steps(Box::pin(meet(&around, client))) => met,
        () = drained_before_it_speaks(&mut stage) => return Cause::Drained,
    };
    let client = match met {
        Ok(client) => client,
        Err(cause) => return cause,
    };
    let mut relay = Relay::new(around.spec.clone(), around.clock.now());
    match around.tls.as_ref().map_or(Ok(None), |tls| tls.principal(&client.stream)) {
        Ok(Some(name)) => relay = relay.certified(&name),
        Ok(None) => {}
        Err(unnamed) => {
            let why = unnamed.to_string();
            around.cluster.denied(around.seen.client_address(), None, None, &why);
            return Cause::AuthenticationFailed(why);
        }
    }
    let mut connection = Connection {
        around,
        relay,
        client,
        upstream: None,
        pending: None,
        asking: None,
        acted: false,
        told_to_drain: false,
        stands_in_for: None,
        turned: Instant::ZERO,
        throttle: Throttle::default(),
        room: Room::default(),
        unfinished: None,
        armed: None,
        newcomer: Some(newcomer),
        moved: 0,
    };
    let cause = connection.run(stage).await;
    connection.wait_for_little(); // what is left is thrown away as it comes
    if let Cause::UpstreamUnreachable(_) = cause {
        connection.around.cluster.suspect(connection.around.route);
    }
    let Connection { client, upstream, relay, newcomer, .. } = connection;
    let client = if client.is_finished() {
        Some(Closing::alone(client))
    } else if !relay.is_served() && cause.is_worth_another_try() {
        // Clients take an orderly end before the first answer for a refusal, and tell the application. This one is to try again.
        let _ = N::break_off(client.stream.transport()); // else it reads as a refusal
        None
    } else {
        Some(Closing::with_peer(client))
    };
    let close_upstream = if relay.leaves_only_long_polls() { Closing::alone } else { Closing::with_peer };
    let finishing = Box::pin(finish::finish(client, upstream.map(close_upstream)));
    let mut leaving = newcomer.unwrap_or_else(|| accepting.newcomer()); // many may end at once as well
    leaving.steps(finishing).await;
    cause
}

struct Connection<N: Net> {
    around: Surroundings<N>,
    relay: Relay,
    client: LegIo<Stream<N::Stream>>,
    upstream: Option<LegIo<Stream<N::Stream>>>,
    pending: Option<Pending<Stream<N::Stream>>>,
    /// What an exchange is begun with.
    asking: Option<Pending<Stream<N::Stream>>>,
    /// An event was handled or an action carried out: the deadline may have moved forward.
    acted: bool,
    told_to_drain: bool,
    /// Upstream is another server than the node that the client wants.
    stands_in_for: Option<NodeId>,
    /// When the worker turned to what it reads next: for what the proxy adds, reading, deciding and writing count alike.
    turned: Instant,
    throttle: Throttle,
    room: Room,
    /// For a request that is read whole, while its end is missing.
    unfinished: Option<Grant>,
    /// When the timer rings.
    armed: Option<Instant>,
    /// Until it is served.
    newcomer: Option<Newcomer>,
    /// Bytes that were moved since it was its turn.
    moved: usize,
}

impl<N: Net> Connection<N> {
    async fn run(&mut self, mut stage: watch::Receiver<Stage>) -> Cause {
        let timer = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(timer);
        loop {
            if let Some(deadline) = self.new_deadline() {
                timer.as_mut().reset(self.around.clock.tokio(deadline));
                self.armed = Some(deadline);
            }
            let is_armed = self.armed.is_some();
            let step = tokio::select! {
                biased;
                step = poll_fn(|cx| self.poll(cx)) => step,
                () = timer.as_mut(), if is_armed => {
                    self.armed = None;
                    if self.wait_for_little() { Ok(()) } else { self.handle(Event::Tick) }
                }
                () = reaches(&mut stage, Stage::Draining), if !self.told_to_drain => {
                    self.told_to_drain = true;
                    self.handle(Event::Drain)
                }
            };
            if let Err(cause) = step {
                return cause;
            }
        }
    }

    /// A deadline before which the timer does not ring. One that only moves away is left to ring early: the relay shrugs, and it
    /// is armed anew.
    fn new_deadline(&self) -> Option<Instant> {
        let deadline = earliest(self.relay.deadline(), self.waits_until());
        deadline.filter(|deadline| self.armed.is_none_or(|at| *deadline < at))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Cause>> {
        match self.newcomer.take() {
            Some(mut newcomer) if self.is_new() => {
                let step = newcomer.poll_step(cx, |cx| self.poll_all(cx));
                self.newcomer = Some(newcomer);
                step
            }
            Some(_) | None => self.poll_all(cx),
        }
    }

    /// Whether it is still to be served. Who sends without asking for answers is as soon as that goes upstream.
    fn is_new(&self) -> bool {
        !self.relay.is_served() && (self.upstream.is_none() || self.relay.in_flight() > 0)
    }

    fn poll_all(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Cause>> {
        if let Some(pending) = &mut self.pending
            && let Poll::Ready(arrived) = pending.as_mut().poll(cx)
        {
            self.pending = None;
            self.arrived(arrived)?;
        }
        if let Some(asking) = &mut self.asking
            && let Poll::Ready(arrived) = asking.as_mut().poll(cx)
        {
            self.asking = None;
            self.arrived(arrived)?;
        }
        scratch::with(|scratch| self.poll_streams(scratch, cx))
    }

    /// Moves bytes until neither stream has more. Upstream comes first: its answers make room for requests.
    fn poll_streams(&mut self, scratch: &mut Scratch, cx: &mut Context<'_>) -> Poll<Result<(), Cause>> {
        self.turned = self.around.clock.now();
        self.moved = 0;
        loop {
            if self.moved >= limits::MOVED_AT_ONCE {
                return turns::poll_pass_on(cx);
            }
            self.poll_flush(cx)?;
            let mut moved = self.poll_leg(Leg::Upstream, scratch, cx)?;
            moved |= self.poll_leg(Leg::Client, scratch, cx)?;
            if mem::take(&mut self.acted) {
                return Poll::Ready(Ok(()));
            }
            if !moved {
                self.wait_for_enough();
                let (waits, took) = self.client.delivery();
                self.relay.delivers(waits, took, self.turned);
                return if self.new_deadline().is_some() { Poll::Ready(Ok(())) } else { Poll::Pending };
            }
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Result<(), Cause> {
        for leg in [Leg::Upstream, Leg::Client] {
            if let Some(io) = self.leg(leg)
                && let Poll::Ready(Err(e)) = io.poll_flush(cx)
            {
                return self.handle(Event::Broke(leg, e.to_string()));
            }
        }
        Ok(())
    }

    /// Takes what one leg has to give; says whether anything moved.
    fn poll_leg(&mut self, leg: Leg, scratch: &mut Scratch, cx: &mut Context<'_>) -> Result<bool, Cause> {
        let is_held_back = self.is_held_back(leg, cx);
        if leg == Leg::Client {
            self.relay.hold_back(is_held_back, self.turned);
        }
        if is_held_back {
            return Ok(false);
        }
        let Some(io) = self.leg(leg) else { return Ok(false) };
        if io.blocked {
            return Ok(false);
        }
        if mem::take(&mut io.recheck) && !io.inbox.is_empty() {
            let inbox = mem::take(&mut io.inbox);
            self.feed(leg, &inbox, &mut scratch.plan, cx)?;
            return Ok(true);
        }
        if io.eof {
            if mem::replace(&mut io.eof_told, true) {
                return Ok(false);
            }
            let left = io.inbox.len();
            self.handle(Event::Eof { leg, left })?;
            return Ok(true);
        }
        match self.poll_pass(leg, &mut scratch.plan, cx)? {
            Poll::Ready(false) => {} // it has to be read
            Poll::Ready(true) => return Ok(true),
            Poll::Pending => return Ok(false),
        }
        let has_upstream = self.upstream.is_some();
        let Some(io) = self.leg(leg) else { return Ok(false) };
        let most = match (has_upstream, io.is_bulky) {
            (true, true) => limits::HEAD_OF_BULK,
            (true, false) => limits::SCRATCH,
            (false, _) => limits::READ_BEFORE_UPSTREAM,
        };
        let kept = io.inbox.len();
        let fits = io.want.max(kept + limits::READ_BEFORE_UPSTREAM) <= scratch.buf.len();
        let from = if fits { kept } else { 0 };
        let end = (from + most).min(scratch.buf.len());
        let read = match io.poll_fill(cx, &mut scratch.buf[from..end]) {
            Poll::Ready(Ok(read)) => read,
            Poll::Ready(Err(e)) => return self.handle(Event::Broke(leg, e.to_string())).map(|()| true),
            Poll::Pending => return Ok(false),
        };
        if read == 0 {
            return Ok(io.eof);
        }
        io.is_bulky &= read < most;
        io.takes_little = false;
        self.moved += read;
        if leg == Leg::Client {
            self.around.seen.read(read as u64);
        }
        let Some(io) = self.leg(leg) else { return Ok(false) };
        if fits && kept + read >= io.want {
            scratch.buf[..kept].copy_from_slice(&io.inbox);
            leg::release(&mut io.inbox);
            self.feed(leg, &scratch.buf[..kept + read], &mut scratch.plan, cx)?;
        } else {
            io.inbox.extend_from_slice(&scratch.buf[from..from + read]);
            if io.inbox.len() >= io.want {
                let inbox = mem::take(&mut io.inbox);
                self.feed(leg, &inbox, &mut scratch.plan, cx)?;
            }
        }
        Ok(true)
    }

    /// Whether a leg is not read for now. What ends that wakes us.
    fn is_held_back(&mut self, leg: Leg, cx: &mut Context<'_>) -> bool {
        let is_congested = self.leg(leg.other()).is_some_and(|other| other.is_congested());
        is_congested
            || match leg {
                Leg::Client => self.throttle.poll(cx).is_pending(),
                Leg::Upstream => self.poll_room(cx).is_pending(),
            }
    }

    /// Shows bytes to the relay and carries out what it says. What it did not consume goes to the inbox.
    fn feed(&mut self, leg: Leg, input: &[u8], plan: &mut Plan, cx: &mut Context<'_>) -> Result<(), Cause> {
        plan.clear();
        let owed = self.relay.in_flight();
        let fed = self.relay.feed(leg, input, self.turned, plan);
        let took = self.write_out(input, plan, cx)?;
        let consumed = plan.consumed;
        if let Some(io) = self.leg(leg) {
            io.want = plan.want;
            io.blocked = plan.blocked;
            io.inbox.extend_from_slice(&input[consumed..]);
        }
        if leg == Leg::Upstream && consumed > 0 {
            self.client.unblock();
        }
        if leg == Leg::Client {
            let taken = (self.relay.in_flight() + plan.exchanges.len()).saturating_sub(owed);
            self.throttle(taken);
        }
        fed.and(self.carry_out(plan, took))?;
        if leg == Leg::Client { self.count_unfinished() } else { Ok(()) }
    }

    /// Writes what a plan over `input` has for both legs; says how long all of it took since the worker turned to it.
    fn write_out(&mut self, input: &[u8], plan: &Plan, cx: &mut Context<'_>) -> Result<Duration, Cause> {
        let began = self.turned;
        for to in [Leg::Upstream, Leg::Client] {
            self.write(to, input, plan.to(to), cx)?;
        }
        self.turned = self.around.clock.now();
        self.relay.sent(self.turned);
        Ok(self.turned.since(began))
    }

    /// A request that is read whole counts from when it is there in part until nothing of it is kept.
    fn count_unfinished(&mut self) -> Result<(), Cause> {
        let LegIo { want, inbox, .. } = &self.client;
        if *want <= limits::UNASKED_REQUEST {
            if inbox.len() <= limits::UNASKED_REQUEST {
                self.unfinished = None;
            } // else it waits for upstream as a whole
            return Ok(());
        }
        let bytes = *want as u64;
        if self.unfinished.as_ref().is_none_or(|grant| grant.bytes() < bytes) {
            self.unfinished = None;
            let granted = self.around.cluster.unfinished.grant(bytes);
            self.unfinished = Some(granted.ok_or(Cause::LimitReached(Limit::UnfinishedRequests))?);
        }
        Ok(())
    }

    /// The client has sent so many requests: where that is more than it may, it is not read for a while.
    fn throttle(&mut self, requests: usize) {
        let Surroundings { clock, cluster, seen, .. } = &self.around;
        let Some(rate) = cluster.request_rate().filter(|_| requests > 0) else { return };
        if let Some(until) = self.throttle.bucket.take(requests as u64, rate, self.turned) {
            if self.throttle.pause(clock.tokio(until)) {
                cluster.reached(Limit::RequestRate, seen.client_address());
            } else {
                cluster.metrics.reached(Limit::RequestRate);
            }
        }
    }

    /// Ready where upstream may be read: there is room for what is to be read whole.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let want = self.upstream.as_ref().map_or(0, |upstream| upstream.want);
        if want <= limits::UNASKED_BUFFER {
            if !self.client.is_congested() {
                self.room = Room::Unneeded; // what needed it has gone on
            }
            return Poll::Ready(());
        }
        let Surroundings { cluster, seen, .. } = &self.around;
        let reached = || cluster.reached(Limit::Buffered, seen.client_address());
        self.room.poll(&cluster.buffers, want as u64 * limits::BUFFERED_TIMES, reached, cx)
    }

    fn write(&mut self, to: Leg, input: &[u8], segments: &[Segment], cx: &mut Context<'_>) -> Result<(), Cause> {
        if segments.is_empty() {
            return Ok(());
        }
        let io = self.leg(to).expect("the relay forwards to upstream only once it is connected");
        match io.write(cx, input, segments) {
            Ok(wrote) => {
                if to == Leg::Client {
                    self.around.seen.wrote(wrote);
                }
                Ok(())
            }
            Err(e) => self.handle(Event::Broke(to, e.to_string())),
        }
    }

    fn handle(&mut self, event: Event) -> Result<(), Cause> {
        self.acted = true;
        let mut plan = Plan::default();
        let handled = self.relay.handle(event, self.around.clock.now(), &mut plan);
        for leg in [Leg::Upstream, Leg::Client] {
            for segment in plan.to(leg) {
                let Segment::Own(bytes) = segment else { unreachable!("an event has no input") };
                self.leg(leg).expect("the relay sends to upstream only once it is connected").queue(bytes);
                if leg == Leg::Client {
                    self.around.seen.wrote(bytes.len() as u64);
                }
            }
        }
        self.client.unblock();
        handled.and(self.carry_out(&plan, Duration::ZERO))
    }

    const fn leg(&mut self, leg: Leg) -> Option<&mut LegIo<Stream<N::Stream>>> {
        match leg {
            Leg::Client => Some(&mut self.client),
            Leg::Upstream => self.upstream.as_mut(),
        }
    }
}
