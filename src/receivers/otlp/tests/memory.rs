use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::*;

const TRACES: &str = "http://floe/opentelemetry.proto.collector.trace.v1.TraceService/Export";

fn by_http(body: AnyBody, gzip: bool) -> HttpRequest<AnyBody> {
    let request =
        HttpRequest::post("http://floe/v1/traces").header("host", "floe").header("content-type", "application/x-protobuf");
    request.header("content-encoding", if gzip { "gzip" } else { "identity" }).body(body).unwrap()
}

fn by_grpc(message: &[u8], gzip: bool) -> HttpRequest<AnyBody> {
    let mut frame = vec![u8::from(gzip)];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message);
    let request = HttpRequest::post(TRACES).header("content-type", "application/grpc");
    request.header("grpc-encoding", "gzip").body(whole(frame)).unwrap()
}

/// The largest hold seen while `work` runs.
async fn peak(admission: &Admission, work: impl Future<Output = ()>) -> usize {
    let mut work = std::pin::pin!(work);
    let mut peak = 0;
    loop {
        tokio::select! {
            biased;
            () = &mut work => return peak,
            () = tokio::time::sleep(Duration::from_micros(200)) => peak = peak.max(admission.held()),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_bombs_at_once_stay_within_the_budget() {
    let running = start(Setup { budget: ByteSize::mib(32), limit: ByteSize::mib(8), ..SETUP });
    // 256 MiB each, in about a quarter of a megabyte.
    let bomb = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        let zeros = vec![0; 1 << 20];
        (0..256).for_each(|_| encoder.write_all(&zeros).unwrap());
        Bytes::from(encoder.finish().unwrap())
    };
    assert!(bomb.len() < 1 << 20, "{}", bomb.len());
    let bombs = async {
        let sent: Vec<_> = (0..64)
            .map(|n| {
                let (grpc, http, bomb) = (running.grpc(), running.http(), bomb.clone());
                tokio::spawn(async move {
                    if n % 2 == 0 {
                        exchange(http, n % 4 == 0, by_http(whole(bomb), true)).await.map(|got| got.status.as_u16())
                    } else {
                        let got = exchange(grpc, true, by_grpc(&bomb, true)).await?;
                        Ok(u16::try_from(i32::from(Status::from_header_map(&got.headers).unwrap().code())).unwrap())
                    }
                })
            })
            .collect();
        for sent in sent {
            let code = sent.await.unwrap().unwrap();
            assert!([413, 503, 8, 14].contains(&code), "{code}");
        }
    };
    let peak = peak(&running.admission, bombs).await;
    assert!(peak > 0 && peak <= 32 << 20, "{peak}");
    assert_eq!(running.seen(), []);
    running.all_is_freed().await;
    // One that had the memory was told that it is too large.
    let got = exchange(running.http(), false, by_http(whole(bomb), true)).await.unwrap();
    assert_eq!(got.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn without_memory_the_answer_is_later_and_with_it_the_same_request_is_taken() {
    let running = start(Setup { budget: ByteSize::mib(1), ..SETUP });
    let body = vec![1; 100_000];
    let held = running.admission.admit((1 << 20) - 1000).unwrap();
    for http2 in [false, true] {
        for body in [whole(body.clone()), pieces(&body, 5000)] {
            let got = exchange(running.http(), http2, by_http(body, false)).await.unwrap();
            assert_eq!((got.status, got.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "1"));
        }
    }
    for gzipped in [false, true] {
        let message = if gzipped { gzip(&body) } else { body.clone() };
        let got = exchange(running.grpc(), true, by_grpc(&message, gzipped)).await.unwrap();
        let status = Status::from_header_map(&got.headers).unwrap();
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(Duration::from_secs(1)));
    }
    assert_eq!(running.admission.held(), (1 << 20) - 1000);
    drop(held);
    assert_eq!(exchange(running.http(), false, by_http(whole(body.clone()), false)).await.unwrap().status, StatusCode::OK);
    let got = exchange(running.grpc(), true, by_grpc(&gzip(&body), true)).await.unwrap();
    assert_eq!(Status::from_header_map(&got.trailers).unwrap().code(), Code::Ok);
    running.counts("http", "later", 4).await;
    running.counts("grpc", "later", 2).await;
}

#[tokio::test]
async fn what_can_never_be_held_is_too_large_and_not_later() {
    let running = start(Setup { budget: ByteSize::mib(1), ..SETUP });
    let got = exchange(running.http(), true, by_http(whole(vec![1; 900_000]), false)).await.unwrap();
    assert_eq!(got.status, StatusCode::PAYLOAD_TOO_LARGE);
    let got = exchange(running.grpc(), true, by_grpc(&vec![1; 900_000], false)).await.unwrap();
    assert_eq!(Status::from_header_map(&got.headers).unwrap().code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn a_permit_covers_the_body_and_as_much_again() {
    let running = start(SETUP);
    // Neighbours differ, so that the packed form is not a trifle.
    let body: Vec<u8> = (0..200_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let packed = gzip(&body);
    exchange(running.http(), false, by_http(whole(body.clone()), false)).await.unwrap();
    exchange(running.http(), false, by_http(pieces(&body, 9000), false)).await.unwrap();
    exchange(running.http(), false, by_http(whole(packed.clone()), true)).await.unwrap();
    exchange(running.grpc(), true, by_grpc(&body, false)).await.unwrap();
    exchange(running.grpc(), true, by_grpc(&packed, true)).await.unwrap();
    let seen = running.pipelines.seen.lock().unwrap();
    assert_eq!(seen.len(), 5);
    for (_, _, seen, permit) in seen.iter() {
        assert_eq!(seen, &body);
        assert!((2 * body.len()..=3 * body.len()).contains(permit), "{permit} for {}", body.len());
    }
}
