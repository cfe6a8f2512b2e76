//! One way to serve HTTP on a listener: bind, accept, bound, drain.
//!
//! HTTP/1.1 and HTTP/2 without TLS on one port (or HTTP/2 alone). Every receiver and endpoint of floe that speaks HTTP stands on it, so that what
//! can be held open, and for how long, is written once: in [`Limits`] and the constants below.
//!
//! Invariants: this file knows no path and no body; an error of one connection, or in accepting one, never ends the loop.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What a listener lets its peers hold. Past `connections`, peers wait in the backlog of the kernel.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections open at once.
    pub connections: usize,
    /// Requests at once on one HTTP/2 connection.
    pub streams: u32,
    /// For the headers of a request; on HTTP/1.1 also how long a connection may stay idle between two requests.
    pub header_timeout: Duration,
    /// Refuse HTTP/1.
    pub http2_only: bool,
}

impl Default for Limits {
    /// 1,024 connections, 256 streams, 90 s (past the 60 s at which SDKs export metrics on a kept connection), both versions.
    fn default() -> Limits {
        Limits { connections: 1024, streams: 256, header_timeout: Duration::from_secs(90), http2_only: false }
    }
}

/// A bound socket. Peers can connect from now on, and are answered once it is served.
#[derive(Debug)]
pub struct Listener {
    socket: std::net::TcpListener,
    address: SocketAddr,
}

/// A peer must say what it speaks within this time.
const PREFACE_TIMEOUT: Duration = Duration::from_secs(10);
/// HTTP/2 (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A silent HTTP/2 peer is asked for a sign of life after the first, and dropped after the second.
const PING_AFTER: Duration = Duration::from_mins(1);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// 1 MiB: with the default of 64 KiB receiving is 30 % slower (reference measurements in docs/performance.md).
const STREAM_WINDOW: u32 = 1 << 20;
/// What a connection may have sent that nobody has asked for yet.
const CONNECTION_WINDOW: u32 = 2 << 20;
/// The largest frame a peer may send; clients that use it save a third.
const FRAME: u32 = 1 << 20;
/// The headers of one request.
const HEADER_BYTES: u16 = 16 << 10;
/// HTTP/1.1: the read buffer, and so the bound of a request's head.
const HTTP1_BUFFER: usize = 64 << 10;
/// After an error in accepting that will not go away at once, such as no free file descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

