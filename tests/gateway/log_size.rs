//! What the log costs: bytes a row.

use super::floe::Floe;
use super::send;

/// Requests of so many invocations each, and the log's bytes a row.
fn bytes_a_row(floe: &Floe, rows: u32, requests: u32) -> f64 {
    let bytes = || floe.metric("floe_wal_size_bytes").unwrap();
    let before = bytes();
    for request in 0..requests {
        let spans = (0..rows).map(|row| {
            let id = send::uuid(&format!("{rows}-{request}-{row}"));
            let mut span = send::invocation(&id, "checkout-service", send::now_nanos());
            span.attributes.push(send::string("faas.version", "1.2.3"));
            span.attributes.push(send::string("cloud.region", "eu-west-1"));
            span.attributes.push(send::string("client.address", "203.0.113.7"));
            span
        });
        assert_eq!(send::export(floe.ports.http, "traces", &send::body(spans.collect())).unwrap().status, 200);
    }
    let bytes = (bytes() - before) / f64::from(rows * requests);
    println!("{bytes:.0} bytes a row at {rows} rows a request");
    bytes
}

#[test]
fn a_row_costs_few_bytes_alone_and_fewer_in_company() {
    let floe = Floe::start();
    let [alone, some, many] = [(1, 100), (20, 20), (500, 4)].map(|(rows, requests)| bytes_a_row(&floe, rows, requests));
    assert!(alone < 400.0 && many < 180.0 && many < some && some < alone, "{alone}, {some}, {many}");
}
