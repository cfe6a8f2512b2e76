//! The stand-in's object store: MinIO behind R2's rules.
//!
//! Keys that it did not vend are unknown, a signature must be right and in region `auto`, and all parts of an upload but the last have one length.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};

use super::super::parts::{ACCESS_KEY, SECRET_KEY};
use super::super::proxy::{self, Answer, Kept};
use super::{R2, sigv4};

/// What happens to one request that writes a data file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectFault {
    /// Not written, and answered with this status.
    Refused(u16),
    /// Not written, and the connection breaks.
    Lost,
    /// Written, and the connection breaks.
    WrittenNoAnswer,
    /// All vended keys have expired at this moment.
    Expired,
    /// Written, and answered after a while.
    Slow(Duration),
}

#[derive(Debug, Default)]
pub struct State {
    faults: VecDeque<ObjectFault>,
    pub(super) read_only: bool,
    met: u32,
    /// Uploads under way: lengths of their parts.
    uploads: HashMap<String, BTreeMap<u32, usize>>,
    /// Lengths of the parts of those that were completed.
    completed: Vec<Vec<usize>>,
    /// Requests that were denied because their keys had expired.
    expired: u32,
}

impl R2 {
    /// The next request that writes (a part of) a data file meets this.
    pub fn next_object(&self, fault: ObjectFault) {
        self.service().objects.faults.push_back(fault);
    }

    /// Faults of objects that took place.
    pub fn objects_met(&self) -> u32 {
        self.service().objects.met
    }

    /// Lengths of the parts of every upload that was completed.
    pub fn completed(&self) -> Vec<Vec<usize>> {
        self.service().objects.completed.clone()
    }

    /// Uploads that nobody completed or aborted.
    pub fn unfinished(&self) -> usize {
        self.service().objects.uploads.len()
    }

    /// Requests with keys that had expired.
    pub fn expired(&self) -> u32 {
        self.service().objects.expired
    }

    pub(super) async fn store(&self, mut kept: Kept) -> Result<Answer, std::io::Error> {
        if let Some(denial) = self.deny(&kept) {
            return Ok(denial);
        }
        let writes = kept.method == Method::PUT && kept.path.contains(".parquet");
        let fault = if writes { self.service().objects.faults.pop_front() } else { None };
        self.service().objects.met += u32::from(fault.is_some());
        let broken = || std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        match fault {
            Some(ObjectFault::Refused(status)) => {
                return Ok(failure(StatusCode::from_u16(status).unwrap(), "InternalError"));
            }
            Some(ObjectFault::Lost) => return Err(broken()),
            Some(ObjectFault::Expired) => {
                for keys in self.service().keys.values_mut().filter(|keys| keys.session.is_some()) {
                    keys.until = Some(Instant::now());
                }
                return Ok(self.deny(&kept).unwrap());
            }
            _ => {}
        }
        if let Some(refusal) = self.uneven(&kept) {
            return Ok(refusal);
        }
        let (asked, length) = (kept.clone(), kept.body.len());
        sigv4::sign(&mut kept, &self.lake.s3.to_string(), "us-east-1", ACCESS_KEY, SECRET_KEY);
        let answer = proxy::forward(self.lake.s3, kept).await?;
        self.note(&asked, length, &answer);
        match fault {
            Some(ObjectFault::WrittenNoAnswer) => Err(broken()),
            Some(ObjectFault::Slow(pause)) => {
                tokio::time::sleep(pause).await;
                Ok(answer)
            }
            _ => Ok(answer),
        }
    }

    fn deny(&self, kept: &Kept) -> Option<Answer> {
        let denied = |code| Some(failure(StatusCode::FORBIDDEN, code));
        let Some(signed) = sigv4::read(&kept.headers) else { return denied("AccessDenied") };
        let mut service = self.service();
        let Some(keys) = service.keys.get(&signed.key).cloned() else { return denied("InvalidAccessKeyId") };
        let session = kept.headers.get("x-amz-security-token").and_then(|value| value.to_str().ok());
        if session != keys.session.as_deref() {
            return denied("InvalidToken");
        }
        if signed.region != "auto" || !sigv4::is_right(kept, &signed, &keys.secret) {
            return denied("SignatureDoesNotMatch");
        }
        if service.objects.read_only && kept.method != Method::GET && kept.method != Method::HEAD {
            return denied("AccessDenied");
        }
        if keys.until.is_some_and(|until| until <= Instant::now()) {
            service.objects.expired += 1;
            return Some(failure(StatusCode::BAD_REQUEST, "ExpiredToken"));
        }
        None
    }

    /// The end of an upload whose parts are of unequal length.
    fn uneven(&self, kept: &Kept) -> Option<Answer> {
        let upload = upload(&kept.path).filter(|_| kept.method == Method::POST)?;
        let service = self.service();
        let parts: Vec<usize> = service.objects.uploads.get(&upload)?.values().copied().collect();
        let (last, others) = parts.split_last()?;
        let even = others.iter().all(|part| Some(part) == others.first() && part >= last);
        (!even).then(|| failure(StatusCode::BAD_REQUEST, "InvalidPart"))
    }

    /// Keeps an account of uploads.
    fn note(&self, kept: &Kept, length: usize, (status, _, body): &Answer) {
        if !status.is_success() {
            return;
        }
        let state = &mut self.service().objects;
        let begun = kept
            .path
            .split_once('?')
            .is_some_and(|(_, query)| query.split('&').any(|pair| pair.trim_end_matches('=') == "uploads"));
        match (upload(&kept.path), &kept.method) {
            (None, &Method::POST) if begun => {
                let text = String::from_utf8_lossy(body);
                let id = text.split("<UploadId>").nth(1).and_then(|rest| rest.split("</").next()).unwrap();
                state.uploads.insert(id.to_owned(), BTreeMap::new());
            }
            (Some(id), &Method::PUT) => {
                let number = kept.path.split("partNumber=").nth(1).unwrap().split('&').next().unwrap().parse().unwrap();
                state.uploads.entry(id).or_default().insert(number, length);
            }
            (Some(id), &Method::POST) => {
                let parts = state.uploads.remove(&id).unwrap_or_default();
                state.completed.push(parts.into_values().collect());
            }
            (Some(id), &Method::DELETE) => {
                state.uploads.remove(&id);
            }
            _ => {}
        }
    }
}

/// The upload that a request belongs to.
fn upload(path: &str) -> Option<String> {
    path.split("uploadId=").nth(1).and_then(|rest| rest.split('&').next()).map(str::to_owned)
}

fn failure(status: StatusCode, code: &str) -> Answer {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>by the stand-in</Message></Error>");
    (status, HeaderMap::from_iter([(http::header::CONTENT_TYPE, "application/xml".parse().unwrap())]), Bytes::from(body))
}
