//! One way to serve HTTP on a listener: bind, accept, bound, drain.
//!
//! HTTP/1.1 and HTTP/2 on one port or Unix socket (or HTTP/2 alone), with TLS or without. Every receiver and endpoint of floe that speaks HTTP stands
//! on it, so that what can be held open, for how long and in how much memory, is written once: in [`Limits`] and the constants below.
//!
//! | file | what it holds |
//! |---|---|
//! | `address` | where a listener stands: a port, or the file of a Unix socket |
//! | `connection` | one connection: what it speaks, how long it lives, why it is closed |
//! | `shares` | the memory that connections may hold before anybody reads from them |
//! | `tls` | certificate and key, read again when they change |
//!
//! Invariants: this room knows no path and no body; an error of one connection, or in accepting one, never ends the loop; what a peer has sent
//! and nobody has read is within the share that its connection was given when it was accepted.

mod address;
mod connection;
mod shares;
#[cfg(test)]
mod tests;
mod tls;

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use address::{Bound, Served, Stream};
use connection::{Guarded, Held, Life, Pulse};
use shares::Share;

pub use address::Address;
pub use connection::Closed;
pub use shares::Shares;
pub use tls::{Tls, TlsError};

/// What a listener lets its peers hold. Past `connections` and `shares`, peers wait in the backlog of the kernel. A time that is `None` has no end.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections open at once.
    pub connections: usize,
    /// Requests at once on one HTTP/2 connection.
    pub streams: u32,
    /// Refuse HTTP/1.
    pub http2_only: bool,
    /// Until a peer has said what it speaks.
    pub preface_timeout: Duration,
    /// HTTP/1.1: from the first byte of a request to the end of its headers.
    pub head_timeout: Option<Duration>,
    /// Without a request on the connection, or a reply that is not taken yet.
    pub idle_timeout: Option<Duration>,
    /// Without progress in writing to a peer that reads too slowly.
    pub write_timeout: Option<Duration>,
    /// From the accepting of a connection until it takes no more requests.
    pub max_age: Option<Duration>,
    /// And then until the requests on it are cut off.
    pub max_age_grace: Option<Duration>,
    /// A silent HTTP/2 peer is asked for a sign of life after the first, and dropped after the second.
    pub ping_after: Option<Duration>,
    pub ping_timeout: Duration,
    /// Bytes of a connection that wait to be read, at most; fewer while many connections are open.
    pub window: u32,
    pub shares: Arc<Shares>,
    /// Plain where there is none.
    pub tls: Option<Arc<Tls>>,
    pub observer: Observer,
}

/// In the extensions of a reply: how long its body may take. A peer that reads on, but too slowly for that, loses its connection.
#[derive(Clone, Copy, Debug)]
pub struct Lasts(pub Duration);

/// Is told of every connection that is closed from this side before its peer was done.
#[derive(Clone, Default)]
pub struct Observer(pub Option<Arc<dyn Fn(Closed) + Send + Sync>>);

/// A bound socket. Peers can connect from now on, and are answered once it is served.
#[derive(Debug)]
pub struct Listener {
    socket: Bound,
    address: Address,
}

/// The headers of one request over HTTP/2.
const HEADER_BYTES: u32 = 16 << 10;
/// The largest frame a peer may send, if its share is as large; clients that use it save a third.
const FRAME: u32 = 1 << 20;
/// The smallest value that HTTP/2 lets anybody say (RFC 9113, 6.5.2).
const SMALLEST_FRAME: u32 = 16 << 10;
/// One stream may use half of its connection's window.
const STREAMS_PER_WINDOW: u32 = 2;
/// Memory of the connections to an endpoint that is no receiver.
const ENDPOINT_MEMORY: usize = 8 << 20;
/// After an error in accepting that will not go away at once, such as no free file descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

