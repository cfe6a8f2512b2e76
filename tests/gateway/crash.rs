//! Kill -9 at random moments under load, and what the tables hold afterwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::floe::{Floe, PATIENCE};
use super::parts::Lake;
use super::{python, send};

/// Unless the environment says otherwise: FLOE_KILLS=1000.
const KILLS: usize = 50;
const SENDERS: u32 = 3;
const SPANS_A_REQUEST: u32 = 40;

/// A sender as SDKs are: it repeats a request, the same bytes, until it is acknowledged. Gives the ids of acknowledged invocations.
pub fn keep_sending(to: std::net::SocketAddr, name: u32, stop: Arc<AtomicBool>) -> JoinHandle<Vec<String>> {
    thread::spawn(move || {
        let mut acknowledged = Vec::new();
        for request in 0_u32.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let ids: Vec<String> = (0..SPANS_A_REQUEST).map(|span| format!("s{name}-r{request}-{span}")).collect();
            // Spread over hours, so that a batch spans partitions.
            let start = |n: usize| send::now_nanos() - (n as u64 % 3) * 3_600_000_000_000;
            let spans = ids.iter().enumerate().map(|(n, id)| send::invocation(id, "checkout", start(n))).collect();
            let body = send::body(spans);
            let deadline = Instant::now() + PATIENCE;
            while !send::export(to, "traces", &body).is_ok_and(|reply| reply.status == 200) {
                assert!(Instant::now() < deadline, "request {request} of sender {name} was never acknowledged");
                thread::sleep(Duration::from_millis(10));
            }
            acknowledged.extend(ids);
        }
        acknowledged
    })
}

/// Milliseconds between kills, from a seed that is printed.
fn moments(mut seed: u64) -> impl Iterator<Item = u64> {
    println!("seed {seed}");
    std::iter::repeat_with(move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        50 + (seed >> 33) % 950
    })
}

/// Senders that do not stop for crashes, and what they were acknowledged.
pub struct Load {
    stop: Arc<AtomicBool>,
    senders: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    pub fn on(floe: &Floe) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let senders = (0..SENDERS).map(|name| keep_sending(floe.ports.http, name, Arc::clone(&stop))).collect();
        Load { stop, senders }
    }

    /// Ends the senders and the gateway, and compares the ids in the table with the acknowledged ones.
    pub fn end(self, floe: &mut Floe) -> Result<usize, String> {
        self.stop.store(true, Ordering::Relaxed);
        let mut acknowledged: Vec<String> = self.senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect();
        acknowledged.sort();
        assert!(floe.terminate().success(), "{}", floe.log());
        let written = python::column(floe, "invocations", "invocation_id");
        if written == acknowledged {
            return Ok(written.len());
        }
        let twice = written.windows(2).filter(|pair| pair[0] == pair[1]).count();
        let lost = acknowledged.iter().filter(|id| written.binary_search(id).is_err()).count();
        Err(format!("{} acknowledged, {} written, {lost} lost, {twice} twice", acknowledged.len(), written.len()))
    }
}

#[test]
fn kills_under_load_lose_nothing_and_repeat_nothing() {
    kill_under_load(None);
}

#[test]
fn kills_under_load_lose_nothing_and_repeat_nothing_on_rest_and_s3() {
    if let Some(lake) = Lake::open() {
        kill_under_load(Some(&lake));
    }
}

fn kill_under_load(lake: Option<&Lake>) {
    let mut floe = Floe::start_on(lake, |config| config.replace("max_age: 60s", "max_age: 1s"));
    let load = Load::on(&floe);
    let kills = std::env::var("FLOE_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    for millis in moments(send::now_nanos()).take(kills) {
        thread::sleep(Duration::from_millis(millis));
        floe.kill_9();
        floe.restart();
    }
    thread::sleep(Duration::from_secs(1));
    let rows = load.end(&mut floe).unwrap();
    println!("{kills} kills, {rows} rows");
    assert!(rows > 1_000, "only {rows} invocations were acknowledged");
}

#[test]
fn a_stop_commits_what_is_held_and_a_start_adds_nothing() {
    let mut floe = Floe::start();
    let ids: Vec<String> = (0..10).map(|n| format!("i{n}")).collect();
    let body = send::body(ids.iter().map(|id| send::invocation(id, "checkout", send::now_nanos())).collect());
    assert_eq!(send::export(floe.ports.http, "traces", &body).unwrap().status, 200);
    assert!(floe.terminate().success(), "{}", floe.log());
    assert_eq!(python::column(&floe, "invocations", "invocation_id"), ids);
    floe.restart();
    assert!(floe.terminate().success(), "{}", floe.log());
    assert_eq!(python::column(&floe, "invocations", "invocation_id"), ids);
}

#[test]
fn a_request_sent_again_is_acknowledged_and_adds_nothing() {
    let mut floe = Floe::start();
    let body = send::body(vec![send::invocation("once", "checkout", send::now_nanos())]);
    let first = send::export(floe.ports.http, "traces", &body).unwrap();
    let send_again = |floe: &Floe| {
        let again = send::export(floe.ports.http, "traces", &body).unwrap();
        assert_eq!((again.status, &again.body), (200, &first.body));
    };
    send_again(&floe);
    floe.kill_9();
    floe.restart();
    send_again(&floe);
    // Now its segment is released, and the process is another once more.
    floe.flush();
    floe.kill_9();
    floe.restart();
    send_again(&floe);
    let scraped = send::get(floe.ports.prometheus, "/metrics").unwrap().text();
    assert!(!scraped.contains("checkout"), "counted again: {scraped}");
    floe.flush();
    assert_eq!(python::column(&floe, "invocations", "invocation_id"), ["once"]);
}

#[test]
fn an_exporter_that_is_renamed_goes_on_where_its_tables_are() {
    let mut floe = Floe::start();
    let send_one = |floe: &Floe, id: &str| {
        let body = send::body(vec![send::invocation(id, "checkout", send::now_nanos())]);
        assert_eq!(send::export(floe.ports.http, "traces", &body).unwrap().status, 200);
    };
    send_one(&floe, "before");
    assert!(floe.terminate().success(), "{}", floe.log());
    let path = floe.directory.join("pipelines.yaml");
    let renamed = std::fs::read_to_string(&path)
        .unwrap()
        .replace("  iceberg:\n", "  iceberg/lake:\n")
        .replace("[iceberg, ", "[iceberg/lake, ");
    std::fs::write(&path, renamed).unwrap();
    floe.restart();
    send_one(&floe, "after");
    floe.flush();
    assert_eq!(python::column(&floe, "invocations", "invocation_id"), ["after", "before"]);
}

#[test]
fn a_body_of_countless_empty_records_is_refused_before_it_takes_memory() {
    use prost::Message;

    let floe = Floe::start();
    let before = floe.resident_kib();
    // Two bytes each: an empty log record. 8 MiB of them within one scope, one resource.
    let mut wrapped = [0x12, 0x00].repeat(4 << 20);
    for tag in [0x12_u8, 0x0a] {
        let mut outer = vec![tag];
        prost::encoding::encode_varint(wrapped.len() as u64, &mut outer);
        outer.append(&mut wrapped);
        wrapped = outer;
    }
    let reply = send::export(floe.ports.http, "logs", &wrapped).unwrap();
    assert_eq!(reply.status, 400);
    let status = tonic_types::Status::decode(reply.body.as_slice()).unwrap();
    assert!(status.message.contains("send fewer at once"), "{}", status.message);
    let grown = floe.resident_kib().saturating_sub(before);
    assert!(grown < 192 << 10, "it took {grown} KiB");
}
