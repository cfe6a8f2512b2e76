mod floods;

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;

use super::connection::PREFACE;
use super::*;

fn tcp(address: &Address) -> SocketAddr {
    match address {
        Address::Tcp(address) => *address,
        Address::Unix(path) => panic!("{}", path.display()),
    }
}

/// A server that takes `delay` over each reply.
fn start(limits: Limits, delay: Duration) -> (SocketAddr, CancellationToken, JoinHandle<()>) {
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let (address, shutdown) = (tcp(listener.address()), CancellationToken::new());
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
    let limits = Limits { head_timeout: Some(Duration::from_millis(100)), ..Limits::default() };
    let (address, _shutdown, _server) = start(limits, Duration::ZERO);
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await.unwrap().unwrap();
}

/// A server whose connections, when it closes them, are told to the channel.
fn observed(limits: Limits, delay: Duration) -> (SocketAddr, std::sync::mpsc::Receiver<Closed>) {
    let (sender, receiver) = std::sync::mpsc::channel();
    let observer = Observer(Some(Arc::new(move |why| {
        let _ = sender.send(why);
    })));
    (start(Limits { observer, ..limits }, delay).0, receiver)
}

/// Reads until the server closes.
async fn closes(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await.unwrap();
    assert!(read.is_ok() || rest.is_empty());
    rest
}

const SHORT: Option<Duration> = Some(Duration::from_millis(150));

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_takes_too_long_is_closed_and_counted_by_its_reason() {
    let head = Limits { head_timeout: SHORT, ..Limits::default() };
    let idle = Limits { idle_timeout: SHORT, ..Limits::default() };
    let age = Limits { max_age: SHORT, ..Limits::default() };
    let rows = [
        (head, &b"GET / HTTP/1.1\r\nhost:"[..], Closed::SlowHead),
        (idle.clone(), b"GET / HTTP/1.1\r\nhost: floe\r\n\r\n", Closed::Idle),
        (idle, PREFACE, Closed::Idle),
        (age, b"GET / HTTP/1.1\r\nhost: floe\r\n\r\n", Closed::Age),
        (Limits::default(), b"no HTTP at all, but words\r\n\r\n", Closed::Protocol),
    ];
    for (limits, said, why) in rows {
        let (address, closed) = observed(limits, Duration::ZERO);
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(said).await.unwrap();
        closes(&mut stream).await;
        let told = tokio::task::spawn_blocking(move || closed.recv_timeout(Duration::from_secs(10))).await.unwrap();
        assert_eq!(told, Ok(why));
    }
}

#[tokio::test]
async fn a_request_that_runs_is_no_idle_connection() {
    let (address, _closed) = observed(Limits { idle_timeout: SHORT, ..Limits::default() }, Duration::from_millis(600));
    assert!(get(&mut TcpStream::connect(address).await.unwrap(), "/").await.ends_with("hello"));
}

#[tokio::test]
async fn a_peer_that_has_closed_its_half_still_gets_its_reply() {
    let (address, _shutdown, _server) = start(Limits::default(), Duration::from_millis(200));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: floe\r\n\r\n").await.unwrap();
    stream.shutdown().await.unwrap();
    let reply = String::from_utf8(closes(&mut stream).await).unwrap();
    assert!(reply.starts_with("HTTP/1.1 200") && reply.ends_with("hello"), "{reply}");
}

#[tokio::test]
async fn a_silent_peer_and_half_a_preface_are_dropped_in_time() {
    for said in [&b""[..], &PREFACE[..10]] {
        let (mut peer, stream) = tokio::io::duplex(64);
        peer.write_all(said).await.unwrap();
        let share = Shares::new(1 << 20).take(0).await.unwrap();
        let handler = |_: Request<Incoming>| async { Response::new(Full::new(Bytes::new())) };
        let limits = Limits { preface_timeout: Duration::from_millis(100), ..Limits::default() };
        let closed = converse(Box::new(stream), &share, &limits, handler, &CancellationToken::new()).await;
        assert_eq!(closed, Some(Closed::Silent), "{said:?}");
    }
}

#[tokio::test]
async fn a_peer_that_does_not_read_its_reply_is_dropped_in_time() {
    let (mut peer, stream) = tokio::io::duplex(64);
    peer.write_all(b"GET / HTTP/1.1\r\nhost: floe\r\n\r\n").await.unwrap();
    let share = Shares::new(1 << 20).take(0).await.unwrap();
    let handler = |_: Request<Incoming>| async { Response::new(Full::new(Bytes::from(vec![b'x'; 100_000]))) };
    let limits = Limits { write_timeout: SHORT, ..Limits::default() };
    let closed = converse(Box::new(stream), &share, &limits, handler, &CancellationToken::new()).await;
    assert_eq!(closed, Some(Closed::SlowReader));
}

