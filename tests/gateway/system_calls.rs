//! The promise of an acknowledgement, as the operating system sees it: a reply goes out after the fdatasync that covers its rows, and senders share
//! syncs. By strace, which also makes the disk slow where a test is about waiting for it.

use std::collections::HashMap;
use std::fs;
use std::process::Command;
use std::thread;

use super::floe::Floe;
use super::send;

/// Whether there is strace and it may trace; without it these tests are skipped, but not in CI.
fn traced(floe: &mut Floe, rules: &[&str]) -> bool {
    let works =
        Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).output().is_ok_and(|tried| tried.status.success());
    if !works {
        assert!(std::env::var_os("CI").is_none(), "strace is missing, or may not trace: in CI nothing may be skipped");
        println!("SKIPPED: strace is missing, or may not trace (Debian: apt-get install strace)");
        return false;
    }
    let trace = floe.directory.join("trace").display().to_string();
    let calls = "trace=pwrite64,fdatasync,read,recvfrom,write,writev,sendto,sendmsg";
    let common = ["strace", "-D", "-f", "-qq", "-y", "-s", "200000", "-o", &trace, "-e", calls];
    floe.under = common.iter().chain(rules).map(|word| (*word).to_owned()).collect();
    true
}

/// A call that began and ended at these lines of the trace.
#[derive(Debug)]
struct Call {
    name: String,
    /// The file or the socket, with its name.
    on: String,
    text: String,
    began: usize,
    ended: usize,
}

/// `PID NAME(FD<FILE>, …` whole, or in two halves where another thread came between.
fn calls(trace: &str) -> Vec<Call> {
    let mut open: HashMap<&str, Call> = HashMap::new();
    let mut done = Vec::new();
    for (at, line) in trace.lines().enumerate() {
        let Some((pid, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if rest.starts_with("<... ") {
            let Some(mut call) = open.remove(pid) else { continue };
            // What a read brought stands in its second half.
            call.text.push_str(rest);
            call.ended = at;
            done.push(call);
            continue;
        }
        let Some((name, arguments)) = rest.split_once('(') else { continue };
        let on = arguments.split(['>']).next().unwrap_or_default().to_owned();
        let call = Call { name: name.to_owned(), on, text: arguments.to_owned(), began: at, ended: at };
        if rest.ends_with("<unfinished ...>") {
            open.insert(pid, call);
        } else {
            done.push(call);
        }
    }
    done.sort_by_key(|call| call.began);
    done
}

fn id(sender: u32, request: u32) -> String {
    format!("<{sender}-{request}>")
}

/// So many senders at once, each with so many requests, one after another.
fn send_all(floe: &Floe, senders: u32, requests: u32) {
    let senders: Vec<_> = (0..senders)
        .map(|sender| {
            let to = floe.ports.http;
            thread::spawn(move || {
                for request in 0..requests {
                    let span = send::invocation(&id(sender, request), "checkout", send::now_nanos());
                    assert_eq!(send::export(to, "traces", &send::body(vec![span])).unwrap().status, 200);
                }
            })
        })
        .collect();
    for sender in senders {
        sender.join().unwrap();
    }
}

/// What the gateway did, when it has ended.
fn traced_calls(floe: &mut Floe) -> Vec<Call> {
    assert!(floe.terminate().success(), "{}", floe.log());
    let path = floe.directory.join("trace");
    // The tracer is a process of its own and writes its last lines a moment later.
    let whole = || fs::read(&path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    floe.wait_until("the end of the trace", || {
        whole().contains("the end") || {
            let before = whole().len();
            thread::sleep(std::time::Duration::from_millis(200));
            before > 0 && whole().len() == before
        }
    });
    calls(&whole())
}

#[test]
fn a_reply_goes_out_after_the_fdatasync_that_covers_its_rows() {
    const SENDERS: u32 = 8;
    const REQUESTS: u32 = 10;
    let mut floe = Floe::prepare(|config| config);
    if !traced(&mut floe, &[]) {
        return;
    }
    floe.restart();
    send_all(&floe, SENDERS, REQUESTS);
    let calls = traced_calls(&mut floe);
    let of = |name: &'static str, text: String| calls.iter().filter(move |call| call.name == name && call.text.contains(&text));
    for id in (0..SENDERS).flat_map(|sender| (0..REQUESTS).map(move |request| id(sender, request))) {
        let written = of("pwrite64", id.clone())
            .find(|call| call.on.ends_with(".segment"))
            .unwrap_or_else(|| panic!("{id} is in no segment"));
        let mut syncs = calls.iter().filter(|call| call.name == "fdatasync" && call.on == written.on);
        let synced = syncs.find(|sync| sync.began > written.ended).unwrap_or_else(|| panic!("{id} was never synced"));
        let is_read = |call: &&Call| matches!(call.name.as_str(), "read" | "recvfrom") && call.text.contains(&id);
        let read = calls.iter().find(is_read).unwrap_or_else(|| panic!("{id} was never received"));
        let is_reply = |call: &&Call| {
            matches!(call.name.as_str(), "write" | "writev" | "sendto" | "sendmsg")
                && call.on == read.on
                && call.text.contains("HTTP/1.1 200")
        };
        let reply =
            calls.iter().find(|call| call.began > read.began && is_reply(call)).unwrap_or_else(|| panic!("{id} has no reply"));
        assert!(
            reply.began > synced.ended,
            "{id}: the reply of line {} does not wait for the sync of line {}",
            reply.began,
            synced.ended
        );
    }
}

#[test]
fn sixty_four_senders_share_syncs() {
    const SENDERS: u32 = 64;
    const REQUESTS: u32 = 10;
    let mut floe = Floe::prepare(|config| config);
    // A disk as slow as disks are: there is something to share.
    if !traced(&mut floe, &["-e", "inject=fdatasync:delay_exit=10000"]) {
        return;
    }
    floe.restart();
    let before = floe.metric("floe_wal_syncs_total").unwrap();
    send_all(&floe, SENDERS, REQUESTS);
    let counted = floe.metric("floe_wal_syncs_total").unwrap() - before;
    let calls = traced_calls(&mut floe);
    let first = calls
        .iter()
        .find(|call| call.name == "pwrite64" && call.text.contains('<') && call.on.ends_with(".segment"))
        .unwrap()
        .began;
    let syncs =
        calls.iter().filter(|call| call.name == "fdatasync" && call.on.ends_with(".segment") && call.began > first).count();
    println!("{syncs} syncs ({counted} counted) for {} requests", SENDERS * REQUESTS);
    assert!(syncs > 0 && syncs * 4 < (SENDERS * REQUESTS) as usize, "{syncs} syncs for {} requests", SENDERS * REQUESTS);
    assert!(counted * 4.0 < f64::from(SENDERS * REQUESTS));
}
