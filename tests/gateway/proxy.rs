//! What stands between floe and its catalog and misbehaves: it forwards every request to the real catalog, except that the next commits of the
//! table `invocations` meet the faults that a test has asked for.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::floe::PATIENCE;

/// What happens to one commit request, or to one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Applied, and the connection breaks before the answer.
    AppliedNoAnswer,
    /// Applied, and answered with this status.
    Applied(u16),
    /// Not applied: kept, and the connection breaks. Applied once the next look has been answered.
    HeldUntilAfterLook,
    /// The same, applied once the next commit has been answered.
    HeldUntilAfterRetry,
    /// The same, applied when the test says so: [`Proxy::deliver`].
    Held,
    /// Sent to the catalog twice; the second answer is passed on.
    SentTwice,
    /// Not applied, and answered so.
    Refused { status: u16, retry_after: Option<u32>, body: &'static str },
    /// Waits until the test has done something else to the table: [`Proxy::go_on`].
    Paused,
}

/// A request that can be sent again.
#[derive(Clone, Debug)]
pub struct Kept {
    pub method: Method,
    /// With the query.
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

#[derive(Debug, Default)]
struct Script {
    commits: VecDeque<Fault>,
    stale_loads: u32,
    /// The look before the last commit, and the last look.
    looks: [Option<Bytes>; 2],
    held: Option<(Fault, Kept)>,
    paused: bool,
    /// Nothing is answered.
    away: bool,
    /// Faults that took place.
    met: u32,
    /// Answers of the catalog to requests that were held or sent twice.
    late: Vec<StatusCode>,
    /// When commits came in.
    commits_at: Vec<Instant>,
}

/// The proxy; it serves until the process ends.
#[derive(Clone, Debug)]
pub struct Proxy {
    pub address: SocketAddr,
    catalog: SocketAddr,
    script: Arc<Mutex<Script>>,
}

pub type Answer = (StatusCode, HeaderMap, Bytes);

impl Proxy {
    pub fn before(catalog: SocketAddr) -> Proxy {
        let listener = bind();
        let proxy = Proxy { address: listener.local_addr().unwrap(), catalog, script: Arc::default() };
        let answering = proxy.clone();
        serve(listener, move |kept| {
            let proxy = answering.clone();
            async move { proxy.answer(kept).await }
        });
        proxy
    }

    /// The next commit meets this.
    pub fn next_commit(&self, fault: Fault) {
        self.script().commits.push_back(fault);
    }

    /// The next look sees the version before the last commit.
    pub fn next_look_is_stale(&self) {
        self.script().stale_loads += 1;
    }

    /// From now on every request breaks, or none does any more.
    pub fn set_away(&self, away: bool) {
        self.script().away = away;
    }

    /// How many faults took place.
    pub fn met(&self) -> u32 {
        self.script().met
    }

    /// What the catalog said to requests that floe does not know the answer of.
    pub fn late(&self) -> Vec<StatusCode> {
        self.script().late.clone()
    }

    /// When commits came in.
    pub fn commits_at(&self) -> Vec<Instant> {
        self.script().commits_at.clone()
    }

