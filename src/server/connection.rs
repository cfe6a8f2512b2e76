//! One connection: its first bytes, its pulse, and the end of its life.
//!
//! hyper bounds what a connection says; this file bounds how long it takes. [`Guarded`] stands between the socket and hyper, [`Pulse`] is what
//! both sides know of each other, and [`Life`] asks it whenever a time may be over.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::Limits;
use super::address::Stream;

/// HTTP/2 (RFC 9113, 3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// For a peer without requests to take note that its connection ends.
const IDLE_GRACE: Duration = Duration::from_secs(5);
/// Without any limit, how often to look.
const SELDOM: Duration = Duration::from_hours(1);

/// Why a connection was closed from this side before its peer was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// It did not say what it speaks.
    Silent,
    /// It spoke no TLS, or none that is taken here.
    Tls,
    /// The headers of a request did not come in time.
    SlowHead,
    /// There was no request for too long.
    Idle,
    /// It was as old as it may get.
    Age,
    /// It did not read what it asked for, or not as fast as the reply may last.
    SlowReader,
    /// It broke HTTP, a bound on headers, or went away within a request.
    Protocol,
}

impl Closed {
    pub fn name(self) -> &'static str {
        match self {
            Closed::Silent => "silent",
            Closed::Tls => "tls",
            Closed::SlowHead => "slow_head",
            Closed::Idle => "idle",
            Closed::Age => "age",
            Closed::SlowReader => "slow_reader",
            Closed::Protocol => "protocol",
        }
    }
}

/// What goes on on a connection.
#[derive(Debug)]
pub(super) struct Pulse {
    state: Mutex<State>,
    /// An end is nearer than it was.
    hurried: Notify,
}

#[derive(Debug)]
struct State {
    /// Requests of which the last piece of the reply is not taken yet, and when their time is over.
    running: BTreeMap<u64, Option<Instant>>,
    requests: u64,
    quiet_since: Instant,
    /// HTTP/1.1: when the first byte of the next request came.
    head_since: Option<Instant>,
    http2: bool,
    slow_reader: bool,
}

/// A request that runs, until its reply is taken.
#[derive(Debug)]
pub(super) struct Running {
    pulse: Arc<Pulse>,
    number: u64,
}

impl Pulse {
    fn new(http2: bool) -> Pulse {
        let now = Instant::now();
        let head_since = (!http2).then_some(now);
        let running = BTreeMap::new();
        let state = State { running, requests: 0, quiet_since: now, head_since, http2, slow_reader: false };
        Pulse { state: Mutex::new(state), hurried: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn running(pulse: &Arc<Pulse>) -> Running {
        let mut state = pulse.state();
        let number = state.requests;
        state.requests += 1;
        state.running.insert(number, None);
        state.head_since = None;
        Running { pulse: Arc::clone(pulse), number }
    }

    fn heard(&self) {
        let mut state = self.state();
        if state.running.is_empty() && !state.http2 && state.head_since.is_none() {
            state.head_since = Some(Instant::now());
        }
    }
}

impl Running {
    /// The reply may take so long from now.
    pub(super) fn lasts(&self, within: Duration) {
        self.pulse.state().running.insert(self.number, Some(Instant::now() + within));
        self.pulse.hurried.notify_one();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.pulse.state();
        state.running.remove(&self.number);
        state.quiet_since = Instant::now();
    }
}

/// The body of a reply: its request runs until the last piece is taken, or nobody wants it any more.
pub(super) struct Held<B> {
    pub(super) body: B,
    pub(super) _running: Running,
}

impl<B: Body + Unpin> Body for Held<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream whose first bytes have been looked at, and whose peer may not stop reading for long.
pub(super) struct Guarded {
    stream: Box<dyn Stream>,
    /// Read already, from the front.
    first: Vec<u8>,
    pulse: Arc<Pulse>,
    write_timeout: Option<Duration>,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Guarded {
    /// Waits until the peer has said what it speaks: the preface of HTTP/2, or bytes that are not its beginning. hyper would wait without a bound.
    pub(super) async fn hear(mut stream: Box<dyn Stream>, write_timeout: Option<Duration>) -> Option<Guarded> {
        let mut first = [0; PREFACE.len()];
        let mut filled = 0;
        while filled < first.len() && first[..filled] == PREFACE[..filled] {
            match stream.read(&mut first[filled..]).await {
                Ok(0) | Err(_) => return None,
                Ok(n) => filled += n,
            }
        }
        let pulse = Arc::new(Pulse::new(first == *PREFACE));
        Some(Guarded { stream, first: first[..filled].to_vec(), pulse, write_timeout, stalled: None })
    }

    pub(super) fn pulse(&self) -> Arc<Pulse> {
        Arc::clone(&self.pulse)
    }

    /// Passes on what a write came to, unless it has come to nothing for too long.
    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let (Poll::Pending, Some(within)) = (&written, self.write_timeout) else {
            self.stalled = None;
            return written;
        };
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(within)));
        ready!(stalled.as_mut().poll(cx));
        self.pulse.state().slow_reader = true;
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer reads too slowly")))
    }
}