impl Default for Limits {
    /// For small requests: 128 connections, 256 streams, closed after 90 s without a request, both versions.
    fn default() -> Limits {
        Limits {
            connections: 128,
            streams: 256,
            http2_only: false,
            preface_timeout: Duration::from_secs(10),
            head_timeout: Some(Duration::from_secs(30)),
            idle_timeout: Some(Duration::from_secs(90)),
            write_timeout: Some(Duration::from_secs(30)),
            max_age: None,
            max_age_grace: None,
            ping_after: Some(Duration::from_mins(1)),
            ping_timeout: Duration::from_secs(20),
            window: 64 << 10,
            shares: Shares::new(ENDPOINT_MEMORY),
            tls: None,
            observer: Observer(None),
        }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

impl Observer {
    fn closed(&self, why: Closed) {
        tracing::debug!(reason = why.name(), "a connection is closed");
        if let Some(observer) = &self.0 {
            observer(why);
        }
    }
}

impl Listener {
    /// Binds at once; port 0 takes a free one. The file of a Unix socket gets mode 0660; one that is left over from before is removed, if nobody
    /// listens on it.
    pub fn bind(address: impl Into<Address>) -> io::Result<Listener> {
        let (socket, address) = Bound::bind(&address.into())?;
        Ok(Listener { socket, address })
    }

    /// With the port that was found.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Serves until `shutdown`; then stops accepting, lets running requests finish and returns when every connection has ended.
    ///
    /// Dropping the future closes what is still open: that is how a caller bounds the wait. A panic in `handler` costs its request on HTTP/2
    /// and its connection on HTTP/1.1.
    pub async fn serve<H, F, B>(self, limits: Limits, handler: H, shutdown: CancellationToken)
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body + Send + Unpin + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let socket = match self.socket.serve() {
            Ok(socket) => socket,
            Err(error) => return tracing::error!(address = %self.address, %error, "cannot serve on this socket"),
        };
        let limits = Arc::new(limits);
        let places = Arc::new(Semaphore::new(limits.connections));
        let mut connections = JoinSet::new();
        loop {
            let (stream, place, share) = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                // Reaping: a set that is never joined grows with every connection.
                Some(_) = connections.join_next() => continue,
                next = accept(&socket, &places, &limits) => match next {
                    Ok(next) => next,
                    Err(error) => {
                        tracing::warn!(address = %self.address, %error, "cannot accept a connection; trying again");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                },
            };
            let (limits, handler, shutdown) = (Arc::clone(&limits), handler.clone(), shutdown.clone());
            connections.spawn(async move {
                let _place = place;
                if let Some(why) = converse(stream, &share, &limits, handler, &shutdown).await {
                    limits.observer.closed(why);
                }
            });
        }
        drop(socket);
        while connections.join_next().await.is_some() {}
    }
}

/// The next connection, once there is a place and a share for it.
async fn accept(
    socket: &Served,
    places: &Arc<Semaphore>,
    limits: &Limits,
) -> io::Result<(Box<dyn Stream>, OwnedSemaphorePermit, Share)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let share = limits.shares.take(limits.window).await.map_err(io::Error::other)?;
    Ok((socket.accept().await?, place, share))
}

/// One connection from its first byte to its end; why, if the end came from this side.
async fn converse<H, F, B>(
    stream: Box<dyn Stream>,
    share: &Share,
    limits: &Limits,
    handler: H,
    shutdown: &CancellationToken,
) -> Option<Closed>
where
    H: Fn(Request<Incoming>) -> F + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let hello = tokio::time::timeout(limits.preface_timeout, async {
        let stream = match &limits.tls {
            Some(tls) => tls.accept(stream).await.map_err(|error| {
                tracing::debug!(%error, "no TLS with a peer");
                Closed::Tls
            })?,
            None => stream,
        };
        Ok(Guarded::hear(stream, limits.write_timeout).await)
    });
    let stream = tokio::select! {
        biased;
        () = shutdown.cancelled() => return None,
        heard = hello => match heard {
            Ok(Ok(Some(stream))) => stream,
            Ok(Ok(None)) => return None,
            Ok(Err(closed)) => return Some(closed),
            Err(_) => return Some(Closed::Silent),
        },
    };
    let pulse = stream.pulse();
    let busy = Arc::clone(&pulse);
    let service = service_fn(move |request| {
        let running = Pulse::running(&busy);
        let reply = handler(request);
        async move {
            let reply = reply.await;
            if let Some(Lasts(within)) = reply.extensions().get() {
                running.lasts(*within);
            }
            Ok::<_, Infallible>(reply.map(|body| Held { body, _running: running }))
        }
    });
    let connection = protocol(limits, share).serve_connection(TokioIo::new(stream), service).into_owned();
    Life { limits, pulse: &pulse, shutdown }.live(connection).await
}

fn protocol(limits: &Limits, share: &Share) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    if limits.http2_only {
        builder = builder.http2_only();
    }
    // A peer that has closed its half still gets its reply. Slow heads are `Life`'s to find: hyper would count the time between two requests.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None).half_close(true).max_buf_size(share.bytes() as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.ping_after)
        .keep_alive_timeout(limits.ping_timeout)
        .initial_stream_window_size((share.bytes() / STREAMS_PER_WINDOW).max(SMALLEST_FRAME))
        .initial_connection_window_size(share.bytes())
        .max_frame_size(share.bytes().clamp(SMALLEST_FRAME, FRAME))
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(HEADER_BYTES);
    builder
}
