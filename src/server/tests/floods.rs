//! Peers that keep to the letter of HTTP/2, and send without end what costs them nothing.

use super::*;

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
/// `POST / http`, from the static table (RFC 7541, appendix A).
const POST: &[u8] = &[0x83, 0x84, 0x86];
/// Many times what any bound allows.
const FLOOD: u32 = 200_000;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header with a name and a value of their own (RFC 7541, 6.2.2).
fn literal(value_length: u8) -> Vec<u8> {
    [&[0, 1, b'x', value_length][..], &vec![b'v'; value_length.into()]].concat()
}

/// Sends `first` and then the frames without reading, until the server closes; says why it did.
async fn flood(first: Vec<u8>, frames: fn(u32) -> Vec<u8>) -> Option<Closed> {
    let (mut peer, stream) = tokio::io::duplex(64 << 10);
    let share = Shares::new(1 << 20).take(64 << 10).await.unwrap();
    let handler = |_: Request<Incoming>| async { Response::new(Full::new(Bytes::new())) };
    let limits = Limits { write_timeout: SHORT, http2_only: true, ..Limits::default() };
    let flooding = async {
        peer.write_all(&[&PREFACE[..], &frame(SETTINGS, 0, 0, &[]), &first].concat()).await.unwrap();
        for n in 0..FLOOD {
            if peer.write_all(&frames(n)).await.is_err() {
                return;
            }
        }
        panic!("the server took all of it");
    };
    let (closed, ()) =
        tokio::join!(async { converse(Box::new(stream), &share, &limits, handler, &CancellationToken::new()).await }, flooding);
    closed
}

#[tokio::test]
async fn a_flood_of_frames_ends_its_connection() {
    // What must be answered piles up at a peer that does not read, and is not read on until it does.
    for (name, frames) in [
        ("settings", (|_| frame(SETTINGS, 0, 0, &[])) as fn(u32) -> Vec<u8>),
        ("ping", |n| frame(PING, 0, 0, &u64::from(n).to_be_bytes())),
    ] {
        assert_eq!(flood(Vec::new(), frames).await, Some(Closed::SlowReader), "{name}");
    }
    let opened = frame(HEADERS, 0, 1, POST);
    for (name, first, frames) in [
        ("headers without end", opened, (|_| frame(CONTINUATION, 0, 1, &literal(100))) as fn(u32) -> Vec<u8>),
        ("streams opened and reset", Vec::new(), |n| {
            let stream = 2 * n + 1;
            [frame(HEADERS, END_HEADERS, stream, POST), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
        }),
    ] {
        let closed = flood(first, frames).await;
        assert!(matches!(closed, Some(Closed::Protocol | Closed::SlowReader)), "{name}: {closed:?}");
    }
}

#[tokio::test]
async fn headers_past_their_bound_are_refused_by_code_and_the_connection_goes_on() {
    let (address, _shutdown, _server) = start(Limits::default(), Duration::ZERO);
    let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    for (bytes, code) in [(20 << 10, 431), (4 << 10, 200)] {
        let request = Request::get("http://floe/").header("x-long", "v".repeat(bytes)).body(Full::<Bytes>::default()).unwrap();
        sender.ready().await.unwrap();
        assert_eq!(sender.send_request(request).await.unwrap().status(), code, "{bytes} bytes");
    }
}

#[tokio::test]
async fn a_body_in_a_flood_of_empty_frames_ends_or_is_taken_but_does_not_grow() {
    let frames = |_: u32| frame(0, 0, 1, &[]);
    let closed = flood(frame(HEADERS, END_HEADERS, 1, POST), frames).await;
    assert!(closed.is_some());
}