impl AsyncRead for Guarded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let n = self.first.len().min(buf.remaining());
            buf.put_slice(&self.first[..n]);
            self.first.drain(..n);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut *self.stream).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.pulse.heard();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut *self.stream).poll_write(cx, bytes);
        self.watch(cx, written)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut *self.stream).poll_write_vectored(cx, bytes);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut *self.stream).poll_flush(cx);
        self.watch(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_shutdown(cx)
    }
}

/// How long a connection lives.
pub(super) struct Life<'a> {
    pub limits: &'a Limits,
    pub pulse: &'a Pulse,
    pub shutdown: &'a CancellationToken,
}

impl Life<'_> {
    /// Drives a connection to its end; why, if the end came from this side.
    pub(super) async fn live<C>(self, connection: C) -> Option<Closed>
    where
        C: GracefulConnection,
        C::Error: fmt::Display,
    {
        let born = Instant::now();
        let mut connection = pin!(connection);
        let why = loop {
            let (due, why) = self.next_end(born);
            tokio::select! {
                biased;
                ended = connection.as_mut() => return self.ended(ended),
                () = self.shutdown.cancelled() => break None,
                () = self.pulse.hurried.notified() => {}
                () = sleep_until(due) => match why {
                    // What happened since may have moved it.
                    Some(why) if self.next_end(born) == (due, Some(why)) => break Some(why),
                    _ => {}
                },
            }
        };
        let grace = match why {
            Some(Closed::SlowHead) => return why,
            Some(Closed::Age) => self.limits.max_age_grace,
            Some(_) => Some(IDLE_GRACE),
            None => None,
        };
        connection.as_mut().graceful_shutdown();
        match grace {
            Some(grace) => drop(timeout(grace, connection).await),
            None => drop(connection.await),
        }
        why
    }

    fn ended<E: fmt::Display>(&self, ended: Result<(), E>) -> Option<Closed> {
        let error = ended.err()?;
        tracing::debug!(%error, "a connection ended early");
        Some(if self.pulse.state().slow_reader { Closed::SlowReader } else { Closed::Protocol })
    }

    /// When a time is over if nothing happens until then, and what is over then; a moment to look again, if nothing has begun.
    fn next_end(&self, born: Instant) -> (Instant, Option<Closed>) {
        let Limits { head_timeout, idle_timeout, max_age, .. } = *self.limits;
        let now = Instant::now();
        let state = self.pulse.state();
        let head = head_timeout.map(|within| match state.head_since {
            Some(since) => (since + within, Some(Closed::SlowHead)),
            None => (now + within, None),
        });
        let idle = idle_timeout.map(|within| match (state.running.is_empty(), state.head_since) {
            (true, None) => (state.quiet_since + within, Some(Closed::Idle)),
            _ => (now + within, None),
        });
        let age = max_age.map(|within| (born + within, Some(Closed::Age)));
        let reply = state.running.values().flatten().min().map(|due| (*due, Some(Closed::SlowReader)));
        let ends = [head, idle, age, reply].into_iter().flatten();
        ends.min_by_key(|(due, _)| *due).unwrap_or((now + SELDOM, None))
    }
}