impl Listener {
    /// Binds at once; port 0 takes a free one.
    pub fn bind(address: SocketAddr) -> io::Result<Listener> {
        let socket = std::net::TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        Ok(Listener { socket, address })
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`; then stops accepting, lets running requests finish and returns when every connection has ended.
    ///
    /// Dropping the future closes what is still open: that is how a caller bounds the wait. A panic in `handler` costs its request on HTTP/2
    /// and its connection on HTTP/1.1.
    pub async fn serve<H, F, B>(self, limits: Limits, handler: H, shutdown: CancellationToken)
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let socket = match TcpListener::from_std(self.socket) {
            Ok(socket) => socket,
            Err(error) => return tracing::error!(address = %self.address, %error, "cannot serve on this socket"),
        };
        let protocol = protocol(&limits);
        let places = Arc::new(Semaphore::new(limits.connections));
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        loop {
            let (stream, place) = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                // Reaping: a set that is never joined grows with every connection.
                Some(_) = connections.join_next() => continue,
                next = accept(&socket, &places) => match next {
                    Ok(next) => next,
                    Err(error) => {
                        tracing::warn!(address = %self.address, %error, "cannot accept a connection; trying again");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                },
            };
            let (protocol, watcher, handler) = (protocol.clone(), graceful.watcher(), handler.clone());
            connections.spawn(async move {
                let _place = place;
                // Its absence costs latency only.
                let _ = stream.set_nodelay(true);
                if !speaks(&stream, PREFACE_TIMEOUT).await {
                    return;
                }
                let service = service_fn(move |request| {
                    let reply = handler(request);
                    async move { Ok::<_, Infallible>(reply.await) }
                });
                let connection = protocol.serve_connection(TokioIo::new(stream), service).into_owned();
                if let Err(error) = watcher.watch(connection).await {
                    tracing::debug!(error, "a connection ended early");
                }
            });
        }
        drop(socket);
        graceful.shutdown().await;
        while connections.join_next().await.is_some() {}
    }
}

/// The next connection, once there is a place for it.
async fn accept(socket: &TcpListener, places: &Arc<Semaphore>) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _peer) = socket.accept().await?;
    Ok((stream, place))
}

fn protocol(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    if limits.http2_only {
        builder = builder.http2_only();
    }
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.header_timeout).max_buf_size(HTTP1_BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PING_TIMEOUT)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::from(HEADER_BYTES));
    builder
}

/// Whether the peer says what it speaks in time: bytes that are not the preface of HTTP/2, or all of it. hyper waits for that without a bound.
async fn speaks(stream: &TcpStream, within: Duration) -> bool {
    let heard = async {
        let mut start = [0; PREFACE.len()];
        loop {
            match stream.peek(&mut start).await {
                Ok(0) | Err(_) => return false,
                Ok(n) if n == PREFACE.len() || start[..n] != PREFACE[..n] => return true,
                // A part of the preface: the socket stays readable, so waiting for it would spin.
                Ok(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    tokio::time::timeout(within, heard).await.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::Full;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::JoinHandle;

    use super::*;

    /// A server that takes `delay` over each reply.
    fn start(limits: Limits, delay: Duration) -> (SocketAddr, CancellationToken, JoinHandle<()>) {
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let (address, shutdown) = (listener.local_addr(), CancellationToken::new());
        let handler = move |request: Request<Incoming>| async move {
            tokio::time::sleep(delay).await;
            assert_ne!(request.uri().path(), "/panic");
            Response::new(Full::new(Bytes::from_static(b"hello")))
        };
        let server = tokio::spawn(listener.serve(limits, handler, shutdown.clone()));
        (address, shutdown, server)
    }

    async fn get(stream: &mut TcpStream, path: &str) -> String {
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: floe\r\n\r\n").as_bytes()).await.unwrap();
        let mut reply = vec![0; 4096];
        let n = stream.read(&mut reply).await.unwrap();
        String::from_utf8_lossy(&reply[..n]).into_owned()
    }

    #[tokio::test]
    async fn a_kept_connection_is_served_again_and_a_drain_closes_it() {
        let (address, shutdown, server) = start(Limits::default(), Duration::ZERO);
        let mut stream = TcpStream::connect(address).await.unwrap();
        for _ in 0..3 {
            assert!(get(&mut stream, "/").await.starts_with("HTTP/1.1 200 OK"));
        }
        shutdown.cancel();
        server.await.unwrap();
        assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn a_drain_waits_for_the_running_request() {
        let (address, shutdown, server) = start(Limits::default(), Duration::from_millis(300));
        let request = tokio::spawn(async move { get(&mut TcpStream::connect(address).await.unwrap(), "/").await });
        tokio::time::sleep(Duration::from_millis(100)).await;
        shutdown.cancel();
        server.await.unwrap();
        assert!(request.await.unwrap().ends_with("hello"));
    }

    #[tokio::test]
    async fn a_connection_past_the_limit_waits_for_a_place() {
        let (address, _shutdown, _server) = start(Limits { connections: 1, ..Limits::default() }, Duration::ZERO);
        let mut first = TcpStream::connect(address).await.unwrap();
        get(&mut first, "/").await;
        let mut second = TcpStream::connect(address).await.unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(200), get(&mut second, "/")).await.is_err());
        drop(first);
        let mut reply = [0; 12];
        second.read_exact(&mut reply).await.unwrap();
        assert_eq!(&reply, b"HTTP/1.1 200");
    }

    #[tokio::test]
    async fn a_panic_costs_its_own_connection_only() {
        let (address, _shutdown, _server) = start(Limits::default(), Duration::ZERO);
        assert_eq!(get(&mut TcpStream::connect(address).await.unwrap(), "/panic").await, "");
        assert!(get(&mut TcpStream::connect(address).await.unwrap(), "/").await.ends_with("hello"));
    }

    #[tokio::test]
    async fn a_peer_that_sends_no_whole_header_is_dropped() {
        let limits = Limits { header_timeout: Duration::from_millis(100), ..Limits::default() };
        let (address, _shutdown, _server) = start(limits, Duration::ZERO);
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
        let mut rest = Vec::new();
        tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_silent_peer_and_half_a_preface_are_dropped_in_time() {
        for said in [&b""[..], &PREFACE[..10]] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            peer.write_all(said).await.unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            assert!(!speaks(&stream, Duration::from_millis(100)).await, "{said:?}");
        }
    }
}