/// So many pieces of 64 bytes, a while apart.
struct Pieces(usize, tokio::time::Interval);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.0 == 0 {
            return Poll::Ready(None);
        }
        std::task::ready!(self.1.poll_tick(cx));
        self.0 -= 1;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 64])))))
    }
}

/// Serves one connection whose replies have `pieces`, one every `every`, and may last for `lasts`.
fn stream(limits: Limits, pieces: usize, every: Duration, lasts: Option<Duration>) -> (DuplexStream, JoinHandle<Option<Closed>>) {
    let (peer, stream) = tokio::io::duplex(64);
    let served = tokio::spawn(async move {
        let share = Shares::new(1 << 20).take(0).await.unwrap();
        let handler = move |_: Request<Incoming>| async move {
            let mut reply = Response::new(Pieces(pieces, tokio::time::interval(every)));
            if let Some(lasts) = lasts {
                reply.extensions_mut().insert(Lasts(lasts));
            }
            reply
        };
        converse(Box::new(stream), &share, &limits, handler, &CancellationToken::new()).await
    });
    (peer, served)
}

/// The next request, of which some bytes are there early, begins no head meanwhile.
#[tokio::test]
async fn a_reply_that_is_still_read_is_no_idle_connection() {
    let limits = Limits { idle_timeout: SHORT, head_timeout: SHORT, ..Limits::default() };
    let (mut peer, served) = stream(limits, 50, Duration::from_millis(20), None);
    peer.write_all(b"GET / HTTP/1.1\r\nhost: floe\r\n\r\nGET /").await.unwrap();
    let mut reply = vec![0; 64 * 50];
    peer.read_exact(&mut reply).await.unwrap();
    // It begins when the reply is taken, and then comes to nothing.
    let mut rest = Vec::new();
    peer.read_to_end(&mut rest).await.unwrap();
    assert!(rest.ends_with(b"0\r\n\r\n"), "{}", String::from_utf8_lossy(&rest));
    assert!(matches!(served.await.unwrap(), Some(Closed::Idle | Closed::SlowHead)));
}

/// `write_timeout` sees progress with every byte.
#[tokio::test]
async fn a_peer_that_reads_a_byte_now_and_then_is_dropped_when_the_time_of_its_reply_is_over() {
    let (mut peer, served) = stream(Limits::default(), 1_000_000, Duration::from_micros(1), Some(Duration::from_millis(300)));
    peer.write_all(b"GET / HTTP/1.1\r\nhost: floe\r\n\r\n").await.unwrap();
    while peer.read(&mut [0]).await.is_ok_and(|n| n > 0) && !served.is_finished() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(served.await.unwrap(), Some(Closed::SlowReader));
}

#[tokio::test]
async fn a_unix_socket_is_served_and_only_a_stale_one_is_replaced() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("floe.sock");
    let address = Address::Unix(path.clone());
    // A killed process leaves the file of its socket.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let listener = Listener::bind(address.clone()).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    assert_eq!(Listener::bind(address.clone()).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    let shutdown = CancellationToken::new();
    let handler = |_: Request<Incoming>| async { Response::new(Full::new(Bytes::from_static(b"hello"))) };
    let server = tokio::spawn(listener.serve(Limits::default(), handler, shutdown.clone()));
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: floe\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    assert!(reply.ends_with("hello"), "{reply}");
    shutdown.cancel();
    server.await.unwrap();
    assert!(!path.exists());
    std::fs::write(&path, "words").unwrap();
    assert_eq!(Listener::bind(address).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read(&path).unwrap(), b"words");
}

#[tokio::test]
async fn a_request_on_an_old_connection_is_answered_within_the_grace_and_cut_off_after_it() {
    let reply = |grace| async move {
        let limits = Limits { max_age: SHORT, max_age_grace: grace, ..Limits::default() };
        let (address, closed) = observed(limits, Duration::from_millis(800));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: floe\r\n\r\n").await.unwrap();
        let reply = String::from_utf8(closes(&mut stream).await).unwrap();
        let told = tokio::task::spawn_blocking(move || closed.recv_timeout(Duration::from_secs(10))).await.unwrap();
        assert_eq!(told, Ok(Closed::Age));
        reply
    };
    assert_eq!(reply(SHORT).await, "");
    for grace in [None, Some(Duration::from_secs(20))] {
        assert!(reply(grace).await.ends_with("hello"), "{grace:?}");
    }
}