    /// Waits until a commit is held or paused.
    pub fn await_commit(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.script().paused && self.script().held.is_none() {
            assert!(Instant::now() < deadline, "no commit came");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    pub fn go_on(&self) {
        self.script().paused = false;
    }

    /// The request that is held; it is not sent.
    pub fn take_held(&self) -> Kept {
        self.script().held.take().unwrap().1
    }

    /// Sends the request that is held to the catalog, and gives its answer's status.
    pub fn deliver(&self) -> StatusCode {
        let kept = self.take_held();
        self.send(std::slice::from_ref(&kept))[0]
    }

    /// Sends requests to the catalog, all at once.
    pub fn send(&self, requests: &[Kept]) -> Vec<StatusCode> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let sent = requests.iter().map(|kept| forward(self.catalog, kept.clone()));
            futures_util::future::join_all(sent).await.into_iter().map(|answer| answer.unwrap().0).collect()
        })
    }

    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, kept: Kept) -> Result<Answer, std::io::Error> {
        if self.script().away {
            return Err(std::io::ErrorKind::ConnectionReset.into());
        }
        let ours = kept.path.split('?').next().unwrap().ends_with("/tables/invocations");
        match kept.method {
            Method::POST if ours => self.commit(kept).await,
            Method::GET if ours => self.look(kept).await,
            _ => forward(self.catalog, kept).await,
        }
    }

    async fn look(&self, kept: Kept) -> Result<Answer, std::io::Error> {
        let (status, headers, body) = forward(self.catalog, kept).await?;
        let stale = {
            let mut script = self.script();
            let stale = if script.stale_loads > 0 { script.looks[0].clone() } else { None };
            if stale.is_some() {
                script.stale_loads -= 1;
                script.met += 1;
            } else if status.is_success() {
                script.looks[1] = Some(body.clone());
            }
            stale
        };
        self.deliver_late(Fault::HeldUntilAfterLook).await?;
        Ok((status, headers, stale.unwrap_or(body)))
    }

    async fn commit(&self, kept: Kept) -> Result<Answer, std::io::Error> {
        let fault = {
            let mut script = self.script();
            script.commits_at.push(Instant::now());
            let fault = script.commits.pop_front();
            script.met += u32::from(fault.is_some());
            let [before, last] = &mut script.looks;
            before.clone_from(last);
            fault
        };
        let Some(fault) = fault else {
            let answer = forward(self.catalog, kept).await?;
            self.deliver_late(Fault::HeldUntilAfterRetry).await?;
            return Ok(answer);
        };
        let broken = || std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        match fault {
            Fault::AppliedNoAnswer => {
                assert!(forward(self.catalog, kept).await?.0.is_success(), "the commit was not applied");
                Err(broken())
            }
            Fault::Applied(status) => {
                assert!(forward(self.catalog, kept).await?.0.is_success(), "the commit was not applied");
                Ok((StatusCode::from_u16(status).unwrap(), HeaderMap::new(), error(status, "CommitFailedException")))
            }
            Fault::HeldUntilAfterLook | Fault::HeldUntilAfterRetry | Fault::Held => {
                self.script().held = Some((fault, kept));
                Err(broken())
            }
            Fault::SentTwice => {
                let first = forward(self.catalog, kept.clone()).await?;
                let second = forward(self.catalog, kept).await?;
                self.script().late.extend([first.0, second.0]);
                Ok(second)
            }
            Fault::Refused { status, retry_after, body } => {
                let mut headers = HeaderMap::new();
                if let Some(seconds) = retry_after {
                    headers.insert(http::header::RETRY_AFTER, seconds.into());
                }
                Ok((StatusCode::from_u16(status).unwrap(), headers, Bytes::from_static(body.as_bytes())))
            }
            Fault::Paused => {
                self.script().paused = true;
                while self.script().paused {
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
                forward(self.catalog, kept).await
            }
        }
    }

    /// A request that was held until this moment reaches the catalog now.
    async fn deliver_late(&self, moment: Fault) -> Result<(), std::io::Error> {
        let held = {
            let mut script = self.script();
            if script.held.as_ref().is_some_and(|(fault, _)| *fault == moment) { script.held.take() } else { None }
        };
        if let Some((_, kept)) = held {
            let status = forward(self.catalog, kept).await?.0;
            self.script().late.push(status);
        }
        Ok(())
    }
}

fn error(status: u16, kind: &str) -> Bytes {
    format!(r#"{{"error":{{"message":"by the proxy","type":"{kind}","code":{status}}}}}"#).into()
}

/// A free port of this machine.
pub fn bind() -> std::net::TcpListener {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

/// Answers requests on a thread of its own until the process ends. An error breaks the connection.
pub fn serve<F, A>(listener: std::net::TcpListener, answer: F)
where
    F: Fn(Kept) -> A + Clone + Send + 'static,
    A: Future<Output = Result<Answer, std::io::Error>> + Send + 'static,
{
    serve_with(listener, None, answer);
}

/// The same with TLS, where there is an acceptor.
pub fn serve_with<F, A>(listener: std::net::TcpListener, tls: Option<TlsAcceptor>, answer: F)
where
    F: Fn(Kept) -> A + Clone + Send + 'static,
    A: Future<Output = Result<Answer, std::io::Error>> + Send + 'static,
{
    let accept = async move {
        let listener = TcpListener::from_std(listener).unwrap();
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let (answer, tls) = (answer.clone(), tls.clone());
            let service = service_fn(move |request| respond(request, answer.clone()));
            let http = hyper::server::conn::http1::Builder::new();
            // A broken connection is one of the faults: the service's error ends it.
            tokio::spawn(async move {
                match tls {
                    None => drop(http.serve_connection(TokioIo::new(stream), service).await),
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            let _ = http.serve_connection(TokioIo::new(stream), service).await;
                        }
                    }
                }
            });
        }
    };
    std::thread::spawn(move || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(accept));
}

async fn respond<A>(request: Request<Incoming>, answer: impl Fn(Kept) -> A) -> Result<Response<Full<Bytes>>, std::io::Error>
where
    A: Future<Output = Result<Answer, std::io::Error>>,
{
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let path = head.uri.path_and_query().unwrap().to_string();
    let only_head = head.method == Method::HEAD;
    let (status, mut headers, body) = answer(Kept { method: head.method, path, headers: head.headers, body }).await?;
    headers.remove(http::header::TRANSFER_ENCODING);
    headers.remove(http::header::CONNECTION);
    if !only_head {
        headers.remove(http::header::CONTENT_LENGTH);
    }
    let mut response = Response::new(Full::new(body));
    (*response.status_mut(), *response.headers_mut()) = (status, headers);
    Ok(response)
}

/// One request to a server on a connection of its own.
pub async fn forward(catalog: SocketAddr, kept: Kept) -> Result<Answer, std::io::Error> {
    let stream = TcpStream::connect(catalog).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
    tokio::spawn(connection);
    let mut request = Request::new(Full::new(kept.body));
    *request.method_mut() = kept.method;
    *request.uri_mut() = kept.path.parse().unwrap();
    *request.headers_mut() = kept.headers;
    let (head, body) = sender.send_request(request).await.map_err(std::io::Error::other)?.into_parts();
    Ok((head.status, head.headers, body.collect().await.map_err(std::io::Error::other)?.to_bytes()))
}
